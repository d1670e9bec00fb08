//! Running other programs. Must never leave a person without a line for long, nor hide why a program failed.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often a quiet program is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Between two progress lines (s); the first comes after one second.
const PROGRESS_SECONDS: u64 = 10;

/// The folder of the root `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where cargo builds into.
pub(crate) fn target() -> PathBuf {
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(root()).no_deps().exec();
    metadata.map_or_else(|_| root().join("target"), |metadata| metadata.target_directory.into_std_path_buf())
}

/// `cargo` with these arguments, in the root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = crate::variable("CARGO").unwrap_or_else(|| "cargo".to_owned());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    // What cargo told us about this very crate would be told on, and some build scripts then build everything
    // anew.
    let about_us = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| about_us.iter().any(|start| name.starts_with(start))) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it with our own streams. `Err` says what failed.
pub(crate) fn stream(name: &str, command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name}: {status}")),
        Err(error) => Err(format!("{name} does not start: {error}")),
    }
}

/// Runs it with its output in a file, a progress line while it lasts, and its last lines when it fails.
pub(crate) fn quiet(name: &str, command: &mut Command) -> Result<(), String> {
    let log = target().join("xtask").join(format!("{}.log", name.replace([' ', '/'], "-")));
    let failed = |error: std::io::Error| format!("{name}: {error}");
    fs::create_dir_all(log.parent().unwrap_or(&log)).map_err(failed)?;
    let file = File::create(&log).map_err(failed)?;
    let twin = file.try_clone().map_err(failed)?;
    let mut child = command.stdin(Stdio::null()).stdout(file).stderr(twin).spawn().map_err(failed)?;
    let began = Instant::now();
    let mut next = 1;
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return if status.success() {
                Ok(())
            } else {
                Err(format!(
                    "{name}: {status}\n{}",
                    last_lines(&fs::read_to_string(&log).unwrap_or_default())
                ))
            };
        }
        let seconds = began.elapsed().as_secs();
        if seconds >= next {
            eprintln!("  {name}: {seconds} s");
            next = seconds.saturating_add(PROGRESS_SECONDS);
        }
        std::thread::sleep(LOOK);
    }
}

/// Does it run and succeed? Says nothing.
pub(crate) fn works(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The file of that name in PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = crate::variable("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(5);
    lines.iter().skip(from).map(|line| format!("      {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_quietly_still_says_why() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo the reason >&2; exit 3"]);
        let why = quiet("a test", &mut command).expect_err("it exits with 3");
        assert!(why.contains('3') && why.ends_with("      the reason"), "{why}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let why = stream("gone", &mut Command::new("holdfast-no-such-program")).expect_err("no such program");
        assert!(why.starts_with("gone does not start"), "{why}");
        assert!(!works("holdfast-no-such-program", &[]) && on_path("holdfast-no-such-program").is_none());
    }
}
