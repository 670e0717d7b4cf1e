//! What is counted.
//!
//! In scope: the counters by the names of the contract, and the text that Prometheus reads. Not in scope: where they are counted.

use prometheus::{Encoder as _, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::error::{Error, ErrorKind};

/// The media type of the text (Prometheus, "Exposition formats", text format 0.0.4).
pub(crate) const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters of one server.
pub(crate) struct Metrics {
    registry: Registry,
    /// Bytes that the store sent.
    pub(crate) upstream_bytes: IntCounter,
    /// What became of reads of the store that broke off in the middle of an answer.
    pub(crate) resumes: Resumes,
    /// Bytes that were sent from the cache, were waited for while another stream read them, and were read from the store.
    pub(crate) cache_hit: IntCounter,
    pub(crate) cache_joined: IntCounter,
    pub(crate) cache_missed: IntCounter,
    /// How many bytes the cache holds, and how many blocks had to leave it. Set when the text is made.
    cache_bytes: IntGauge,
    cache_evictions: IntCounter,
}

/// One counter for each outcome.
pub(crate) struct Resumes {
    /// The answer went on.
    pub(crate) resumed: IntCounter,
    /// It could not be had within the tries and the time.
    pub(crate) failed: IntCounter,
    /// The object is another one by now.
    pub(crate) changed: IntCounter,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where two counters have one name, which a test would see.
    pub(crate) fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let failed =
            |error: prometheus::Error| Error::new(ErrorKind::Internal, "the metrics do not fit together").with_source(error);
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let family = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
            let family = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let make = || {
            let build = IntGauge::with_opts(
                Opts::new("vidgate_build_info", "The version that runs; always 1.")
                    .const_label("version", env!("CARGO_PKG_VERSION")),
            )?;
            build.set(1);
            registry.register(Box::new(build))?;
            let cache_bytes = IntGauge::new("vidgate_cache_bytes", "Bytes in the chunk cache, in memory and on disk.")?;
            registry.register(Box::new(cache_bytes.clone()))?;
            let cache = family("vidgate_cache_bytes_total", "Bytes of answers by how the chunk cache had them.", "outcome")?;
            let resumes = family(
                "vidgate_upstream_resumes_total",
                "Reads of the store that broke off, by what became of them.",
                "outcome",
            )?;
            Ok(Self {
                upstream_bytes: counter("vidgate_upstream_bytes_total", "Bytes that the store sent.")?,
                resumes: Resumes {
                    resumed: resumes.with_label_values(&["resumed"]),
                    failed: resumes.with_label_values(&["failed"]),
                    changed: resumes.with_label_values(&["changed"]),
                },
                cache_hit: cache.with_label_values(&["hit"]),
                cache_joined: cache.with_label_values(&["joined"]),
                cache_missed: cache.with_label_values(&["miss"]),
                cache_bytes,
                cache_evictions: counter("vidgate_cache_evictions_total", "Blocks that left the chunk cache for others.")?,
                registry: registry.clone(),
            })
        };
        make().map_err(failed)
    }

    /// The text. The cache counts by itself, so its numbers come in.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where it cannot be written, which writing to memory always can.
    pub(crate) fn text(&self, cache_len: u64, evictions: u64) -> Result<Vec<u8>, Error> {
        self.cache_bytes.set(i64::try_from(cache_len).unwrap_or(i64::MAX));
        self.cache_evictions.inc_by(evictions.saturating_sub(self.cache_evictions.get()));
        let mut text = Vec::with_capacity(4096);
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.map_err(|error| Error::new(ErrorKind::Internal, "the metrics cannot be written").with_source(error))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_counter_by_its_name() {
        let metrics = Metrics::new().unwrap();
        metrics.upstream_bytes.inc_by(7);
        metrics.cache_joined.inc_by(5);
        metrics.resumes.resumed.inc();
        let text = String::from_utf8(metrics.text(11, 3).unwrap()).unwrap();
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
            concat!("vidgate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }
}
