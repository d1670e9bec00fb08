//! The sink in the place of the CRM: stamps what arrives and holds it against what the halt has said by then.
//! Must never let a write pass unjudged.
use super::{Tally, line, send};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::BufReader;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// What one press has said so far.
#[derive(Default)]
pub struct Race {
    /// A store has confirmed the halt.
    confirmed: AtomicBool,
    /// The page has said "Halted. Nothing in flight."
    quiet: AtomicBool,
    /// The permits in the halt's own answer.
    listed: Mutex<Option<HashSet<String>>>,
    /// Writes so far.
    pub arrived: watch::Sender<usize>,
    pub violations: Mutex<Vec<String>>,
}

impl Race {
    /// A store confirmed the halt; `listed` are the permits of the control item's own answer, if it did.
    pub fn confirm(&self, listed: Option<HashSet<String>>) {
        *self.listed.lock().unwrap() = listed;
        self.confirmed.store(true, Ordering::SeqCst);
    }

    /// The page says "Halted. Nothing in flight."
    pub fn hush(&self) {
        self.quiet.store(true, Ordering::SeqCst);
    }

    fn write(&self, permit_id: &str, asked_late: bool) {
        let mut wrong = Vec::new();
        if self.quiet.load(Ordering::SeqCst) {
            wrong.push("it began after \"Nothing in flight\"");
        }
        if asked_late {
            wrong.push("its permit was asked for after the halt was confirmed");
        }
        if self.listed.lock().unwrap().as_ref().is_some_and(|listed| !listed.contains(permit_id)) {
            wrong.push("its permit is not in the halt's own answer");
        }
        if !wrong.is_empty() {
            self.violations.lock().unwrap().push(format!("{permit_id}: {}", wrong.join("; ")));
        }
        self.arrived.send_modify(|count| *count += 1);
    }
}

/// One writer, seen from the parent.
pub struct Writer {
    name: String,
    race: Arc<Mutex<Arc<Race>>>,
    say: tokio::sync::Mutex<OwnedWriteHalf>,
    stopped: tokio::sync::Mutex<mpsc::Receiver<Tally>>,
}

impl Writer {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets it write; from now on its writes count for this race.
    pub async fn begin(&self, race: &Arc<Race>) {
        *self.race.lock().unwrap() = Arc::clone(race);
        send(&mut *self.say.lock().await, "go").await;
    }

    /// Returns when it was stopped, and what it did.
    pub async fn stopped(&self) -> Tally {
        self.stopped.lock().await.recv().await.expect("the writer lives")
    }
}

/// Waits for so many writers and serves each of them.
pub async fn writers(listener: &TcpListener, count: usize) -> Vec<Arc<Writer>> {
    let mut found = BTreeMap::new();
    while found.len() < count {
        let (stream, _) = listener.accept().await.expect("a writer");
        stream.set_nodelay(true).expect("no delay");
        let writer = meet(stream).await;
        found.insert(writer.name.clone(), writer);
    }
    found.into_values().collect()
}

async fn meet(stream: TcpStream) -> Arc<Writer> {
    let (read, say) = stream.into_split();
    let mut heard = BufReader::new(read);
    let hello = line(&mut heard).await.expect("a name");
    let (sender, receiver) = mpsc::channel(1);
    let writer = Arc::new(Writer {
        name: hello.strip_prefix("customer ").expect("a customer").to_owned(),
        race: Arc::default(),
        say: tokio::sync::Mutex::new(say),
        stopped: tokio::sync::Mutex::new(receiver),
    });
    let served = Arc::clone(&writer);
    drop(crate::door::spawn(async move { serve(&served, heard, sender).await }));
    writer
}

async fn serve(writer: &Writer, mut heard: BufReader<OwnedReadHalf>, stopped: mpsc::Sender<Tally>) {
    let mut asked_late = false;
    while let Some(text) = line(&mut heard).await {
        let race = Arc::clone(&writer.race.lock().unwrap());
        match text.split_once(' ').unwrap_or((&text, "")) {
            ("ask", _) => asked_late = race.confirmed.load(Ordering::SeqCst),
            ("write", permit_id) => race.write(permit_id, asked_late),
            ("stopped", tally) => {
                stopped.send(serde_json::from_str(tally).expect("a tally")).await.expect("the parent");
                continue;
            }
            (other, _) => panic!("a writer says {other:?}"),
        }
        send(&mut *writer.say.lock().await, "noted").await;
    }
}
