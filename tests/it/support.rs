//! What several tests share. Must never let a test that did not run look like one that passed.
use std::io::Write;

/// Says that a test cannot run here, and why; then the test returns.
///
/// `cargo xtask test` ends with these lines. Where everything must run (`CI=true`) this is a failure.
#[track_caller]
pub fn not_run(name: &str, why: &str) {
    let line = format!("NOT RUN {name}: {why}");
    assert!(variable("CI").as_deref() != Some("true"), "{line}");
    let Some(file) = variable(xtask::NOT_RUN) else {
        eprintln!("{line}");
        return;
    };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&file);
    // One write a line: other test binaries append to the same file.
    file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
        .expect("a list of what did not run");
}

/// One environment variable of the person who runs the tests.
#[expect(clippy::disallowed_methods, reason = "how the tests are run is no setting of the product")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
