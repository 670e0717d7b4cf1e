//! `redis`: what the courier and the listener rely on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, ErrorKind, RedisResult, Value, cmd, pipe};

use crate::support::redis::Redis;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(5);

/// A server that takes one connection and answers each read with the next of these, and nothing where they are at their end.
fn answers(answers: &'static [&'static [u8]]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let mut buf = [0; 4096];
        for answer in answers {
            let _ = client.read(&mut buf);
            let _ = client.write_all(answer);
        }
        // Open until the client leaves.
        while matches!(client.read(&mut buf), Ok(1..)) {}
    });
    addr
}

/// A connection on which nothing is said when it is opened.
fn quiet(addr: SocketAddr) -> redis::Connection {
    use redis::IntoConnectionInfo;

    let info = format!("redis://{addr}").into_connection_info().unwrap();
    let login = info.redis_settings().clone().set_skip_set_lib_name();
    let connection = Client::open(info.set_redis_settings(login)).unwrap().get_connection_with_timeout(LONG).unwrap();
    connection.set_read_timeout(Some(SHORT)).unwrap();
    connection
}

#[test]
fn nothing_is_said_on_opening_a_connection_without_login() {
    let mut connection = quiet(answers(&[b"+PONG\r\n"]));
    // The answer comes; a machine that is busy may take its time for it.
    connection.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(cmd("PING").query::<String>(&mut connection).unwrap(), "PONG");
}

#[test]
fn the_limit_of_opening_covers_the_login() {
    let client = Client::open(format!("redis://:secret@{}", answers(&[]))).unwrap();
    let started = Instant::now();
    let error = client.get_connection_with_timeout(SHORT).err().expect("nobody answers AUTH");
    assert!(error.is_timeout() && started.elapsed() < LONG, "{error}");
}

#[test]
fn a_read_that_takes_too_long_is_a_timeout_for_each_reply_of_a_pipeline() {
    let mut connection = quiet(answers(&[b""]));
    let started = Instant::now();
    let error = pipe().cmd("PING").cmd("PING").cmd("PING").exec(&mut connection).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    // Three replies, three waits: whoever sends many at once waits long.
    assert!(started.elapsed() >= 3 * SHORT);
}

#[test]
fn lengths_that_nobody_sends_cost_no_memory() {
    for answer in [b"*1000000000000000\r\n".as_slice(), b"$9223372036854775807\r\n", b"%9223372036854775807\r\n"] {
        let answers: &'static [&'static [u8]] = Box::leak(Box::new([Box::leak(answer.to_vec().into_boxed_slice()) as &[u8]]));
        let result: RedisResult<Value> = cmd("GET").arg("x").query(&mut quiet(self::answers(answers)));
        assert!(result.unwrap_err().is_timeout());
    }
}

#[test]
fn what_is_no_reply_is_an_error_of_parsing() {
    let result: RedisResult<Value> = cmd("GET").arg("x").query(&mut quiet(answers(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"])));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Parse);
}

#[test]
fn a_refusal_inside_a_pipeline_is_an_error_though_its_answer_is_ignored() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    cmd("RPUSH").arg("list").arg("x").exec(&mut connection).unwrap();
    let error =
        pipe().cmd("GETRANGE").arg("list").arg(0).arg(1).ignore().cmd("PING").ignore().exec(&mut connection).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension), "{:?}", error.kind());
    // And the connection is as good as before.
    assert_eq!(cmd("PING").query::<String>(&mut connection).unwrap(), "PONG");
}

#[test]
fn a_server_that_went_is_a_dropped_connection() {
    let mut redis = Redis::start();
    let mut connection = redis.connect();
    redis.stop();
    assert!(cmd("PING").exec(&mut connection).unwrap_err().is_connection_dropped());
    let client = Client::open(redis.url()).unwrap();
    assert!(client.get_connection_with_timeout(LONG).err().unwrap().is_connection_dropped());
}

#[test]
fn a_subscription_goes_on_after_silence_and_after_a_ping() {
    let redis = Redis::start();
    let (mut connection, mut other) = (redis.connect(), redis.connect());
    let mut subscription = connection.as_pubsub();
    subscription.set_read_timeout(Some(SHORT)).unwrap();
    subscription.subscribe("channel").unwrap();
    for message in ["one", "two"] {
        assert!(subscription.get_message().unwrap_err().is_timeout());
        subscription.ping::<Value>().unwrap();
        cmd("PUBLISH").arg("channel").arg(message).exec(&mut other).unwrap();
        subscription.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(subscription.get_message().unwrap().get_payload_bytes(), message.as_bytes());
        subscription.set_read_timeout(Some(SHORT)).unwrap();
    }
}

#[test]
fn errors_hold_no_password() {
    let redis = Redis::start();
    for url in [format!("redis://:hunter2@{}", redis.addr()), "redis://:hunter2@127.0.0.1:1".to_owned()] {
        let error = Client::open(url).unwrap().get_connection_with_timeout(LONG).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
