//! The four tasks. Must never report success for something that did not run.
use crate::child::{cargo, on_path, quiet, root, stream, target};
use crate::{NOT_RUN, in_ci, package_arguments, parts, variable};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// How a task ended.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Everything asked for was done.
    Done,
    /// What failed, for a person.
    Failed(String),
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Done)
    }
}

/// Gets what the tests need, runs them all, and ends by naming every test that could not run.
pub fn test(arguments: &[String]) -> Outcome {
    let missing = parts::get();
    for part in &missing {
        eprintln!("missing: {part}");
    }
    let not_run = target().join("xtask").join("not-run.txt");
    let prepared = std::fs::create_dir_all(not_run.parent().unwrap_or(&not_run))
        .and_then(|()| std::fs::write(&not_run, ""));
    if let Err(error) = prepared {
        return Outcome::Failed(format!("`{}`: {error}", not_run.display()));
    }
    let mut command = cargo(&["test", "--locked"]);
    if !arguments.iter().any(|argument| argument == "-p" || argument.starts_with("--package")) {
        command.arg("--workspace");
    }
    command.args(arguments).env("PATH", path()).env(NOT_RUN, &not_run);
    let outcome = stream("cargo test", &mut command);
    judge(outcome, &std::fs::read_to_string(&not_run).unwrap_or_default(), in_ci())
}

/// Names the tests that could not run; in CI one is a failure.
fn judge(outcome: Result<(), String>, not_run: &str, in_ci: bool) -> Outcome {
    let lines: Vec<&str> = not_run.lines().filter(|line| !line.is_empty()).collect();
    for line in &lines {
        eprintln!("{line}");
    }
    match outcome {
        // FAIL-CLOSED: what did not run has proved nothing.
        Ok(()) if in_ci && !lines.is_empty() => Outcome::Failed(format!("{} tests did not run", lines.len())),
        outcome => outcome.into(),
    }
}

/// Format, lints, documentation, licences, tests: what a change must pass.
pub fn ci() -> Outcome {
    let warnings = ["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"];
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let steps: [(&str, Command); 3] =
        [("fmt", cargo(&["fmt", "--all", "--check"])), ("clippy", cargo(&warnings)), ("doc", doc)];
    for (name, mut command) in steps {
        let began = Instant::now();
        eprintln!("{name} ..");
        if let Err(why) = stream(name, &mut command) {
            return Outcome::Failed(why);
        }
        eprintln!("ok    {name} {} s", began.elapsed().as_secs());
    }
    if let Err(why) = deny() {
        return Outcome::Failed(why);
    }
    test(&[])
}

/// Licences, sources and known holes of everything that is linked.
fn deny() -> Result<(), String> {
    if on_path("cargo-deny").is_none() {
        // Building it costs more than everything else here together, so it is not installed behind anyone's
        // back.
        eprintln!("NOT RUN deny: `cargo install cargo-deny --locked` installs it");
        return Ok(());
    }
    quiet("deny", &mut cargo(&["deny", "--workspace", "--locked", "check"]))?;
    eprintln!("ok    deny");
    Ok(())
}

/// The five zips, for arm64.
pub fn package() -> Outcome {
    if let Err(why) = parts::get_cargo_lambda() {
        return Outcome::Failed(why);
    }
    let mut command = cargo(&package_arguments());
    command.env("PATH", path());
    let built = stream("cargo lambda build", &mut command);
    if built.is_ok() {
        let folder = target().join("lambda");
        for name in crate::FUNCTIONS {
            println!("{}", folder.join(name).join("bootstrap.zip").display());
        }
    }
    built.into()
}

/// Writes every snapshot anew.
pub fn bless() -> Outcome {
    let mut command = cargo(&["test", "--locked", "--quiet", "-p", "tools", "-p", "tests"]);
    command.env("BLESS", "1");
    let outcome = stream("cargo test", &mut command);
    if outcome.is_ok() && Path::new(&root()).join(".git").exists() {
        let _ = stream("git", Command::new("git").args(["diff", "--stat"]).current_dir(root()));
    }
    outcome.into()
}

/// PATH, with what was installed only for the tests in front.
fn path() -> OsString {
    let now = variable("PATH").unwrap_or_default();
    let folders = parts::folders().into_iter().chain(std::env::split_paths(&now));
    std::env::join_paths(folders).unwrap_or_else(|_| now.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_could_not_run_fails_in_ci_and_only_there() {
        let line = "NOT RUN pages: no chromium\n";
        assert_eq!(judge(Ok(()), line, true), Outcome::Failed("1 tests did not run".to_owned()));
        assert_eq!(judge(Ok(()), line, false), Outcome::Done);
        assert_eq!(judge(Ok(()), "", true), Outcome::Done);
        assert_eq!(judge(Err("x".to_owned()), "", false), Outcome::Failed("x".to_owned()));
    }
}
