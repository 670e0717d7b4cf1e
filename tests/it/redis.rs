//! What nodes share through a real Redis, and that nothing of it can fail a request.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use redis::Connection;
use vidgate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};
use vidgate::sign::bearer::AdminToken;
use vidgate::store::{ListPage, ListQuery, MetaConfig, Metadata, RedisUrl, S3, Span, Store};
use vidgate::{Error, ErrorKind, Server};

use crate::support::client::{Client, get};
use crate::support::minio::{TestBucket, minio};
use crate::support::redis::{Counter, PASSWORD, Redis};
use crate::support::relay::Relay;
use crate::support::server::start;
use crate::support::{logs, pattern, wait_for};

/// How long a test waits for what happens in the background.
const SOON: Duration = Duration::from_secs(20);

/// A store that knows one version of every key but those that start with "no", and counts who asks for which.
struct Fake {
    version: Mutex<&'static str>,
    heads: Mutex<HashMap<String, usize>>,
}

impl Store for Fake {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        *self.heads.lock().unwrap().entry(key.to_string()).or_default() += 1;
        if key.as_str().starts_with("no") {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(meta(key, *self.version.lock().unwrap()))
    }

    fn open(&self, _: &ObjectId, _: Range<u64>) -> Result<Box<dyn Span>, Error> {
        Err(ErrorKind::Internal.into())
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        Ok(ListPage::default())
    }
}

fn meta(key: &ObjectKey, etag: &str) -> ObjectMeta {
    ObjectMeta {
        id: ObjectId { key: key.clone(), etag: ETag::from_store(etag).unwrap() },
        size: 1 << 40,
        last_modified: UNIX_EPOCH + Duration::from_secs(784_111_777),
        content_type: Some("video/mp4".to_owned()),
        cache_control: Some("no-cache".to_owned()),
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

/// One store, and nodes that share what they know of it.
struct Nodes {
    fake: Arc<Fake>,
    nodes: Vec<Metadata>,
}

impl Nodes {
    fn start(urls: &[&str]) -> Self {
        logs::keep();
        let fake = Arc::new(Fake { version: Mutex::new("v1"), heads: Mutex::default() });
        let node = |url: &&str| {
            let redis = Some(RedisUrl::parse(url).expect("a good URL"));
            let config = MetaConfig { ttl: Duration::from_mins(1), redis, records: None, namespace: "fake".to_owned() };
            Metadata::new(fake.clone(), config)
        };
        let nodes = urls.iter().map(node).collect();
        Self { fake, nodes }
    }

    /// Asserts that this node says of this key what the store says.
    #[track_caller]
    fn check(&self, node: usize, name: &str) {
        let got = self.nodes[node].look_up(&key(name));
        match got {
            Ok(got) => assert_eq!(got, meta(&key(name), *self.fake.version.lock().unwrap())),
            Err(error) => assert!(name.starts_with("no") && error.kind() == ErrorKind::NotFound, "{name}: {error}"),
        }
    }

    /// How often the store was asked for this key.
    fn heads(&self, name: &str) -> usize {
        self.fake.heads.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    fn known(&self, node: usize, name: &str) -> Option<String> {
        self.nodes[node].known(&key(name))?.ok().map(|meta| meta.id.etag.to_string())
    }

    /// Waits until what the first node learns, the second need not ask the store for, and gives the key of which that was so. It
    /// is not so at once: connections are made, and records are put there, in the background.
    #[track_caller]
    fn wait_shared(&self, what: &str) -> String {
        let mut tries = 0;
        wait_for("the nodes to share", SOON, || {
            let name = format!("{what} {tries}");
            tries += 1;
            self.check(0, &name);
            self.check(1, &name);
            (self.heads(&name) == 1).then_some(name)
        })
    }

    /// Waits until every node is subscribed, so that no freshness is taken any more.
    #[track_caller]
    fn wait_subscribed(&self, redis: &Redis) {
        let subscribed = || redis.clients().iter().filter(|line| line.contains(" sub=1 ")).count();
        wait_for("the subscriptions", SOON, || (subscribed() == self.nodes.len()).then_some(()));
    }
}

/// The lines that tell of the Redis at this address.
fn told(addr: SocketAddr) -> Vec<String> {
    logs::with(&format!("the Redis at {addr}"))
}

fn warnings(addr: SocketAddr) -> Vec<String> {
    told(addr).into_iter().filter(|line| line.starts_with("WARN")).collect()
}

/// Those that say that it answers, and what it answers is of no use.
fn refusals(addr: SocketAddr) -> Vec<String> {
    warnings(addr).into_iter().filter(|line| line.contains("of no use")).collect()
}

/// Asserts that an outage was told by each of two nodes at most once, and its end no more often. A machine that is busy may have
/// let a node take the server for silent before, and then it says nothing new for ten seconds.
#[track_caller]
fn check_told_once(addr: SocketAddr) {
    let (told, warnings) = (told(addr), warnings(addr).len());
    assert!((1..=2).contains(&warnings) && told.len() <= 2 * warnings, "{told:?}");
}

fn query<T: redis::FromRedisValue>(connection: &mut Connection, command: &[&str]) -> T {
    let mut query = redis::cmd(command[0]);
    command[1..].iter().for_each(|argument| {
        query.arg(argument);
    });
    query.query(connection).unwrap()
}

#[track_caller]
fn check_shared_by(redis: &Redis, urls: [&str; 2]) {
    let nodes = Nodes::start(&urls);
    nodes.wait_subscribed(redis);
    for what in ["film.mp4", "a b/\u{e9} \"&\".mp4", "no such film"] {
        let name = nodes.wait_shared(what);
        // And from then on nobody is asked.
        nodes.check(0, &name);
        nodes.check(1, &name);
        assert_eq!(nodes.heads(&name), 1, "{name}");
    }
}

#[test]
fn two_nodes_ask_the_store_once() {
    let redis = Redis::start();
    check_shared_by(&redis, [&redis.url(), &redis.url()]);
    let records = redis.records();
    assert!(records.len() >= 3, "{records:?}");
    let mut connection = redis.connect();
    for record in records {
        let text: String = query(&mut connection, &["GET", &record]);
        let ttl_ms: i64 = query(&mut connection, &["PTTL", &record]);
        let limit_ms = if text.contains("etag") { 60_000 } else { 5_000 };
        assert!((1..=limit_ms).contains(&ttl_ms), "{text} has {ttl_ms} ms");
    }
    assert_eq!(refusals(redis.addr()), Vec::<String>::new());
}

#[test]
fn sockets_databases_and_tls() {
    let redis = Redis::start_with_tls();
    check_shared_by(&redis, [&redis.unix_url(), &redis.unix_url()]);
    check_shared_by(&redis, [&redis.tls_url("ca.pem"), &redis.tls_url("ca.pem")]);
    assert_eq!(redis.records(), Vec::<String>::new(), "the first database is nobody's");
    let keyspace: String = query(&mut redis.connect(), &["INFO", "keyspace"]);
    assert!(keyspace.contains("db1:keys=") && keyspace.contains("db3:keys="), "{keyspace}");
}

#[test]
fn a_server_that_no_authority_vouches_for_is_not_believed() {
    let redis = Redis::start_with_tls();
    for authorities in ["other.pem", "no-such-file", "key.pem"] {
        let url = redis.tls_url(authorities);
        let nodes = Nodes::start(&[&url, &url]);
        let before = logs::with("the Redis at").len();
        nodes.check(0, "film.mp4");
        nodes.check(1, "film.mp4");
        assert_eq!(nodes.heads("film.mp4"), 2, "{authorities}");
        wait_for("a line of it", SOON, || (logs::with("the Redis at").len() > before).then_some(()));
    }
    let keyspace: String = query(&mut redis.connect(), &["INFO", "keyspace"]);
    assert!(!keyspace.contains("db1"), "{keyspace}");
}

#[test]
fn what_one_node_forgets_all_forget() {
    let redis = Redis::start();
    let nodes = Nodes::start(&[&redis.url(), &redis.url(), &redis.url()]);
    nodes.wait_subscribed(&redis);
    for node in 0..3 {
        nodes.check(node, "film.mp4");
        nodes.check(node, "other.mp4");
    }
    wait_for("the records", SOON, || (redis.records().len() == 2).then_some(()));
    *nodes.fake.version.lock().unwrap() = "v2";
    nodes.nodes[1].forget(&key("film.mp4"));
    assert_eq!(nodes.known(1, "film.mp4"), None);
    wait_for("one record to go", SOON, || (redis.records().len() == 1).then_some(()));
    wait_for("the others to hear of it", SOON, || {
        (nodes.known(0, "film.mp4").is_none() && nodes.known(2, "film.mp4").is_none()).then_some(())
    });
    for node in [0, 2, 1] {
        nodes.check(node, "film.mp4");
    }
}

#[test]
fn nonsense_on_the_channel_is_not_listened_to() {
    let redis = Redis::start();
    let nodes = Nodes::start(&[&redis.url(), &redis.url()]);
    nodes.wait_subscribed(&redis);
    nodes.check(0, "film.mp4");
    nodes.check(1, "film.mp4");
    let mut connection = redis.connect();
    let channels: Vec<String> = query(&mut connection, &["PUBSUB", "CHANNELS"]);
    let [channel] = channels.as_slice() else { panic!("{channels:?}") };
    for nonsense in ["", " ", "film.mp4", "x ", "x ../film.mp4", "x \u{0}", &"x".repeat(1 << 20)] {
        let heard: i64 = query(&mut connection, &["PUBLISH", channel, nonsense]);
        assert_eq!(heard, 2);
    }
    // The next true message is heard behind all of them.
    nodes.nodes[0].forget(&key("film.mp4"));
    wait_for("the other to hear of it", SOON, || nodes.known(1, "film.mp4").is_none().then_some(()));
    assert_eq!(refusals(redis.addr()), Vec::<String>::new());
}

#[test]
fn a_redis_that_is_stopped_costs_a_line_and_what_was_forgotten_meanwhile_is_told_later() {
    let mut redis = Redis::start();
    let nodes = Nodes::start(&[&redis.url(), &redis.url()]);
    nodes.wait_subscribed(&redis);
    nodes.check(0, "old.mp4");
    nodes.check(1, "old.mp4");
    redis.stop();
    for number in 0..100 {
        let name = format!("film {number}");
        nodes.check(number % 2, &name);
        assert_eq!(nodes.heads(&name), 1);
        nodes.check(number % 2, &name);
        assert_eq!(nodes.heads(&name), 1, "known by itself");
    }
    check_told_once(redis.addr());
    *nodes.fake.version.lock().unwrap() = "v2";
    nodes.nodes[0].forget(&key("old.mp4"));
    redis.start_again();
    nodes.wait_shared("after the stop");
    wait_for("the other to know better", SOON, || nodes.known(1, "old.mp4").is_none().then_some(()));
    nodes.check(0, "old.mp4");
    nodes.check(1, "old.mp4");
    check_told_once(redis.addr());
}

#[test]
fn a_subscription_that_was_lost_takes_the_freshness_from_what_was_known_before() {
    let mut redis = Redis::start();
    let nodes = Nodes::start(&[&redis.url()]);
    nodes.wait_subscribed(&redis);
    wait_for("the film to be known", SOON, || {
        nodes.check(0, "film.mp4");
        nodes.known(0, "film.mp4")
    });
    redis.stop();
    redis.start_again();
    wait_for("the subscription to come back", SOON, || nodes.known(0, "film.mp4").is_none().then_some(()));
    let before = nodes.heads("film.mp4");
    nodes.check(0, "film.mp4");
    assert_eq!(nodes.heads("film.mp4"), before + 1);
}

#[test]
fn a_redis_that_is_paused_is_asked_once_and_not_by_every_request() {
    let redis = Redis::start();
    let counter = Counter::start(redis.addr(), "GETRANGE");
    let url = Redis::url_at(counter.addr());
    let nodes = Nodes::start(&[&url, &url]);
    nodes.wait_shared("before the pause");
    let before = counter.count();
    redis.pause();
    thread::scope(|scope| {
        for thread in 0..8 {
            let nodes = &nodes;
            scope.spawn(move || (0..100).for_each(|number| nodes.check(thread % 2, &format!("{thread}/{number}"))));
        }
    });
    // What one node had under way when it noticed is all that it asked.
    assert!(counter.count() - before <= 2, "{} questions", counter.count() - before);
    check_told_once(counter.addr());
    redis.resume();
    nodes.wait_shared("after the pause");
    check_told_once(counter.addr());
}

#[test]
fn a_redis_full_of_garbage_costs_a_line_and_is_put_right() {
    let redis = Redis::start();
    let nodes = Nodes::start(&[&redis.url(), &redis.url(), &redis.url()]);
    nodes.wait_subscribed(&redis);
    let mut connection = redis.connect();
    let fill: [&[&str]; 10] = [
        &["SET", "\u{0}\u{1}\u{2}garbage"],
        &["SET", "{}"],
        &["SET", "{\"v\":1,\"size\":1}\n00\n", "PX", "60000"],
        &["RPUSH", "a", "b"],
        &["HSET", "a", "b"],
        &["SADD", "a"],
        &["SETBIT", "100000000", "1"],
        &["SET", "x", "PX", "60000"],
        &["PFADD", "a"],
        &["XADD", "*", "a", "b"],
    ];
    let mut number = 0;
    for garbage in fill {
        // On a busy machine a node may take the server for silent now and then: then it asks the store, and this tries again.
        wait_for("the garbage to be put right", SOON, || {
            query::<()>(&mut connection, &["FLUSHALL"]);
            let name = format!("film {number}");
            number += 1;
            nodes.check(0, &name);
            let record = redis.records().pop()?;
            query::<()>(&mut connection, &["DEL", &record]);
            let command = [&[garbage[0], &record], &garbage[1..]].concat();
            query::<()>(&mut connection, &command);
            nodes.check(1, &name);
            // In its place is a record again, which the third node takes.
            let kind: String = query(&mut connection, &["TYPE", &record]);
            let ttl_ms: i64 = query(&mut connection, &["PTTL", &record]);
            nodes.check(2, &name);
            (nodes.heads(&name) == 2 && kind == "string" && ttl_ms > 0).then_some(())
        });
    }
    // The second node met all of it, and told the first of many; the third may have come before a record was put right.
    assert!(matches!(refusals(redis.addr()).len(), 1 | 2), "{:?}", told(redis.addr()));
}

#[test]
fn a_record_under_the_name_of_another_is_not_believed() {
    let redis = Redis::start();
    let nodes = Nodes::start(&[&redis.url(), &redis.url()]);
    nodes.wait_subscribed(&redis);
    nodes.check(0, "a");
    let a = wait_for("the record", SOON, || redis.records().pop());
    nodes.check(0, "no b");
    let b = wait_for("the record", SOON, || redis.records().into_iter().find(|name| *name != a));
    let mut connection = redis.connect();
    query::<()>(&mut connection, &["COPY", &a, &b, "REPLACE"]);
    nodes.check(1, "no b");
    assert_eq!(nodes.heads("no b"), 2);
}

/// What is no Redis at all: it answers so to whatever is sent, and then nothing more, with the connection open.
fn impostor(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || {
                let mut buf = [0; 4096];
                while matches!(client.read(&mut buf), Ok(1..)) {
                    if client.write_all(answer).is_err() {
                        break;
                    }
                }
            });
        }
    });
    addr
}

#[test]
fn what_is_no_redis_costs_a_line() {
    let answers: [&'static [u8]; 14] = [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\x12\x04\0\0",
        b"+OK\r\n",
        b"-ERR no\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"$9223372036854775807\r\nx",
        b"*1000000000000000\r\n",
        b"%9223372036854775807\r\n",
        b">3\r\n+message\r\n+a\r\n+b\r\n",
        b"$-1\r\n:-2\r\n",
        b":1\r\n:2\r\n:3\r\n:4\r\n",
        b"(x\r\n,y\r\n#t\r\n",
        b"$3\r\nabcde",
    ];
    for answer in answers {
        let addr = impostor(answer);
        let nodes = Nodes::start(&[&format!("redis://{addr}")]);
        for name in ["a", "b", "c", "no"] {
            nodes.check(0, name);
            nodes.check(0, name);
            // What passes for a subscription takes the freshness from what was known before.
            assert!(matches!(nodes.heads(name), 1 | 2), "{name} of {answer:?}");
            nodes.nodes[0].forget(&key(name));
            assert_eq!(nodes.known(0, name), None);
        }
        assert!(warnings(addr).len() <= 2, "{answer:?}: {:?}", told(addr));
    }
}

#[test]
fn a_redis_that_was_slow_once_is_asked_again() {
    // It takes 30 ms for each of the two replies: too long for who waits, and not for each read. The next time it is quick.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, count) = (client.unwrap(), Arc::clone(&count));
            thread::spawn(move || {
                let mut buf = [0; 4096];
                while let Ok(len @ 1..) = client.read(&mut buf) {
                    let is_get = buf[..len].windows(8).any(|window| window == b"GETRANGE");
                    let replies: &[&[u8]] = if is_get { &[b"$0\r\n\r\n", b":-2\r\n"] } else { &[b"+PONG\r\n"] };
                    let nth = is_get.then(|| {
                        let mut count = count.lock().unwrap();
                        *count += 1;
                        *count
                    });
                    for reply in replies {
                        if nth == Some(1) {
                            thread::sleep(Duration::from_millis(30));
                        }
                        let _ = client.write_all(reply);
                    }
                }
            });
        }
    });
    let nodes = Nodes::start(&[&url]);
    let mut tries = 0;
    wait_for("it to be asked again", SOON, || {
        tries += 1;
        nodes.check(0, &format!("film {tries}"));
        (*asked.lock().unwrap() > 1).then_some(())
    });
}

#[test]
fn a_wrong_password_is_told_and_no_password_is() {
    let redis = Redis::start();
    for url in [format!("redis://:hunter2@{}", redis.addr()), format!("redis://hunter1:hunter2@{}/2", redis.addr())] {
        let before = warnings(redis.addr()).len();
        let nodes = Nodes::start(&[&url]);
        nodes.check(0, "film.mp4");
        wait_for("a line of it", SOON, || (warnings(redis.addr()).len() > before).then_some(()));
        let shown = format!("{:?}", nodes.nodes[0]);
        assert!(!shown.contains("hunter"), "{shown}");
    }
    let lines = told(redis.addr());
    assert!(lines.iter().all(|line| line.contains("authentication failed")), "{lines:?}");
    for secret in ["hunter", PASSWORD] {
        assert_eq!(logs::with(secret), Vec::<String>::new());
    }
}

#[test]
fn a_node_that_ends_leaves_no_connection() {
    let redis = Redis::start();
    let nodes = Nodes::start(&[&redis.url(), &redis.url()]);
    nodes.wait_subscribed(&redis);
    nodes.wait_shared("before the end");
    wait_for("two connections of each", SOON, || (redis.clients().len() == 4).then_some(()));
    drop(nodes);
    wait_for("the connections to end", SOON, || redis.clients().is_empty().then_some(()));
}

/// Two servers on one bucket, behind a relay that counts, with one Redis.
struct Servers {
    bucket: TestBucket,
    relay: Relay,
    both: [Server; 2],
}

impl Servers {
    fn start(url: &str) -> Self {
        logs::keep();
        let (bucket, relay) = (minio().bucket(), Relay::start(minio().addr()));
        let server = || {
            let mut config = bucket.config();
            config.endpoint = Some(relay.endpoint());
            let store = Arc::new(S3::new(config).unwrap());
            start(store, |config| {
                config.redis = Some(RedisUrl::parse(url).unwrap());
                config.admin_token = AdminToken::new("the-operator");
            })
        };
        let both = [server(), server()];
        Self { bucket, relay, both }
    }

    /// Puts an object, asserts that one server after the other shows all of it, and gives how often the bucket was asked what it
    /// is. `between` is called when the first has answered.
    #[track_caller]
    fn check_with(&self, name: &str, between: impl FnOnce()) -> usize {
        let bytes = pattern(name.len() as u64, 1000 + name.len());
        self.bucket.put(name, &bytes);
        let before = self.relay.requests("HEAD");
        let show = |server: &Server| {
            let reply = get(server.addr(), &format!("/media/{name}"), &[]);
            assert!(reply.status == 200 && reply.body == bytes, "{name}: {}", reply.status);
        };
        show(&self.both[0]);
        between();
        show(&self.both[1]);
        self.relay.requests("HEAD") - before
    }

    #[track_caller]
    fn check(&self, name: &str) -> usize {
        self.check_with(name, || {})
    }

    #[track_caller]
    fn wait_shared(&self, what: &str) {
        let mut tries = 0;
        wait_for("the servers to share", SOON, || {
            tries += 1;
            (self.check(&format!("{what}-{tries}")) == 1).then_some(())
        });
    }
}

#[test]
fn two_servers_look_at_an_object_once_and_no_trouble_of_redis_fails_a_request() {
    let mut redis = Redis::start();
    let servers = Servers::start(&redis.url());
    servers.wait_shared("good");

    redis.pause();
    (0..20).for_each(|number| assert_eq!(servers.check(&format!("paused-{number}")), 2));
    redis.resume();
    servers.wait_shared("good-after-the-pause");

    let mut connection = redis.connect();
    for number in 0..20 {
        let spoil = || redis.records().iter().for_each(|record| query(&mut connection, &["SET", record, "garbage"]));
        servers.check_with(&format!("garbage-{number}"), spoil);
    }
    servers.wait_shared("good-after-the-garbage");

    redis.stop();
    (0..20).for_each(|number| assert_eq!(servers.check(&format!("stopped-{number}")), 2));
    redis.start_again();
    servers.wait_shared("good-after-the-stop");
}

#[test]
fn what_is_uploaded_or_deleted_on_one_server_the_other_does_not_answer_from_what_it_knew() {
    let redis = Redis::start();
    let servers = Servers::start(&redis.url());
    servers.wait_shared("good");
    servers.check("film.mp4");
    let [one, other] = &servers.both;
    let shown = |server: &Server| {
        let reply = get(server.addr(), "/media/film.mp4", &[]);
        (reply.status == 200).then_some(reply.body)
    };
    // Far sooner than what is known grows old.
    for (round, (writer, reader)) in (0..).zip([(one, other), (other, one), (one, other)]) {
        let bytes = pattern(round, 10_000);
        let mut client = Client::new(writer.addr());
        client.ask("PUT", "/api/videos/film.mp4", &["Authorization: Bearer the-operator", "Content-Length: 10000"]);
        client.send(&bytes);
        assert_eq!(client.reply(false).status, 201);
        assert_eq!(shown(writer).as_ref(), Some(&bytes), "who wrote it knows at once");
        wait_for("the other server to show it", SOON, || (shown(reader).as_ref() == Some(&bytes)).then_some(()));
    }
    let reply = Client::new(one.addr()).exchange("DELETE", "/api/videos/film.mp4", &["Authorization: Bearer the-operator"]);
    assert_eq!(reply.status, 204);
    assert_eq!(shown(one), None);
    wait_for("the other server to know", SOON, || shown(other).is_none().then_some(()));
}
