//! Processes of a test: this test binary once more, with one test's name and a part to play. Must never
//! outlive the process that started them.
use crate::support::variable;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Names a child's part, as JSON.
const PART: &str = "HOLDFAST_TEST_PART";

/// The part that this process was started to play; none in one that a person started.
///
/// It ends with its parent: the parent's end of its input closes, however the parent went.
pub fn part<T: DeserializeOwned>() -> Option<T> {
    let part = serde_json::from_str(&variable(PART)?).expect("a part");
    std::thread::spawn(|| {
        // An error is an end too.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    Some(part)
}

/// Starts this binary's test of that name (`module::test`) with a part to play. Killed on drop.
///
/// It gets less of the machine than its parent: other tests have deadlines to keep.
pub fn start(test: &str, part: &impl Serialize) -> Child {
    Command::new("nice")
        .args(["-n", "5"])
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(PART, serde_json::to_string(part).expect("JSON"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("a child")
}

/// Sends a signal (`-STOP`, `-CONT`, `-KILL`) to a process that this test started.
pub fn signal(pid: u32, signal: &str) {
    let sent = std::process::Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill");
    assert!(sent.success(), "kill {signal} {pid}");
}
