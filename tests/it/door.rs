//! Doors before a store: one counts, loses or holds HTTP requests, one cuts a plain connection. Must never
//! change a byte that it lets through.
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One request on its way to the store.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `UpdateItem`, `TransactWriteItems`, ...
    pub operation: String,
    /// The JSON text.
    pub body: String,
}

impl Asked {
    /// Would it change a row?
    pub fn is_write(&self) -> bool {
        matches!(
            self.operation.as_str(),
            "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems" | "BatchWriteItem"
        )
    }
}

/// What becomes of a request and of its client's own retries.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It goes through.
    Pass,
    /// It never arrives.
    Lose,
    /// It is done, and nobody hears of it.
    LoseAnswer,
    /// It is done, and the client, which hears nothing, asks again: that comes through.
    LoseFirstAnswer,
    /// It is done; its answer waits until the gate opens.
    Hold(Arc<Gate>),
    /// It waits before the store, and never arrives.
    Keep(Arc<Gate>),
    /// It never arrives; the store is said to have answered with this error (`ThrottlingException`, ...).
    Refuse(&'static str),
}

/// Where an answer waits.
#[derive(Debug)]
pub struct Gate {
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { reached: watch::Sender::new(false), open: watch::Sender::new(false) })
    }

    /// Returns when a request was done and its answer waits.
    pub async fn reached(&self) {
        self.reached.subscribe().wait_for(|reached| *reached).await.map(drop).expect("the gate lives");
    }

    /// Lets the answer go.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

type Rule = Box<dyn FnMut(&Asked) -> Fate + Send>;

#[derive(Default)]
struct Inside {
    /// Where the store is now.
    store: Mutex<Option<SocketAddr>>,
    rule: Mutex<Option<Rule>>,
    /// A client's retry of one call meets what its first try met.
    known: Mutex<HashMap<String, Fate>>,
    asked: Mutex<Vec<Asked>>,
}

/// A door before an HTTP store.
pub struct Door {
    pub url: String,
    inside: Arc<Inside>,
    task: JoinHandle<()>,
}

impl Door {
    /// A door to the store at that address (`http://127.0.0.1:<port>`); everything passes.
    pub async fn to(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let inside = Arc::new(Inside::default());
        inside.lead_to(endpoint);
        let served = Arc::clone(&inside);
        let task = spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inside = Arc::clone(&served);
                drop(spawn(async move {
                    // A connection that breaks is what this door is for.
                    drop(serve(stream, &inside).await);
                }));
            }
        });
        Self { url, inside, task }
    }

    /// From now on it leads to the store at that address.
    pub fn lead_to(&self, endpoint: &str) {
        self.inside.lead_to(endpoint);
    }

    /// From now on this decides, and the count starts again.
    pub fn rule(&self, rule: impl FnMut(&Asked) -> Fate + Send + 'static) {
        self.inside.known.lock().unwrap().clear();
        self.inside.asked.lock().unwrap().clear();
        *self.inside.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// From now on everything passes, and the count starts again.
    pub fn open(&self) {
        self.rule(|_| Fate::Pass);
    }

    /// From now on nothing passes.
    pub fn shut(&self) {
        self.rule(|_| Fate::Lose);
    }

    /// Holds the answer of the first request that fits; everything else passes.
    pub fn hold(&self, fits: impl Fn(&Asked) -> bool + Send + 'static) -> Arc<Gate> {
        let gate = Gate::new();
        let mut waiting = Some(Arc::clone(&gate));
        self.rule(move |asked| match fits(asked).then(|| waiting.take()).flatten() {
            Some(gate) => Fate::Hold(gate),
            None => Fate::Pass,
        });
        gate
    }

    /// What was asked since the last rule, retries included.
    pub fn asked(&self) -> Vec<Asked> {
        self.inside.asked.lock().unwrap().clone()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inside {
    fn lead_to(&self, endpoint: &str) {
        let store = endpoint.trim_start_matches("http://").parse().expect("an address");
        *self.store.lock().unwrap() = Some(store);
    }

    fn judge(&self, asked: Asked, call: String) -> Fate {
        self.asked.lock().unwrap().push(asked.clone());
        let known = self.known.lock().unwrap().get(&call).cloned();
        match known {
            Some(Fate::Lose | Fate::LoseAnswer) => Fate::Lose,
            Some(Fate::Pass | Fate::Hold(_) | Fate::LoseFirstAnswer) => Fate::Pass,
            Some(kept @ (Fate::Keep(_) | Fate::Refuse(_))) => kept,
            None => {
                let fate = self.rule.lock().unwrap().as_mut().map_or(Fate::Pass, |rule| rule(&asked));
                self.known.lock().unwrap().insert(call, fate.clone());
                fate
            }
        }
    }
}

/// One request per connection: both sides are told to close after it.
async fn serve(mut client: TcpStream, inside: &Inside) -> std::io::Result<()> {
    let Some((head, body)) = read_request(&mut client).await? else { return Ok(()) };
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let target = header("x-amz-target").unwrap_or_default();
    let asked = Asked {
        operation: target.rsplit('.').next().unwrap_or_default().to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let call = header("amz-sdk-invocation-id").unwrap_or_default();
    let fate = inside.judge(asked, call);
    match &fate {
        Fate::Lose => return Ok(()),
        Fate::Keep(gate) => {
            gate.reached.send_replace(true);
            // Until the client is gone: it sends nothing more.
            return client.read(&mut [0]).await.map(drop);
        }
        Fate::Refuse(error) => return client.write_all(refusal(error).as_bytes()).await,
        Fate::Pass | Fate::LoseAnswer | Fate::LoseFirstAnswer | Fate::Hold(_) => {}
    }
    let store = *inside.store.lock().unwrap();
    let (first, rest) = head.split_once("\r\n").unwrap_or((head.as_str(), ""));
    let mut upstream = TcpStream::connect(store.expect("a store")).await?;
    upstream.write_all(format!("{first}\r\nconnection: close\r\n{rest}").as_bytes()).await?;
    upstream.write_all(&body).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    match fate {
        Fate::LoseAnswer | Fate::LoseFirstAnswer => return Ok(()),
        Fate::Hold(gate) => {
            gate.reached.send_replace(true);
            gate.open.subscribe().wait_for(|open| *open).await.map(drop).map_err(std::io::Error::other)?;
        }
        Fate::Pass | Fate::Lose | Fate::Keep(_) | Fate::Refuse(_) => {}
    }
    client.write_all(&answer).await?;
    client.shutdown().await
}

/// How DynamoDB refuses.
fn refusal(error: &str) -> String {
    let body = format!(
        r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{error}","message":"The level of configured provisioned throughput for the table was exceeded."}}"#
    );
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The head with its empty line, and the body.
pub async fn read_request(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.unwrap_or(0);
    while bytes.len() < end + length {
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((head, bytes[end..end + length].to_vec())))
}

/// A plain connection to a Redis that can be cut, mended and led elsewhere, and that counts.
pub struct Line {
    pub address: SocketAddr,
    state: watch::Sender<LineState>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct LineState {
    store: SocketAddr,
    whole: bool,
}

#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    checks: AtomicUsize,
}

impl Line {
    /// A line to the store at `redis://127.0.0.1:<port>/`, or to a server at `http://127.0.0.1:<port>`.
    pub async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = watch::Sender::new(LineState { store: store_of(url), whole: true });
        let counts = Arc::new(Counts::default());
        let (seen, counted) = (state.subscribe(), Arc::clone(&counts));
        let task = spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.opened.fetch_add(1, Ordering::SeqCst);
                drop(spawn(carry(client, seen.clone(), Arc::clone(&counted))));
            }
        });
        Self { address, state, counts, task }
    }

    /// Its address as a setting.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Its address for a user of [`crate::servers::RealRedis::user`].
    pub fn url_of(&self, user: &str) -> String {
        format!("redis://{user}:secret@{}/", self.address)
    }

    /// Every connection breaks, new ones too.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.whole = false);
    }

    /// New connections stand again.
    pub fn mend(&self) {
        self.state.send_modify(|state| state.whole = true);
    }

    /// Every connection breaks; new ones lead to the store at that address.
    pub fn lead_to(&self, url: &str) {
        self.cut();
        self.state.send_modify(|state| *state = LineState { store: store_of(url), whole: true });
    }

    /// Connections that were opened, and flag checks that were sent on them.
    pub fn counts(&self) -> (usize, usize) {
        (self.counts.opened.load(Ordering::SeqCst), self.counts.checks.load(Ordering::SeqCst))
    }
}

fn store_of(url: &str) -> SocketAddr {
    url.trim_start_matches("redis://")
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .expect("an address")
}

async fn carry(mut client: TcpStream, mut state: watch::Receiver<LineState>, counts: Arc<Counts>) {
    let LineState { store, whole } = *state.borrow_and_update();
    if !whole {
        return;
    }
    let Ok(mut upstream) = TcpStream::connect(store).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_store, mut to_store) = upstream.split();
    let up = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            let checks = bytes[..count].windows(4).filter(|four| *four == b"MGET").count();
            counts.checks.fetch_add(checks, Ordering::SeqCst);
            if to_store.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        _ = tokio::io::copy(&mut from_store, &mut to_client) => {}
        _ = state.changed() => {}
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A task of this test process.
#[expect(clippy::disallowed_methods, reason = "a test is not a Lambda: nothing freezes it")]
pub fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}
