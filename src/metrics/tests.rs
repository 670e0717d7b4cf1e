use std::collections::BTreeSet;

use super::*;

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.text(11, 3).unwrap()).unwrap()
}

/// A route's place in the labels.
fn place(name: &str) -> usize {
    route::NAMES.iter().position(|known| *known == name).unwrap()
}

#[test]
fn the_text_has_every_counter_by_its_name() {
    let metrics = Metrics::new().unwrap();
    metrics.upstream_bytes.inc_by(7);
    metrics.cache_joined.inc_by(5);
    metrics.resumes.resumed.inc();
    metrics.count_answer(place("stream"), 206);
    metrics.count_answer(place("stream"), 504);
    metrics.count_answer(place("none"), 299);
    metrics.count_bytes(place("stream"), 13);
    metrics.observe_first_byte(place("stream"), Duration::from_millis(3));
    metrics.count_closed(Closed::Stalled);
    metrics.count_upstream(Op::Get, UpstreamStatus::Partial, Duration::from_millis(30));
    metrics.count_upstream(Op::Head, ErrorKind::UpstreamTimeout.into(), Duration::from_secs(10));
    metrics.streams_active.inc();
    metrics.take_census(Census { connections: 4, parked: 3, queue: 2 });
    let text = text(&metrics);
    for line in [
        "vidgate_upstream_bytes_total 7",
        "vidgate_cache_bytes 11",
        "vidgate_cache_bytes_total{outcome=\"joined\"} 5",
        "vidgate_cache_bytes_total{outcome=\"hit\"} 0",
        "vidgate_cache_bytes_total{outcome=\"miss\"} 0",
        "vidgate_cache_evictions_total 3",
        "vidgate_upstream_resumes_total{outcome=\"resumed\"} 1",
        "vidgate_upstream_resumes_total{outcome=\"failed\"} 0",
        "vidgate_upstream_resumes_total{outcome=\"changed\"} 0",
        "vidgate_requests_total{route=\"stream\",status=\"206\"} 1",
        "vidgate_requests_total{route=\"stream\",status=\"504\"} 1",
        "vidgate_requests_total{route=\"none\",status=\"other\"} 1",
        "vidgate_response_bytes_total{route=\"stream\"} 13",
        "vidgate_first_byte_seconds_bucket{route=\"stream\",le=\"0.0025\"} 0",
        "vidgate_first_byte_seconds_bucket{route=\"stream\",le=\"0.005\"} 1",
        "vidgate_first_byte_seconds_count{route=\"stream\"} 1",
        "vidgate_streams_active 1",
        "vidgate_streams_parked 3",
        "vidgate_connections_open 4",
        "vidgate_connections_closed_total{reason=\"stalled\"} 1",
        "vidgate_upstream_requests_total{op=\"get\",status=\"206\"} 1",
        "vidgate_upstream_requests_total{op=\"head\",status=\"timeout\"} 1",
        "vidgate_upstream_seconds_bucket{op=\"get\",le=\"0.05\"} 1",
        "vidgate_upstream_seconds_count{op=\"head\"} 1",
        "vidgate_pool_queue 2",
        concat!("vidgate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
}

#[test]
fn whatever_is_counted_the_labels_stay_few() {
    let metrics = Metrics::new().unwrap();
    for status in 0..1000 {
        for route in 0..100 {
            metrics.count_answer(route, status);
        }
    }
    let series = text(&metrics).lines().filter(|line| line.starts_with("vidgate_requests_total{")).count();
    assert_eq!(series, route::NAMES.len() * STATUSES.len());
}

#[test]
fn what_never_came_is_not_in_the_text() {
    let text = text(&Metrics::new().unwrap());
    assert!(!text.contains("vidgate_requests_total{") && !text.contains("reason="), "{text}");
}

#[test]
fn each_reason_has_its_own_name() {
    assert_eq!(Closed::Client.name(), "client");
    assert_eq!(Closed::Evicted.name(), "evicted");
    assert_eq!(Closed::Stopped.name(), "stopped");
}

/// All names, by the lines that say of what type they are.
fn names() -> BTreeSet<String> {
    let metrics = Metrics::new().unwrap();
    metrics.count_answer(0, 200);
    metrics.count_bytes(0, 1);
    metrics.observe_first_byte(0, Duration::ZERO);
    metrics.count_closed(Closed::Client);
    metrics.count_upstream(Op::List, UpstreamStatus::Ok, Duration::ZERO);
    let text = text(&metrics);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    types.map(str::to_owned).collect()
}

#[test]
fn the_dashboard_shows_every_metric_and_none_that_does_not_exist() {
    let dashboard = include_str!("../../deploy/grafana.json");
    let read: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    assert!(read["panels"].as_array().unwrap().len() > 10);
    let is_of_name = |letter: &char| letter.is_ascii_lowercase() || *letter == '_';
    let mut shown = BTreeSet::new();
    for (at, _) in dashboard.match_indices("vidgate_") {
        let name: String = dashboard[at..].chars().take_while(is_of_name).collect();
        // A histogram is asked for by its parts.
        shown.insert(name.trim_end_matches("_bucket").to_owned());
    }
    assert_eq!(shown, names());
}
