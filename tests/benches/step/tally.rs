//! A tally before a server: how often somebody asked it, and how long he waited. Must never change a byte.
use crate::door::spawn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One wait: from the first byte of a question to the first byte of its answer.
#[derive(Debug, Clone)]
pub struct Wait {
    pub from: Instant,
    pub to: Instant,
    /// What was asked, where the question says it: the operation of a request to the tables.
    pub what: Option<String>,
}

/// A question on its way, and what it asks.
type Asked = Option<(Instant, Option<String>)>;

/// Counts round trips on their way to one server.
pub struct Tally {
    pub address: SocketAddr,
    waits: Arc<Mutex<Vec<Wait>>>,
    task: JoinHandle<()>,
}

impl Tally {
    /// Before the server at `host:port`, with or without a scheme in front.
    pub async fn before(server: &str) -> Self {
        let server = server.split_once("://").map_or(server, |(_, rest)| rest).trim_end_matches('/');
        let server: SocketAddr = server.parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let waits = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&waits);
        let task = spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                drop(spawn(carry(client, server, Arc::clone(&kept))));
            }
        });
        Self { address, waits, task }
    }

    /// What was waited for since the last call.
    pub fn take(&self) -> Vec<Wait> {
        std::mem::take(&mut self.waits.lock().unwrap())
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one connection. A question that comes in pieces is one question: it ends with its answer.
async fn carry(client: TcpStream, server: SocketAddr, waits: Arc<Mutex<Vec<Wait>>>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    // Without this the kernel's own waiting would be measured.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (mut asks, mut hears) = client.into_split();
    let (mut answers, mut takes) = server.into_split();
    let asked: Arc<Mutex<Asked>> = Arc::default();
    let begun = Arc::clone(&asked);
    let out = async move {
        let mut piece = vec![0; 65_536];
        loop {
            let n = asks.read(&mut piece).await.unwrap_or(0);
            if n == 0 {
                break;
            }
            begun.lock().unwrap().get_or_insert_with(|| (Instant::now(), operation(&piece[..n])));
            if takes.write_all(&piece[..n]).await.is_err() {
                break;
            }
        }
        drop(takes.shutdown().await);
    };
    let back = async move {
        let mut piece = vec![0; 65_536];
        loop {
            let n = answers.read(&mut piece).await.unwrap_or(0);
            if n == 0 {
                break;
            }
            if let Some((from, what)) = asked.lock().unwrap().take() {
                waits.lock().unwrap().push(Wait { from, to: Instant::now(), what });
            }
            if hears.write_all(&piece[..n]).await.is_err() {
                break;
            }
        }
        drop(hears.shutdown().await);
    };
    tokio::join!(out, back);
}

/// `UpdateItem`, `Query`, .. from a request's head.
fn operation(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let (_, rest) = head.split_once("DynamoDB_20120810.")?;
    Some(rest.chars().take_while(char::is_ascii_alphabetic).collect())
}

/// The waits, those that overlapped side by side: what stands after another waited for it.
pub fn in_a_row(waits: &[Wait]) -> Vec<Vec<&Wait>> {
    let mut sorted: Vec<&Wait> = waits.iter().collect();
    sorted.sort_by_key(|wait| wait.from);
    let mut rows: Vec<Vec<&Wait>> = Vec::new();
    for wait in sorted {
        match rows.last_mut() {
            Some(row) if row.iter().any(|open| wait.from <= open.to) => row.push(wait),
            _ => rows.push(vec![wait]),
        }
    }
    rows
}

/// How long at least one of these waits lasted.
pub fn together(waits: &[Wait]) -> Duration {
    in_a_row(waits)
        .into_iter()
        .map(|row| {
            let ends = row.iter().map(|wait| wait.to).max().expect("a row has waits");
            ends - row[0].from
        })
        .sum()
}
