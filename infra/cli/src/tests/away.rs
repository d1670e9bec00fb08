//! What leads away from safe: set up, resume, invite, and its undoing.
use super::{NOWHERE, PIN, Rig, Typist, interlock_at, marieke, run_in, text, why};
use interlock::{Press, Role, State};
use ledger::{Commit, EventRef, Intent, IntentState, Run, RunStatus, Stored};
use serde_json::json;
use types::{Actor, CustomerId, EntryState, IntentId, Reason, Scope, Target, Timestamp};
use web::{LinkKind, LinkSigner, Pin, PinHash};

fn now() -> Timestamp {
    types::Clock::system().now()
}

#[tokio::test]
async fn from_nothing_to_running_to_halted() {
    let mut rig = Rig::new().await;
    let before = rig.run("status").await;
    assert_eq!(before.exit_code(), 1);
    assert_eq!(before.failed.as_ref().unwrap().next, "holdfast init --name NAME");

    let made = rig.run_typing("init --name Marieke --pin-stdin", &[PIN]).await;
    assert_eq!((made.exit_code(), &made.json["control_item"]), (0, &json!("put")), "{made:?}");
    rig.keep_keys(&made);
    let signer = LinkSigner::from_secret_hex(&rig.variables["LINK_SIGNING_KEY"]).unwrap();
    let page = made.json["halt_page"].as_str().unwrap().strip_prefix("https://halt.example/s/").unwrap();
    let link = signer.verifier().verify(page, now()).unwrap();
    assert_eq!((link.kind, &link.person), (LinkKind::Person, &marieke()));
    let people = rig.interlock().people().await.unwrap();
    assert!(people.key_is_valid(&marieke(), link.key_id.as_str()));
    let person = &people.people[&marieke()];
    assert_eq!(person.role, Role::Ops);
    assert!(PinHash::from_phc(person.pin_hash.as_deref().unwrap()).matches(&Pin::parse(PIN).unwrap()));
    assert!(!format!("{made:?}").contains(PIN), "a PIN that she chose is not repeated");

    assert_eq!(rig.run("status").await.json["state"], "not_started");
    assert!(!rig.is_armed().await, "init arms nothing");
    let mut typist = Typist::of(&["resume"]);
    let words = ["resume", "--because", "day one begins"];
    let resumed = run_in(&rig.variables, &words, &mut typist).await;
    assert_eq!((resumed.exit_code(), &resumed.json["epoch"]), (0, &json!(1)), "{resumed:?}");
    assert!(typist.shown.iter().any(|line| line.contains("epoch 0")), "{:?}", typist.shown);
    assert!(rig.is_armed().await);
    let status = rig.run("status").await;
    assert_eq!((status.exit_code(), &status.json["state"]), (0, &json!("running_dry")), "{}", text(&status));
    assert!(
        text(&status).contains("ok RUNNING In dry-run: it reads deals and changes nothing."),
        "{}",
        text(&status)
    );

    assert_eq!(rig.run("halt").await.exit_code(), 0);
    let status = rig.run("status").await;
    assert_eq!((status.exit_code(), &status.json["word"]), (0, &json!("HALTED")));
    assert!(text(&status).contains("Nothing in flight."), "{}", text(&status));
}

#[tokio::test]
async fn the_second_init_changes_nothing_and_a_foreign_pair_is_refused() {
    let rig = Rig::ready().await;
    let before = rig.interlock().people().await.unwrap();
    let again = rig.run_typing("init --name Joris --pin-stdin", &[PIN]).await;
    assert_eq!(again.exit_code(), 1);
    assert_eq!(again.failed.as_ref().unwrap().next, "add others with: holdfast invite --name NAME");
    assert_eq!(rig.interlock().people().await.unwrap(), before);

    let mut fresh = Rig::new().await;
    let foreign = LinkSigner::generate().unwrap().verifier().to_hex();
    fresh.variables.insert("LINK_PUBLIC_KEY", foreign);
    let refused = fresh.run_typing("init --name Marieke --pin-stdin", &[PIN]).await;
    assert_eq!(refused.exit_code(), 1);
    assert!(fresh.interlock().control().await.is_err(), "nothing was put");
}

#[tokio::test]
async fn a_pin_is_asked_twice_or_made_and_never_taken_from_nobody() {
    for (typed, code) in
        [(&[] as &[&str], 2), (&["12345", "12345"], 2), (&[PIN, "271829"], 2), (&[PIN, PIN], 0)]
    {
        let rig = Rig::new().await;
        let made = rig.run_typing("init --name Marieke", typed).await;
        assert_eq!(made.exit_code(), code, "{typed:?} {made:?}");
        assert_eq!(rig.interlock().control().await.is_ok(), code == 0, "{typed:?}");
    }
    let rig = Rig::new().await;
    let made = rig.run_typing("init --name Marieke", &[""]).await;
    let told = Pin::parse(made.json["pin"].as_str().unwrap()).unwrap();
    let people = rig.interlock().people().await.unwrap();
    assert!(PinHash::from_phc(people.people[&marieke()].pin_hash.as_deref().unwrap()).matches(&told));
}

/// Presses HALT in the stores that are reachable, on a thread of its own.
fn pressing(dynamo: String, redis: String) -> impl FnOnce() {
    let press = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let actor = Actor::System("page".into());
        let press = Press { actor, source: "page".into(), because: "pressed".into() };
        runtime.block_on(interlock_at(&dynamo, &redis).halt(&Scope::Global, &press));
    };
    || std::thread::spawn(press).join().unwrap()
}

#[tokio::test]
async fn a_resume_needs_the_word_and_what_was_shown() {
    let rig = Rig::ready().await;
    let words = ["resume", "--because", "the cause is fixed"];
    let nobody = run_in(&rig.variables, &words, &mut Typist::default()).await;
    assert_eq!(nobody.exit_code(), 2);
    let other_word = run_in(&rig.variables, &words, &mut Typist::of(&["yes"])).await;
    assert_eq!(other_word.exit_code(), 1);
    assert!(!rig.is_armed().await);

    // Somebody presses HALT while she reads; it lands in both switches, or in one of them alone.
    let (dynamo, redis) = (rig.dynamo.endpoint().to_owned(), rig.redis.url().to_owned());
    let (no_dynamo, no_redis) = (format!("http://{NOWHERE}"), format!("redis://{NOWHERE}/"));
    for (dynamo, redis) in [(&dynamo, &redis), (&dynamo, &no_redis), (&no_dynamo, &redis)] {
        let mut typist = Typist::of(&["resume"]);
        typist.meanwhile = Some(Box::new(pressing(dynamo.clone(), redis.clone())));
        let raced = run_in(&rig.variables, &words, &mut typist).await;
        assert_eq!((raced.exit_code(), &raced.json["why"]), (1, &json!("pressed_again")), "{dynamo} {redis}");
        assert!(!rig.is_armed().await);
    }
    assert_eq!(run_in(&rig.variables, &words, &mut Typist::of(&["resume"])).await.exit_code(), 0);
    assert!(rig.is_armed().await);
    let again = run_in(&rig.variables, &words, &mut Typist::of(&["resume"])).await;
    assert_eq!((again.exit_code(), &again.json["why"]), (1, &json!("not_halted")));
}

#[tokio::test]
async fn as_before_turns_writes_on_again_and_nothing_else_does() {
    let rig = Rig::running().await;
    let actor = Actor::Person(marieke());
    rig.interlock().flip("append_note", types::Mode::Live, &actor, "quiet days", "console").await.unwrap();
    for (words, state) in [
        (&["resume", "--yes", "--because", "the cause is fixed"] as &[&str], "running_dry"),
        (&["resume", "--yes", "--because", "the cause is fixed", "--as-before"], "running_writes"),
    ] {
        rig.interlock()
            .flip("append_note", types::Mode::Live, &actor, "quiet days", "console")
            .await
            .unwrap();
        rig.run("halt").await;
        let resumed = rig.run_quoted(words).await;
        assert_eq!(resumed.exit_code(), 0, "{resumed:?}");
        assert_eq!(rig.run("status").await.json["state"], state, "{words:?}");
    }
}

#[tokio::test]
async fn one_customer_is_resumed_alone() {
    let rig = Rig::running().await;
    rig.run("halt --customer 1234").await;
    rig.run("halt").await;
    let words = ["resume", "--yes", "--because", "the cause is fixed"];
    assert_eq!(rig.run_quoted(&words).await.exit_code(), 0);
    let control = rig.interlock().control().await.unwrap();
    assert!(control.is_armed() && control.halted_customers.contains_key(&CustomerId::new("1234").unwrap()));
    let words = ["resume", "--yes", "--because", "the cause is fixed", "--customer", "1234"];
    assert_eq!(rig.run_quoted(&words).await.exit_code(), 0);
    assert!(rig.interlock().control().await.unwrap().halted_customers.is_empty());
    assert!(rig.is_armed().await);
}

#[tokio::test]
async fn a_silent_switch_store_refuses_a_resume() {
    let rig = Rig::ready().await;
    let words = ["resume", "--yes", "--because", "the cause is fixed"];
    let refused = run_in(&rig.without("REDIS_URL"), &words, &mut Typist::default()).await;
    assert_eq!(refused.exit_code(), 1);
    assert_eq!(why(&refused), "the switch store does not answer from here");
    assert_eq!(rig.interlock().control().await.unwrap().state, State::Halted);
}

#[tokio::test]
async fn an_invitation_adds_a_phone_and_a_revocation_takes_all_back() {
    let rig = Rig::ready().await;
    let invited = rig.run("invite --name Joris --role ops").await;
    assert_eq!(invited.exit_code(), 0, "{invited:?}");
    let signer = LinkSigner::from_secret_hex(&rig.variables["LINK_SIGNING_KEY"]).unwrap();
    let token = invited.json["invitation"].as_str().unwrap().strip_prefix("https://halt.example/a/").unwrap();
    let link = signer.verifier().verify(token, now()).unwrap();
    assert_eq!((link.kind, link.person.as_str()), (LinkKind::Invite, "joris"));
    let people = rig.interlock().people().await.unwrap();
    let joris = &people.people[&link.person];
    assert!(joris.role == Role::Ops && joris.pin_hash.is_none() && joris.keys.is_empty(), "{joris:?}");

    let again = rig.run("invite --name marieke --new-pin").await;
    assert_eq!((&again.json["person_id"], &again.json["new"]), (&json!("marieke"), &json!(false)));
    let people = rig.interlock().people().await.unwrap();
    assert_eq!(people.people[&marieke()].pin_hash, None);

    let revoked = rig.run("revoke --person marieke").await;
    assert_eq!((revoked.exit_code(), &revoked.json["anybody_can_resume"]), (0, &json!(false)));
    let people = rig.interlock().people().await.unwrap();
    let person = &people.people[&marieke()];
    assert!(
        person.revoked_ms.is_some() && person.keys.values().all(|key| key.revoked_ms.is_some()),
        "{person:?}"
    );
    assert_eq!(rig.run("revoke --person nobody").await.exit_code(), 1);
    let mut verbs = rig.verbs().await;
    verbs.sort();
    assert_eq!(verbs, ["enrol", "invite", "invite", "revoke"], "each change has its row");
}

fn run_of(id: &str) -> Run {
    let (key, run_id) = ledger::keys_of(id).unwrap();
    let event = EventRef {
        key,
        portal_id: 1,
        kind: "email_created".into(),
        object_id: "55".into(),
        property: None,
        occurred_ms: 1,
        received_ms: 1,
    };
    Run {
        status: RunStatus::Done,
        n: 2,
        model: "claude-haiku-5-5".into(),
        config_version: "stages:1".into(),
        event_no: 3,
        ..Run::queued(run_id, event)
    }
}

fn intent(state: IntentState) -> Intent {
    Intent {
        intent_id: IntentId::new("i-1").unwrap(),
        step: 1,
        index: 0,
        args_hash: "aa".into(),
        tool: "append_note".into(),
        state,
        tier: None,
        mode: None,
        target: Target::new("deal", "4411"),
        customer_id: None,
        before: None,
        after: None,
        request: None,
        because: None,
        what: "add a note".into(),
        outcome: None,
        sent_ms: Some(1),
        read_backs: 4,
        read_back_ms: None,
    }
}

#[tokio::test]
async fn only_a_write_that_waits_for_a_person_is_closed_and_once() {
    for (found, state) in
        [("there", EntryState::Applied), ("absent", EntryState::Failed), ("", EntryState::Unknown)]
    {
        let rig = Rig::ready().await;
        let ledger = rig.ledger();
        let mut run = run_of("event-1");
        let _admitted = ledger.admit(&run).await.unwrap();
        run = ledger.run(&run.run_id).await.unwrap();
        let commit = Commit { intents: vec![intent(IntentState::Unknown)], ..Commit::default() };
        assert_eq!(ledger.commit(&mut run, commit).await.unwrap(), Stored::Yes);
        let mut words =
            vec!["checked", "--as", "marieke", "--intent", "i-1", "--because", "looked at the deal"];
        if !found.is_empty() {
            words.extend(["--found", found]);
        }
        assert_eq!(rig.run_quoted(&words).await.exit_code(), 1, "it is still being read back");
        let commit = Commit { intents: vec![intent(IntentState::NeedsHuman)], ..Commit::default() };
        assert_eq!(ledger.commit(&mut run, commit).await.unwrap(), Stored::Yes);
        let status = rig.run("status").await;
        assert!(text(&status).contains("holdfast checked --intent i-1"), "{}", text(&status));
        let closed = rig.run_quoted(&words).await;
        assert_eq!(closed.exit_code(), 0, "{closed:?}");
        assert_eq!(rig.run_quoted(&words).await.exit_code(), 1, "it is closed already");
        let stored = ledger.transcript(&run.run_id).await.unwrap().intents[&(1, 0)].clone();
        assert_eq!((stored.state, stored.outcome.unwrap().state), (IntentState::Closed, state));
        let rows = ledger.unacknowledged(10).await.unwrap();
        let row =
            rows.into_iter().map(|row| row.entry.unwrap()).find(|row| row.verb == "append_note").unwrap();
        assert_eq!((row.state, row.reason, row.event_no), (state, Some(Reason::CheckedByHand), 4));
        assert_eq!(
            (row.actor, row.because.as_deref()),
            (Actor::Person(marieke()), Some("looked at the deal"))
        );
    }
}
