//! The tool calls of one decision, one after another: count, plan, decide, apply; then advance. Must never
//! skip the gate.
use crate::step::{InHand, Next, StepOutput};
use crate::trail::StepTrail;
use crate::{StepError, close, rest, rows, trip};
use budget::{Amount, TakeCall};
use config::Freshness;
use gate::{Applied, Context, Decision as Verdict, Kind, OwnWrite, PermitTerms, Plan, Refusal, Tool, decide};
use interlock::{Go, Standing};
use ledger::{DecidedCall, Decision, Intent, IntentState, Run, RunStatus};
use serde_json::Value;
use std::sync::Arc;
use types::{Cap, EntryState, IntentId, Mode, Reason, Tier};

/// How one call went on.
enum Call {
    /// It has ended; on to the next one.
    Ended,
    /// It must be tried again, later.
    Again(StepOutput),
    /// The run stops here.
    Stop(StepOutput),
}

/// Works off a decision and advances the run.
pub(crate) async fn act(hand: &mut InHand<'_>, go: Go, decision: &Decision) -> Result<StepOutput, StepError> {
    // The model took its time: look at both switches again before anything acts on its answer.
    let (standing, log_keeps_up) =
        tokio::join!(look_again(hand, go), hand.deps.log_lag.keeps_up(&hand.deps.ledger));
    let go = match standing {
        Standing::Go(go) => go,
        Standing::Halted { scope, reason } => return close::halted(hand, Some(&scope), reason).await,
        Standing::OldEpoch => return close::halted(hand, None, Reason::OldEpoch).await,
        Standing::Parked(reason) => return close::park_unread(hand, reason).await,
    };
    let mut trail = StepTrail::new(hand, decision);
    trail.log_keeps_up = log_keeps_up;
    for (index, call) in decision.calls.iter().enumerate() {
        trail.last = index.saturating_add(1) == decision.calls.len() && decision.calls_dropped == 0;
        match one_call(&mut trail, &go, index, call).await? {
            Call::Ended => trail.make_room().await?,
            Call::Again(output) | Call::Stop(output) => return Ok(output),
        }
    }
    rest::summary(&mut trail, decision.calls_dropped);
    let ends = match (decision.calls_dropped, decision.calls.is_empty()) {
        (0, false) => None,
        (0, true) => Some((EntryState::Applied, RunStatus::Done, Reason::Finished)),
        // The model's API wants an answer to every call, and there are more than anybody reads: the run ends
        // here.
        (1.., _) => Some((EntryState::Failed, RunStatus::Failed, Reason::ToolCallsPerRun)),
    };
    if let Some((state, _, reason)) = ends {
        let mut entry = rows::run_entry(trail.hand, state, reason);
        entry.because = (!decision.text.is_empty()).then(|| decision.text.clone());
        entry.prompt = Some(decision.prompt.clone());
        entry.model_version = Some(decision.model_version.clone());
        trail.entries.push(entry);
    }
    trail.advance(ends.map(|(_, status, reason)| (status, reason))).await?;
    if ends.is_some() {
        if let Some(customer) = hand.customer() {
            hand.deps.ledger.release(customer, &hand.run.run_id).await;
        }
        return Ok(hand.output(Next::Done, 0));
    }
    Ok(hand.output(Next::Continue, 0))
}

async fn look_again(hand: &InHand<'_>, go: Go) -> Standing {
    let bound = hand
        .run
        .bound
        .as_ref()
        .map(|bound| interlock::Bound { epoch: bound.epoch, generation: bound.generation });
    let bound = bound.filter(|_| !types::mutant("H9"));
    let customer = go.customer().cloned();
    hand.deps.interlock.check(bound, customer.as_ref()).await
}

async fn one_call(
    trail: &mut StepTrail<'_, '_>,
    go: &Go,
    index: usize,
    call: &DecidedCall,
) -> Result<Call, StepError> {
    let n = trail.hand.run.n;
    if let Some(known) = trail.hand.transcript.intents.get(&(n, index)).cloned() {
        if rest::found_no_call_left(&known) {
            // An invocation that died after these rows may not have halted yet.
            let (cap, none, asked) = (Cap::ToolCallsPerRun, Amount::Calls(0), Amount::Calls(1));
            return Ok(Call::Stop(trip::trip(trail.hand, cap, none, asked).await?));
        }
        if let Some(answer) = settled(trail, &known).await? {
            return Ok(answer);
        }
    }
    let intent_id = trail.hand.run.intent_id(n, index)?;
    let run_id = trail.hand.run.run_id.clone();
    if let TakeCall::Tripped { cap, left, asked } =
        trail.hand.deps.budget.take_call(&run_id, &intent_id).await?
    {
        let intent = new_intent(trail.hand, index, call, None)?;
        let reason = trip::reason_of(cap);
        trail.conclude(intent, None, EntryState::Refused, Some(reason), "No tool call is left.".to_owned());
        let behind = trail.decision.calls.len().saturating_sub(index).saturating_sub(1);
        let behind = u64::try_from(behind).unwrap_or(u64::MAX);
        rest::summary(trail, behind.saturating_add(trail.decision.calls_dropped));
        trail.store().await?;
        return Ok(Call::Stop(trip::trip(trail.hand, cap, left, asked).await?));
    }
    let Some(tool) = trail.hand.deps.tools.get(&call.name) else {
        let intent = new_intent(trail.hand, index, call, None)?;
        let tell = "There is no such tool. Use one of the tools that are listed.".to_owned();
        trail.conclude(intent, None, EntryState::Refused, Some(Reason::UnknownTool), tell);
        return Ok(Call::Ended);
    };
    let Some(arguments) = &call.input else {
        let intent = new_intent(trail.hand, index, call, Some(tool))?;
        let tell = "The arguments cannot be read: send one plain JSON object.".to_owned();
        trail.conclude(intent, None, EntryState::Refused, Some(Reason::MalformedArguments), tell);
        return Ok(Call::Ended);
    };
    if tool.tier() != Tier::Read && was_done_before(trail.hand, call) {
        let intent = new_intent(trail.hand, index, call, Some(tool))?;
        let tell = "An earlier run about this event did exactly that. Nothing was done again.".to_owned();
        trail.conclude(intent, None, EntryState::Refused, Some(Reason::DoneBefore), tell);
        return Ok(Call::Ended);
    }
    let context = context(trail.hand, intent_id)?;
    let intent = new_intent(trail.hand, index, call, Some(tool))?;
    match planned(tool, &context, arguments).await {
        Err(refusal) => refused(trail, intent, refusal).await,
        Ok((plan, Some(answer))) => {
            let intent = with_plan(intent, &plan, None);
            trail.conclude(intent, Some(&plan), EntryState::Applied, None, answer);
            Ok(Call::Ended)
        }
        Ok((plan, None)) => follow(trail, go, tool, &context, intent, plan).await,
    }
}

/// Did the run that this one starts again do the same, for whatever reason it gave?
fn was_done_before(hand: &InHand<'_>, call: &DecidedCall) -> bool {
    let acts = hand.run.follows.as_ref().map(|follows| &follows.acts);
    let hash = call.input.as_ref().map(|input| Run::act_hash(&call.name, input));
    acts.zip(hash).is_some_and(|(acts, hash)| acts.contains(&hash))
}

/// What an earlier invocation left: ended, still unknown, or planned only (then it is worked off afresh).
async fn settled(trail: &mut StepTrail<'_, '_>, known: &Intent) -> Result<Option<Call>, StepError> {
    match (known.state, &known.outcome) {
        (IntentState::Closed, Some(outcome)) => {
            trail.result(known, &outcome.tell.clone(), outcome.is_error);
            Ok(Some(Call::Ended))
        }
        (IntentState::Closed, None) => Err(StepError::Inconsistent { what: "a closed call has no outcome" }),
        (IntentState::Open | IntentState::Unknown, _) if types::mutant("retry_missing_outcome") => Ok(None),
        // The request may have left: the sweep reads back, this run waits for what it finds.
        (IntentState::Open | IntentState::Unknown, _) => Ok(Some(Call::Again(trail.hand.wait(15)))),
        // Nobody but a person can say what happened; the run does not wait for her.
        (IntentState::NeedsHuman, _) => {
            trail.store().await?;
            let end = close::finish(trail.hand, RunStatus::Failed, Reason::NeedsHuman, None).await?;
            Ok(Some(Call::Stop(end)))
        }
        (IntentState::Planned, _) => Ok(None),
    }
}

/// Plan, and the answer where the tool only reads.
async fn planned(
    tool: &Tool,
    context: &Context,
    arguments: &Value,
) -> Result<(Plan, Option<String>), Refusal> {
    match &tool.kind {
        Kind::Read(read) => {
            read.read(context, arguments).await.map(|answer| (answer.plan, Some(answer.tell)))
        }
        Kind::Act(_, act) => act.plan(context, arguments).await.map(|plan| (plan, None)),
        Kind::Draft(draft) => draft.plan(context, arguments).await.map(|plan| (plan, None)),
        Kind::Ask(ask) => ask.plan(context, arguments).await.map(|plan| (plan, None)),
    }
}

async fn refused(trail: &mut StepTrail<'_, '_>, intent: Intent, refusal: Refusal) -> Result<Call, StepError> {
    if refusal.retry_ms.is_some() {
        // The CRM was busy while planning: nothing happened, look again. What the calls before this one came
        // to is stored first: its rows have their numbers.
        trail.store().await?;
        return Ok(Call::Again(close::park(trail.hand, refusal.reason).await?));
    }
    let of_the_crm = matches!(
        refusal.reason,
        Reason::CrmNotFound | Reason::CrmRefused | Reason::CrmUnavailable | Reason::CrmRateLimited
    );
    let state = if of_the_crm { EntryState::Failed } else { EntryState::Refused };
    trail.conclude(intent, None, state, Some(refusal.reason), refusal.tell);
    Ok(Call::Ended)
}

/// The gate's verdict, followed.
async fn follow(
    trail: &mut StepTrail<'_, '_>,
    go: &Go,
    tool: &Tool,
    context: &Context,
    intent: Intent,
    plan: Plan,
) -> Result<Call, StepError> {
    let bound = trail.hand.run.bound.clone();
    let bound = bound.ok_or(StepError::Inconsistent { what: "the run is not bound" })?;
    let standing = gate::Standing {
        go,
        modes_at_start: &bound.modes,
        config_usable: trail.hand.config.freshness != Freshness::Unusable,
        log_keeps_up: trail.log_keeps_up,
    };
    match decide(plan, tool, standing) {
        Verdict::Execute(plan) => {
            let Kind::Act(_, act) = &tool.kind else {
                return Err(StepError::Inconsistent { what: "only an act is executed" });
            };
            execute(trail, go, act.as_ref(), context, with_plan(intent, &plan, Some(Mode::Live)), &plan).await
        }
        Verdict::WouldHave(plan, reason) => {
            let tell =
                format!("Would have done: {}. The tool is in dry-run; nothing was written.", plan.what);
            let intent = with_plan(intent, &plan, Some(Mode::DryRun));
            trail.conclude(intent, Some(&plan), EntryState::WouldHave, Some(reason), tell);
            trail.note_would_have(&plan);
            Ok(Call::Ended)
        }
        Verdict::Draft(plan) => {
            let tell = format!("{}. A person reads it and sends it; nothing was sent.", plan.what);
            let intent = with_plan(intent, &plan, None);
            trail.conclude(intent, Some(&plan), EntryState::Drafted, Some(Reason::DraftedOnly), tell);
            Ok(Call::Ended)
        }
        Verdict::Ask(plan) => ask(trail, tool, context, intent, &plan).await,
        Verdict::Refuse(reason) => {
            trail.conclude(intent, None, EntryState::Refused, Some(reason), "Not allowed.".to_owned());
            Ok(Call::Ended)
        }
    }
}

async fn execute(
    trail: &mut StepTrail<'_, '_>,
    go: &Go,
    act: &dyn gate::Act,
    context: &Context,
    intent: Intent,
    plan: &Plan,
) -> Result<Call, StepError> {
    let deps = trail.hand.deps;
    let run_id = trail.hand.run.run_id.clone();
    let terms = PermitTerms {
        run_id: &run_id,
        invocation_deadline_ms: trail.hand.invocation.deadline_ms,
        request_ms_max: deps.crm_ms_max,
    };
    trail.intent = Some(intent);
    let applied = gate::apply(act, context, plan, go, &deps.interlock, terms, trail).await?;
    if matches!(applied, Applied::Sent(gate::Sent::Applied { .. })) {
        trail.note_write(plan).await;
    }
    match applied {
        Applied::NoPermit(Reason::DryRun) | Applied::Sent(_) => {}
        Applied::NoPermit(Reason::Disarmed | Reason::SwitchUnreachable) => {
            return Ok(Call::Again(close::park_unread(trail.hand, Reason::SwitchUnreachable).await?));
        }
        // A halt, or another epoch: the next look at the switch closes the run.
        Applied::NoPermit(_) => return Ok(Call::Again(trail.hand.wait(1))),
    }
    Ok(match trail.again_ms.take() {
        Some(ms) => {
            let seconds = u32::try_from(ms.div_ceil(1_000)).unwrap_or(60).clamp(1, 60);
            Call::Again(trail.hand.wait(seconds))
        }
        None => Call::Ended,
    })
}

/// Posts a question. Its row is durable first, so that a replay does not ask twice; whether Slack took it or
/// not, the question waits in the console.
async fn ask(
    trail: &mut StepTrail<'_, '_>,
    tool: &Tool,
    context: &Context,
    intent: Intent,
    plan: &Plan,
) -> Result<Call, StepError> {
    let Kind::Ask(ask) = &tool.kind else {
        return Err(StepError::Inconsistent { what: "only a question is asked" });
    };
    let intent = with_plan(intent, plan, None);
    let tell = "A person was asked and will see to it. Do not wait for the answer.".to_owned();
    trail.conclude(intent, Some(plan), EntryState::Applied, None, tell);
    trail.store().await?;
    if let Err(reason) = ask.post(context, plan).await {
        tracing::warn!(run_id = %context.run_id, %reason, "a question waits in the console only");
    }
    Ok(Call::Ended)
}

pub(crate) fn new_intent(
    hand: &InHand<'_>,
    index: usize,
    call: &DecidedCall,
    tool: Option<&Tool>,
) -> Result<Intent, StepError> {
    let null = Value::Null;
    Ok(Intent {
        intent_id: hand.run.intent_id(hand.run.n, index)?,
        step: hand.run.n,
        index,
        args_hash: Run::args_hash(&call.name, call.input.as_ref().unwrap_or(&null)),
        tool: call.name.clone(),
        state: IntentState::Planned,
        tier: tool.map(Tool::tier),
        mode: None,
        target: hand.run.target(),
        customer_id: hand.customer().cloned(),
        before: None,
        after: None,
        request: call.input.clone(),
        because: call.input.as_ref().and_then(because_of),
        what: format!("asked for {}", call.name),
        outcome: None,
        sent_ms: None,
        read_backs: 0,
        read_back_ms: None,
    })
}

/// The agent's own line, also of a call that is refused.
fn because_of(arguments: &Value) -> Option<String> {
    let text = arguments.get("because")?.as_str()?;
    Some(text.chars().take(300).collect())
}

fn with_plan(intent: Intent, plan: &Plan, mode: Option<Mode>) -> Intent {
    Intent {
        mode,
        target: plan.target.clone(),
        before: plan.before.clone(),
        after: plan.after.clone(),
        request: plan.request.clone(),
        because: plan.because.clone(),
        what: plan.what.clone(),
        ..intent
    }
}

/// What a tool may know of the run. Later reads show what this run would have written.
pub(crate) fn context(hand: &InHand<'_>, intent_id: IntentId) -> Result<Context, StepError> {
    let deal = hand.run.deal.as_ref().ok_or(StepError::Inconsistent { what: "the run has no deal" })?;
    let would_have = |intent: &&Intent| {
        intent.outcome.as_ref().is_some_and(|outcome| outcome.state == EntryState::WouldHave)
    };
    Ok(Context {
        run_id: hand.run.run_id.clone(),
        deal_id: deal.deal_id.clone(),
        customer_id: deal.customer_id.clone(),
        customer_name: deal.customer_name.clone(),
        contact_ids: deal.contact_ids.clone(),
        intent_id,
        stages: Arc::new(hand.config.hot.stages.clone()),
        zone: hand.config.hot.zone.clone(),
        now: hand.deps.clock.now(),
        own_writes: hand
            .transcript
            .intents
            .values()
            .filter(would_have)
            .map(|intent| OwnWrite {
                tool: intent.tool.clone(),
                after: intent.after.clone().unwrap_or(Value::Null),
            })
            .collect(),
        run_url: hand.deps.links.console_url.as_ref().map(|url| format!("{url}/runs/{}", hand.run.run_id)),
    })
}
