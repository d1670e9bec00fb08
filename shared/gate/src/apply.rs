//! From a decision to an act: intent row, permit, flags again, act, outcome row, permit returned. Must never
//! reorder them.
use crate::plan::{Context, Plan};
use crate::tool::{Act, Sent};
use async_trait::async_trait;
use interlock::{Go, Interlock, InterlockError, PermitAnswer, PermitAsk};
use types::{Reason, RunId};

/// Where the gate writes what happens, before and after it happens. The caller commits it together with its
/// run.
#[async_trait]
pub trait Trail: Send {
    /// The tool call will ask for a permit: the intent row becomes durable. Without it nothing is sent.
    async fn planned(&mut self, plan: &Plan) -> Result<(), TrailError>;
    /// The permit is held and the request goes out next.
    async fn open(&mut self, plan: &Plan, permit: &interlock::Permit) -> Result<(), TrailError>;
    /// The outcome is known (or known to be unknown). The permit is returned only after this is durable.
    async fn closed(&mut self, plan: &Plan, applied: &Applied) -> Result<(), TrailError>;
}

/// The trail could not be written: whether it was, is unknown.
#[derive(Debug, thiserror::Error)]
#[error("the tool call's row could not be written")]
pub struct TrailError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// How an execution ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// What became of the request.
    Sent(Sent),
    /// No permit; nothing was sent.
    NoPermit(Reason),
}

/// Why an execution broke off. The intent row tells how far it got.
#[derive(Debug, thiserror::Error)]
pub enum ActFailed {
    /// A row could not be written.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// The control item gave no answer; nothing was sent.
    #[error(transparent)]
    Interlock(#[from] InterlockError),
}

/// How long this invocation and its request may take.
#[derive(Debug, Clone, Copy)]
pub struct PermitTerms<'a> {
    /// The run that writes.
    pub run_id: &'a RunId,
    /// When the platform ends this invocation (ms since 1970).
    pub invocation_deadline_ms: i64,
    /// The longest that the request may take (ms).
    pub request_ms_max: i64,
}

/// Executes one act.
///
/// # Errors
/// [`ActFailed`] when a store gave no answer: the next invocation finds the intent row and goes on from
/// there.
// INVARIANT (I4, I26): no request before its intent row is durable, its permit granted and the flags read
// again.
pub async fn apply(
    act: &dyn Act,
    context: &Context,
    plan: &Plan,
    go: &Go,
    interlock: &Interlock,
    terms: PermitTerms<'_>,
    trail: &mut dyn Trail,
) -> Result<Applied, ActFailed> {
    trail.planned(plan).await?;
    let target = plan.target.to_string();
    let ask = PermitAsk {
        run_id: terms.run_id,
        intent_id: &context.intent_id,
        tool: &plan.verb,
        target: &target,
        customer_id: &context.customer_id,
        invocation_deadline_ms: terms.invocation_deadline_ms,
        request_ms_max: terms.request_ms_max,
    };
    let permit = match interlock.permit(go, &ask).await? {
        PermitAnswer::Granted(permit) => permit,
        PermitAnswer::Refused(reason) => {
            let applied = Applied::NoPermit(reason);
            trail.closed(plan, &applied).await?;
            return Ok(applied);
        }
    };
    if !types::mutant("write_before_row")
        && let Err(error) = trail.open(plan, &permit).await
    {
        // Nothing was sent; the row may say otherwise, and is then read back.
        interlock.give_back(permit).await;
        return Err(error.into());
    }
    // FAIL-CLOSED: the row took its time, or the process slept. A permit is believed dead once the platform
    // has ended its invocation, so nothing may start that could outlive that.
    if interlock.is_out_of_time(&ask) {
        let applied = Applied::NoPermit(Reason::OutOfTime);
        trail.closed(plan, &applied).await?;
        interlock.give_back(permit).await;
        return Ok(applied);
    }
    let sent = act.apply(context, plan, &permit).await;
    let unknown = matches!(sent, Sent::Unknown { .. });
    let applied = Applied::Sent(sent);
    // Until the outcome is durable the permit stays: a halt pressed now must see it.
    trail.closed(plan, &applied).await?;
    if unknown {
        interlock.mark_unknown(permit, &ask).await?;
    } else {
        interlock.give_back(permit).await;
    }
    Ok(applied)
}
