//! One tool call's rows as the gate writes them, and the commit that ends the step. Must never lose or double
//! one.
use crate::StepError;
use crate::rows;
use crate::step::InHand;
use async_trait::async_trait;
use config::metrics::{self, Metric};
use gate::{Applied, Plan, Sent, Trail, TrailError};
use interlock::{Permit, RecentAct};
use ledger::{Commit, Decision, Entry, Intent, IntentOutcome, IntentState, LastTurn, RunStatus, Stored};
use types::{CustomerId, EntryState, Mode, Reason};

/// When a write that was never answered is read back, counted from the send (ms).
pub(crate) const READ_BACK_MS: [i64; 4] = [5_000, 30_000, 300_000, 900_000];

/// Calls whose rows may wait for the step's last commit: two rows each, far below the hundred of one
/// transaction.
const GATHERED_MAX: usize = 30;

/// Collects a step's results and writes them.
pub(crate) struct StepTrail<'a, 'b> {
    pub(crate) hand: &'a mut InHand<'b>,
    pub(crate) decision: &'a Decision,
    /// What the model will be told, call by call.
    pub(crate) results: Vec<(String, String, bool)>,
    /// Rows that wait for the step's last commit.
    pub(crate) intents: Vec<Intent>,
    pub(crate) entries: Vec<Entry>,
    /// The call in hand.
    pub(crate) intent: Option<Intent>,
    /// Is the call in hand the step's last one? Then its outcome and the advance are one commit.
    pub(crate) last: bool,
    /// Was the advance committed?
    pub(crate) advanced: bool,
    /// When to try the call in hand again, if it must be (ms).
    pub(crate) again_ms: Option<u64>,
    /// The halt page's "last thing it did", to be noted beside the next commit.
    recent: Option<(CustomerId, RecentAct)>,
    /// Did the audit log keep up when the step looked?
    pub(crate) log_keeps_up: bool,
}

impl<'a, 'b> StepTrail<'a, 'b> {
    pub(crate) fn new(hand: &'a mut InHand<'b>, decision: &'a Decision) -> Self {
        Self {
            hand,
            decision,
            results: Vec::new(),
            intents: Vec::new(),
            entries: Vec::new(),
            intent: None,
            last: false,
            advanced: false,
            again_ms: None,
            recent: None,
            log_keeps_up: false,
        }
    }

    /// Ends a call without an act: nothing was sent, so its rows can wait for the step's last commit.
    pub(crate) fn conclude(
        &mut self,
        mut intent: Intent,
        plan: Option<&Plan>,
        state: EntryState,
        reason: Option<Reason>,
        tell: String,
    ) {
        let is_error = matches!(state, EntryState::Refused | EntryState::Failed | EntryState::Halted);
        if state == EntryState::Refused {
            metrics::count(Metric::ToolCallsRefused, 1);
        }
        self.entries.push(rows::call_entry(self.hand, &intent, plan, self.decision, state, reason));
        self.result(&intent, &tell, is_error);
        intent.state = IntentState::Closed;
        intent.outcome = Some(IntentOutcome { state, reason, tell, is_error });
        self.intents.push(intent);
    }

    /// What the model is told of a call that ended, in this invocation or an earlier one.
    pub(crate) fn result(&mut self, intent: &Intent, tell: &str, is_error: bool) {
        let call = self.decision.calls.get(intent.index);
        let id = call.map(|call| call.tool_use_id.clone()).unwrap_or_default();
        self.results.push((id, tell.to_owned(), is_error));
    }

    /// Commits what has gathered, if the step's last commit might not hold it: the store takes a hundred
    /// rows at once.
    pub(crate) async fn make_room(&mut self) -> Result<(), StepError> {
        if self.intents.len() < GATHERED_MAX { Ok(()) } else { self.store().await }
    }

    /// What has gathered, for a commit of somebody else's.
    pub(crate) fn gathered(self) -> Commit {
        Commit { messages: Vec::new(), intents: self.intents, entries: self.entries }
    }

    /// Commits what has gathered; the run stays at this step.
    pub(crate) async fn store(&mut self) -> Result<(), StepError> {
        let intents = std::mem::take(&mut self.intents);
        let commit = Commit {
            messages: Vec::new(),
            intents: intents.clone(),
            entries: std::mem::take(&mut self.entries),
        };
        self.commit(commit).await?;
        // A trip later in this step tells people about the last call.
        let stored = intents.into_iter().map(|intent| ((intent.step, intent.index), intent));
        self.hand.transcript.intents.extend(stored);
        Ok(())
    }

    /// Commits what has gathered together with the advance to the next step, or with the run's end.
    pub(crate) async fn advance(&mut self, ends: Option<(RunStatus, Reason)>) -> Result<(), StepError> {
        if self.advanced {
            return Ok(());
        }
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).map_err(|_| StepError::Inconsistent { what: "a message is no text" })
        };
        // Every message but the first carries its leading comma, so that its bytes are the request's part.
        let mut messages = vec![format!(",{}", text(model::assistant(self.decision.content.as_bytes())?)?)];
        if !self.results.is_empty() {
            let results: Vec<model::ToolResult<'_>> = self
                .results
                .iter()
                .map(|(id, tell, is_error)| model::ToolResult {
                    tool_use_id: id,
                    content: tell,
                    is_error: *is_error,
                })
                .collect();
            messages.push(format!(",{}", text(model::tool_results(&results)?)?));
        }
        let run = &mut self.hand.run;
        run.last_turn = Some(LastTurn { tokens: self.decision.tokens, body_bytes: self.decision.body_bytes });
        run.n = run.n.saturating_add(1);
        run.claim = None;
        if let Some((status, reason)) = ends {
            run.status = status;
            run.reason = Some(reason);
            run.ended_ms = Some(self.hand.deps.clock.now_ms());
        }
        let commit = Commit {
            messages,
            intents: std::mem::take(&mut self.intents),
            entries: std::mem::take(&mut self.entries),
        };
        self.commit(commit).await?;
        self.advanced = true;
        Ok(())
    }

    /// One commit, and beside it what the halt page shows as the last act: nothing depends on that.
    async fn commit(&mut self, commit: Commit) -> Result<(), StepError> {
        let (deps, recent) = (self.hand.deps, self.recent.take());
        let noted = async {
            if let Some((customer, act)) = &recent {
                deps.interlock.note_recent(customer, act).await;
            }
        };
        let (stored, ()) = tokio::join!(deps.ledger.commit(&mut self.hand.run, commit), noted);
        match stored? {
            Stored::Yes => Ok(()),
            Stored::Raced => Err(StepError::Raced),
        }
    }

    /// The halt page's "last thing it did", a write: noted when its permit is back, so that the page and a
    /// receipt meet the store's rows in one order.
    pub(crate) async fn note_write(&mut self, plan: &Plan) {
        if let Some((customer, act)) = self.recent_of(plan, true) {
            self.hand.deps.interlock.note_recent(&customer, &act).await;
        }
    }

    /// The same for what would have been done: noted beside the next commit.
    pub(crate) fn note_would_have(&mut self, plan: &Plan) {
        self.recent = self.recent_of(plan, false);
    }

    fn recent_of(&self, plan: &Plan, wrote: bool) -> Option<(CustomerId, RecentAct)> {
        let deal = self.hand.run.deal.as_ref()?;
        let act = RecentAct {
            at_ms: self.hand.deps.clock.now_ms(),
            tool: plan.verb.clone(),
            deal_id: deal.deal_id.to_string(),
            what: plan.what.chars().take(200).collect(),
            wrote,
            customer_name: deal.customer_name.clone(),
            run_id: self.hand.run.run_id.to_string(),
        };
        Some((deal.customer_id.clone(), act))
    }

    fn in_hand(&mut self) -> Result<Intent, TrailError> {
        self.intent.take().ok_or_else(|| wrap(StepError::Inconsistent { what: "no tool call is in hand" }))
    }

    /// The row of an act that ended, and what follows from it.
    fn outcome_of(&mut self, mut intent: Intent, plan: &Plan, applied: &Applied) {
        let (state, reason, tell) = told(plan, applied);
        match applied {
            Applied::Sent(Sent::Unknown { .. }) if types::mutant("blind_retry") => {
                intent.state = IntentState::Planned;
                self.again_ms = Some(1_000);
            }
            Applied::Sent(Sent::Unknown { .. }) => {
                let sent_ms = intent.sent_ms.unwrap_or_else(|| self.hand.deps.clock.now_ms());
                intent.state = IntentState::Unknown;
                intent.read_back_ms = Some(sent_ms.saturating_add(READ_BACK_MS[0]));
                self.again_ms = Some(5_000);
            }
            Applied::Sent(Sent::NotApplied { retry_ms: Some(ms), .. }) => {
                intent.state = IntentState::Planned;
                self.again_ms = Some(*ms);
            }
            // Nothing was sent; the same call is tried again once the switch answers or there is room.
            Applied::NoPermit(
                Reason::Disarmed | Reason::SwitchUnreachable | Reason::PermitsExhausted | Reason::OutOfTime,
            ) => {
                intent.state = IntentState::Planned;
                self.again_ms = Some(5_000);
                self.intents.push(intent);
                return;
            }
            Applied::Sent(Sent::Applied { after, .. }) => {
                intent.state = IntentState::Closed;
                if after.is_some() {
                    intent.after.clone_from(after);
                }
            }
            Applied::Sent(Sent::NotApplied { .. }) | Applied::NoPermit(_) => {
                intent.state = IntentState::Closed
            }
        }
        if state == EntryState::WouldHave {
            intent.mode = Some(Mode::DryRun);
        }
        self.entries.push(rows::call_entry(self.hand, &intent, Some(plan), self.decision, state, reason));
        if intent.state == IntentState::Closed {
            let is_error = !matches!(state, EntryState::Applied | EntryState::WouldHave);
            self.result(&intent, &tell, is_error);
            intent.outcome = Some(IntentOutcome { state, reason, tell, is_error });
        }
        self.intents.push(intent);
    }
}

/// State, reason and what the model is told.
fn told(plan: &Plan, applied: &Applied) -> (EntryState, Option<Reason>, String) {
    match applied {
        Applied::Sent(Sent::Applied { tell, .. }) => (EntryState::Applied, None, tell.clone()),
        Applied::Sent(Sent::NotApplied { reason, tell, .. }) => {
            (EntryState::Failed, Some(*reason), tell.clone())
        }
        Applied::Sent(Sent::Unknown { tell }) => {
            (EntryState::Unknown, Some(Reason::OutcomeUnknown), tell.clone())
        }
        // Flipped back to dry-run since the decision: honoured before the write.
        Applied::NoPermit(Reason::DryRun) => (
            EntryState::WouldHave,
            Some(Reason::DryRun),
            format!("Would have done: {}. The tool is in dry-run; nothing was written.", plan.what),
        ),
        Applied::NoPermit(reason) => {
            (EntryState::Halted, Some(*reason), "Halted: nothing was written.".to_owned())
        }
    }
}

pub(crate) fn wrap(error: StepError) -> TrailError {
    TrailError(Box::new(error))
}

#[async_trait]
impl Trail for StepTrail<'_, '_> {
    // INVARIANT (I26): the intent row is durable before a permit is asked for.
    async fn planned(&mut self, _plan: &Plan) -> Result<(), TrailError> {
        let intent = self.in_hand()?;
        self.intents.push(intent.clone());
        self.intent = Some(intent);
        self.store().await.map_err(wrap)
    }

    async fn open(&mut self, plan: &Plan, permit: &Permit) -> Result<(), TrailError> {
        let mut intent = self.in_hand()?;
        intent.state = IntentState::Open;
        intent.sent_ms = Some(self.hand.deps.clock.now_ms());
        // Until this invocation has certainly ended nobody reads back: the request may not have left yet.
        intent.read_back_ms = Some(permit.deadline_ms());
        let mut entry =
            rows::call_entry(self.hand, &intent, Some(plan), self.decision, EntryState::Opened, None);
        if let Some(detail) = entry.detail.as_mut().and_then(serde_json::Value::as_object_mut) {
            detail.insert("permit_id".to_owned(), permit.permit_id().as_str().into());
        }
        self.entries.push(entry);
        self.intents.push(intent.clone());
        self.intent = Some(intent);
        self.store().await.map_err(wrap)
    }

    async fn closed(&mut self, plan: &Plan, applied: &Applied) -> Result<(), TrailError> {
        let intent = self.in_hand()?;
        self.outcome_of(intent, plan, applied);
        // One commit for the outcome and the advance, unless the call must be tried again or the run stops
        // here.
        let stops = matches!(applied, Applied::NoPermit(reason) if *reason != Reason::DryRun);
        if self.last && self.again_ms.is_none() && !stops {
            self.advance(None).await.map_err(wrap)
        } else {
            self.store().await.map_err(wrap)
        }
    }
}
