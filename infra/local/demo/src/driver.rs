//! The local state machine: some twenty lines of loop around the same step handler, and a journal of what was
//! started. Must never run one name twice, nor forget a run that was started.
use serde_json::Value;
use starter::Start;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use step::{Deps, Invocation, Next, StepInput, StepOutput, handle};
use tokio::sync::{mpsc::UnboundedReceiver, watch};
use types::{Clock, InvocationId, RunId};

/// How long one invocation may take: the step function's timeout in AWS.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a failed invocation waits for its next try.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What was started and has not ended, on disk before anything runs.
#[derive(Debug)]
pub struct Journal {
    file: Mutex<File>,
    open: BTreeMap<String, Start>,
    seen: BTreeSet<String>,
}

impl Journal {
    /// Opens the journal and reads what an earlier process left.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).read(true).open(path)?;
        let (mut open, mut seen) = (BTreeMap::new(), BTreeSet::new());
        for line in BufReader::new(&file).lines() {
            // A torn last line was never acknowledged: the event is delivered or swept again.
            let Ok(line) = serde_json::from_str::<Value>(&line?) else { continue };
            let name = line.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            if line.get("ended").is_some() {
                open.remove(&name);
                continue;
            }
            let run_id = line.get("run_id").and_then(Value::as_str).and_then(|id| RunId::new(id).ok());
            let n = line.get("n").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
            if let (Some(run_id), Some(n)) = (run_id, n) {
                seen.insert(name.clone());
                open.insert(name.clone(), Start { name, run_id, n });
            }
        }
        Ok(Self { file: Mutex::new(file), open, seen })
    }

    fn write(&self, line: &Value) -> std::io::Result<()> {
        let mut file = self.file.lock().map_err(|_| std::io::Error::other("the journal's lock is broken"))?;
        writeln!(file, "{line}")?;
        file.sync_data()
    }
}

/// How many executions are under way, for those who wait for quiet.
pub type UnderWay = watch::Receiver<usize>;

/// Drives every execution until the process ends. Executions that an earlier process left go on first.
pub async fn drive(
    deps: Arc<Deps>,
    mut journal: Journal,
    mut starts: UnboundedReceiver<Start>,
    count: watch::Sender<usize>,
) {
    let left: Vec<Start> = std::mem::take(&mut journal.open).into_values().collect();
    let mut seen = std::mem::take(&mut journal.seen);
    let journal = Arc::new(journal);
    let count = Arc::new(count);
    for start in left {
        spawn(&deps, &journal, &count, start);
    }
    while let Some(start) = starts.recv().await {
        if !seen.insert(start.name.clone()) {
            continue;
        }
        let line = serde_json::json!({"name": start.name, "run_id": start.run_id, "n": start.n});
        if let Err(error) = journal.write(&line) {
            tracing::error!(%error, "the journal cannot be written: the run is not started");
            continue;
        }
        spawn(&deps, &journal, &count, start);
    }
}

fn spawn(deps: &Arc<Deps>, journal: &Arc<Journal>, count: &Arc<watch::Sender<usize>>, start: Start) {
    let (deps, journal, count) = (Arc::clone(deps), Arc::clone(journal), Arc::clone(count));
    count.send_modify(|n| *n = n.saturating_add(1));
    #[expect(clippy::disallowed_methods, reason = "this process is not a Lambda: nothing freezes it")]
    tokio::spawn(async move {
        execute(&deps, &start).await;
        if let Err(error) = journal.write(&serde_json::json!({"name": start.name, "ended": true})) {
            tracing::warn!(%error, "an execution's end was not noted; it is looked at again at the next start");
        }
        count.send_modify(|n| *n = n.saturating_sub(1));
    });
}

/// `Step`, `Decide`, `Pause`.
async fn execute(deps: &Deps, start: &Start) {
    let mut input = StepInput { run_id: start.run_id.clone(), n: start.n, customer_id: None };
    loop {
        let Some(output) = invoke(deps, &input).await else {
            tokio::time::sleep(RETRY_AFTER).await;
            continue;
        };
        match output.next {
            Next::Continue => {}
            Next::Wait => tokio::time::sleep(Duration::from_secs(output.wait_seconds.into())).await,
            Next::Halted | Next::Done => return,
        }
        input = StepInput { run_id: output.run_id, n: output.n, customer_id: output.customer_id };
    }
}

/// One invocation, ended at its deadline as the platform would end it. `None` when it must be tried again.
async fn invoke(deps: &Deps, input: &StepInput) -> Option<StepOutput> {
    let payload = serde_json::to_value(input).ok()?;
    let invocation = invocation(&deps.clock)?;
    match tokio::time::timeout(STEP_TIMEOUT, handle(deps, payload, &invocation)).await {
        Ok(Ok(answer)) => serde_json::from_value(answer).ok(),
        Ok(Err(error)) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(run_id = %input.run_id, error, "a step broke off; it is tried again");
            None
        }
        Err(_) => None,
    }
}

/// A fresh invocation with the whole timeout before it.
#[must_use]
pub fn invocation(clock: &Clock) -> Option<Invocation> {
    let id = InvocationId::new(uuid::Uuid::new_v4().to_string()).ok()?;
    let timeout_ms = i64::try_from(STEP_TIMEOUT.as_millis()).ok()?;
    Some(Invocation { id, deadline_ms: clock.now_ms().saturating_add(timeout_ms) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_remembers_what_was_started_and_not_ended() {
        let path = std::env::temp_dir().join(format!("holdfast-journal-{}", uuid::Uuid::new_v4()));
        let journal = Journal::open(&path).expect("a new journal");
        for name in ["r-1", "r-2"] {
            journal.write(&serde_json::json!({"name": name, "run_id": name, "n": 0})).expect("written");
        }
        journal.write(&serde_json::json!({"name": "r-1", "ended": true})).expect("written");
        drop(journal);
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(b"{\"name\":\"r-3\",\"ru"))
            .expect("a torn line");
        let again = Journal::open(&path).expect("the same journal");
        assert_eq!(again.open.keys().collect::<Vec<_>>(), ["r-2"]);
        assert_eq!(again.seen.len(), 2);
        std::fs::remove_file(&path).expect("removed");
    }
}
