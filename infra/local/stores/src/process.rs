//! Child processes: found, owned, ended, and found again after a hard kill. Must never signal a process that
//! it cannot prove to be ours.

use crate::error::{Result, StoresError, file};
use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// How long a child may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often we look while we wait.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The signals we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Postgres: end now and keep the data clean.
    Interrupt,
    /// Redis: the same.
    Terminate,
    /// The last word.
    Kill,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::Kill => "KILL",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Interrupt, Self::Terminate, Self::Kill].into_iter().find(|signal| signal.name() == name)
    }
}

/// Sends a signal. A process that is gone already is no error.
pub(crate) fn send(pid: u32, signal: Signal) {
    // WHY NOT: a libc call. It is unsafe code; the shell's own `kill` is there on every Unix.
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal.name(), &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(problem) = sent {
        tracing::warn!(pid, %problem, "cannot run `sh` to signal a child");
    }
}

/// What tells this process from a later one with the same number: the boot and the start time.
/// `None`: no such process, or only its remains.
pub(crate) fn identity(pid: u32) -> Option<String> {
    if cfg!(target_os = "linux") {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in brackets and may hold anything, so count from the last bracket: the state is
        // field 3 of the whole line, the start time field 22.
        let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
        let (state, started) = (fields.first()?, fields.get(19)?);
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        (!matches!(*state, "Z" | "X")).then(|| format!("{} {started}", boot.trim()))
    } else {
        let said = Command::new("ps").args(["-o", "lstart=", "-p", &pid.to_string()]).output().ok()?;
        let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        (!said.is_empty()).then_some(said)
    }
}

/// Whether the process works in `folder` (Postgres changes into its cluster folder) or names it when it was
/// started.
pub(crate) fn works_in(pid: u32, folder: &Path) -> bool {
    if cfg!(target_os = "linux") {
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == real)
    } else {
        Command::new("ps")
            .args(["-o", "command=", "-p", &pid.to_string()])
            .output()
            .is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(&*folder.to_string_lossy()))
    }
}

/// Ends a process that is not our child: asks, waits, insists.
pub(crate) fn end_stranger(pid: u32, known: &str, ask: Signal) -> Result<()> {
    for signal in [ask, Signal::Kill] {
        if identity(pid).as_deref() == Some(known) {
            send(pid, signal);
        }
        let mut waited = Duration::ZERO;
        while waited < PATIENCE {
            if identity(pid).as_deref() != Some(known) {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
    }
    Err(StoresError::Stale { pid })
}

/// Ends every process that a pid file of an earlier run names and that is still the same process.
pub(crate) fn end_stale(pid_folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(pid_folder) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut lines = text.lines();
        let pid = lines.next().and_then(|line| line.parse::<u32>().ok());
        let ask = lines.next().and_then(Signal::parse);
        if let (Some(pid), Some(ask), Some(known)) = (pid, ask, lines.next())
            && identity(pid).as_deref() == Some(known)
        {
            end_stranger(pid, known, ask)?;
        }
        fs::remove_file(&path).map_err(file("remove", &path))?;
    }
    Ok(())
}

/// Ends a process when we are gone, however we went: it reads a pipe that only we hold open.
#[derive(Debug)]
pub(crate) struct Watcher(Child);

impl Watcher {
    /// Watches over `pid`.
    pub(crate) fn over(pid: u32, ask: Signal) -> Result<Self> {
        // WHY NOT: the parent-death signal of Linux. It needs unsafe code and there is none on macOS.
        Command::new("sh")
            .args([
                "-c",
                "while read -r _; do :; done; kill -s \"$1\" \"$2\"",
                "sh",
                ask.name(),
                &pid.to_string(),
            ])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(|source| StoresError::Run { program: "sh".to_owned(), source })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Killed while the pipe is still open, so that it never signals a number that another process has by
        // now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A child of ours, with its pid file and its watcher. Ends on drop.
#[derive(Debug)]
pub(crate) struct OwnedChild {
    child: Child,
    ask: Signal,
    pid_file: PathBuf,
    watcher: Option<Watcher>,
}

impl OwnedChild {
    /// Starts `command` in a process group of its own (a Ctrl-C is ours to handle, in order) and remembers
    /// it.
    pub(crate) fn start(command: &mut Command, ask: Signal, pid_file: PathBuf) -> Result<Self> {
        let child = command.stdin(Stdio::null()).process_group(0).spawn().map_err(|source| {
            StoresError::Run { program: command.get_program().to_string_lossy().into_owned(), source }
        })?;
        // From here on an error drops it, which ends the child.
        let mut owned = Self { child, ask, pid_file, watcher: None };
        let pid = owned.pid();
        let known = identity(pid).unwrap_or_default();
        let text = format!("{pid}\n{}\n{known}\n", ask.name());
        fs::write(&owned.pid_file, text).map_err(file("write", &owned.pid_file))?;
        owned.watcher = Some(Watcher::over(pid, ask)?);
        Ok(owned)
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        // FAIL-CLOSED: a child we cannot ask about counts as gone.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it ends by itself. Blocks.
    pub(crate) fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait();
        self.watcher = None;
        status
    }

    /// Asks it to end, waits, insists. Blocks.
    pub(crate) fn end(&mut self) {
        self.watcher = None;
        if !self.has_ended() {
            send(self.pid(), self.ask);
            let mut waited = Duration::ZERO;
            while waited < PATIENCE && !self.has_ended() {
                std::thread::sleep(LOOK_EVERY);
                waited += LOOK_EVERY;
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = fs::remove_file(&self.pid_file);
    }
}

impl Drop for OwnedChild {
    fn drop(&mut self) {
        self.end();
    }
}

/// Every file called `name` in the folders of PATH, in their order.
pub(crate) fn on_path(name: &str) -> Vec<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "PATH says where the machine keeps programs; no setting of ours"
    )]
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).filter(|file| file.is_file()).collect()
}

/// What `program arguments` prints, if it runs and succeeds.
pub(crate) fn output_of(program: &Path, arguments: &[&str]) -> Option<String> {
    let said = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("60");
        command
    }

    #[test]
    fn a_stale_child_is_ended_and_a_stranger_with_its_number_is_not() {
        let folder = crate::data_dir::tests::scratch("stale");
        let pid_file = folder.join("sleeper");
        let mut child = sleeper().spawn().unwrap();
        let pid = child.id();
        let known = identity(pid).unwrap();

        // The same number, another start time: somebody else's process.
        fs::write(&pid_file, format!("{pid}\nTERM\n{known}9\n")).unwrap();
        end_stale(&folder).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "a stranger was signalled");
        assert!(!pid_file.exists());

        fs::write(&pid_file, format!("{pid}\nTERM\n{known}\n")).unwrap();
        end_stale(&folder).unwrap();
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn the_watcher_ends_the_child_when_its_pipe_closes() {
        let mut child = sleeper().spawn().unwrap();
        let mut watcher = Watcher::over(child.id(), Signal::Terminate).unwrap();
        // What the machine does with our end of the pipe when we are killed.
        drop(watcher.0.stdin.take());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_dropped_watcher_leaves_the_child_alone() {
        let mut child = sleeper().spawn().unwrap();
        drop(Watcher::over(child.id(), Signal::Terminate).unwrap());
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
