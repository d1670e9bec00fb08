//! One decision: reserve, ask the model raced against the switch, settle, store once. Must never ask before
//! it reserved.
use crate::step::{Flow, InHand, StepOutput};
use crate::{StepError, close, trip};
use budget::{Amount, Ask, Left, Reservation, Reserve, SeenDay, Settled, Used};
use config::Freshness;
use interlock::Go;
use kill_switch::Check;
use ledger::{DecidedCall, Decision, INLINE, PartRef, PromptRef, RunStatus};
use model::{Body, Input, MAX_TOKENS_USEFUL, MAX_TOKENS_USUAL, Previous, Settlement, Turn, Watch};
use std::sync::Arc;
use types::{AttemptId, Cap, Epoch, PriceRow, Reason, Scope, UsdNanos};

/// HTTP tries in one invocation; each has its own reservation.
const TRIES: u32 = 3;
/// The longest wait for a try within an invocation (ms).
const WAIT_MS_MAX: u64 = 8_000;
/// What a try needs of the invocation: the model's own timeout and what follows its answer (ms).
const TRY_MS_MAX: i64 = 35_000;

/// The decision of this step.
pub(crate) async fn think(hand: &mut InHand<'_>, go: &Go) -> Result<Flow<Decision>, StepError> {
    // FAIL-CLOSED: without usable configuration there is no cap to hold the call against.
    if hand.config.freshness == Freshness::Unusable {
        return Ok(Flow::End(close::park(hand, Reason::ConfigUnusable).await?));
    }
    let Some(price) = hand.config.hot.prices.0.get(&hand.run.model).cloned() else {
        let end = close::finish(hand, RunStatus::Failed, Reason::ModelWithoutPrice, None).await?;
        return Ok(Flow::End(end));
    };
    for attempt in 0..TRIES {
        let (body, seen) = match shape(hand, go, &price).await? {
            Flow::On(shaped) => shaped,
            Flow::End(output) => return Ok(Flow::End(output)),
        };
        let ask = ask_for(hand, go, &body, &price, seen)?;
        let reservation = match set_aside(hand, ask).await? {
            Flow::On(Some(reservation)) => reservation,
            // Somebody else took money since the request was shaped: shape it anew by what is left.
            Flow::On(None) => continue,
            Flow::End(output) => return Ok(Flow::End(output)),
        };
        let turn = ask_model(hand, go, &body, &reservation).await;
        let (after_ms, kind) = match end_try(hand, &body, &price, reservation, turn).await? {
            Tried::Decided(decision) => return Ok(Flow::On(*decision)),
            Tried::End(output) => return Ok(Flow::End(output)),
            Tried::Again { after_ms, kind } => (after_ms, kind),
        };
        let wait = after_ms.unwrap_or(500_u64 << attempt);
        tracing::warn!(run_id = %hand.run.run_id, %kind, wait, "the model gave no answer");
        let left = hand.invocation.deadline_ms.saturating_sub(hand.deps.clock.now_ms());
        let needs = i64::try_from(wait).unwrap_or(i64::MAX).saturating_add(TRY_MS_MAX);
        if wait > WAIT_MS_MAX || needs >= left || attempt.saturating_add(1) == TRIES {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
    }
    Ok(Flow::End(close::park(hand, Reason::ModelUnavailable).await?))
}

/// The request that fits into what is left, or the trip.
async fn shape(
    hand: &mut InHand<'_>,
    go: &Go,
    price: &PriceRow,
) -> Result<Flow<(Body, Option<SeenDay>)>, StepError> {
    let frozen = frozen(hand).await?;
    let messages: Vec<Vec<u8>> = hand
        .transcript
        .messages
        .iter()
        .map(|message| message.bytes.trim_start_matches(',').as_bytes().to_vec())
        .collect();
    let usual = Body::assemble(&frozen, &messages, MAX_TOKENS_USUAL);
    let bound = bound_of(hand, &usual);
    let left = left(hand, go).await?;
    let tokens_left = u64::try_from(left.tokens).unwrap_or(0);
    let Some(fits) = model::fit_max_tokens(tokens_left, bound, MAX_TOKENS_USUAL, MAX_TOKENS_USEFUL) else {
        let asked = i64::try_from(bound.saturating_add(MAX_TOKENS_USEFUL.into())).unwrap_or(i64::MAX);
        let end =
            trip::trip(hand, Cap::TokensPerRun, Amount::Tokens(left.tokens), Amount::Tokens(asked)).await?;
        return Ok(Flow::End(end));
    };
    let cap = hand.config.hot.caps.usd_per_day;
    let (usd_left, pending) =
        left.day.map_or((cap, UsdNanos::ZERO), |day| (day.left_under(cap), day.pending));
    if let Some(max_tokens) = affordable(price, bound, fits, usd_left) {
        return Ok(Flow::On((Body::assemble(&frozen, &messages, max_tokens), left.seen)));
    }
    let asked = price.worst_case(bound, MAX_TOKENS_USEFUL.into());
    Ok(Flow::End(if usd_left.plus(pending) >= asked {
        // Others hold the money and most of it comes back: wait for them, as for a rate limit.
        close::park(hand, Reason::UsdPerDay).await?
    } else {
        trip::trip(hand, Cap::UsdPerDay, Amount::Usd(usd_left), Amount::Usd(asked)).await?
    }))
}

/// What is left for the run, whose first look opens its budget.
async fn left(hand: &InHand<'_>, go: &Go) -> Result<Left, StepError> {
    let (budget, run_id, zone) = (&hand.deps.budget, &hand.run.run_id, &hand.config.hot.zone);
    if let Some(left) = budget.left(run_id, zone).await? {
        return Ok(left);
    }
    budget.open_run(run_id, &hand.run.caps, go.epoch()).await?;
    let left = budget.left(run_id, zone).await?;
    left.ok_or(StepError::Inconsistent { what: "the run has no budget" })
}

/// An upper bound on the input tokens of a body.
fn bound_of(hand: &InHand<'_>, body: &Body) -> u64 {
    let previous = hand.run.last_turn.map(|turn| Previous {
        tokens: turn.tokens,
        body_bytes: usize::try_from(turn.body_bytes).unwrap_or(usize::MAX),
    });
    model::upper_bound(previous, body.bytes().len())
}

/// The largest useful `max_tokens` whose worst case the day can still pay: the last cent is usable.
fn affordable(price: &PriceRow, bound: u64, fits: u32, usd_left: UsdNanos) -> Option<u32> {
    let pays = |max_tokens: u32| price.worst_case(bound, max_tokens.into()) <= usd_left;
    if pays(fits) {
        return Some(fits);
    }
    if !pays(MAX_TOKENS_USEFUL) {
        return None;
    }
    let (mut low, mut high) = (MAX_TOKENS_USEFUL, fits);
    while high.saturating_sub(low) > 1 {
        let middle = low.saturating_add(high.saturating_sub(low) / 2);
        if pays(middle) { low = middle } else { high = middle }
    }
    Some(low)
}

/// The worst case of one HTTP try of this body.
fn ask_for(
    hand: &InHand<'_>,
    go: &Go,
    body: &Body,
    price: &PriceRow,
    seen: Option<SeenDay>,
) -> Result<Ask, StepError> {
    let hot = &hand.config.hot;
    let bound = bound_of(hand, body);
    let max_tokens = u64::from(body.max_tokens());
    let attempt_id = AttemptId::new(format!("a-{}-{}", hand.run.run_id, uuid::Uuid::new_v4().simple()))
        .map_err(|_| StepError::Inconsistent { what: "an attempt id" })?;
    Ok(Ask {
        run_id: hand.run.run_id.clone(),
        attempt_id,
        tokens: bound.saturating_add(max_tokens),
        usd: price.worst_case(bound, max_tokens),
        epoch: epoch_of(hand, go),
        deadline_ms: hand.invocation.deadline_ms,
        zone: hot.zone.clone(),
        usd_per_day: Some(hot.caps.usd_per_day),
        seen,
    })
}

/// The try's own reservation. `None`: the day no longer pays for this body.
// INVARIANT (I12, I14): no first byte before the worst case of this very try is set aside.
async fn set_aside(hand: &mut InHand<'_>, ask: Ask) -> Result<Flow<Option<Reservation>>, StepError> {
    Ok(match hand.deps.budget.reserve(ask).await? {
        Reserve::Reserved(reservation) => Flow::On(Some(reservation)),
        Reserve::Tripped { cap: Cap::UsdPerDay, .. } | Reserve::SetAside { .. } => Flow::On(None),
        Reserve::Tripped { cap, left, asked } => Flow::End(trip::trip(hand, cap, left, asked).await?),
        Reserve::OtherEpoch { .. } => Flow::End(close::halted(hand, None, Reason::OldEpoch).await?),
        Reserve::NoRun | Reserve::NoCap => Flow::End(close::park(hand, Reason::ConfigUnusable).await?),
        Reserve::AttemptReused | Reserve::TooManyPending | Reserve::PastDeadline => {
            Flow::End(close::park(hand, Reason::OutOfTime).await?)
        }
    })
}

/// The try itself, raced against the switch.
async fn ask_model(hand: &InHand<'_>, go: &Go, body: &Body, reservation: &Reservation) -> Turn {
    let switch = hand.deps.interlock.switch();
    let customer = go.customer().map(types::CustomerId::as_str);
    let watch = || async {
        match switch.check(customer).await {
            Check::Clear(clear) if clear.epoch() == go.epoch().0 => Watch::Clear,
            Check::Halted(_) if types::mutant("deaf_model") => Watch::Clear,
            // Disarmed is a halt whose flag did not fit, or a wipe: either way the answer must not be used.
            Check::Clear(_) | Check::Halted(_) | Check::Disarmed => Watch::Halted,
            Check::Unreachable => Watch::Unreadable,
        }
    };
    hand.deps.model.next(body, go, reservation, watch).await
}

/// What a try came to.
enum Tried {
    /// The model answered, and its answer is stored.
    Decided(Box<Decision>),
    /// No answer; worth another try.
    Again { after_ms: Option<u64>, kind: String },
    /// The invocation ends with this answer.
    End(StepOutput),
}

/// The epoch that a reservation asks for: that of the check, which is the run's own.
fn epoch_of(hand: &InHand<'_>, go: &Go) -> Epoch {
    match &hand.run.bound {
        Some(bound) if types::mutant("H9") => bound.epoch,
        Some(_) | None => go.epoch(),
    }
}

/// Ends the reservation by what came back, and goes from there to the stored decision, or to the run's end.
async fn end_try(
    hand: &mut InHand<'_>,
    body: &Body,
    price: &PriceRow,
    reservation: Reservation,
    turn: Turn,
) -> Result<Tried, StepError> {
    let settled = settle(hand, &turn, reservation, price).await?;
    if let Some((cap, left)) = overshot(settled) {
        // A call that cost more than its bound is recorded, and stops the agent.
        return Ok(Tried::End(trip::trip(hand, cap, left, left).await?));
    }
    conclude(hand, body, price, turn).await
}

async fn settle(
    hand: &InHand<'_>,
    turn: &Turn,
    reservation: Reservation,
    price: &PriceRow,
) -> Result<Settled, StepError> {
    let used = match turn.settlement() {
        Settlement::Exact(usage) => Used { tokens: usage.total(), usd: usage.price(price) },
        Settlement::Nothing => Used { tokens: 0, usd: UsdNanos::ZERO },
        Settlement::InFull => return Ok(hand.deps.budget.charge_in_full(reservation).await?),
    };
    Ok(hand.deps.budget.settle(reservation, used).await?)
}

fn overshot(settled: Settled) -> Option<(Cap, Amount)> {
    match settled {
        Settled::Overshot { usd_over, usd_left, .. } if usd_over > UsdNanos::ZERO => {
            Some((Cap::UsdPerDay, Amount::Usd(usd_left)))
        }
        Settled::Overshot { tokens_over, .. } => {
            let over = i64::try_from(tokens_over).unwrap_or(i64::MAX);
            Some((Cap::TokensPerRun, Amount::Tokens(0_i64.saturating_sub(over))))
        }
        Settled::Within { .. } | Settled::AlreadyEnded => None,
    }
}

/// From a settled turn to the stored decision, another try, or the run's end.
async fn conclude(
    hand: &mut InHand<'_>,
    body: &Body,
    price: &PriceRow,
    turn: Turn,
) -> Result<Tried, StepError> {
    let end = match turn {
        Turn::Answer(answer) => {
            let decision = decision_of(hand, body, price, answer)?;
            let decided = hand.deps.ledger.decide_once(&hand.run.run_id, &decision).await?;
            return Ok(Tried::Decided(Box::new(decided)));
        }
        Turn::Retry { after_ms, kind, .. } => return Ok(Tried::Again { after_ms, kind }),
        Turn::Refusal { category, .. } => {
            close::finish(hand, RunStatus::Done, Reason::ModelRefusal, category).await?
        }
        Turn::Truncated { .. } => {
            close::finish(hand, RunStatus::Failed, Reason::ModelTruncated, None).await?
        }
        Turn::StopUnknown { stop, .. } => {
            close::finish(hand, RunStatus::Failed, Reason::ModelStopUnknown, Some(stop)).await?
        }
        Turn::Rejected { kind, message, .. } => {
            tracing::error!(run_id = %hand.run.run_id, %kind, %message, "the model rejected the request");
            if kind == model::SPEND_LIMIT {
                let press = interlock::Press {
                    actor: types::Actor::System("cap".to_owned()),
                    source: "cap".to_owned(),
                    because: "model_spend_limit".to_owned(),
                };
                hand.deps.interlock.trip(&Scope::Global, &press).await?;
            }
            close::finish(hand, RunStatus::Failed, Reason::ModelRejected, Some(kind)).await?
        }
        // The next look at the switch closes the run, or parks it while the switch is silent.
        Turn::Halted => hand.wait(1),
    };
    Ok(Tried::End(end))
}

fn decision_of(
    hand: &InHand<'_>,
    body: &Body,
    price: &PriceRow,
    answer: model::Answer,
) -> Result<Decision, StepError> {
    let content = String::from_utf8(answer.content_raw)
        .map_err(|_| StepError::Inconsistent { what: "the answer's content is no text" })?;
    let usage = answer.receipt.usage;
    Ok(Decision {
        step: hand.run.n,
        content,
        calls: answer
            .calls
            .into_iter()
            .map(|call| DecidedCall {
                tool_use_id: call.id,
                name: call.name,
                input: match call.input {
                    Input::Object(map) => Some(serde_json::Value::Object(map)),
                    Input::Malformed(_) => None,
                },
            })
            .collect(),
        calls_dropped: answer.calls_dropped,
        prompt: prompt_ref(hand, body)?,
        body_bytes: u64::try_from(body.bytes().len()).unwrap_or(u64::MAX),
        tokens: usage.total(),
        usd: usage.price(price),
        model_version: answer.receipt.model_version,
        request_id: answer.receipt.request_id,
        text: answer.text,
        ends: None,
    })
}

/// Where the audit finds each part of the body: the frozen row, the message rows, and the tail inline.
fn prompt_ref(hand: &InHand<'_>, body: &Body) -> Result<PromptRef, StepError> {
    let inconsistent = || StepError::Inconsistent { what: "the body's parts and the stored messages" };
    let parts: Vec<_> = body.parts().collect();
    let frozen_hash = hand.run.frozen.clone().ok_or_else(inconsistent)?;
    let (Some(first), Some(tail)) = (parts.first(), parts.last()) else { return Err(inconsistent()) };
    if first.sha256 != frozen_hash || parts.len() != hand.transcript.messages.len().saturating_add(2) {
        return Err(inconsistent());
    }
    let mut refs = vec![PartRef {
        hash: frozen_hash.clone(),
        pk: format!("frozen#{frozen_hash}"),
        sk: "frozen".to_owned(),
    }];
    for (part, message) in parts.iter().skip(1).zip(&hand.transcript.messages) {
        if part.sha256 != message.part.hash {
            return Err(inconsistent());
        }
        refs.push(message.part.clone());
    }
    refs.push(PartRef {
        hash: tail.sha256.to_owned(),
        pk: INLINE.to_owned(),
        sk: String::from_utf8_lossy(tail.bytes).into_owned(),
    });
    Ok(PromptRef { hash: body.sha256().to_owned(), parts: refs })
}

/// The run's frozen request prefix; the same for every run of a deployment, so it is kept.
async fn frozen(hand: &InHand<'_>) -> Result<Arc<Vec<u8>>, StepError> {
    let hash =
        hand.run.frozen.clone().ok_or(StepError::Inconsistent { what: "the run has no frozen part" })?;
    let kept = hand.deps.frozen.lock().ok().and_then(|kept| kept.get(&hash).cloned());
    if let Some(bytes) = kept {
        return Ok(bytes);
    }
    let part = PartRef { pk: format!("frozen#{hash}"), sk: "frozen".to_owned(), hash: hash.clone() };
    let bytes = hand.deps.ledger.part(&part).await?;
    let bytes = bytes.ok_or(StepError::Inconsistent { what: "the frozen part is gone" })?;
    if ledger::sha256_hex(&bytes) != hash {
        return Err(StepError::Inconsistent { what: "the frozen part is another one" });
    }
    let bytes = Arc::new(bytes);
    if let Ok(mut kept) = hand.deps.frozen.lock() {
        kept.insert(hash, Arc::clone(&bytes));
    }
    Ok(bytes)
}
