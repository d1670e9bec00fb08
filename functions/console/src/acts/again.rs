//! A stopped run, started again as a new one. Must never touch the old run, nor start while the agent is
//! halted.
use crate::load::run::page_with;
use crate::load::waiting::may_start;
use crate::route::{Visit, reason_of};
use ledger::{Again, LedgerError, Run, RunStatus};
use starter::Start;
use types::RunId;
use web::{Fields, Response};

/// Admits the new run together with this person's entry, then starts it.
pub(crate) async fn again(visit: &Visit<'_>, name: &str, form: &Fields) -> Response {
    let typed = form.get("why").unwrap_or_default().to_owned();
    let refused = |status: u16, why: &str| page_with(visit, name, Some((typed, why.to_owned())), status);
    let Ok(run_id) = RunId::new(name) else { return refused(404, "There is no such run.").await };
    if !may_start(visit) {
        return refused(409, "The agent is halted, so nothing was started. Resume it first.").await;
    }
    let Some(why) = reason_of(form, "why") else {
        return refused(422, "Say in 10 characters or more why it shall start again.").await;
    };
    let answer = visit.deps.ledger.start_again(&run_id, &visit.actor(), &why).await;
    let (new, notice) = match answer {
        Ok(Again::New(new)) => (new, "again"),
        Ok(Again::Before(new)) => (new, "already"),
        Ok(Again::NotStopped(status)) => return refused(409, not_stopped(status)).await,
        Ok(Again::Unsettled(writes)) => {
            let why = format!(
                "{writes} of its writes have no known end. Close them under Waiting first: they may have \
                 arrived."
            );
            return refused(409, &why).await;
        }
        Ok(Again::Erased) => return refused(410, "What it was about was erased.").await,
        Err(LedgerError::NoRun { .. }) => return refused(404, "There is no such run.").await,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, %run_id, "a run was not started again");
            return refused(503, "The tables did not answer. Press again: it is started once.").await;
        }
    };
    start(visit, &new).await;
    Response::see_other(&format!("/runs/{}?n={notice}", new.run_id))
}

/// Best effort: the sweep starts by the same name what was admitted and never started.
async fn start(visit: &Visit<'_>, run: &Run) {
    let Some(starter) = visit.deps.starter.as_ref().filter(|_| run.status == RunStatus::Queued) else {
        return;
    };
    let start = Start { name: run.execution_name(), run_id: run.run_id.clone(), n: run.n };
    let started = match starter.start(&start).await {
        Ok(_) => visit.deps.ledger.mark_started(&run.event.key).await.map_err(Into::into),
        Err(error) => Err(Box::<dyn std::error::Error + Send + Sync>::from(error)),
    };
    if let Err(error) = started {
        tracing::warn!(error = &*error, run_id = %run.run_id, "a run starts with the next sweep");
    }
}

fn not_stopped(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Queued | RunStatus::Running => "It still goes on.",
        RunStatus::Held => "It waits: start it under Waiting.",
        RunStatus::Done | RunStatus::Halted | RunStatus::Failed => "It ended by itself.",
        RunStatus::Discarded => "It was thrown away.",
    }
}
