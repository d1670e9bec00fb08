//! The step: its order is what the product promises. Must never be reordered.
use crate::{Deps, Invocation, StepError, act, close, open, think};
use interlock::{DEADLINE_MARGIN_MS, Go, Standing};
use ledger::{Claim, Claimed, Commit, Leased, Run, RunBound, RunStatus, Stored, Transcript};
use serde::{Deserialize, Serialize};
use types::{CustomerId, Mode, Reason, RunId};

/// What the state machine hands over: ids only, because its history cannot be erased.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct StepInput {
    /// The run.
    pub run_id: RunId,
    /// The step.
    #[serde(default)]
    pub n: u32,
    /// The customer, once step 0 fixed her.
    #[serde(default)]
    pub customer_id: Option<CustomerId>,
}

/// What the state machine is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct StepOutput {
    /// The run.
    pub run_id: RunId,
    /// The step that comes next.
    pub n: u32,
    /// The customer, once known.
    pub customer_id: Option<CustomerId>,
    /// What to do.
    pub next: Next,
    /// How long to wait first (seconds), for `wait`.
    pub wait_seconds: u32,
}

/// What the state machine does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// The next step.
    Continue,
    /// This step again, later.
    Wait,
    /// Stopped by a halt, or held before it began.
    Halted,
    /// Ended.
    Done,
}

/// What this invocation holds in hand.
pub(crate) struct InHand<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) invocation: &'a Invocation,
    pub(crate) run: Run,
    pub(crate) transcript: Transcript,
    pub(crate) config: config::Loaded,
}

/// How a part of the step went on.
pub(crate) enum Flow<T> {
    /// Go on with this.
    On(T),
    /// The invocation ends with this answer.
    End(StepOutput),
}

/// One step of one run.
pub(crate) async fn step(
    deps: &Deps,
    input: &StepInput,
    invocation: &Invocation,
) -> Result<StepOutput, StepError> {
    let claim = Claim {
        owner: invocation.id.clone(),
        until_ms: invocation.deadline_ms.saturating_add(DEADLINE_MARGIN_MS),
    };
    // 1  Are both switches clear? One round trip for everything that the answer needs.
    let customer = input.customer_id.as_ref();
    let (claimed, transcript, leased, standing, config) = tokio::join!(
        deps.ledger.claim(&input.run_id, input.n, &claim),
        deps.ledger.transcript(&input.run_id),
        lease(deps, input, claim.until_ms),
        deps.interlock.check(None, customer),
        deps.hot.get(),
    );
    let run = match claimed? {
        Claimed::Mine(run) => *run,
        Claimed::Busy { until_ms } => return Ok(later(input, until_ms.saturating_sub(deps.clock.now_ms()))),
        Claimed::Elsewhere(run) => return Ok(elsewhere(&run)),
    };
    let mut transcript = transcript?;
    if !transcript.is_whole(&run, &claim) && !types::mutant("reads_beside_the_claim") {
        transcript = deps.ledger.transcript(&input.run_id).await?;
    }
    let mut hand = InHand { deps, invocation, run, transcript, config };
    let outcome = hand.go_on(input, leased?, standing).await;
    // Whatever was not ended by a commit is given back, so that a retry need not wait for this invocation's
    // deadline.
    if hand.run.claim.is_some() {
        deps.ledger.unclaim(&input.run_id, &claim).await;
    }
    outcome
}

impl InHand<'_> {
    async fn go_on(
        &mut self,
        input: &StepInput,
        leased: Leased,
        standing: Standing,
    ) -> Result<StepOutput, StepError> {
        if self.customer() != input.customer_id.as_ref() {
            if input.customer_id.is_some() {
                return Err(StepError::Inconsistent {
                    what: "the payload names another customer than the run",
                });
            }
            // Started again by a person after step 0: the checks so far did not name the customer, so look
            // once more.
            return Ok(self.output(Next::Continue, 0));
        }
        let go = match self.bound(standing) {
            Standing::Go(go) => go,
            Standing::Halted { scope, reason } => return close::halted(self, Some(&scope), reason).await,
            Standing::OldEpoch => return close::halted(self, None, Reason::OldEpoch).await,
            Standing::Parked(reason) => return close::park_unread(self, reason).await,
        };
        if leased == Leased::Busy {
            return Ok(self.wait(5));
        }
        // 2  Step 0 fixes deal and customer; the model has no say in either.
        if self.run.deal.is_none() {
            return open::open(self).await;
        }
        self.bind(&go).await?;
        // 3, 4  Reserve the worst case, ask the model raced against the switch, settle, store the decision
        // once.
        let decision = match self.transcript.decisions.get(&self.run.n).cloned() {
            Some(decision) if !types::mutant("decides_again") => decision,
            Some(_) | None => match think::think(self, &go).await? {
                Flow::On(decision) => decision,
                Flow::End(output) => return Ok(output),
            },
        };
        self.transcript.decisions.insert(self.run.n, decision.clone());
        // 5 to 8  Plan, decide, apply each call; advance.
        act::act(self, go, &decision).await
    }

    /// The standing, held against what the run is bound to.
    // INVARIANT (I8): a run from before a resume never goes on.
    fn bound(&self, standing: Standing) -> Standing {
        if types::mutant("H9") {
            return standing;
        }
        match (standing, &self.run.bound) {
            (Standing::Go(go), Some(bound))
                if go.epoch() != bound.epoch || go.generation() != bound.generation =>
            {
                Standing::OldEpoch
            }
            (standing, _) => standing,
        }
    }

    /// The first clear check that names the customer fixes epoch, generation and modes: durable before
    /// the model is asked.
    // INVARIANT (I8): a run never changes its epoch.
    // WHY NOT with the next commit: an answer that is stored before the binding is would be acted on
    // after a halt and its resume, when this step runs again.
    async fn bind(&mut self, go: &Go) -> Result<(), StepError> {
        self.run.status = RunStatus::Running;
        self.run.parked_since_ms = None;
        if self.run.bound.is_some() {
            return Ok(());
        }
        let mut modes = go.modes().clone();
        if self.run.dry_since.is_some() {
            modes.values_mut().for_each(|mode| *mode = Mode::DryRun);
        }
        self.run.bound = Some(RunBound { epoch: go.epoch(), generation: go.generation(), modes });
        match self.deps.ledger.commit(&mut self.run, Commit::default()).await? {
            Stored::Yes => Ok(()),
            Stored::Raced => Err(StepError::Raced),
        }
    }

    pub(crate) fn customer(&self) -> Option<&CustomerId> {
        self.run.deal.as_ref().map(|deal| &deal.customer_id)
    }

    pub(crate) fn output(&self, next: Next, wait_seconds: u32) -> StepOutput {
        StepOutput {
            run_id: self.run.run_id.clone(),
            n: self.run.n,
            customer_id: self.customer().cloned(),
            next,
            wait_seconds,
        }
    }

    /// This step again, later.
    pub(crate) fn wait(&self, seconds: u32) -> StepOutput {
        self.output(Next::Wait, seconds)
    }
}

async fn lease(deps: &Deps, input: &StepInput, until_ms: i64) -> Result<Leased, ledger::LedgerError> {
    match &input.customer_id {
        Some(customer) => deps.ledger.lease(customer, &input.run_id, until_ms.saturating_add(60_000)).await,
        None => Ok(Leased::Mine),
    }
}

/// Another invocation holds the step; it has certainly ended by then.
fn later(input: &StepInput, wait_ms: i64) -> StepOutput {
    let seconds = wait_ms.max(0).saturating_add(999).div_euclid(1_000);
    StepOutput {
        run_id: input.run_id.clone(),
        n: input.n,
        customer_id: input.customer_id.clone(),
        next: Next::Wait,
        wait_seconds: u32::try_from(seconds).unwrap_or(60).clamp(1, 120),
    }
}

/// A replay of a step that is over: say where the run stands.
fn elsewhere(run: &Run) -> StepOutput {
    let next = match run.status {
        RunStatus::Queued | RunStatus::Running => Next::Continue,
        RunStatus::Held | RunStatus::Halted => Next::Halted,
        RunStatus::Done | RunStatus::Failed | RunStatus::Discarded => Next::Done,
    };
    StepOutput {
        run_id: run.run_id.clone(),
        n: run.n,
        customer_id: run.deal.as_ref().map(|deal| deal.customer_id.clone()),
        next,
        wait_seconds: 0,
    }
}
