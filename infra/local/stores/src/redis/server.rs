//! The stand-in's commands and connections. Must never answer a command that it does not do as a real server
//! does: what it does not know is an error.

use super::{
    keyspace::Keyspace,
    resp::{self, Reply, Request},
};
use crate::background::Stop;
use std::{
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// Most connections at a time.
const CONNECTIONS_MAX: usize = 256;
/// Most commands in one MULTI.
const QUEUE_MAX: usize = 1024;
/// The version we say we are: commands behave as in this one.
const VERSION: &str = "7.0.15";

/// What one connection remembers.
#[derive(Debug)]
struct Session {
    version: u8,
    /// Commands between MULTI and EXEC.
    queue: Option<Vec<Request>>,
    /// A queued command was refused: EXEC must fail.
    refused: bool,
    watched: Vec<(Vec<u8>, u64)>,
    closing: bool,
}

/// Accepts until stopped.
pub(super) async fn serve(listener: TcpListener, keys: Keyspace, stop: Stop) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(problem) => return tracing::error!(%problem, "the local Redis stand-in cannot listen"),
    };
    let keys = Arc::new(Mutex::new(keys));
    let mut connections = JoinSet::new();
    let stopped = stop.stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(converse(stream, Arc::clone(&keys)));
            }
        }
    }
}

/// One connection, from first to last byte.
async fn converse(mut stream: TcpStream, keys: Arc<Mutex<Keyspace>>) {
    let mut session =
        Session { version: 2, queue: None, refused: false, watched: Vec::new(), closing: false };
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let _ = stream.set_nodelay(true);
    while !session.closing {
        match stream.read_buf(&mut input).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let mut at = 0;
        while !session.closing {
            match resp::parse(input.get(at..).unwrap_or_default()) {
                Ok(None) => break,
                Ok(Some((request, used))) => {
                    at += used;
                    // A panic under the lock would be a bug of ours; the keys themselves are whole at every
                    // point.
                    let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
                    if !request.is_empty() {
                        answer(&mut session, &mut keys, request).write(session.version, &mut output);
                    }
                }
                Err(problem) => {
                    Reply::error(format!("Protocol error: {}", problem.0))
                        .write(session.version, &mut output);
                    session.closing = true;
                }
            }
        }
        input.drain(..at);
        if input.len() > resp::REQUEST_BYTES_MAX + 64 * 1024 {
            session.closing = true;
        }
        if stream.write_all(&output).await.is_err() {
            return;
        }
        output.clear();
    }
}

/// One command: checked, queued or done, and on disk before the reply is given.
fn answer(session: &mut Session, keys: &mut Keyspace, request: Request) -> Reply {
    let name = name_of(&request);
    if let Some(refusal) = refusal(&name, &request) {
        session.refused = session.queue.is_some();
        return refusal;
    }
    let reply = match (name.as_str(), session.queue.as_mut()) {
        ("MULTI", Some(_)) => return Reply::error("MULTI calls can not be nested"),
        ("WATCH", Some(_)) => return Reply::error("WATCH inside MULTI is not allowed"),
        ("MULTI", None) => {
            session.queue = Some(Vec::new());
            Reply::Simple("OK")
        }
        ("EXEC", None) => return Reply::error("EXEC without MULTI"),
        ("DISCARD", None) => return Reply::error("DISCARD without MULTI"),
        ("EXEC", Some(_)) => execute(session, keys),
        ("DISCARD", Some(_)) => {
            forget(session);
            Reply::Simple("OK")
        }
        ("QUIT", _) => {
            session.closing = true;
            Reply::Simple("OK")
        }
        (_, Some(queue)) if queue.len() < QUEUE_MAX => {
            queue.push(request);
            Reply::Simple("QUEUED")
        }
        (_, Some(_)) => {
            session.refused = true;
            Reply::error("too many commands in this MULTI for the local stand-in")
        }
        (_, None) => run(session, keys, &name, &request),
    };
    match keys.commit() {
        Ok(()) => reply,
        Err(problem) => {
            tracing::error!(%problem, "the local Redis stand-in cannot keep a write on disk");
            Reply::Error("MISCONF the local stand-in cannot keep a write on disk".to_owned())
        }
    }
}

fn name_of(request: &Request) -> String {
    request.first().map(|name| String::from_utf8_lossy(name).to_ascii_uppercase()).unwrap_or_default()
}

/// Why a command is refused before it is queued or run: not known, or a wrong number of arguments.
fn refusal(name: &str, request: &Request) -> Option<Reply> {
    let allowed = match name {
        "MULTI" | "EXEC" | "DISCARD" | "UNWATCH" => 0..=0,
        "GET" | "SELECT" => 1..=1,
        "SETNX" | "WAIT" => 2..=2,
        "PING" | "FLUSHALL" => 0..=1,
        "AUTH" => 1..=2,
        "MGET" | "DEL" | "EXISTS" | "WATCH" | "CLIENT" => 1..=usize::MAX,
        "SET" => 2..=usize::MAX,
        "HELLO" | "INFO" | "QUIT" => 0..=usize::MAX,
        _ => {
            let shown = |part: &Vec<u8>| format!("'{}' ", String::from_utf8_lossy(part));
            let name = request.first().map(|name| String::from_utf8_lossy(name).into_owned());
            let with: String = request.iter().skip(1).take(8).map(shown).collect();
            let text =
                format!("unknown command '{}', with args beginning with: {with}", name.unwrap_or_default());
            return Some(Reply::error(text.chars().take(400).collect::<String>()));
        }
    };
    let given = request.len().saturating_sub(1);
    (!allowed.contains(&given)).then(|| {
        Reply::error(format!("wrong number of arguments for '{}' command", name.to_ascii_lowercase()))
    })
}

/// EXEC: nothing after a refused command or when a watched key was touched, else all in order.
fn execute(session: &mut Session, keys: &mut Keyspace) -> Reply {
    let queue = session.queue.take().unwrap_or_default();
    let refused = session.refused;
    let touched = session.watched.iter().any(|(key, seen)| keys.touched(key) != *seen);
    forget(session);
    if refused {
        return Reply::Error("EXECABORT Transaction discarded because of previous errors.".to_owned());
    }
    if touched {
        return Reply::NilList;
    }
    Reply::List(queue.iter().map(|request| run(session, keys, &name_of(request), request)).collect())
}

/// Ends a MULTI, done or not.
fn forget(session: &mut Session) {
    session.queue = None;
    session.refused = false;
    session.watched.clear();
}

/// Runs one command that is not part of the MULTI machinery.
fn run(session: &mut Session, keys: &mut Keyspace, name: &str, request: &Request) -> Reply {
    let arguments = request.get(1..).unwrap_or_default();
    let value =
        |keys: &Keyspace, key: &Vec<u8>| keys.get(key).map_or(Reply::Nil, |value| Reply::Bulk(value.clone()));
    let count = |number: usize| Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    match (name, arguments) {
        ("PING", []) => Reply::Simple("PONG"),
        ("PING", [text, ..]) => Reply::Bulk(text.clone()),
        ("GET", [key, ..]) => value(keys, key),
        ("MGET", names) => Reply::List(names.iter().map(|key| value(keys, key)).collect()),
        ("EXISTS", names) => count(names.iter().filter(|key| keys.get(key).is_some()).count()),
        ("DEL", names) => count(names.iter().filter(|key| keys.delete(key)).count()),
        ("SET", [key, value, options @ ..]) => set(keys, key, value, options),
        ("SETNX", [key, value, ..]) => {
            let free = keys.get(key).is_none();
            if free {
                keys.set(key, value);
            }
            Reply::Integer(i64::from(free))
        }
        ("FLUSHALL", options) => flush(keys, options),
        ("WATCH", names) => {
            let seen: Vec<_> = names.iter().map(|key| (key.clone(), keys.touched(key))).collect();
            session.watched.extend(seen);
            Reply::Simple("OK")
        }
        ("UNWATCH", _) => {
            session.watched.clear();
            Reply::Simple("OK")
        }
        ("WAIT", [_, timeout, ..]) => wait(timeout),
        ("SELECT", [index, ..]) => match number(index) {
            Some(0) => Reply::Simple("OK"),
            Some(_) => Reply::error("DB index is out of range"),
            None => Reply::error("value is not an integer or out of range"),
        },
        ("INFO", _) => Reply::Text(info(keys)),
        ("HELLO", options) => hello(session, options),
        ("AUTH", [_]) => Reply::error(
            "AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        ),
        ("AUTH", _) => wrong_pass(),
        ("CLIENT", [sub, ..]) if is_word(sub, "SETINFO") || is_word(sub, "SETNAME") => Reply::Simple("OK"),
        ("CLIENT", [sub, ..]) => {
            Reply::error(format!("unknown subcommand '{}'. Try CLIENT HELP.", String::from_utf8_lossy(sub)))
        }
        // FAIL-CLOSED: a command that `refusal` lets through and nobody does is an error, never an OK.
        _ => Reply::error("the local stand-in does not do this"),
    }
}

fn set(keys: &mut Keyspace, key: &[u8], value: &[u8], options: &[Vec<u8>]) -> Reply {
    match options {
        [] => {}
        [option] if is_word(option, "NX") => {
            if keys.get(key).is_some() {
                return Reply::Nil;
            }
        }
        // FAIL-CLOSED: a flag with an expiry would be a halt that ends by itself, so no option is ignored.
        _ => return Reply::error("syntax error"),
    }
    keys.set(key, value);
    Reply::Simple("OK")
}

fn flush(keys: &mut Keyspace, options: &[Vec<u8>]) -> Reply {
    if options.iter().all(|option| is_word(option, "SYNC") || is_word(option, "ASYNC")) {
        keys.clear();
        Reply::Simple("OK")
    } else {
        Reply::error("syntax error")
    }
}

/// WAIT: there are no replicas, so the count is 0 at once (a real server waits first, then says the same).
fn wait(timeout: &[u8]) -> Reply {
    match number(timeout) {
        None => Reply::error("timeout is not an integer or out of range"),
        Some(timeout) if timeout < 0 => Reply::error("timeout is negative"),
        Some(_) => Reply::Integer(0),
    }
}

fn hello(session: &mut Session, options: &[Vec<u8>]) -> Reply {
    if session.queue.is_some() {
        return Reply::error("HELLO is not allowed in a transaction here");
    }
    if let [version, rest @ ..] = options {
        match number(version) {
            None => return Reply::error("Protocol version is not an integer or out of range"),
            Some(2) if rest.is_empty() => session.version = 2,
            Some(3) if rest.is_empty() => session.version = 3,
            Some(2 | 3) => match rest {
                [word, _, _, ..] if is_word(word, "AUTH") => return wrong_pass(),
                _ => return Reply::error("syntax error in HELLO"),
            },
            Some(_) => return Reply::Error("NOPROTO unsupported protocol version".to_owned()),
        }
    }
    let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
    Reply::Map(vec![
        ("server", bulk("redis")),
        ("version", bulk(VERSION)),
        ("proto", Reply::Integer(i64::from(session.version))),
        ("id", Reply::Integer(1)),
        ("mode", bulk("standalone")),
        ("role", bulk("master")),
        ("modules", Reply::List(Vec::new())),
    ])
}

fn wrong_pass() -> Reply {
    Reply::Error("WRONGPASS invalid username-password pair or user is disabled.".to_owned())
}

fn info(keys: &Keyspace) -> String {
    format!(
        "# Server\r\nredis_version:{VERSION}\r\nlocal_stand_in:1\r\nprocess_id:{}\r\n\
         # Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\
         # Persistence\r\nloading:0\r\naof_enabled:1\r\n\
         # Replication\r\nrole:master\r\nconnected_slaves:0\r\n\
         # Keyspace\r\ndb0:keys={},expires=0,avg_ttl=0\r\n",
        std::process::id(),
        keys.len()
    )
}

fn is_word(bytes: &[u8], word: &str) -> bool {
    bytes.eq_ignore_ascii_case(word.as_bytes())
}

fn number(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
