//! What comes in: forged and stale webhooks touch no store, each event starts one run. Must never trust a
//! delivery count.
use crate::door::{Door, Fate, spawn};
use crate::scene::{Scene, run, url_event};
use serde_json::{Value, json};
use standins::hubspot::{Delivery, SignedRequest, sign_v3, with_attempt};
use starter::Starter;
use std::collections::BTreeSet;
use std::sync::Arc;

const SIGNATURE: usize = 2;
const TIMESTAMP: usize = 3;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A product whose tables and parameters lie behind doors, and the doors.
async fn watched() -> (Scene, [Door; 2]) {
    let (mut scene, tables) = Scene::behind_a_door().await;
    let parameters = Door::to(Scene::ssm_endpoint()).await;
    let url = parameters.url.clone();
    scene.rebuild(|settings| drop(settings.insert("AWS_ENDPOINT_URL_SSM".to_owned(), url))).await;
    tables.open();
    parameters.open();
    (scene, [tables, parameters])
}

fn untouched(scene: &mut Scene, doors: &[Door; 2], what: &str) {
    for door in doors {
        assert!(door.asked().is_empty(), "{what}: a store was asked: {:?}", door.asked());
    }
    assert!(scene.asked_for().is_empty(), "{what}: a run was started");
}

fn flipped(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] ^= 1;
    String::from_utf8(bytes).expect("ASCII")
}

/// A single bit anywhere in what is signed, or in the signature.
#[test]
fn a_forged_webhook_is_refused_before_any_store_is_touched() {
    run(async {
        let (mut scene, doors) = watched().await;
        let good = scene.delivery.sign(&Scene::events("reply_4411"), scene.clock.now_ms());
        let mut forged: Vec<(String, SignedRequest)> = Vec::new();
        for at in 0..good.body.len() {
            let mut request = good.clone();
            request.body[at] ^= 1 << (at % 7);
            forged.push((format!("body bit at {at}"), request));
        }
        for header in [SIGNATURE, TIMESTAMP] {
            for at in 0..good.headers[header].1.len() {
                let mut request = good.clone();
                request.headers[header].1 = flipped(&good.headers[header].1, at);
                forged.push((format!("{} at {at}", good.headers[header].0), request));
            }
            let mut request = good.clone();
            request.headers[header].1.clear();
            forged.push((format!("empty {}", good.headers[header].0), request));
            let mut request = good.clone();
            request.headers.remove(header);
            forged.push((format!("no {}", good.headers[header].0), request));
        }
        let mut request = good.clone();
        request.headers[SIGNATURE].1 = sign_v3("", "POST", &good.url, &good.body, &good.headers[TIMESTAMP].1);
        forged.push(("signed with the empty secret".to_owned(), request));
        let mut request = good.clone();
        request.headers[SIGNATURE].1.push_str(&good.headers[SIGNATURE].1.clone());
        forged.push(("the signature twice".to_owned(), request));
        for (what, request) in &forged {
            assert_eq!(scene.post_signed(request).await.0, 401, "{what}");
        }
        for path in ["/hubspot/", "/Hubspot", "/hubspot?x=1", "/", "/hubspot/../hubspot"] {
            assert_eq!(scene.post(path, &good.headers, &good.body).await.0, 401, "{path}");
        }
        untouched(&mut scene, &doors, "forged");
        assert_eq!(scene.post_signed(&good).await.0, 200, "the same request, not forged");
    });
}

#[test]
fn a_webhook_older_or_newer_than_five_minutes_is_refused() {
    run(async {
        let (mut scene, doors) = watched().await;
        let events = Scene::events("reply_4411");
        let at = |ms: i64| scene.delivery.sign(&events, scene.clock.now_ms() + ms);
        for off in [-300_001, 300_001, -DAY_MS, DAY_MS, -scene.clock.now_ms()] {
            let (status, answer) = scene.post_signed(&at(off)).await;
            assert_eq!(status, 401, "{off} ms: {answer}");
        }
        for text in ["", "-1", "1e12", "99999999999999999999", " 1795510800000", "1795510800000\n", "now"] {
            let mut request = at(0);
            request.headers[TIMESTAMP].1 = text.to_owned();
            let url = request.url.clone();
            request.headers[SIGNATURE].1 =
                sign_v3(&scene.secrets.hubspot_client_secret, "POST", &url, &request.body, text);
            assert_eq!(scene.post_signed(&request).await.0, 401, "{text:?}");
        }
        let (oldest, newest) = (at(-300_000), at(300_000));
        untouched(&mut scene, &doors, "stale");
        assert_eq!(scene.post_signed(&oldest).await.0, 200);
        assert_eq!(
            scene.post_signed(&newest).await.1["events"][0]["fate"],
            "duplicate",
            "replayed inside it"
        );
    });
}

#[test]
fn only_a_signed_post_of_a_sane_body_is_looked_at() {
    run(async {
        let (mut scene, doors) = watched().await;
        let good = scene.delivery.sign(&Scene::events("reply_4411"), scene.clock.now_ms());
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let (status, _) = scene.ask(method, "/hubspot", &good.headers, &good.body).await;
            assert_eq!(status, 405, "{method}");
        }
        let one = Scene::events("reply_4411")[0].clone();
        let deep = format!("[{}1{}]", "[".repeat(5_000), "]".repeat(5_000));
        let huge = format!("[{{\"eventId\":1,\"padding\":\"{}\"}}]", "x".repeat(5 * 1_024 * 1_024));
        let truncated = Value::from(vec![one.clone()]).to_string();
        let bodies: [(&str, Vec<u8>, u16); 9] = [
            ("101 events", Value::from(vec![one.clone(); 101]).to_string().into_bytes(), 400),
            ("too deep", deep.into_bytes(), 400),
            ("truncated", truncated.as_bytes()[..truncated.len() - 9].to_vec(), 400),
            ("an object", one.to_string().into_bytes(), 400),
            ("an empty array", b"[]".to_vec(), 400),
            ("nothing", Vec::new(), 400),
            ("no JSON", b"events=1".to_vec(), 400),
            ("two arrays", b"[{}][{}]".to_vec(), 400),
            ("five megabytes", huge.into_bytes(), 413),
        ];
        for (what, body, expected) in &bodies {
            let request = scene.delivery.sign_body(body, 1, scene.clock.now_ms());
            let (status, answer) = scene.post_signed(&request).await;
            assert_eq!(status, *expected, "{what}: {answer}");
            let unsigned: Vec<_> = request.headers[..SIGNATURE].to_vec();
            assert_eq!(scene.post("/hubspot", &unsigned, body).await.0, 401, "{what}, unsigned");
        }
        untouched(&mut scene, &doors, "malformed");
    });
}

#[test]
fn without_a_secret_nothing_is_believed() {
    run(async {
        let (mut scene, doors) = watched().await;
        scene.rebuild(|settings| drop(settings.remove("HUBSPOT_CLIENT_SECRET"))).await;
        for door in &doors {
            door.open();
        }
        let (status, answer) = scene.deliver(&Scene::events("reply_4411")).await;
        assert_eq!(status, 503, "{answer}");
        let unsigned = scene.post("/hubspot", &[], b"[]").await;
        assert_eq!(unsigned.0, 503);
        untouched(&mut scene, &doors, "no secret");
    });
}

#[test]
fn both_secrets_of_a_rotation_are_good_and_no_third() {
    run(async {
        let mut scene = Scene::new().await;
        let old = scene.secrets.hubspot_client_secret.clone();
        let both = format!("{old}, the-next-secret");
        scene.rebuild(|settings| drop(settings.insert("HUBSPOT_CLIENT_SECRET".to_owned(), both))).await;
        let url = scene.variables["HUBSPOT_TARGET_URL"].clone();
        for (secret, events, status) in [
            (old.as_str(), "reply_4411", 200),
            ("the-next-secret", "reply_4302", 200),
            ("another", "reply_4290", 401),
        ] {
            let request =
                Delivery::new(secret, &url, &url).sign(&Scene::events(events), scene.clock.now_ms());
            assert_eq!(scene.post_signed(&request).await.0, status, "{secret}");
        }
        assert_eq!(scene.asked_for().len(), 2);
    });
}

#[test]
fn twenty_copies_at_once_start_each_run_once() {
    run(async {
        let mut scene = Scene::new().await;
        let events = Scene::events("batch");
        let mut copies = Vec::new();
        for attempt in 0..20 {
            // Only the attempt differs between redeliveries.
            let request = scene.delivery.sign(&with_attempt(&events, attempt), scene.clock.now_ms());
            let intake = Arc::clone(&scene.house.intake);
            let event = url_event("POST", "/hubspot", &request.headers, &request.body);
            copies.push(spawn(async move { intake::handle(&intake, event).await.expect("an answer") }));
        }
        for copy in copies {
            let answer = copy.await.expect("no panic");
            // A copy that met too many others on one row says so, and HubSpot sends it again.
            let is_open = answer["body"].as_str().is_some_and(|body| body.contains("\"open\""));
            assert_eq!(answer["statusCode"], if is_open { 503 } else { 200 }, "{answer}");
        }
        assert_eq!(scene.deliver(&events).await.0, 200);
        let names: Vec<String> = scene.asked_for().into_iter().map(|start| start.name).collect();
        let once: BTreeSet<String> = names.iter().cloned().collect();
        let runs: BTreeSet<String> = events.iter().map(|event| Scene::run_of(event).to_string()).collect();
        assert_eq!(runs.len(), events.len(), "five different events");
        // A name is used once, so that a run whose start two deliveries asked for is one execution.
        assert_eq!(once, runs);
        let again = scene.deliver(&events).await.1;
        assert!(again["events"].as_array().unwrap().iter().all(|one| one["fate"] == "duplicate"), "{again}");
        assert!(scene.asked_for().is_empty());
    });
}

#[test]
fn a_bad_event_does_not_lose_the_good_ones_beside_it() {
    run(async {
        let mut scene = Scene::new().await;
        let events = Scene::events("one_bad_event");
        let (status, answer) = scene.deliver(&events).await;
        let fates: Vec<&str> =
            answer["events"].as_array().unwrap().iter().map(|one| one["fate"].as_str().unwrap()).collect();
        assert_eq!((status, fates), (200, vec!["started", "malformed", "started"]));
        let started: Vec<_> = scene.asked_for().into_iter().map(|start| start.run_id).collect();
        assert_eq!(started.len(), 2);
        assert!(started.contains(&Scene::run_of(&events[0])) && started.contains(&Scene::run_of(&events[2])));
    });
}

#[test]
fn our_own_write_starts_nothing_and_is_recorded_once() {
    run(async {
        let mut scene = Scene::new().await;
        for _ in 0..3 {
            let (status, answer) = scene.deliver(&Scene::events("own_write_4411")).await;
            assert_eq!(status, 200);
            assert_eq!(
                (&answer["events"][0]["fate"], &answer["events"][0]["reason"]),
                (&json!("skipped"), &json!("own_write"))
            );
            scene.settle_audit().await;
        }
        assert!(scene.asked_for().is_empty());
        let rows = scene.rows().await;
        let own: Vec<_> = rows.iter().filter(|row| row.reason.as_deref() == Some("own_write")).collect();
        assert_eq!(own.len(), 1, "{rows:?}");
        assert_eq!(own[0].target_id.as_deref(), Some("event:4411"));
    });
}

/// The agent's real writes, as the CRM tells us of them afterwards.
#[test]
fn the_echo_of_a_live_run_starts_no_run() {
    run(async {
        let mut scene = Scene::new().await;
        for tool in ["set_stage", "append_note"] {
            scene.go_live(tool).await;
        }
        let input = scene.begin("reply_4411").await;
        scene.finish(&input).await;
        let echo = scene.standins.hubspot.pending_events();
        assert!(!echo.is_empty(), "the stage was set, so the CRM tells of it");
        assert_eq!(scene.deliver(&echo).await.0, 200);
        assert!(scene.asked_for().is_empty(), "{echo:?}");
    });
}

#[test]
fn a_known_event_is_known_for_seven_days() {
    run(async {
        let mut scene = Scene::new().await;
        let events = Scene::events("reply_4411");
        scene.begin("reply_4411").await;
        let run_id = Scene::run_of(&events[0]);
        let key = scene.run(&run_id).await.event.key;
        let row = Scene::dynamo()
            .get_item()
            .table_name(format!("{}runs", scene.prefix))
            .key("pk", aws_sdk_dynamodb::types::AttributeValue::S(format!("event#{key}")))
            .key("sk", aws_sdk_dynamodb::types::AttributeValue::S("event".to_owned()))
            .send()
            .await
            .expect("the row");
        let item = row.item.expect("the event's row");
        let expires: i64 = item["expires_at"].as_n().unwrap().parse().unwrap();
        assert_eq!(expires, scene.clock.now_ms() / 1_000 + 7 * 24 * 60 * 60);
        scene.clock.advance_ms(7 * DAY_MS - 1);
        let (_, answer) = scene.deliver(&events).await;
        assert_eq!(answer["events"][0]["fate"], "duplicate");
        assert!(scene.asked_for().is_empty());
    });
}

#[test]
fn an_event_that_could_not_be_stored_is_asked_for_again_and_then_started_once() {
    for lost in [Fate::Lose, Fate::LoseAnswer] {
        run(async {
            let (mut scene, door) = Scene::behind_a_door().await;
            let events = Scene::events("batch");
            let fate = lost.clone();
            door.rule(move |_| fate.clone());
            let (status, answer) = scene.deliver(&events).await;
            assert_eq!(status, 503, "{lost:?}: {answer}");
            let started: Vec<_> = scene.asked_for();
            assert!(started.is_empty(), "{lost:?}: what is not known to be stored is not started");
            door.open();
            let (status, answer) = scene.deliver(&with_attempt(&events, 1)).await;
            assert_eq!(status, 200, "{lost:?}: {answer}");
            let names: BTreeSet<String> = scene.asked_for().into_iter().map(|start| start.name).collect();
            assert_eq!(names.len(), events.len(), "{lost:?}");
            let (_, answer) = scene.deliver(&with_attempt(&events, 2)).await;
            assert!(
                answer["events"].as_array().unwrap().iter().all(|one| one["fate"] == "duplicate"),
                "{answer}"
            );
            assert!(scene.asked_for().is_empty(), "{lost:?}");
        });
    }
}

#[test]
fn an_event_that_was_stored_and_never_started_is_started_by_the_sweep_once() {
    run(async {
        let mut scene = Scene::new().await;
        // Intake in an account where starting fails: the event is stored, HubSpot is told to send again,
        // and never does.
        let (starts, _) = tokio::sync::mpsc::unbounded_channel();
        let house = &scene.house.intake;
        let cannot_start = intake::Deps {
            ledger: house.ledger.clone(),
            starter: Starter::Local(starts),
            secrets: Arc::clone(&house.secrets),
            app_id: house.app_id,
            erase_after_ms: house.erase_after_ms,
            clock: house.clock.clone(),
        };
        let events = Scene::events("reply_4411");
        let request = scene.delivery.sign(&events, scene.clock.now_ms());
        let event = url_event("POST", "/hubspot", &request.headers, &request.body);
        let answer = intake::handle(&cannot_start, event).await.expect("an answer");
        assert_eq!(answer["statusCode"], 503);
        scene.clock.advance_ms(60_000);
        scene.sweep_effects().await;
        assert!(scene.asked_for().is_empty(), "within the first minute its redelivery may still come");
        scene.clock.advance_ms(1);
        assert_eq!(scene.sweep_effects().await["started"], 1);
        let starts = scene.asked_for();
        assert_eq!(starts.len(), 1);
        let run_id = Scene::run_of(&events[0]);
        assert_eq!((&starts[0].run_id, starts[0].name.as_str(), starts[0].n), (&run_id, run_id.as_str(), 0));
        assert_eq!(scene.sweep_effects().await["started"], 0);
        let (_, answer) = scene.deliver(&events).await;
        assert_eq!(answer["events"][0]["fate"], "duplicate");
        assert!(scene.asked_for().is_empty());
    });
}

#[test]
fn all_hundred_events_of_the_largest_batch_are_started() {
    run(async {
        let mut scene = Scene::new().await;
        let one = Scene::events("stage_changed_4411")[0].clone();
        let events: Vec<Value> = (0..100)
            .map(|nth| {
                let mut event = one.clone();
                event["objectId"] = json!(5_000 + nth);
                event["eventId"] = json!(3_029_365_000_u64 + nth);
                event
            })
            .collect();
        let (status, answer) = scene.deliver(&events).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer["events"].as_array().unwrap().iter().all(|one| one["fate"] == "started"), "{answer}");
        let names: BTreeSet<String> = scene.asked_for().into_iter().map(|start| start.name).collect();
        assert_eq!(names.len(), 100);
    });
}
