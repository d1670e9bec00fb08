//! The audit log of a simulated world: the real Postgres, reached over a wire that the schedule holds. Must
//! never answer for it.
//!
//! WHY NOT a model of `audit.append` in memory: what could lose or double a row is in the SQL, and a crash
//! between the append and the acknowledgement is a held answer of the real server. It works outside of the
//! world's time: whoever asks it waits until it has answered, so its speed changes no schedule.
use crate::scene;
use audit_log::{AuditLog, Verified};
use std::fmt::Debug;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// Databases that no life uses at the moment, emptied before the next one does.
static FREE: Mutex<Vec<Log>> = Mutex::new(Vec::new());

/// Everything that a life leaves in the log.
const EMPTY: &str = "SET session_replication_role = replica; \
     TRUNCATE audit.entry, audit.payload, audit.subject, audit.subject_key, audit.prompt_part, audit.prompt, \
     audit.erasure, audit.parked, audit.judgement; \
     UPDATE audit.head SET seq = 0, hash = decode(repeat('00', 32), 'hex'), appended_at = NULL; \
     SET session_replication_role = origin";

/// Broken variants that lie in the database's own functions: a name for `mutants.rs`, the function, what
/// stands in it, what stands there instead, and what else the owner has to break for it to run at all.
const BROKEN: [[&str; 5]; 4] = [
    [
        "row_twice",
        "append",
        "IF FOUND THEN",
        "IF FOUND AND false THEN",
        "ALTER TABLE audit.entry DROP CONSTRAINT entry_entry_id_key",
    ],
    [
        "chain_stands_still",
        "append",
        "h.hash := e.hash;",
        "",
        "ALTER TABLE audit.entry DROP CONSTRAINT entry_prev_key",
    ],
    ["erasure_keeps_names", "erase_found", "DELETE FROM audit.subject s WHERE s.seq = ANY (seqs);", "", ""],
    [
        "erasure_keeps_prompts",
        "erase_found",
        "WHERE part.bytes IS NOT NULL",
        "WHERE false AND part.bytes IS NOT NULL",
        "",
    ],
];

/// One database, as its owner and as the product read it.
pub struct Log {
    pub config: Config,
    owner: Arc<Client>,
    product: Arc<AuditLog>,
}

/// A database for one life, and whether another one may have it afterwards.
#[derive(Debug)]
pub struct Lent(Option<Log>, bool);

impl Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let log = self.0.take().filter(|_| self.1);
        FREE.lock().unwrap().extend(log);
    }
}

impl std::ops::Deref for Lent {
    type Target = Log;

    fn deref(&self) -> &Log {
        self.0.as_ref().expect("it is lent until it is dropped")
    }
}

/// An empty log for one life.
pub fn lend() -> Lent {
    if let Some([_, function, from, to, also]) = BROKEN.iter().find(|[name, ..]| types::mutant(name)) {
        // Nobody gets it after this life.
        let log = std::thread::spawn(Log::new).join().expect("a log");
        log.break_it(function, from, to, also);
        return Lent(Some(log), false);
    }
    let free = FREE.lock().unwrap().pop();
    // The stores start on a runtime of their own, which a thread without one has to wait for.
    let log = free.unwrap_or_else(|| std::thread::spawn(Log::new).join().expect("a log"));
    log.ask(EMPTY);
    Lent(Some(log), true)
}

impl Log {
    fn new() -> Self {
        static NAMED: AtomicU64 = AtomicU64::new(0);
        scene::run(async {
            let name = format!("sim{}_{}", std::process::id(), NAMED.fetch_add(1, Ordering::SeqCst));
            let url = scene::database(&name).await;
            let product = AuditLog::connect(&url).await.expect("the log answers");
            product.migrate().await.expect("migrated");
            let config: Config = url.parse().expect("its address");
            let (owner, connection) = config.connect(NoTls).await.expect("its owner's login");
            drop(super::spawn(connection));
            Self { config, owner: Arc::new(owner), product: Arc::new(product) }
        })
    }

    /// What its owner reads with that SQL, as text.
    pub fn ask(&self, sql: &str) -> Vec<Vec<String>> {
        let (owner, sql) = (Arc::clone(&self.owner), sql.to_owned());
        let found = scene::beside(async move { owner.simple_query(&sql).await }).expect("SQL");
        let rows = found.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| (0..row.len()).map(|n| row.get(n).unwrap_or_default().to_owned()).collect()).collect()
    }

    fn break_it(&self, function: &str, from: &str, to: &str, also: &str) {
        let sql = format!("SELECT pg_get_functiondef(('audit.{function}')::regproc)");
        let whole = self.ask(&sql)[0][0].clone();
        assert!(whole.contains(from), "{function} has no {from:?}");
        self.ask(&format!("{also}; {}", whole.replacen(from, to, 1)));
    }

    /// What the product says of its chain.
    pub fn verify(&self) -> Result<Verified, audit_log::Error> {
        let product = Arc::clone(&self.product);
        scene::beside(async move { product.verify().await })
    }

    /// The address under which a function asks for it, by way of a port of the world.
    pub fn address(&self, port: u16) -> String {
        let user = self.config.get_user().unwrap_or("postgres");
        let password = String::from_utf8_lossy(self.config.get_password().unwrap_or_default()).into_owned();
        let password = if password.is_empty() { password } else { format!("password='{password}' ") };
        let database = self.config.get_dbname().unwrap_or_default();
        format!("host=127.0.0.1 port={port} user={user} {password}dbname={database} sslmode=disable")
    }
}

trait Line: Read + Write + Send {}
impl<T: Read + Write + Send> Line for T {}

/// One connection to the real server.
pub struct Server(Box<dyn Line>);

impl Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    pub fn dial(config: &Config) -> Self {
        let port = config.get_ports().first().copied().unwrap_or(5_432);
        let line: Box<dyn Line> = match config.get_hosts().first().expect("a host") {
            Host::Unix(folder) => {
                let socket = folder.join(format!(".s.PGSQL.{port}"));
                Box::new(std::os::unix::net::UnixStream::connect(socket).expect("the server's socket"))
            }
            Host::Tcp(name) => {
                let stream = std::net::TcpStream::connect((name.as_str(), port)).expect("the server's port");
                stream.set_nodelay(true).expect("a socket");
                Box::new(stream)
            }
        };
        Self(line)
    }

    /// Sends a request and reads until the server waits for the next one: it is ready, or wants a password.
    pub fn exchange(&mut self, request: &[u8]) -> Vec<u8> {
        self.0.write_all(request).expect("the server reads");
        let mut answer = Vec::new();
        loop {
            let mut head = [0; 5];
            self.0.read_exact(&mut head).expect("the server answers");
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let mut body = vec![0; length - 4];
            self.0.read_exact(&mut body).expect("the server answers");
            answer.extend(head);
            answer.extend(&body);
            let asks = head[0] == b'R' && matches!(body[3], 3 | 5 | 10 | 11);
            if head[0] == b'Z' || asks {
                return answer;
            }
        }
    }
}

/// The next request of a client: every message up to a `Sync` or a plain query, and what it is about. The
/// first one of a connection has no letter before its length.
pub fn request(bytes: &[u8], first: bool) -> Option<(usize, String)> {
    let length = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    if first {
        return length(0).filter(|all| bytes.len() >= *all).map(|all| (all, "hello".to_owned()));
    }
    let (mut at, mut about) = (0, String::new());
    loop {
        let letter = *bytes.get(at)?;
        let end = at + 1 + length(at + 1)?;
        let body = bytes.get(at + 5..end)?;
        at = end;
        match letter {
            b'Q' => return Some((at, shown(body))),
            b'P' => about = shown(body.splitn(2, |byte| *byte == 0).last().unwrap_or_default()),
            b'B' => about = "runs what it prepared".to_owned(),
            // A password, or good-bye: nothing more belongs to it.
            b'p' | b'X' => return Some((at, String::new())),
            b'S' => return Some((at, about)),
            _ => {}
        }
    }
}

/// The beginning of some SQL.
fn shown(text: &[u8]) -> String {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).split_whitespace().collect::<Vec<_>>().join(" ").chars().take(60).collect()
}

/// What a server says that takes no more for the moment.
pub fn refusal() -> Vec<u8> {
    let fields = b"SERROR\0VERROR\0C53100\0Mno space left\0\0";
    let length = u32::try_from(fields.len() + 4).expect("short").to_be_bytes();
    [b"E".as_slice(), &length, fields, b"Z\0\0\0\x05I"].concat()
}
