//! The stand-in against a real server, and both against a hard kill.

use super::*;
use crate::{data_dir::tests::scratch, process};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

/// A connection that shows replies as text: nothing between the wire and the comparison.
struct Wire(BufReader<TcpStream>);

impl Wire {
    fn open(url: &str) -> Self {
        let address = url.trim_start_matches("redis://").trim_end_matches('/');
        Self(BufReader::new(TcpStream::connect(address).unwrap()))
    }

    fn ask(&mut self, command: &[&str]) -> String {
        let mut bytes = format!("*{}\r\n", command.len());
        command.iter().for_each(|part| bytes.push_str(&format!("${}\r\n{part}\r\n", part.len())));
        self.0.get_mut().write_all(bytes.as_bytes()).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let (mark, rest) = line.trim_end().split_at(1);
        let size = || rest.parse::<usize>().ok();
        match (mark, size()) {
            ("$" | "=", Some(size)) => {
                let mut bytes = vec![0; size + 2];
                self.0.read_exact(&mut bytes).unwrap();
                String::from_utf8(bytes).unwrap().trim_end().to_owned()
            }
            ("*", Some(size)) => {
                let items: Vec<_> = (0..size).map(|_| self.reply()).collect();
                format!("[{}]", items.join(","))
            }
            ("%", Some(size)) => {
                let items: Vec<_> = (0..size * 2).map(|_| self.reply()).collect();
                format!("{{{}}}", items.join(","))
            }
            // Texts differ from version to version; the code and how it begins do not.
            ("-", _) => format!("-{}", rest.split(' ').take(3).collect::<Vec<_>>().join(" ")),
            _ => format!("{mark}{rest}"),
        }
    }
}

/// A small generator of our own, so that a seed means the same stream for ever.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn command(&mut self) -> Vec<&'static str> {
        let keys = ["agent:armed", "agent:halted:global", "agent:halted:customer:1", "k"];
        let (key, other) = (self.pick(&keys), self.pick(&keys));
        let value = self.pick(&["1", "2", "a\r\nb"]);
        match self.below(30) {
            0..=2 => vec!["MULTI"],
            3..=5 => vec!["EXEC"],
            6 => vec!["DISCARD"],
            7..=9 => vec!["WATCH", key, other],
            10 => vec!["UNWATCH"],
            11..=13 => vec!["SET", key, value],
            14 => vec!["set", key, value, "nx"],
            15 => vec!["SETNX", key, value],
            16..=17 => vec!["DEL", key, other, key],
            18 => vec!["EXISTS", key, other, key],
            19..=20 => vec!["GET", key],
            21..=22 => vec!["MGET", key, other, key],
            23 => vec!["PING"],
            24 => vec!["WAIT", "0", "0"],
            25..=26 => self.refused(key),
            27 => vec!["SELECT", "0"],
            28 => vec!["PING", value],
            _ => vec!["FLUSHALL"],
        }
    }

    fn refused(&mut self, key: &'static str) -> Vec<&'static str> {
        let all: [Vec<&'static str>; 9] = [
            vec!["NOPE", key],
            vec!["SET", key],
            vec!["GET"],
            vec!["SET", key, "1", "NX", "XX"],
            vec!["WAIT", "0", "-1"],
            vec!["WAIT", "0", "x"],
            vec!["SELECT", "x"],
            vec!["FLUSHALL", "x"],
            vec!["AUTH", "x"],
        ];
        let chosen = self.below(all.len());
        all[chosen].clone()
    }
}

/// A real server, or `None` said loudly; where everything must run, its absence is a failure.
async fn real(data: &DataDir) -> Option<LocalRedis> {
    let started = start(data, 0).await.unwrap();
    if *started.kind() != RedisKind::StandIn {
        return Some(started);
    }
    #[expect(clippy::disallowed_methods, reason = "whether this is CI is no setting of the product")]
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "CI needs valkey-server or redis-server on PATH for this test");
    eprintln!("NOT RUN: no valkey-server or redis-server on PATH");
    None
}

#[tokio::test]
async fn the_stand_in_answers_as_a_real_server_does() {
    let path = scratch("rediff");
    let data = DataDir::open(&path).unwrap();
    let Some(real) = real(&data).await else { return };
    let stand_in = start_stand_in(&data, 0).unwrap();
    let (mut nil_exec, mut done_exec, mut aborted) = (0, 0, 0);
    for (seed, version) in [(1, "2"), (2, "2"), (3, "3"), (4, "3")] {
        let mut seeded = Seeded(seed);
        let mut pairs: Vec<_> =
            (0..3).map(|_| (Wire::open(real.url()), Wire::open(stand_in.url()))).collect();
        for (theirs, ours) in &mut pairs {
            assert_eq!(theirs.ask(&["FLUSHALL"]), ours.ask(&["FLUSHALL"]));
            assert!(theirs.ask(&["HELLO", version]).contains("proto"));
            assert!(ours.ask(&["HELLO", version]).contains("proto"));
        }
        for number in 0..800 {
            let connection = seeded.below(pairs.len());
            let command = seeded.command();
            let (theirs, ours) = &mut pairs[connection];
            let (theirs, ours) = (theirs.ask(&command), ours.ask(&command));
            assert_eq!(ours, theirs, "seed {seed}, command {number}, connection {connection}: {command:?}");
            if command == ["EXEC"] {
                nil_exec += usize::from(theirs == "*-1" || theirs == "_");
                done_exec += usize::from(theirs.starts_with('['));
                aborted += usize::from(theirs.starts_with("-EXECABORT"));
            }
        }
    }
    // Streams that never reach these would prove nothing about them.
    assert!(nil_exec > 9 && done_exec > 9 && aborted > 9, "{nil_exec} {done_exec} {aborted}");
}

#[tokio::test]
async fn an_exec_after_a_watched_key_changed_does_nothing() {
    let path = scratch("rewatch");
    let data = DataDir::open(&path).unwrap();
    let redis = start_stand_in(&data, 0).unwrap();
    let (mut one, mut two) = (Wire::open(redis.url()), Wire::open(redis.url()));
    one.ask(&["WATCH", "agent:halt_seq:global"]);
    two.ask(&["SET", "agent:halt_seq:global", "pressed again"]);
    one.ask(&["MULTI"]);
    one.ask(&["SET", "agent:armed", "2"]);
    assert_eq!(one.ask(&["EXEC"]), "*-1");
    assert_eq!(one.ask(&["GET", "agent:armed"]), "$-1");
    // The watch ended with the EXEC.
    one.ask(&["MULTI"]);
    one.ask(&["SET", "agent:armed", "2"]);
    assert_eq!(one.ask(&["EXEC"]), "[+OK]");
}

#[tokio::test]
async fn what_the_stand_in_does_not_know_is_an_error_and_changes_nothing() {
    let path = scratch("reunknown");
    let data = DataDir::open(&path).unwrap();
    let redis = start_stand_in(&data, 0).unwrap();
    let mut wire = Wire::open(redis.url());
    assert_eq!(wire.ask(&["EVAL", "return 1", "0"]), "-ERR unknown command");
    // A halt that ends by itself is no halt.
    assert_eq!(wire.ask(&["SET", "k", "1", "EX", "5"]), "-ERR syntax error");
    assert_eq!(wire.ask(&["EXISTS", "k"]), ":0");
    let said = wire.ask(&["INFO"]);
    assert!(said.contains("maxmemory_policy:noeviction") && said.contains("local_stand_in:1"));
    assert!(redis.describe().contains("stand-in"));
    assert_eq!(wire.ask(&["HELLO", "4"]), "-NOPROTO unsupported protocol");
    assert_eq!(wire.ask(&["QUIT"]), "+OK");
}

/// What the product does with its client: a pipeline, a check, a watched transaction.
async fn through_the_client(url: &str) {
    let client = ::redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut halt = ::redis::pipe();
    halt.del("agent:armed").ignore().set("agent:halted:global", 1).ignore();
    let () = halt.query_async(&mut connection).await.unwrap();
    let keys = ["agent:armed", "agent:halted:global"];
    let seen: Vec<Option<String>> =
        ::redis::cmd("MGET").arg(&keys).query_async(&mut connection).await.unwrap();
    assert_eq!(seen, [None, Some("1".to_owned())]);
    let acks: i64 = ::redis::cmd("WAIT").arg(0).arg(1500).query_async(&mut connection).await.unwrap();
    assert_eq!(acks, 0);
    let () = ::redis::cmd("WATCH").arg("agent:halt_seq:global").query_async(&mut connection).await.unwrap();
    let mut arm = ::redis::pipe();
    arm.atomic().del("agent:halted:global").ignore().set("agent:armed", 2).ignore();
    let done: Option<()> = arm.query_async(&mut connection).await.unwrap();
    assert!(done.is_some());
    let armed: String = ::redis::cmd("GET").arg("agent:armed").query_async(&mut connection).await.unwrap();
    assert_eq!(armed, "2");
}

#[tokio::test]
async fn the_redis_client_works_with_both_in_both_versions_of_the_protocol() {
    let path = scratch("reclient");
    let data = DataDir::open(&path).unwrap();
    let stand_in = start_stand_in(&data, 0).unwrap();
    through_the_client(stand_in.url()).await;
    through_the_client(&format!("{}?protocol=resp3", stand_in.url())).await;
    if let Some(real) = real(&data).await {
        through_the_client(real.url()).await;
    }
}

#[tokio::test]
async fn an_answered_flag_survives_a_hard_kill_of_the_real_server() {
    let path = scratch("rekill");
    let data = DataDir::open(&path).unwrap();
    let Some(redis) = real(&data).await else { return };
    let pid = redis.process_id().unwrap();
    assert_eq!(Wire::open(redis.url()).ask(&["SET", "agent:halted:global", "1"]), "+OK");
    process::send(pid, Signal::Kill);
    drop(redis);
    let redis = start(&data, 0).await.unwrap();
    assert_eq!(Wire::open(redis.url()).ask(&["GET", "agent:halted:global"]), "1");
    assert!(Wire::open(redis.url()).ask(&["INFO", "memory"]).contains("maxmemory_policy:noeviction"));

    // A hard kill of us leaves the child; the next opening ends it.
    let pid = redis.process_id().unwrap();
    std::mem::forget(redis);
    drop(data);
    let data = DataDir::open(&path).unwrap();
    assert_eq!(process::identity(pid), None);
    let redis = start(&data, 0).await.unwrap();
    assert_eq!(Wire::open(redis.url()).ask(&["GET", "agent:halted:global"]), "1");
    redis.shutdown().await;
}

#[tokio::test]
async fn an_answered_flag_survives_a_restart_of_the_stand_in() {
    let path = scratch("rekept");
    let data = DataDir::open(&path).unwrap();
    let redis = start_stand_in(&data, 0).unwrap();
    let mut wire = Wire::open(redis.url());
    wire.ask(&["MULTI"]);
    wire.ask(&["SET", "agent:halted:global", "1"]);
    wire.ask(&["DEL", "agent:armed"]);
    assert_eq!(wire.ask(&["EXEC"]), "[+OK,:0]");
    // On disk before the answer: a second reader of the log sees it while the server still runs.
    let log = data.path().join("redis/flags.log");
    assert!(keyspace::Keyspace::open(&log).unwrap().get(b"agent:halted:global").is_some());
    redis.shutdown().await;
    let redis = start_stand_in(&data, 0).unwrap();
    assert_eq!(Wire::open(redis.url()).ask(&["GET", "agent:halted:global"]), "1");
}

#[tokio::test]
async fn a_taken_port_is_an_error_and_the_taker_is_left_alone() {
    let path = scratch("report");
    let data = DataDir::open(&path).unwrap();
    let taken = start_stand_in(&data, 0).unwrap();
    let port = taken.url().trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    assert!(start(&data, port).await.is_err());
    assert_eq!(Wire::open(taken.url()).ask(&["PING"]), "+PONG");
}
