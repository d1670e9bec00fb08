//! `cargo demo`: starts everything, delivers events, prints the would-have log. Must never write to a CRM
//! unless a person turned a tool on.

mod run;

use clap::Parser;
use demo::terminal::{Color, Terminal};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the whole product on this machine: embedded stores, no AWS account, dry-run.
#[derive(Debug, Parser)]
#[command(name = "holdfast demo", version)]
struct Arguments {
    /// Keep running after the events, and take webhooks.
    #[arg(long)]
    serve: bool,
    /// Deliver these event files (JSON arrays as HubSpot sends them) instead of the five of the demo.
    #[arg(long, value_name = "FILE")]
    events: Vec<PathBuf>,
    /// Start empty: forget what an earlier demo left in the folder.
    #[arg(long)]
    fresh: bool,
    /// Where everything is kept.
    #[arg(long, value_name = "FOLDER", default_value = ".holdfast")]
    folder: PathBuf,
    /// First of the three ports: intake, halt page, console.
    #[arg(long, value_name = "N", default_value_t = 8786)]
    port_base: u16,
    /// One JSON object a line instead of text.
    #[arg(long)]
    json: bool,
    /// Colour on the status words.
    #[arg(long, value_enum, default_value_t)]
    color: Color,
    /// Internal: be the halt function's process.
    #[arg(long, hide = true)]
    halt_function: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[expect(
        clippy::disallowed_methods,
        reason = "the process's entry: everything else gets its settings from here"
    )]
    let lookup = |name: &str| std::env::var(name).ok();
    let terminal = Terminal::new(arguments.color, arguments.json, lookup);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal.progress(&format!("the runtime does not start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    run::init_logging(lookup);
    let outcome = if arguments.halt_function {
        runtime.block_on(run::halt_function(arguments.port_base))
    } else {
        runtime.block_on(run::demo(&arguments, terminal, &lookup))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            // What happened, why, what to do next.
            terminal.progress(&format!("FAIL  {}", failed.what));
            terminal.progress(&format!("      {}", failed.why));
            terminal.progress(&format!("      {}", failed.next));
            ExitCode::FAILURE
        }
    }
}
