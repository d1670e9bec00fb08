//! The plain loop beside ours, on the same servers in the same run. Must never be left out without saying so.
use crate::scene::{Scene, repository};
use crate::{Redis, percentile, us};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const STEPS: u32 = 500;
const RACES: u32 = 500;

/// Prints its step beside ours, and how often it wrote after the press. `quiet` counts ours.
pub async fn run(redis: &Redis) {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return println!("\nNOT RUN the plain loop in Python: {why}"),
    };
    let (operations, flags) = crate::steps::note_asks(redis).await;
    let url = redis.server.url().to_owned();
    crate::scene::typed::<()>(&url, &["FLUSHALL"]).await.expect("an empty server");
    let scene = Scene::with(|settings| drop(settings.insert("REDIS_URL".to_owned(), url.clone()))).await;
    let hubspot = standins::hubspot::Settings::default();
    let setting = json!({
        "redis_url": url, "dynamodb_url": Scene::tables_endpoint(), "table": format!("{}runs", scene.prefix),
        "database_url": scene.variables["DATABASE_URL"], "token": hubspot.token,
        "crm": scene.standins.hubspot.url.trim_start_matches("http://"),
        "api_version": config::Settings::from_map(|name| scene.variables.get(name).cloned()).expect("settings").hubspot_api_version,
        "steps": STEPS, "races": RACES, "operations": operations, "flags": flags,
    });
    let script = repository().join("tests/benches/step/plain.py");
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python).arg(script).arg(setting.to_string()).output().expect("a process")
    });
    let output = async {
        // The CRM's stand-in counts requests per ten seconds by this clock, which stands still otherwise.
        let clock = async {
            loop {
                scene.clock.advance_ms(10_000);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! { done = output => done, () = clock => unreachable!("the clock goes on") }
    };
    let output = output.await.expect("no panic");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).expect("a JSON line");
    let median = |name: &str| {
        let took = said[name].as_array().expect("times").iter();
        let mut took: Vec<_> = took.map(|us| Duration::from_micros(us.as_u64().expect("a number"))).collect();
        percentile(&mut took, 50)
    };
    let (plain, same) = (median("steps_us"), median("same_us"));
    let ours = crate::steps::note_steps(redis).await;
    println!("\nA plain loop in Python on the same servers: {STEPS} steps with a note, the model left out");
    let times = |other: Duration| {
        let hundredths = us(other) * 100 / us(ours);
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    };
    println!("plain {} us a step, ours {} us: {} times ours", us(plain), us(ours), times(plain));
    println!(
        "the same {} requests to the tables and {flags} to the flags as ours, from Python: {} us, {} times ours",
        operations.len(),
        us(same),
        times(same)
    );
    println!(
        "pressed while the model thought: the plain loop wrote after the press in {} of {RACES} runs",
        said["wrote_after_the_press"]
    );
}

/// A Python with the packages, made once below the target folder.
fn python() -> Result<PathBuf, String> {
    let folder = repository().join("target/bench-python");
    let python = folder.join("bin/python");
    if works(&python) {
        return Ok(python);
    }
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let packages = ["boto3>=1.40,<2", "redis>=6,<8", "psycopg[binary]>=3.2,<4"];
    succeed(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(packages))?;
    Ok(python)
}

fn works(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", "import boto3, psycopg, redis"])
        .output()
        .is_ok_and(|done| done.status.success())
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let done = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&done.stderr);
    done.status.success().then_some(()).ok_or_else(|| said.lines().last().unwrap_or("it failed").to_owned())
}
