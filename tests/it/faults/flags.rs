//! Faults of the flag store, each on a real server. Must never pass on the stand-in.
use super::{
    ARMED, FLAG, VAN_DIJK, about_to_write, doctor_of_the_flags, page, parked, permit, standing, stopped,
    stored_control,
};
use crate::door::Line;
use crate::scene::{Scene, run, typed};
use crate::servers::{Cluster, HALT_RULES, RealRedis, STEP_RULES};
use cli::Status;
use interlock::{ControlHalt, PermitAnswer, Rearmed, Standing};
use kill_switch::{Check, FlagHalt, HaltedScope, Switch, Timeouts};
use step::Next;
use types::{Reason, Scope};

/// Retries of a client would show as more checks, more connections.
#[test]
fn a_check_asks_a_silent_server_once_and_a_dead_one_not_again() {
    run(async {
        let name = "faults::flags::a_check_asks_a_silent_server_once_and_a_dead_one_not_again";
        let Some(real) = RealRedis::start(name).await else { return };
        real.user("step", STEP_RULES).await;
        real.typed::<()>(&["SET", ARMED, "7"]).await.expect("armed");
        let line = Line::to(real.redis.url()).await;
        let switch = Switch::new(&line.url_of("step"), Timeouts::default()).expect("an address");
        assert!(matches!(switch.check(Some(VAN_DIJK)).await, Check::Clear(_)));
        assert_eq!(line.counts(), (1, 1), "(connections, checks)");
        assert!(matches!(switch.check(Some(VAN_DIJK)).await, Check::Clear(_)));
        assert_eq!(line.counts(), (1, 2), "the connection is kept");
        real.signal("-STOP");
        assert!(matches!(switch.check(Some(VAN_DIJK)).await, Check::Unreachable));
        assert_eq!(line.counts(), (1, 3), "asked once, no second connection");
        assert!(matches!(switch.check(Some(VAN_DIJK)).await, Check::Unreachable));
        assert_eq!(
            line.counts(),
            (2, 3),
            "a silent connection is not asked again: a new one does not sign in"
        );
        real.signal("-CONT");
        assert!(matches!(switch.check(Some(VAN_DIJK)).await, Check::Clear(_)));
        let (opened, checks) = line.counts();
        real.signal("-KILL");
        real.gone().await;
        assert!(matches!(switch.check(Some(VAN_DIJK)).await, Check::Unreachable));
        let (opened_by_then, checks_by_then) = line.counts();
        assert!(opened_by_then <= opened + 1, "a broken connection is replaced once");
        assert!(checks_by_then <= checks + 1, "and nothing is sent on the new one");
    });
}

#[test]
fn a_killed_server_parks_the_run_and_comes_back_as_it_was() {
    run(async {
        let name = "faults::flags::a_killed_server_parks_the_run_and_comes_back_as_it_was";
        let Some(mut real) = RealRedis::start(name).await else { return };
        let line = Line::to(real.redis.url()).await;
        let url = line.url();
        let mut scene = Scene::with(|settings| drop(settings.insert("REDIS_URL".to_owned(), url))).await;
        let mut input = about_to_write(&mut scene).await;
        let flag = "agent:halted:customer:1236";
        scene.flags::<()>(&["SET", flag, "1"]).await;
        real.signal("-KILL");
        real.gone().await;
        parked(&mut scene, &mut input).await;
        assert!(scene.control().await.is_armed(), "a dead server halts nobody for good");
        real.start_again().await;
        line.lead_to(real.redis.url());
        assert!(scene.flags::<bool>(&["EXISTS", flag]).await, "a halt was on disk before it was answered");
        let bakker = Scene::customer("1236");
        let hers = scene.house.step.interlock.check(None, Some(&bakker)).await;
        assert!(matches!(hers, Standing::Halted { .. }), "{hers:?}");
        assert_eq!(scene.finish(&input).await, Next::Done);
        assert_eq!(scene.sent().len(), 1);
    });
}

#[test]
fn an_emptied_server_is_closed_until_a_person_resumes_and_the_page_says_why() {
    run(async {
        let name = "faults::flags::an_emptied_server_is_closed_until_a_person_resumes_and_the_page_says_why";
        let Some(real) = RealRedis::start(name).await else { return };
        let mut scene = real.scene().await;
        let mut input = about_to_write(&mut scene).await;
        assert!(!page(&scene, "GET", "").await.contains("The switch store was emptied."));
        real.typed::<()>(&["FLUSHALL"]).await.expect("empty");
        for _ in 0..3 {
            parked(&mut scene, &mut input).await;
            scene.clock.advance_ms(61_000);
            scene.settle_audit().await;
            scene.sweep_effects().await;
        }
        assert!(!real.typed::<bool>(&["EXISTS", ARMED]).await.expect("an answer"), "no sweep arms");
        let said = page(&scene, "GET", "").await;
        assert!(said.contains("The switch store was emptied."), "{said}");
        assert!(said.contains("The agent is stopped until a person resumes it."), "{said}");
        assert!(matches!(scene.resume(Scope::Global).await, Rearmed::Done { .. }));
        assert!(matches!(standing(&scene).await, Standing::Go(_)));
    });
}

/// A primary with a replica, the link between them, and the line that the functions talk through.
struct Pair {
    primary: RealRedis,
    replica: RealRedis,
    link: Line,
    endpoint: Line,
}

impl Pair {
    async fn start(test: &str) -> Option<Self> {
        let (primary, replica) = (RealRedis::start(test).await?, RealRedis::start(test).await?);
        primary.typed::<()>(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]).await.expect("no delay");
        let link = Line::to(primary.redis.url()).await;
        let endpoint = Line::to(primary.redis.url()).await;
        let port = link.address.port().to_string();
        replica.typed::<()>(&["REPLICAOF", "127.0.0.1", &port]).await.expect("a replica");
        let pair = Self { primary, replica, link, endpoint };
        pair.in_step().await;
        Some(pair)
    }

    /// A product whose flags lie in the pair, and whose halts wait for the replica.
    async fn scene(&self) -> Scene {
        let url = self.endpoint.url();
        let scene = Scene::with(|settings| {
            settings.insert("REDIS_URL".to_owned(), url);
            settings.insert("REDIS_REPLICAS".to_owned(), "1".to_owned());
        });
        let scene = scene.await;
        self.in_step().await;
        scene
    }

    /// Returns when the replica has everything that the primary has.
    async fn in_step(&self) {
        for _ in 0..2_000 {
            let caught_up = self.primary.typed::<i64>(&["WAIT", "1", "20"]).await.expect("an answer");
            if caught_up == 1 {
                return;
            }
        }
        panic!("the replica does not follow");
    }

    /// The primary dies, the replica takes its place.
    async fn fail_over(&self) {
        self.primary.signal("-KILL");
        self.primary.gone().await;
        self.promote().await;
    }

    /// The replica becomes a primary, whether or not the old one lives, and the endpoint leads to it.
    async fn promote(&self) {
        self.replica.typed::<()>(&["REPLICAOF", "NO", "ONE"]).await.expect("promoted");
        self.endpoint.lead_to(self.replica.redis.url());
    }
}

#[test]
fn a_halt_that_the_replica_acknowledged_survives_the_failover() {
    run(async {
        let name = "faults::flags::a_halt_that_the_replica_acknowledged_survives_the_failover";
        let Some(pair) = Pair::start(name).await else { return };
        let mut scene = pair.scene().await;
        let mut input = about_to_write(&mut scene).await;
        // The control item is restored below, so that the flags stand alone.
        let armed = stored_control(&scene).await;
        let report = scene.press_halt(&Scope::Global).await;
        assert_eq!(report.flags, FlagHalt::Confirmed { acks: 1 });
        pair.fail_over().await;
        let table = format!("{}control", scene.prefix);
        let restored = Scene::dynamo().put_item().table_name(table).set_item(Some(armed)).send().await;
        restored.expect("restored");
        let switch = scene.house.step.interlock.switch();
        assert!(matches!(switch.check(None).await, Check::Halted(HaltedScope::Global)));
        stopped(&mut scene, &mut input, Reason::HaltedGlobal).await;
    });
}

#[test]
fn a_failover_that_loses_the_flag_is_closed_by_the_control_item() {
    run(async {
        let name = "faults::flags::a_failover_that_loses_the_flag_is_closed_by_the_control_item";
        let Some(pair) = Pair::start(name).await else { return };
        let mut scene = pair.scene().await;
        let mut input = about_to_write(&mut scene).await;
        let Standing::Go(go) = standing(&scene).await else { panic!("it may go") };
        pair.link.cut();
        let report = scene.press_halt(&Scope::Global).await;
        assert_eq!(report.flags, FlagHalt::TooFewAcks { acks: 0 }, "no word more than what is known");
        assert!(matches!(report.control, ControlHalt::Latched(_)));
        pair.fail_over().await;
        let switch = scene.house.step.interlock.switch();
        let lost = switch.check(None).await;
        assert!(matches!(lost, Check::Clear(_)), "the new primary knows the arming key alone: {lost:?}");
        assert!(matches!(permit(&scene, &go).await, PermitAnswer::Refused(Reason::HaltedGlobal)));
        stopped(&mut scene, &mut input, Reason::HaltedGlobal).await;
        // And the sweep brings the new primary to the same word.
        scene.clock.advance_ms(61_000);
        scene.settle_audit().await;
        assert!(scene.flags::<bool>(&["EXISTS", FLAG]).await);
    });
}

#[test]
fn a_press_that_only_a_primary_without_its_replica_took_is_not_called_confirmed() {
    run(async {
        let name =
            "faults::flags::a_press_that_only_a_primary_without_its_replica_took_is_not_called_confirmed";
        let Some(pair) = Pair::start(name).await else { return };
        let (mut scene, door) = Scene::behind_a_door().await;
        let url = pair.endpoint.url();
        let armed: String = typed(scene.redis.url(), &["GET", ARMED]).await.expect("the epoch");
        scene
            .rebuild(|settings| {
                settings.insert("REDIS_URL".to_owned(), url);
                settings.insert("REDIS_REPLICAS".to_owned(), "1".to_owned());
            })
            .await;
        scene.flags::<()>(&["SET", ARMED, &armed]).await;
        pair.in_step().await;
        pair.link.cut();
        door.shut();
        let said = page(&scene, "POST", "/halt").await;
        assert!(said.contains("Sent, not confirmed"), "{said}");
        door.open();
    });
}

/// The functions do not agree on who is the primary.
#[test]
fn an_old_primary_passes_the_flag_check_at_most() {
    run(async {
        let name = "faults::flags::an_old_primary_passes_the_flag_check_at_most";
        let Some(pair) = Pair::start(name).await else { return };
        let mut scene = pair.scene().await;
        let mut input = about_to_write(&mut scene).await;
        let Standing::Go(go) = standing(&scene).await else { panic!("it may go") };
        // The step function goes on talking to the old one.
        let old = pair.primary.redis.url().to_owned();
        scene.rebuild(|settings| drop(settings.insert("REDIS_URL".to_owned(), old))).await;
        let old_step = std::sync::Arc::clone(&scene.house.step);
        pair.link.cut();
        pair.promote().await;
        let new = pair.endpoint.url();
        scene.rebuild(|settings| drop(settings.insert("REDIS_URL".to_owned(), new))).await;
        let halt_side = scene.press_halt(&Scope::Global).await;
        scene.house.step = old_step;
        assert!(matches!(halt_side.control, ControlHalt::Latched(_)));
        assert!(!pair.primary.typed::<bool>(&["EXISTS", FLAG]).await.expect("an answer"));
        let stale = scene.house.step.interlock.switch().check(Some(VAN_DIJK)).await;
        assert!(matches!(stale, Check::Clear(_)), "the old primary says yes: {stale:?}");
        assert!(matches!(permit(&scene, &go).await, PermitAnswer::Refused(Reason::HaltedGlobal)));
        stopped(&mut scene, &mut input, Reason::HaltedGlobal).await;
    });
}

/// A customer's halt only sets a flag, and a full server takes none: the control item alone stops her.
#[test]
fn a_full_server_takes_the_permission_away_and_a_customers_halt_lands_in_the_control_item() {
    run(async {
        let name = "faults::flags::a_full_server_takes_the_permission_away_and_a_customers_halt_lands_in_the_\
                    control_item";
        let Some(real) = RealRedis::start(name).await else { return };
        real.user("halt", HALT_RULES).await;
        let url = real.url_of("halt");
        let mut scene = Scene::with(|settings| drop(settings.insert("REDIS_URL".to_owned(), url))).await;
        let mut input = about_to_write(&mut scene).await;
        real.typed::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await.expect("full");
        let report = scene.press_halt(&Scope::Customer(Scene::customer(VAN_DIJK))).await;
        assert_eq!(report.flags, FlagHalt::Failed, "no flag could be set");
        assert!(matches!(report.control, ControlHalt::Latched(_)));
        stopped(&mut scene, &mut input, Reason::HaltedCustomer).await;
        let report = scene.press_halt(&Scope::Global).await;
        assert_eq!(report.flags, FlagHalt::Confirmed { acks: 0 });
        assert!(!real.typed::<bool>(&["EXISTS", ARMED]).await.expect("an answer"), "DEL was taken");
        assert!(!real.typed::<bool>(&["EXISTS", FLAG]).await.expect("an answer"), "SET was not");
    });
}

#[test]
fn a_server_that_throws_keys_away_is_closed_and_the_doctor_refuses_it() {
    run(async {
        let name = "faults::flags::a_server_that_throws_keys_away_is_closed_and_the_doctor_refuses_it";
        let Some(real) = RealRedis::start(name).await else { return };
        let mut scene = real.scene().await;
        let (status, text) = doctor_of_the_flags(&scene).await;
        assert_eq!((status, text.contains("noeviction")), (Status::Ok, true), "{text}");
        for policy in [
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
            "allkeys-lfu",
            "allkeys-random",
            "allkeys-lru",
        ] {
            real.typed::<()>(&["CONFIG", "SET", "maxmemory-policy", policy]).await.expect("a policy");
            let (status, text) = doctor_of_the_flags(&scene).await;
            assert_eq!((status, text.contains(policy)), (Status::Fail, true), "{policy}: {text}");
        }
        let mut input = about_to_write(&mut scene).await;
        real.typed::<()>(&["SET", FLAG, "1"]).await.expect("a flag");
        let used: String = real.typed(&["INFO", "memory"]).await.expect("an answer");
        let used = used.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a number");
        let room = used.trim().parse::<u64>().expect("a number") + 512 * 1024;
        real.typed::<()>(&["CONFIG", "SET", "maxmemory", &room.to_string()]).await.expect("a limit");
        let filler = "x".repeat(16 * 1024);
        for nth in 0..4_000 {
            real.typed::<()>(&["SET", &format!("other:{nth}"), &filler]).await.expect("it makes room");
            let left: i64 = real.typed(&["EXISTS", ARMED, FLAG]).await.expect("an answer");
            if left == 0 {
                break;
            }
        }
        let left: i64 = real.typed(&["EXISTS", ARMED, FLAG]).await.expect("an answer");
        assert_eq!(left, 0, "flag and arming key were thrown away");
        assert!(matches!(scene.house.step.interlock.switch().check(None).await, Check::Disarmed));
        parked(&mut scene, &mut input).await;
    });
}

#[test]
fn a_cluster_is_closed_and_the_doctor_refuses_it() {
    run(async {
        let name = "faults::flags::a_cluster_is_closed_and_the_doctor_refuses_it";
        let Some(cluster) = Cluster::start(name).await else { return };
        let mut scene = Scene::new().await;
        let mut input = about_to_write(&mut scene).await;
        let armed: String = scene.flags(&["GET", ARMED]).await;
        let url = cluster.url.clone();
        scene.rebuild(|settings| drop(settings.insert("REDIS_URL".to_owned(), url))).await;
        // Everything is as it must be, but that the keys lie in several slots.
        scene.flags::<()>(&["SET", ARMED, &armed]).await;
        let refused = typed::<redis::Value>(&cluster.url, &["MGET", ARMED, FLAG]).await.expect_err("refused");
        assert_eq!(refused.code(), Some("CROSSSLOT"), "{refused}");
        assert!(matches!(scene.house.step.interlock.switch().check(None).await, Check::Unreachable));
        parked(&mut scene, &mut input).await;
        let (status, text) = doctor_of_the_flags(&scene).await;
        assert_eq!((status, text.contains("cluster")), (Status::Fail, true), "{text}");
    });
}

/// The flags come back from a backup that is older than the last resume.
#[test]
fn flags_restored_to_an_older_state_arm_nothing() {
    run(async {
        let name = "faults::flags::flags_restored_to_an_older_state_arm_nothing";
        let Some(real) = RealRedis::start(name).await else { return };
        let mut scene = real.scene().await;
        let backup: String = real.typed(&["GET", ARMED]).await.expect("a backup");
        drop(scene.press_halt(&Scope::Global).await);
        assert!(matches!(scene.resume(Scope::Global).await, Rearmed::Done { .. }));
        let mut input = about_to_write(&mut scene).await;
        real.typed::<()>(&["SET", ARMED, &backup]).await.expect("restored");
        parked(&mut scene, &mut input).await;
        assert!(page(&scene, "GET", "").await.contains("The switch store was emptied."));
        // The person who resumes gets a new epoch in both, and the run of before stays behind.
        assert!(matches!(scene.resume(Scope::Global).await, Rearmed::Done { .. }));
        assert!(matches!(standing(&scene).await, Standing::Go(_)));
    });
}
