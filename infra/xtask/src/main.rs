//! `cargo xtask <task>`. Must never hold logic of its own.
use std::process::ExitCode;
use xtask::Outcome;

const USAGE: &str = "\
cargo xtask test [ARGS]   get what the tests need, run all of them, name those that could not run
                          ARGS go to `cargo test`, for example `-p tests tidy`
cargo xtask ci            fmt, clippy, doc, deny, test
cargo xtask package       the five functions as zips for arm64
cargo xtask hubspot --url WEBHOOK_URL --email SUPPORT_EMAIL
                          HubSpot's project files for this install, in target/hubspot
cargo xtask bless         write the snapshots anew; read the difference before you commit it";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("", [].as_slice()),
    };
    let outcome = match (task, rest.is_empty()) {
        ("test", _) => xtask::test(rest),
        ("ci", true) => xtask::ci(),
        ("package", true) => xtask::package(),
        ("bless", true) => xtask::bless(),
        ("hubspot", _) => xtask::hubspot(rest),
        ("help" | "--help" | "-h", _) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Outcome::Done => ExitCode::SUCCESS,
        Outcome::Failed(why) => {
            eprintln!("FAIL  {why}");
            ExitCode::FAILURE
        }
    }
}
