//! HALT from the terminal: it lands wherever it can, and says exactly what was confirmed.
use super::{NOWHERE, Rig, Typist, run_in, text, why};
use crate::halt;
use interlock::{Control, ControlHalt, HaltReport, HeldPermit, InterlockError, State};
use kill_switch::FlagHalt;
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use types::{CustomerId, Epoch, IntentId, PermitId, RunId, Scope};

const NOW_MS: i64 = 1_784_852_047_000;

#[tokio::test]
async fn halt_stops_both_and_says_so() {
    let rig = Rig::running().await;
    let halted = rig.run_quoted(&["halt", "--because", "odd notes"]).await;
    assert_eq!(halted.exit_code(), 0);
    assert!(text(&halted).contains("HALT HALTED every customer: nothing in flight"), "{}", text(&halted));
    assert_eq!((&halted.json["confirmed"], &halted.json["latched"]), (&"both".into(), &true.into()));
    assert!(!rig.is_armed().await);
    let control = rig.interlock().control().await.unwrap();
    let by = control.halted_by.unwrap();
    assert_eq!((by.by.as_str(), by.reason.as_str()), ("system:cli", "odd notes"));
}

#[tokio::test]
async fn one_customer_is_halted_alone_and_by_name_of_the_presser() {
    let rig = Rig::running().await;
    let halted = rig.run("halt --customer 1234 --as marieke").await;
    assert_eq!(halted.exit_code(), 0);
    assert!(text(&halted).contains("customer 1234: nothing in flight"), "{}", text(&halted));
    assert!(rig.is_armed().await, "everybody else runs");
    let control = rig.interlock().control().await.unwrap();
    let by = &control.halted_customers[&CustomerId::new("1234").unwrap()];
    assert_eq!(by.by, "person:marieke");
    let status = rig.run("status").await;
    assert_eq!(status.json["state"], "running_except", "{}", text(&status));
}

#[tokio::test]
async fn either_store_is_enough_and_neither_is_a_failure() {
    let rig = Rig::running().await;
    let only_flags =
        run_in(&rig.without("AWS_ENDPOINT_URL_DYNAMODB"), &["halt"], &mut Typist::default()).await;
    assert_eq!(only_flags.exit_code(), 0, "{only_flags:?}");
    assert_eq!(only_flags.json["confirmed"], "switch_store");
    assert!(text(&only_flags).contains("writes in flight: unknown"), "{}", text(&only_flags));
    assert!(!text(&only_flags).contains("othing in flight"), "{}", text(&only_flags));
    assert!(rig.interlock().switch().read(&[]).await.unwrap().halted_global);

    let only_control = run_in(&rig.without("REDIS_URL"), &["halt"], &mut Typist::default()).await;
    assert_eq!((only_control.exit_code(), &only_control.json["confirmed"]), (0, &"control_item".into()));
    assert_eq!(rig.interlock().control().await.unwrap().state, State::Halted);

    let mut neither = rig.without("REDIS_URL");
    neither.insert("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{NOWHERE}"));
    let neither = run_in(&neither, &["halt"], &mut Typist::default()).await;
    assert_eq!(neither.exit_code(), 1);
    let three = neither.failed.as_ref().unwrap();
    assert_eq!(three.what, "NOT confirmed: the agent may still run");
    assert!(text(&neither).contains("revoke the app's access token"), "{}", text(&neither));
}

#[tokio::test]
async fn a_slip_in_a_setting_that_it_does_not_need_refuses_no_halt() {
    let mut rig = Rig::running().await;
    rig.variables.insert("HUBSPOT_BASE_URL", "http://not-allowed.example".to_owned());
    rig.variables.remove("REDIS_URL");
    assert_eq!(rig.run("status").await.exit_code(), 1, "others name the slip");
    let halted = rig.run("halt").await;
    assert_eq!((halted.exit_code(), &halted.json["confirmed"]), (0, &"control_item".into()), "{halted:?}");
}

/// Answers these texts to one connection after the other, and hands over what was asked.
async fn page(answers: Vec<&'static str>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4_096];
            while !is_whole(&request) {
                let n = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..n]);
            }
            asked.push(String::from_utf8(request).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        asked
    });
    #[expect(clippy::disallowed_methods, reason = "a test's server ends with its runtime")]
    let handle = tokio::spawn(async move { tasks.join_next().await.unwrap().unwrap() });
    (base, handle)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    body.len() >= length.parse().unwrap()
}

const TAKEN: &str =
    "HTTP/1.1 303 See Other\r\nlocation: /s/abc\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const PAGE: &str =
    "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<div id=\"live\" data-s=\"HALTING. 2 writes in flight.\">";
const UNCONFIRMED: &str =
    "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn with_a_link_the_page_is_pressed_and_its_own_words_repeated() {
    let (base, asked) = page(vec![TAKEN, PAGE]).await;
    let variables = BTreeMap::from([
        ("PUBLIC_HALT_URL", base),
        ("HOLDFAST_HALT_LINK", "https://old.example/s/abc".to_owned()),
    ]);
    let halted = run_in(&variables, &["halt", "--customer", "1234"], &mut Typist::default()).await;
    assert_eq!((halted.exit_code(), &halted.json["confirmed"]), (0, &"at_least_one".into()), "{halted:?}");
    assert!(text(&halted).contains("HALTING. 2 writes in flight."), "{}", text(&halted));
    assert!(!format!("{halted:?}").contains("/s/abc"), "the link is a key");
    let asked = asked.await.unwrap();
    assert!(asked[0].starts_with("POST /s/abc/halt HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].ends_with("\r\n\r\nscope=customer&customer=1234"), "{}", asked[0]);
    assert!(asked[1].starts_with("GET /s/abc?l=en "), "{}", asked[1]);
}

#[tokio::test]
async fn a_page_that_does_not_confirm_is_followed_by_both_stores() {
    let mut rig = Rig::running().await;
    let (base, _asked) = page(vec![UNCONFIRMED]).await;
    for base in [base, format!("http://{NOWHERE}")] {
        rig.variables.insert("PUBLIC_HALT_URL", base);
        rig.variables.insert("HOLDFAST_HALT_LINK", "/s/abc".to_owned());
        let mut typist = Typist::default();
        let halted = run_in(&rig.variables, &["halt"], &mut typist).await;
        assert_eq!((halted.exit_code(), &halted.json["confirmed"]), (0, &"both".into()), "{halted:?}");
        assert!(typist.shown[0].starts_with("the halt page gave no confirmation"), "{:?}", typist.shown);
    }
    assert!(!rig.is_armed().await);
}

fn permit(deal: &str, customer: &str, deadline_ms: i64) -> (PermitId, HeldPermit) {
    let held = HeldPermit {
        run_id: RunId::new("r-1").unwrap(),
        intent_id: IntentId::new(format!("i-{deal}")).unwrap(),
        tool: "set_stage".into(),
        target: format!("deal:{deal}"),
        customer_id: CustomerId::new(customer).unwrap(),
        deadline_ms,
        granted_ms: NOW_MS,
    };
    (PermitId::new(format!("p-{deal}")).unwrap(), held)
}

fn control(in_flight: Vec<(PermitId, HeldPermit)>, unknown: Vec<(PermitId, HeldPermit)>) -> Control {
    Control {
        epoch: Epoch(7),
        state: State::Halted,
        halted_by: None,
        armed_ms: 0,
        generations: BTreeMap::new(),
        halted_customers: BTreeMap::new(),
        modes: BTreeMap::new(),
        mode_changes: BTreeMap::new(),
        modes_before: BTreeMap::new(),
        in_flight: in_flight.into_iter().collect(),
        unknown: unknown.into_iter().collect(),
        log: Vec::new(),
        log_folded: 0,
    }
}

fn halted(control: Control, flags: FlagHalt) -> HaltReport {
    let control = ControlHalt::Latched(Box::new(control));
    HaltReport { pressed_ms: NOW_MS, flags, flags_ms: None, control, control_ms: Some(NOW_MS) }
}

#[test]
fn writes_under_way_are_named_by_deal_and_an_overdue_one_is_unknown() {
    let both = FlagHalt::Confirmed { acks: 0 };
    let live = permit("4302", "1234", NOW_MS + 27_500);
    let overdue = permit("4411", "88", NOW_MS);
    let shown = halt::report(&Scope::Global, &halted(control(vec![live, overdue], vec![]), both), NOW_MS);
    let said = text(&shown);
    assert!(
        said.contains("HALTING every customer: writes already under way: 1; results still unknown: 1"),
        "{said}"
    );
    assert!(
        said.contains("Stage of deal 4302, customer 1234, finished in 28 seconds at the latest"),
        "{said}"
    );
    assert!(said.contains("Stage of deal 4411, customer 88: HubSpot never answered"), "{said}");
    assert!(!said.contains("othing in flight"), "{said}");
    assert_eq!(shown.json["in_flight"][0]["target"], "deal:4302");

    let unknown =
        halt::report(&Scope::Global, &halted(control(vec![], vec![permit("1", "2", 0)]), both), NOW_MS);
    assert!(text(&unknown).contains("nothing is being sent; results still unknown: 1"), "{}", text(&unknown));
    let nothing = halt::report(&Scope::Global, &halted(control(vec![], vec![]), FlagHalt::Failed), NOW_MS);
    assert!(text(&nothing).contains("nothing in flight"), "{}", text(&nothing));
    assert!(text(&nothing).contains("the switch store did not"), "{}", text(&nothing));
    assert_eq!(nothing.json["confirmed"], "control_item");
}

#[test]
fn a_customer_press_that_became_a_global_one_says_so() {
    let scope = Scope::Customer(CustomerId::new("1234").unwrap());
    let other = permit("4302", "88", NOW_MS + 9_000);
    let shown = halt::report(&scope, &halted(control(vec![other], vec![]), FlagHalt::Failed), NOW_MS);
    assert!(text(&shown).contains("everything was halted instead"), "{}", text(&shown));
    assert_eq!(
        (&shown.json["scope"], &shown.json["in_flight"][0]["customer_id"]),
        (&"global".into(), &"88".into())
    );
}

#[test]
fn a_sent_press_is_not_a_confirmed_one() {
    let silent = || ControlHalt::Failed(InterlockError::Store { operation: "halt", source: None });
    let of = |flags| HaltReport { pressed_ms: 0, flags, flags_ms: None, control: silent(), control_ms: None };
    for (flags, code, confirmed) in [
        (FlagHalt::Confirmed { acks: 1 }, 0, "switch_store"),
        (FlagHalt::TooFewAcks { acks: 0 }, 1, "neither"),
        (FlagHalt::Failed, 1, "neither"),
    ] {
        let shown = halt::report(&Scope::Global, &of(flags), NOW_MS);
        assert_eq!((shown.exit_code(), &shown.json["confirmed"]), (code, &confirmed.into()), "{flags:?}");
        assert!(!text(&shown).contains("HALTED"), "{}", text(&shown));
    }
    assert!(
        why(&halt::report(&Scope::Global, &of(FlagHalt::Failed), NOW_MS)).contains("neither switch answered")
    );
}
