//! From the press to true quiet, as a distribution. Must never call something quiet that may still write.
use crate::scene::{Scene, says, says_nothing_more};
use crate::steps::event;
use crate::{Redis, percentile};
use serde_json::json;
use standins::{Fault, Matcher};
use std::time::{Duration, Instant};
use step::{Next, StepInput};
use types::Scope;

const ROUNDS: u64 = 60;
/// How long the CRM takes over a write that is under way at the press.
const WRITE_MS: u64 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Idle,
    MidModelCall,
    MidWrite,
}

/// Prints one line for each moment of the press.
pub async fn run(redis: &Redis) {
    println!("\nFrom the press to quiet, {ROUNDS} presses each (a write takes the CRM {WRITE_MS} ms)");
    println!(
        "{:<16} {:>10} {:>10} {:>10} {:>10}   writes that began after the answer",
        "pressed", "answer p50", "quiet p50", "p95", "max"
    );
    for at in [At::Idle, At::MidModelCall, At::MidWrite] {
        let mut answered = Vec::new();
        let mut quiet = Vec::new();
        let mut late = 0;
        crate::scene::typed::<()>(redis.server.url(), &["FLUSHALL"]).await.expect("an empty server");
        let url = redis.server.url().to_owned();
        let mut scene = Scene::with(|settings| drop(settings.insert("REDIS_URL".to_owned(), url))).await;
        scene.go_live("append_note").await;
        for nth in 0..ROUNDS {
            if nth % 15 == 14 {
                scene.clock.advance_ms(86_400_000);
            }
            let (one_answer, one_quiet, one_late) = one(&mut scene, at, nth).await;
            answered.push(one_answer);
            quiet.push(one_quiet);
            late += one_late;
            assert!(matches!(scene.resume(Scope::Global).await, interlock::Rearmed::Done { .. }));
            // The control item's log has room for a hundred entries until a sweep moves them.
            scene.settle_audit().await;
            scene.go_live("append_note").await;
        }
        let ms = |duration: Duration| {
            format!("{}.{:02} ms", duration.as_millis(), duration.as_micros() % 1_000 / 10)
        };
        println!(
            "{:<16} {:>10} {:>10} {:>10} {:>10}   {late}",
            match at {
                At::Idle => "idle",
                At::MidModelCall => "mid model call",
                At::MidWrite => "mid write",
            },
            ms(percentile(&mut answered, 50)),
            ms(percentile(&mut quiet, 50)),
            ms(percentile(&mut quiet, 95)),
            ms(percentile(&mut quiet, 100)),
        );
    }
}

/// One press: until it was answered, until nothing was under way any more, and how many writes began later.
async fn one(scene: &mut Scene, at: At, nth: u64) -> (Duration, Duration, usize) {
    let task = match at {
        At::Idle => None,
        At::MidModelCall | At::MidWrite => {
            let input = about_to_write(scene, nth).await;
            if at == At::MidModelCall {
                scene.standins.anthropic.hold();
            } else {
                let notes = Matcher::any().method("POST").path("notes");
                scene.standins.hubspot.next(notes, Fault::ApplyThenDelay(WRITE_MS));
            }
            let began = scene.sent().len();
            let task = scene.spawn_step(&input);
            match at {
                At::MidModelCall => scene.standins.anthropic.wait_until_held(1).await,
                At::Idle | At::MidWrite => {
                    while scene.sent().len() == began {
                        tokio::task::yield_now().await;
                    }
                }
            }
            Some((input, task))
        }
    };
    let pressed = Instant::now();
    let report = scene.press_halt(&Scope::Global).await;
    let answered = pressed.elapsed();
    assert!(matches!(report.control, interlock::ControlHalt::Latched(_)), "{report:?}");
    let sent = scene.sent().len();
    let mut quiet = None;
    if let Some((input, task)) = task {
        drop(task.await.expect("no panic"));
        if at == At::MidModelCall {
            scene.standins.anthropic.wait_until_none_held().await;
            quiet = Some(pressed.elapsed());
            scene.standins.anthropic.release();
        }
        assert_eq!(scene.finish(&input).await, Next::Halted);
    }
    loop {
        let control = scene.control().await;
        if control.in_flight.is_empty() && control.unknown.is_empty() {
            break;
        }
        scene.sweep_effects().await;
    }
    let quiet = quiet.unwrap_or_else(|| pressed.elapsed());
    (answered, quiet, scene.sent().len() - sent)
}

/// A fresh run whose next step asks the model and then writes a note.
async fn about_to_write(scene: &mut Scene, nth: u64) -> StepInput {
    scene.clock.advance_ms(10_000);
    let note = json!({"deal_id": "4411", "text": "They chose another.", "because": "They wrote so."});
    scene.standins.anthropic.script(vec![says(&[("append_note", note)]), says_nothing_more()]);
    let events = event(scene, nth);
    assert_eq!(scene.deliver(&events).await.0, 200);
    let start = scene.asked_for().pop().expect("a start");
    let mut input = StepInput { run_id: start.run_id, n: start.n, customer_id: None };
    scene.step_to(&mut input, 1).await;
    input
}
