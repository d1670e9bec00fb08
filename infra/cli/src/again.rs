//! `holdfast again`: a stopped run is started again as a new one. Must never wake the old run.
use crate::arguments::AgainOf;
use crate::error::CliError;
use crate::install::Install;
use crate::report::{Line, Report, Status, Three};
use ledger::{Again, LedgerError, Run, RunStatus};
use serde_json::json;
use types::{Actor, RunId};

/// Admits it; the sweep of the step function starts it within a minute.
pub(crate) async fn run(install: &Install, arguments: &AgainOf, actor: Actor) -> Result<Report, CliError> {
    let answer = install.ledger.start_again(&arguments.run, &actor, &arguments.because).await;
    Ok(match answer {
        Ok(Again::New(new)) => started(&arguments.run, &new, true),
        Ok(Again::Before(new)) => started(&arguments.run, &new, false),
        Ok(Again::NotStopped(status)) => {
            refused(not_stopped(status), "look the run up in the console's audit")
        }
        Ok(Again::Unsettled(writes)) => refused(
            format!("{writes} of its writes have no known end: they may have arrived"),
            "close them with holdfast checked, then try again",
        ),
        Ok(Again::Erased) => {
            refused("what it was about was erased".to_owned(), "a new event starts a new run")
        }
        Err(LedgerError::NoRun { .. }) => {
            refused(format!("there is no run `{}`", arguments.run), "look the run up in the console's audit")
        }
        Err(source) => return Err(CliError::Tables { operation: "start the run again", source }),
    })
}

fn started(old: &RunId, new: &Run, now: bool) -> Report {
    let text = if now {
        format!("{} starts within a minute, or waits for you while the agent is halted", new.run_id)
    } else {
        format!("{} did so before; it is {}", new.run_id, new.status.code())
    };
    let json = json!({"run_id": new.run_id, "starts_again": old, "new": now, "status": new.status.code()});
    Report::done(vec![Line::item(Status::Did, "started again", text)], json)
}

fn refused(why: String, next: &'static str) -> Report {
    Report::failed(Three::new("nothing was started", why, next))
}

fn not_stopped(status: RunStatus) -> String {
    match status {
        RunStatus::Queued | RunStatus::Running => "it still goes on",
        RunStatus::Held => "it has not begun: it waits in the console, under Waiting",
        RunStatus::Done | RunStatus::Halted | RunStatus::Failed => "it ended by itself",
        RunStatus::Discarded => "it was thrown away",
    }
    .to_owned()
}
