//! Starts what waited, as a person wished when she resumed: in dry-run. Must never start a run that began
//! before a halt, nor anything after the next one.
use crate::{Deps, StepError};
use ledger::{Entry, Run, StartWaiting};
use starter::Start;

/// How many are started by one sweep.
const STARTS_MAX: usize = 25;

/// Starts the next of what waits. Returns how many.
pub(crate) async fn start(deps: &Deps) -> Result<u32, StepError> {
    let Some(wish) = deps.ledger.wished_to_start().await? else { return Ok(0) };
    let control = deps.interlock.control().await?;
    // FAIL-CLOSED: a wish holds for the resume that it was said with. Whoever halted since has not said it.
    if !control.is_armed() || control.epoch != wish.epoch {
        deps.ledger.drop_wish(&wish).await?;
        return Ok(0);
    }
    let held = deps.ledger.held().await?;
    let halted = |run: &Run| {
        run.deal.as_ref().is_some_and(|deal| control.halted_customers.contains_key(&deal.customer_id))
    };
    // One that met another halt since this wish started it waits for a person again.
    let due = held.into_iter().filter(|run| {
        run.bound.is_none()
            && run.event.received_ms < wish.before_ms
            && run.dry_since != Some(wish.epoch)
            && !halted(run)
    });
    let due: Vec<Run> = due.take(STARTS_MAX).collect();
    let is_all = due.len() < STARTS_MAX;
    let mut started = 0_u32;
    for run in due {
        started = started.saturating_add(u32::from(start_one(deps, &wish, run).await?));
    }
    if is_all {
        deps.ledger.drop_wish(&wish).await?;
    }
    Ok(started)
}

/// False when somebody else started it or threw it away.
async fn start_one(deps: &Deps, wish: &StartWaiting, held: Run) -> Result<bool, StepError> {
    let mut run = held.clone();
    run.requeue();
    run.dry_since = Some(wish.epoch);
    let entry = entry_of(deps, wish, &run);
    let start = Start { name: run.execution_name(), run_id: run.run_id.clone(), n: run.n };
    let start = async { deps.starter.start(&start).await.map(drop).map_err(StepError::from) };
    deps.ledger.start_held(held, run, entry, start).await
}

fn entry_of(deps: &Deps, wish: &StartWaiting, run: &Run) -> Entry {
    let rest = format!("{}-{}-start", run.run_id, run.executions);
    let entry = Entry::new("control", rest, deps.clock.now(), wish.actor.clone(), "start_held", run.target());
    Entry {
        customer_id: run.deal.as_ref().map(|deal| deal.customer_id.clone()),
        run_id: Some(run.run_id.clone()),
        subjects: run.deal.as_ref().map(|deal| deal.subjects.clone()).unwrap_or_default(),
        detail: Some(serde_json::json!({"event": run.event.line(), "mode": "dry_run"})),
        ..entry
    }
}
