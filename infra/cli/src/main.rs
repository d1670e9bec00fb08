//! `holdfast`: the operator's command. Must never hold logic: arguments in, an exit code out.
use clap::Parser as _;
use cli::{Arguments, Console, Terminal};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[expect(
        clippy::disallowed_methods,
        reason = "the process's entry: everything else is handed its settings"
    )]
    let lookup = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let terminal = Terminal::new(arguments.color, arguments.json, lookup);
    cli::init_logging(lookup);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("FAIL  holdfast does not start\n      {error}\n      try again");
            return ExitCode::FAILURE;
        }
    };
    let report = runtime.block_on(cli::run(&arguments, &lookup, &mut Console::default()));
    terminal.print(&report);
    ExitCode::from(report.exit_code())
}
