//! The operator's command `holdfast`, as a library so that it can be tested whole. Must never say more than a
//! store confirmed, nor lead away from safe without a reason.
//!
//! One file per subcommand; each reads or writes, then hands what it learned to a pure function that words
//! it.

mod again;
mod arguments;
mod checked;
mod console;
mod data;
mod doctor;
mod drill;
mod error;
mod halt;
mod init;
mod install;
mod invite;
mod look;
mod page;
mod people;
mod report;
mod resume;
mod revoke;
mod status;
mod terminal;
mod through;
mod verify;
mod verify_halt;
mod why;

#[cfg(test)]
mod tests;

pub use arguments::{Arguments, Command};
pub use console::{Ask, Console};
pub use doctor::SCOPES;
pub use error::CliError;
pub use report::{Line, Report, Status, Three};
pub use terminal::{Color, Terminal};

use config::Settings;
use install::Install;
use types::Clock;

/// Logs to stderr, warnings and above unless `RUST_LOG` says else: results stay on stdout.
pub fn init_logging(lookup: impl Fn(&str) -> Option<String>) {
    let level = lookup("RUST_LOG").unwrap_or_else(|| "error".to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(level).unwrap_or_else(|_| "error".into());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}

/// Runs one subcommand. `lookup` reads an environment variable, `ask` talks with the person at the terminal.
pub async fn run(
    arguments: &Arguments,
    lookup: &dyn Fn(&str) -> Option<String>,
    ask: &mut dyn Ask,
) -> Report {
    config::install_tls();
    match dispatch(arguments, lookup, ask).await {
        Ok(report) => report,
        Err(error) => Report::failed(error.three()),
    }
}

async fn dispatch(
    arguments: &Arguments,
    lookup: &dyn Fn(&str) -> Option<String>,
    ask: &mut dyn Ask,
) -> Result<Report, CliError> {
    // HALT needs no setting but its own: it comes before the settings are judged as a whole.
    if let Command::Halt(halt) = &arguments.command {
        return Box::pin(halt::run(halt, arguments.actor(), lookup, ask)).await;
    }
    let settings = Settings::from_map(lookup).map_err(CliError::Settings)?;
    let actor = arguments.actor();
    match &arguments.command {
        Command::Resume(resume) if resume.through.is_some() => through::resume(resume, actor, ask).await,
        Command::Status(status) if status.through.is_some() => through::status(status).await,
        Command::Export(export) => match export.whom.through.as_deref() {
            Some(function) => data::export_through(function, export, &actor).await,
            None => Box::pin(data::export(&Install::open(&settings).await?, export, actor)).await,
        },
        Command::Erase(erase) => match erase.whom.through.as_deref() {
            Some(function) => data::erase_through(function, erase, &actor, ask).await,
            None => Box::pin(data::erase(&Install::open(&settings).await?, erase, actor, ask)).await,
        },
        Command::Requests => data::requests(&Install::open(&settings).await?).await,
        Command::Doctor(_) => Box::pin(doctor::run(&settings, Clock::system())).await,
        Command::Why(why) => Box::pin(why::run(&Install::open(&settings).await?, why)).await,
        Command::Drill(drill) => {
            Box::pin(drill::run(&Install::open(&settings).await?, drill, actor, ask)).await
        }
        Command::VerifyHalt(verify) => {
            Box::pin(verify_halt::run(&Install::open(&settings).await?, verify)).await
        }
        Command::Verify(verify) => verify::run(&Install::open(&settings).await?, verify).await,
        Command::Init(init) => Box::pin(init::run(&Install::open(&settings).await?, init, ask)).await,
        Command::Resume(resume) => {
            Box::pin(resume::run(&Install::open(&settings).await?, resume, actor, ask)).await
        }
        Command::Status(_) => Box::pin(status::run(&Install::open(&settings).await?)).await,
        Command::Invite(invite) => invite::run(&Install::open(&settings).await?, invite, actor).await,
        Command::Revoke(revoke) => revoke::run(&Install::open(&settings).await?, revoke, actor).await,
        Command::Again(again) => again::run(&Install::open(&settings).await?, again, actor).await,
        Command::Checked(checked) => {
            Box::pin(checked::run(&Install::open(&settings).await?, checked, actor)).await
        }
        Command::Halt(_) => Ok(Report::default()),
    }
}
