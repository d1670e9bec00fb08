//! A stopped run, started again by a person as a new one. Must never wake the old run, nor be done twice.
use crate::admit::Admitted;
use crate::{Entry, Follows, Intent, IntentState, Ledger, LedgerError, Run, RunStatus, Transcript, keys_of};
use std::collections::BTreeSet;
use types::{Actor, EntryState, RunId};

/// What became of starting a run again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a new run must be started"]
pub enum Again {
    /// It exists now and must be started; the sweep does that too.
    New(Box<Run>),
    /// Somebody started it again before: this run.
    Before(Box<Run>),
    /// The old run goes on, waits, or ended by itself.
    NotStopped(RunStatus),
    /// So many of its writes have no known end: a person closes them first.
    Unsettled(usize),
    /// Its person was erased, and with her what it was about.
    Erased,
}

impl Ledger {
    /// Admits a new run on the event of one that a halt, a cap or an error ended. It knows what the old one
    /// did. One new run per old run, however often this is asked.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer; asking again is safe.
    // INVARIANT (I8, I23): the old run stays as it is, and one old run is followed by one new run.
    pub async fn start_again(
        &self,
        run_id: &RunId,
        actor: &Actor,
        because: &str,
    ) -> Result<Again, LedgerError> {
        let old = self.run(run_id).await?;
        if !old.status.is_stopped() {
            return Ok(Again::NotStopped(old.status));
        }
        if old.is_erased() {
            return Ok(Again::Erased);
        }
        let transcript = self.transcript(run_id).await?;
        // FAIL-CLOSED: a write that may have arrived would be done a second time.
        let unsettled = transcript.intents.values().filter(|intent| is_unsettled(intent)).count();
        if unsettled > 0 {
            return Ok(Again::Unsettled(unsettled));
        }
        let (key, new_id) = keys_of(&format!("again|{run_id}"))?;
        let mut event = old.event.clone();
        event.key = key;
        event.received_ms = self.clock.now_ms();
        let mut run = Run::queued(new_id, event);
        run.follows = Some(follows(&old, &transcript));
        let entry = entry(&mut run, &old, self.clock.now(), actor, because);
        Ok(match self.admit_with(&run, &[entry]).await? {
            Admitted::New(_) => Again::New(Box::new(run)),
            Admitted::NotStarted(known) | Admitted::Duplicate(known) => {
                Again::Before(Box::new(self.run(&known).await?))
            }
        })
    }

    /// The run that starts this one again, if somebody asked for it.
    ///
    /// # Errors
    /// [`LedgerError`] when the store gave no answer.
    pub async fn followed_by(&self, run_id: &RunId) -> Result<Option<Run>, LedgerError> {
        let (_, new_id) = keys_of(&format!("again|{run_id}"))?;
        self.find_run(&new_id).await
    }
}

fn is_unsettled(intent: &Intent) -> bool {
    match intent.state {
        IntentState::Open | IntentState::Unknown | IntentState::NeedsHuman => true,
        IntentState::Planned | IntentState::Closed => false,
    }
}

/// Did the call change something, or leave something for a person? A would-have row did neither.
fn was_done(intent: &Intent) -> bool {
    intent
        .outcome
        .as_ref()
        .is_some_and(|outcome| matches!(outcome.state, EntryState::Applied | EntryState::Drafted))
}

fn follows(old: &Run, transcript: &Transcript) -> Follows {
    let call_of = |intent: &Intent| {
        let decision = transcript.decisions.get(&intent.step)?;
        let call = decision.calls.get(intent.index)?;
        Some(Run::act_hash(&call.name, call.input.as_ref()?))
    };
    let mut acts: BTreeSet<String> =
        transcript.intents.values().filter(|intent| was_done(intent)).filter_map(call_of).collect();
    let deal_id = old.deal.as_ref().map(|deal| deal.deal_id.clone());
    if let Some(before) = old.follows.as_ref().filter(|before| before.deal_id == deal_id) {
        acts.extend(before.acts.iter().cloned());
    }
    Follows { run_id: old.run_id.clone(), deal_id, acts }
}

fn entry(run: &mut Run, old: &Run, at: types::Timestamp, actor: &Actor, because: &str) -> Entry {
    let deal = old.deal.as_ref();
    Entry {
        customer_id: deal.map(|deal| deal.customer_id.clone()),
        subjects: deal.map(|deal| deal.subjects.clone()).unwrap_or_default(),
        because: Some(because.to_owned()),
        detail: Some(serde_json::json!({
            "starts_again": old.run_id,
            "status": old.status.code(),
            "ended_by": old.reason.map(|reason| reason.code()),
            "event": old.event.line(),
        })),
        ..Entry::of_run(run, at, actor.clone(), "start_again", old.target())
    }
}
