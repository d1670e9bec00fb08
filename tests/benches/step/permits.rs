//! Permits taken and returned on one control item, by how many ask at once. Must never leave one behind.
use crate::Redis;
use crate::door::spawn;
use crate::scene::Scene;
use interlock::{PermitAnswer, PermitAsk, Standing};
use std::sync::Arc;
use std::time::Instant;
use types::{IntentId, Reason, RunId};

const PERMITS: usize = 1_500;

/// Prints one line for each number of callers.
pub async fn run(redis: &Redis) {
    println!("\nPermits on one control item (granted, flags read again, returned)");
    println!("{:>8} {:>10} {:>12} {:>10} {:>12}", "callers", "granted", "permits/s", "us each", "refused");
    crate::scene::typed::<()>(redis.server.url(), &["FLUSHALL"]).await.expect("an empty server");
    let url = redis.server.url().to_owned();
    let scene = Scene::with(|settings| drop(settings.insert("REDIS_URL".to_owned(), url))).await;
    scene.go_live("append_note").await;
    for callers in [1, 2, 4, 8, 16, 32, 64] {
        let began = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let house = Arc::clone(&scene.house.step);
                let deadline_ms = scene.clock.now_ms() + 60_000;
                spawn(async move { ask(&house.interlock, caller, PERMITS / callers, deadline_ms).await })
            })
            .collect();
        let (mut granted, mut refused) = (0_u32, 0);
        for task in tasks {
            let (yes, no) = task.await.expect("no panic");
            granted += yes;
            refused += no;
        }
        let took = began.elapsed();
        let each = took.as_micros() / u128::from(granted.max(1));
        let a_second = u128::from(granted) * 1_000_000 / took.as_micros().max(1);
        println!("{callers:>8} {granted:>10} {a_second:>12} {each:>10} {refused:>12}");
        assert!(scene.control().await.in_flight.is_empty(), "every permit was returned");
    }
}

async fn ask(interlock: &interlock::Interlock, caller: usize, times: usize, deadline_ms: i64) -> (u32, u32) {
    let customer = Scene::customer("1234");
    let run_id = RunId::new(format!("r-{caller:020x}")).expect("an id");
    let (mut granted, mut refused) = (0, 0);
    for nth in 0..times {
        let Standing::Go(go) = interlock.check(None, Some(&customer)).await else { panic!("not armed") };
        let intent_id = IntentId::new(format!("i-{caller}-{nth}")).expect("an id");
        let ask = PermitAsk {
            run_id: &run_id,
            intent_id: &intent_id,
            tool: "append_note",
            target: "deal:4411",
            customer_id: &customer,
            invocation_deadline_ms: deadline_ms,
            request_ms_max: 10_000,
        };
        match interlock.permit(&go, &ask).await.expect("an answer") {
            PermitAnswer::Granted(permit) => {
                granted += 1;
                interlock.give_back(permit).await;
            }
            // The item holds a bounded number of permits.
            PermitAnswer::Refused(Reason::PermitsExhausted) => refused += 1,
            PermitAnswer::Refused(why) => panic!("{why:?}"),
        }
    }
    (granted, refused)
}
