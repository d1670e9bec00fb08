//! One person's data: exported whole, others blacked out; erased from every store, the chain valid. Must
//! never look only where the erasure looks.
use crate::scene::{Scene, run, says, says_nothing_more, url_event};
use aws_sdk_dynamodb::types::AttributeValue;
use ledger::{DataRequest, RequestStage, RunStatus};
use serde_json::{Value, json};
use standins::hubspot::{Kind, NewEmail};
use std::collections::BTreeMap;
use step::StepInput;
use types::{EntryState, Reason, RequestId, RunId, Scope};

/// Her contact and her deal.
const HER: u64 = 704_411;
const HER_DEAL: u64 = 4411;
/// Her name: hidden characters, a quote and a backslash in it.
const FIRST: &str = "Zo\u{200b}ë \"Q\\";
const LAST: &str = "Canary\u{202e}vlinder";
const MAIL: &str = "canary.vlinder@canary-mail.example";
/// Somebody else, with a deal of his own.
const OTHER: u64 = 704_290;
const OTHER_DEAL: u64 = 4290;
/// What must be gone: found whatever case or escapes.
const CANARIES: [&str; 9] = [
    "canary-mail",
    "vlinder",
    "704411",
    "CANARYTEXT",
    "CANARYNOTE",
    "CANARYDRAFT",
    "CANARYDEAL",
    "CANARYBECAUSE",
    "CANARYJUDGED",
];

/// Both people have written, tools have read, noted, drafted and would have moved; everything is kept that
/// the product keeps. Her second run stands in the middle.
struct Lived {
    scene: Scene,
    hers: RunId,
    open: StepInput,
    others: RunId,
    slack_before: usize,
}

fn mail(scene: &Scene, deal_id: u64, contact_id: u64, text: &str) -> Value {
    let email = NewEmail { deal_id, contact_id, subject: format!("Re: {text}"), text: text.to_owned() };
    let id = scene.standins.hubspot.arrive_email(&email).expect("a mail");
    scene.standins.hubspot.email_event(id)
}

fn calls(deal: u64, contact: u64, word: &str) -> Vec<Value> {
    let deal = deal.to_string();
    let because = format!("{word}BECAUSE: they wrote so.");
    vec![
        says(&[("get_deal", json!({"deal_id": deal}))]),
        says(&[
            (
                "append_note",
                json!({"deal_id": deal, "text": format!("{word}NOTE {FIRST} {LAST}"), "because": because}),
            ),
            ("set_stage", json!({"deal_id": deal, "stage": "closedlost", "because": because})),
            (
                "draft_email",
                json!({"deal_id": deal, "to_contact_id": contact.to_string(), "subject": "Thank you",
                "body": format!("{word}DRAFT"), "because": because}),
            ),
        ]),
        says_nothing_more(),
    ]
}

/// Both people as HubSpot has them.
fn rename(scene: &Scene) {
    let edit = |kind, id, name: &str, value: &str| {
        scene.standins.hubspot.edit_by_person(kind, id, name, value).expect("edited");
    };
    edit(Kind::Contact, HER, "firstname", FIRST);
    edit(Kind::Contact, HER, "lastname", LAST);
    edit(Kind::Contact, HER, "email", MAIL);
    edit(Kind::Deal, HER_DEAL, "dealname", "CANARYDEAL rollout");
    edit(Kind::Contact, OTHER, "firstname", "Otto");
    edit(Kind::Contact, OTHER, "lastname", "Otherman");
    edit(Kind::Contact, OTHER, "email", "otto@other-mail.example");
}

impl Lived {
    async fn new() -> Self {
        let mut scene = Box::pin(Scene::new()).await;
        rename(&scene);
        scene.go_live("append_note").await;

        // His run first: a search for her goes over his rows too.
        scene.standins.anthropic.script(
            calls(OTHER_DEAL, OTHER, "OTHER")
                .into_iter()
                .map(|call| replaced(&call, &format!("{FIRST} {LAST}"), "x"))
                .collect(),
        );
        let event = mail(&scene, OTHER_DEAL, OTHER, "OTHERTEXT from Otto Otherman");
        let others = Scene::run_of(&event);
        assert_eq!(Box::pin(scene.deliver(&[event])).await.0, 200);
        Box::pin(scene.drive()).await;

        scene.standins.anthropic.script(calls(HER_DEAL, HER, "CANARY"));
        let text = format!("CANARYTEXT, cc otto@other-mail.example. Greetings, {FIRST} {LAST}");
        let event = mail(&scene, HER_DEAL, HER, &text);
        let hers = Scene::run_of(&event);
        assert_eq!(Box::pin(scene.deliver(&[event])).await.0, 200);
        Box::pin(scene.drive()).await;
        Box::pin(scene.settle_audit()).await;

        // A halt whose reason names her, and its receipt; then resumed.
        let customer = Scope::Customer(Scene::customer("1234"));
        let press = interlock::Press {
            actor: types::Actor::Person(types::PersonId::new("demo").expect("an id")),
            source: "page".to_owned(),
            because: format!("{FIRST} {LAST} asked for it"),
        };
        let _ = scene.house.halt.interlock.halt(&Scope::Global, &press).await;
        scene.clock.advance_ms(120_000);
        Box::pin(scene.settle_audit()).await;
        let resumed = scene.resume(Scope::Global).await;
        assert!(matches!(resumed, interlock::Rearmed::Done { .. }), "{resumed:?}");
        let _ = scene.house.halt.interlock.halt(&customer, &press).await;
        scene.clock.advance_ms(120_000);
        Box::pin(scene.settle_audit()).await;
        let resumed = scene.resume(customer).await;
        assert!(matches!(resumed, interlock::Rearmed::Done { .. }), "{resumed:?}");

        // A person's note on a row of hers.
        let rows = scene.house.audit.log.run(hers.as_str()).await.expect("rows");
        let would = rows.iter().find(|row| row.decision == EntryState::WouldHave).expect("a would-have");
        let person = types::PersonId::new("demo").expect("an id");
        let rows = [would.seq];
        let judged = scene.house.audit.log.judge(
            &rows,
            &person,
            audit_log::Judged::Surprising,
            Some("CANARYJUDGED: ask her first"),
            scene.clock.now(),
        );
        assert_eq!(judged.await.expect("judged"), 1);

        // Her next run stands in the middle, its rows still in the outbox.
        scene.standins.anthropic.script(calls(HER_DEAL, HER, "CANARY"));
        let event = mail(&scene, HER_DEAL, HER, &text);
        assert_eq!(Box::pin(scene.deliver(&[event])).await.0, 200);
        let start = scene.asked_for().pop().expect("a start");
        let mut open = StepInput { run_id: start.run_id.clone(), n: start.n, customer_id: None };
        Box::pin(scene.step_to(&mut open, 2)).await;
        let slack_before = scene.standins.slack.messages().len();
        Self { scene, hers, open, others, slack_before }
    }

    async fn sweep(&self) {
        Box::pin(halt::handle(&self.scene.house.halt, json!({"sweep": "flags"}))).await.expect("swept");
        Box::pin(audit::handle(&self.scene.house.audit, json!({"sweep": "outbox"}))).await.expect("swept");
    }

    async fn erase(&self) -> Value {
        let asked =
            json!({"erase": {"subject": {"contacts": [HER.to_string()]}, "because": "she asked by letter"}});
        let answer = Box::pin(audit::handle(&self.scene.house.audit, asked)).await.expect("an answer");
        serde_json::to_value(answer).expect("JSON")
    }

    async fn request(&self, said: &Value) -> DataRequest {
        let id = RequestId::new(said["request_id"].as_str().expect("an id")).expect("an id");
        self.scene.house.audit.ledger.request(&id).await.expect("a store").expect("the request")
    }

    /// Everything that the product's stores hold, as text, by the place it lies in.
    async fn stored(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let client = Scene::dynamo();
        for table in ["control", "budget", "runs", "outbox"] {
            let items = client
                .scan()
                .table_name(format!("{}{table}", self.scene.prefix))
                .consistent_read(true)
                .into_paginator()
                .items()
                .send()
                .try_collect()
                .await
                .expect("a scan");
            for (n, item) in items.iter().enumerate() {
                let key = item.get("pk").and_then(|pk| pk.as_s().ok()).cloned().unwrap_or_default();
                all.insert(
                    format!("{table} {n} {key}"),
                    item.iter().map(|(name, value)| format!("{name}={} ", shown(value))).collect(),
                );
            }
        }
        // The flags' own files: every key and value that was ever written.
        for file in std::fs::read_dir(&self.scene.folder).expect("a folder").flatten() {
            let bytes = std::fs::read(file.path()).unwrap_or_default();
            let name = file.file_name().to_string_lossy().into_owned();
            assert!(!name.contains("aof") || !bytes.is_empty(), "{name} is empty");
            all.insert(format!("folder {name}"), String::from_utf8_lossy(&bytes).into_owned());
        }
        all.extend(self.postgres().await);
        all
    }

    async fn postgres(&self) -> BTreeMap<String, String> {
        let (client, connection) =
            tokio_postgres::connect(&self.scene.variables["DATABASE_URL"], tokio_postgres::NoTls)
                .await
                .expect("the log");
        let connection = tokio::spawn(connection);
        let sql = "SELECT table_name::text, string_agg(CASE WHEN data_type = 'bytea' \
             THEN 'encode(' || quote_ident(column_name) || ', ''escape'')' ELSE quote_ident(column_name) || '::text' END, \
             ' || ''|'' || ' ) FROM (SELECT table_name, column_name, data_type FROM information_schema.columns \
             WHERE table_schema = 'audit' AND table_name IN (SELECT tablename FROM pg_tables WHERE schemaname = 'audit')) c \
             GROUP BY 1";
        let mut all = BTreeMap::new();
        for table in client.query(sql, &[]).await.expect("tables") {
            let (name, columns): (String, String) = (table.get(0), table.get(1));
            let columns: Vec<String> =
                columns.split(" || '|' || ").map(|column| format!("coalesce({column}, '')")).collect();
            let sql = format!("SELECT {} FROM audit.{name}", columns.join(" || '|' || "));
            for (n, row) in client.query(&sql, &[]).await.expect("rows").iter().enumerate() {
                all.insert(format!("postgres {name} {n}"), row.get(0));
            }
        }
        drop(client);
        connection.await.expect("ended").expect("an orderly end");
        all
    }

    /// What people are shown, and what Slack was told since.
    async fn pages(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let key = self.scene.secrets.halt_path.clone().expect("a halt page");
        let page = Box::pin(halt::handle(&self.scene.house.halt, url_event("GET", &key, &[], b"")))
            .await
            .expect("a page");
        assert_eq!(page["statusCode"], 200, "{page}");
        all.insert("halt page".to_owned(), page.to_string());
        let messages = self.scene.standins.slack.messages();
        for (n, message) in messages.iter().skip(self.slack_before).enumerate() {
            all.insert(format!("slack {n}"), message.payload.to_string());
        }
        all
    }

    /// In which places a canary of hers is found.
    async fn left(&self) -> Vec<String> {
        let mut all = self.stored().await;
        all.extend(self.pages().await);
        let hits = |(place, text): (String, String)| {
            let text = text.to_lowercase();
            let found: Vec<&str> =
                CANARIES.into_iter().filter(|canary| text.contains(&canary.to_lowercase())).collect();
            (!found.is_empty()).then(|| format!("{place}: {found:?}"))
        };
        all.into_iter().filter_map(hits).collect()
    }
}

fn replaced(value: &Value, from: &str, to: &str) -> Value {
    match value {
        Value::String(text) => Value::from(text.replace(from, to)),
        Value::Array(items) => items.iter().map(|item| replaced(item, from, to)).collect(),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(name, field)| (name.clone(), replaced(field, from, to))).collect(),
        ),
        other => other.clone(),
    }
}

fn shown(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// The files of an archive, by name, as its directory lists them.
fn unpacked(zip: &[u8]) -> BTreeMap<String, String> {
    let number = |at: usize, bytes: usize| {
        zip[at..at + bytes].iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let end = zip.len() - 22;
    assert_eq!(&zip[end..end + 4], b"PK\x05\x06");
    let mut at = number(end + 16, 4);
    let mut files = BTreeMap::new();
    for _ in 0..number(end + 10, 2) {
        assert_eq!(&zip[at..at + 4], b"PK\x01\x02");
        let (size, name, local) = (number(at + 24, 4), number(at + 28, 2), number(at + 42, 4));
        let begin = local + 30 + number(local + 26, 2);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        files.insert(text(&zip[at + 46..at + 46 + name]), text(&zip[begin..begin + size]));
        at += 46 + name;
    }
    assert_eq!(at, end, "the directory ends where its end begins");
    files
}

/// A second request finds nothing of hers, and says so.
async fn a_second_one_changes_nothing(lived: &Lived, first: &Value) {
    lived.scene.clock.advance_ms(1_000);
    let again = Box::pin(lived.erase()).await;
    assert_ne!(again["request_id"], first["request_id"]);
    Box::pin(lived.sweep()).await;
    let request = lived.request(&again).await;
    assert_eq!((request.stage, request.counts), (RequestStage::Done, ledger::RequestCounts::default()));
    assert_eq!(Box::pin(lived.left()).await, Vec::<String>::new());
    assert_eq!(lived.scene.house.audit.log.verify().await.expect("verified").first_bad, None);
}

/// The state machine goes on with her open run, and nothing happens.
async fn nothing_comes_of_her_open_run(lived: &mut Lived) {
    let sent = lived.scene.sent().len();
    let input = lived.open.clone();
    let output = Box::pin(lived.scene.step(&input)).await.expect("a step");
    assert_eq!(output.next, step::Next::Done, "{output:?}");
    assert_eq!(lived.scene.sent().len(), sent);
}

#[test]
fn an_erased_person_is_in_no_store_and_on_no_page_and_the_chain_holds() {
    run(Box::pin(async {
        let mut lived = Box::pin(Lived::new()).await;
        let before = Box::pin(lived.left()).await;
        let places = |word: &str| before.iter().filter(|place| place.starts_with(word)).count();
        for word in
            ["runs", "outbox", "control", "postgres payload", "postgres prompt_part", "postgres judgement"]
        {
            assert!(places(word) > 0, "her data is in {word} before: {before:#?}");
        }
        let his_before: Vec<String> = lived
            .scene
            .house
            .audit
            .log
            .run(lived.others.as_str())
            .await
            .expect("rows")
            .iter()
            .map(|row| format!("{row:?}"))
            .collect();
        assert!(!his_before.is_empty());

        let said = Box::pin(lived.erase()).await;
        assert_eq!(said["stage"], "showing", "{said}");
        assert!(!said.to_string().contains(&HER.to_string()), "{said}");
        let run = lived.scene.run(&lived.open.run_id).await;
        assert_eq!((run.status, run.reason), (RunStatus::Discarded, Some(Reason::SubjectErased)));
        Box::pin(lived.sweep()).await;

        let request = lived.request(&said).await;
        assert_eq!(request.stage, RequestStage::Done, "{request:?}");
        assert!(request.subject.is_empty() && request.runs.is_empty(), "{request:?}");
        assert!(
            request.counts.entries > 5
                && request.counts.parts > 2
                && request.counts.rows > 5
                && request.counts.runs == 2,
            "{request:?}"
        );
        assert_eq!(Box::pin(lived.left()).await, Vec::<String>::new());
        let verified = lived.scene.house.audit.log.verify().await.expect("verified");
        assert_eq!(verified.first_bad, None);

        nothing_comes_of_her_open_run(&mut lived).await;

        // His rows are as they were, and hers say on which request they were erased.
        let his: Vec<String> = lived
            .scene
            .house
            .audit
            .log
            .run(lived.others.as_str())
            .await
            .expect("rows")
            .iter()
            .map(|row| format!("{row:?}"))
            .collect();
        assert_eq!(his, his_before);
        let hers = lived.scene.house.audit.log.run(lived.hers.as_str()).await.expect("rows");
        assert!(
            hers.iter().all(|row| row.erased_on_request.as_deref() == Some(request.request_id.as_str())),
            "{hers:#?}"
        );

        a_second_one_changes_nothing(&lived, &said).await;
    }));
}

#[test]
fn an_export_holds_everything_of_hers_and_nothing_of_another() {
    run(Box::pin(async {
        let lived = Box::pin(Lived::new()).await;
        let subject = types::Subject { contacts: [HER.to_string()].into(), ..types::Subject::default() };
        let by = types::Actor::Person(types::PersonId::new("demo").expect("an id"));
        let ask = privacy::Ask { subject, because: None, by };
        let deps = &lived.scene.house.audit;
        let exported = Box::pin(privacy::export(&deps.ledger, &deps.log, &ask)).await.expect("an export");
        let files = unpacked(&exported.zip);
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["blacked-out.txt", "index.html", "rows.csv", "rows.json"]);
        let rows = &files["rows.json"];
        for canary in CANARIES {
            assert!(rows.contains(canary), "{canary} is missing");
        }
        for (name, text) in &files {
            for other in ["other-mail", "Otherman", "OTHERTEXT", "OTHERNOTE", "704290", "person:demo"] {
                assert!(!text.contains(other), "{name} holds {other}");
            }
        }
        assert!(
            files["blacked-out.txt"].contains("an address of somebody else"),
            "{}",
            files["blacked-out.txt"]
        );
        assert!(files["index.html"].contains("CANARYTEXT"));
        assert!(exported.rows > 10 && exported.blacked_out > 0, "{exported:?}");

        // It is on the record: who asked, when, how many rows; never about whom.
        Box::pin(lived.sweep()).await;
        let query =
            audit_log::Query { verb: Some("export_subject".to_owned()), ..audit_log::Query::default() };
        let logged = deps.log.search(&query).await.expect("rows").rows;
        assert_eq!((logged.len(), logged[0].actor.as_str()), (1, "person:demo"));
        assert!(!format!("{logged:?}").contains(&HER.to_string()), "{logged:?}");
    }));
}

#[test]
fn hubspots_word_opens_one_request_that_is_carried_out_once_it_was_visible() {
    run(Box::pin(async {
        let lived = Box::pin(Lived::new()).await;
        let mut event = Scene::events("privacy_deletion").remove(0);
        event["objectId"] = HER.into();
        for _ in 0..3 {
            let (status, answer) = Box::pin(lived.scene.deliver(std::slice::from_ref(&event))).await;
            assert_eq!((status, answer["events"][0]["fate"].as_str()), (200, Some("to_forget")), "{answer}");
        }
        let ledger = &lived.scene.house.audit.ledger;
        let open = ledger.open_requests().await.expect("requests");
        assert_eq!(open.len(), 1, "{open:?}");
        Box::pin(lived.sweep()).await;
        assert_eq!(ledger.open_requests().await.expect("requests")[0].stage, RequestStage::Opened);
        lived.scene.clock.advance_ms(24 * 3_600_000);
        for _ in 0..3 {
            Box::pin(lived.sweep()).await;
        }
        assert_eq!(ledger.open_requests().await.expect("requests"), []);
        assert_eq!(Box::pin(lived.left()).await, Vec::<String>::new());
        // The same word once more, long after: nothing is opened.
        let (status, _) = Box::pin(lived.scene.deliver(&[event])).await;
        assert_eq!((status, ledger.open_requests().await.expect("requests").len()), (200, 0));
        assert_eq!(Box::pin(lived.left()).await, Vec::<String>::new());
    }));
}

#[test]
fn where_the_setting_says_ask_hubspots_word_waits_for_a_person() {
    run(Box::pin(async {
        let scene =
            Scene::with(|settings| drop(settings.insert("ERASE_AFTER_HOURS".to_owned(), "ask".to_owned())))
                .await;
        let event = Scene::events("privacy_deletion").remove(0);
        assert_eq!(Box::pin(scene.deliver(std::slice::from_ref(&event))).await.0, 200);
        scene.clock.advance_ms(60 * 24 * 3_600_000);
        Box::pin(scene.settle_audit()).await;
        let (ledger, deps) = (&scene.house.audit.ledger, &scene.house.audit);
        let open = ledger.open_requests().await.expect("requests");
        assert_eq!((open.len(), open[0].stage), (1, RequestStage::Opened));
        // Her word: the same request goes on.
        let contact = event["objectId"].to_string();
        let asked =
            json!({"erase": {"subject": {"contacts": [contact]}, "because": "confirmed by the owner"}});
        let said = serde_json::to_value(Box::pin(audit::handle(deps, asked)).await.expect("an answer"))
            .expect("JSON");
        assert_eq!(said["request_id"], open[0].request_id.as_str());
        Box::pin(scene.settle_audit()).await;
        assert_eq!(ledger.open_requests().await.expect("requests"), []);
    }));
}

#[test]
fn an_erasure_goes_on_where_it_stood_when_the_log_is_back_and_after_every_crash() {
    run(Box::pin(async {
        let mut lived = Box::pin(Lived::new()).await;
        let log = lived.scene.variables["DATABASE_URL"].clone();
        let away = "host=/nowhere user=nobody dbname=none".to_owned();
        lived.scene.rebuild(|settings| drop(settings.insert("DATABASE_URL".to_owned(), away))).await;
        let said = Box::pin(lived.erase()).await;
        assert_eq!(said["stage"], "opened", "{said}");
        assert!(Box::pin(audit::handle(&lived.scene.house.audit, json!({"sweep": "outbox"}))).await.is_err());
        lived.scene.rebuild(|settings| drop(settings.insert("DATABASE_URL".to_owned(), log))).await;

        // Every stage is worked twice, as after a crash between the work and the row that says it was done.
        let mut seen = Vec::new();
        let deps = std::sync::Arc::clone(&lived.scene.house.audit);
        loop {
            let before = lived.request(&said).await;
            seen.push(before.stage);
            if before.stage == RequestStage::Done {
                break;
            }
            Box::pin(lived.sweep()).await;
            let after = lived.request(&said).await;
            if after.stage != before.stage && seen.iter().filter(|stage| **stage == before.stage).count() < 2
            {
                let mut back = before;
                back.rev = after.rev;
                assert!(deps.ledger.save_request(&mut back, &[]).await.expect("saved"));
            }
            assert!(seen.len() < 20, "{seen:?}");
        }
        assert_eq!(Box::pin(lived.left()).await, Vec::<String>::new());
        assert_eq!(deps.log.verify().await.expect("verified").first_bad, None);
        assert_eq!(deps.log.erasures().await.expect("erasures").len(), 1, "one request, one erasure");
    }));
}

/// A row about her that another function stored while the erasure was at work, and its record of the stream.
async fn young(scene: &Scene) -> Value {
    let person = types::Actor::Person(types::PersonId::new("demo").expect("an id"));
    let target = types::Target::new("deal", OTHER_DEAL);
    let mut entry = ledger::Entry::new("console", "young", scene.clock.now(), person, "mark_sent", target);
    entry.because = Some("CANARYBECAUSE, said to her in person".to_owned());
    entry.subjects = vec![HER.to_string()];
    scene.house.audit.ledger.append_outbox(std::slice::from_ref(&entry)).await.expect("stored");
    json!({"eventName": "INSERT", "dynamodb": {"SequenceNumber": "1", "NewImage": {
        "pk": {"S": entry.entry_id}, "unack": {"S": "1"}, "at": {"N": "1"}, "schema_version": {"N": "1"},
        "body": {"S": serde_json::to_string(&entry).expect("JSON")}}}})
}

#[test]
fn what_is_stored_of_her_during_an_erasure_is_erased_in_the_log_and_its_late_record_brings_nothing_back() {
    run(Box::pin(async {
        let mut lived = Box::pin(Lived::new()).await;
        let door = crate::door::Door::to(&Scene::tables_endpoint()).await;
        let url = door.url.clone();
        let through = |settings: &mut BTreeMap<String, String>| {
            settings.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url);
        };
        lived.scene.rebuild(through).await;
        // What waited is in the log, and the erasure is about to go through the outbox.
        let outbox = format!("{}outbox", lived.scene.prefix);
        let gate = door.hold(move |asked| asked.operation == "Scan" && asked.body.contains(&outbox));
        let deps = std::sync::Arc::clone(&lived.scene.house.audit);
        let flags = std::sync::Arc::clone(&lived.scene.house.halt);
        let erased = crate::door::spawn(async move {
            let asked =
                json!({"erase": {"subject": {"contacts": [HER.to_string()]}, "because": "by letter"}});
            let said = Box::pin(audit::handle(&deps, asked)).await.expect("an answer");
            for _ in 0..8 {
                Box::pin(halt::handle(&flags, json!({"sweep": "flags"}))).await.expect("swept");
                Box::pin(audit::handle(&deps, json!({"sweep": "outbox"}))).await.expect("swept");
            }
            serde_json::to_value(said).expect("JSON")
        });
        gate.reached().await;
        let record = Box::pin(young(&lived.scene)).await;
        gate.open();
        let said = erased.await.expect("no panic");
        assert_eq!(Box::pin(lived.request(&said)).await.stage, RequestStage::Done);
        let records = json!({"Records": [record]});
        Box::pin(audit::handle(&lived.scene.house.audit, records)).await.expect("read");
        assert_eq!(Box::pin(lived.left()).await, Vec::<String>::new());
        assert_eq!(lived.scene.house.audit.log.verify().await.expect("verified").first_bad, None);
    }));
}
