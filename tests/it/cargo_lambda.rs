//! The five programs as `cargo lambda` runs them, each invoked with its file in `events/`. Must never reach
//! AWS: every address is on this machine.
use crate::scene::{self, Scene, repository};
use crate::support::not_run;
use serde_json::Value;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the emulator may take to listen, and a function to answer, before it counts as stuck.
const STUCK: Duration = Duration::from_secs(180);
/// The functions, each with `events/<name>.json`.
const FUNCTIONS: [&str; 5] = ["intake", "step", "halt", "audit", "console"];
/// The run that `events/step.json` names, and nobody started.
const NO_RUN: &str = "r-5f2a0c7d9e1b3a4c6d8e";

/// `cargo lambda`, on PATH or where `cargo xtask test` puts it.
fn program() -> Option<PathBuf> {
    let private = repository().join("target/venv/bin/cargo-lambda");
    [PathBuf::from("cargo-lambda"), private].into_iter().find(|program| {
        let said = Command::new(program).args(["lambda", "--version"]).output();
        said.is_ok_and(|said| said.status.success())
    })
}

/// The emulator and the functions it started; they end together.
struct Watch {
    child: Child,
    program: PathBuf,
    port: u16,
}

impl Watch {
    fn start(program: PathBuf, scene: &Scene) -> Self {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--quiet"]).current_dir(repository());
        build.args(FUNCTIONS.iter().flat_map(|name| ["--bin", name]));
        assert!(build.status().expect("cargo").success(), "the functions do not build");
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let mut watch = Command::new(&program);
        watch
            .args([
                "lambda",
                "watch",
                "--locked",
                "--ignore-changes",
                "--quiet",
                "--invoke-address",
                "127.0.0.1",
            ])
            .args(["--invoke-port", &port.to_string()])
            .current_dir(repository())
            .envs(&scene.variables)
            .env("STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:000000000000:stateMachine:none")
            .env("AWS_ENDPOINT_URL_SFN", "http://127.0.0.1:9")
            .env_remove("SLACK_WEBHOOK_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let watch = Self { child: watch.spawn().expect("cargo lambda watch"), program, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < STUCK, "the emulator does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        watch
    }

    /// `cargo lambda invoke <name> --data-file events/<name>.json`: what it printed, and on which stream.
    fn invoke(&self, name: &str) -> Result<Value, String> {
        let output = Command::new(&self.program)
            .args(["lambda", "invoke", name, "--data-file", &format!("events/{name}.json")])
            .args(["--invoke-address", "127.0.0.1", "--invoke-port", &self.port.to_string()])
            .current_dir(repository())
            .output()
            .expect("cargo lambda invoke");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        if !output.status.success() {
            return Err(format!("{stdout}{stderr}"));
        }
        serde_json::from_str(&stdout).map_err(|error| format!("{error}: {stdout}{stderr}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The emulator starts each function in its own group, and ends them when it is asked to.
        let _ = Command::new("kill").args(["-s", "INT", &self.child.id().to_string()]).status();
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_function_answers_its_event_file() {
    let Some(program) = program() else {
        not_run(
            "cargo_lambda::every_function_answers_its_event_file",
            "no `cargo lambda`: pip install cargo-lambda",
        );
        return;
    };
    let scene = scene::run(Scene::new());
    let watch = Watch::start(program, &scene);
    let intake = watch.invoke("intake").expect("an answer of intake");
    assert_eq!(intake["statusCode"], 401, "{intake}");
    let step = watch.invoke("step").expect_err("there is no such run");
    assert!(step.contains(&format!("there is no run `{NO_RUN}`")), "{step}");
    let halt = watch.invoke("halt").expect("an answer of halt");
    assert_eq!(halt["statusCode"], 404, "{halt}");
    let body = halt["body"].as_str().unwrap_or_default();
    assert!(body.starts_with("This link does not work any more."), "{halt}");
    let audit = watch.invoke("audit").expect("an answer of audit");
    assert!(audit["appended"].is_u64(), "{audit}");
    let console = watch.invoke("console").expect("an answer of console");
    assert_eq!(console["statusCode"], 401, "{console}");
    assert!(console["body"].as_str().unwrap_or_default().contains("You are not signed in"), "{console}");
    assert_eq!(scene.sent(), [], "a write reached the CRM");
    drop(watch);
    scene::run(async {
        // What the audit function moved is in the log that this test reads, once.
        let verified = scene.house.audit.log.verify().await.expect("a reading");
        assert_eq!(verified.first_bad, None);
        assert!(
            u64::try_from(verified.entries).expect("a count") >= audit["appended"].as_u64().expect("a count")
        );
    });
}
