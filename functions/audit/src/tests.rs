//! From the outbox to Postgres, with both stores real. Must never pass because nothing was delivered.
use crate::{Deps, Response, Swept, handle};
use audit_log::{AuditLog, CheckpointSigner, Prompt, Query};
use ledger::{ENTRY_SCHEMA_VERSION, Entry, INLINE, Ledger, PartRef, PromptRef, sha256_hex};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use stores::{DataDir, LocalDynamo, LocalPostgres};
use types::{Actor, Clock, EntryState, Reason, RunId, Target, Timestamp};

mod outage;

static FOLDERS: AtomicU32 = AtomicU32::new(0);
const ORIGIN: &str = "holdfast/t";
const NOW_MS: i64 = 1_773_050_400_000;

struct World {
    deps: Deps,
    dynamo: LocalDynamo,
    client: aws_sdk_dynamodb::Client,
    postgres: Option<LocalPostgres>,
    data: Option<DataDir>,
}

impl World {
    async fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::SeqCst);
        let folder = std::env::temp_dir().join(format!("audit-fn-{}-{number}", std::process::id()));
        let data = DataDir::open_fresh(&folder).unwrap();
        let dynamo = stores::dynamo::start(&data, 0, stores::dynamo::Expiry::Never).await.unwrap();
        let client = stores::dynamo::client(dynamo.endpoint());
        stores::dynamo::create_tables(&client, "t-").await.unwrap();
        let postgres = stores::postgres::start(&data, None).await.unwrap();
        let deps = deps(Ledger::new(client.clone(), "t-", Clock::manual(NOW_MS)), postgres.url());
        let migrated = handle(&deps, json!({"migrate": "audit"})).await.unwrap();
        assert_eq!(migrated, Response::Migrated { migrated: true });
        Self { deps, dynamo, client, postgres: Some(postgres), data: Some(data) }
    }

    async fn sweep(&self) -> Swept {
        let answer = handle(&self.deps, json!({"sweep": "outbox"})).await.unwrap();
        let Response::Swept(swept) = answer else { panic!("{answer:?}") };
        swept
    }

    /// Ids of the records that the stream would send again.
    async fn stream(&self, deps: &Deps, entries: &[Entry]) -> Vec<String> {
        let records: Vec<Value> = entries.iter().enumerate().map(|(n, entry)| record(n, entry)).collect();
        let answer = handle(deps, json!({ "Records": records })).await.unwrap();
        let answer = serde_json::to_value(answer).unwrap();
        let failures = answer["batchItemFailures"].as_array().unwrap();
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }

    async fn waiting(&self) -> usize {
        self.deps.ledger.unacknowledged(1_000).await.unwrap().len()
    }

    async fn end(mut self) {
        drop(self.deps);
        self.dynamo.shutdown().await;
        if let Some(postgres) = self.postgres.take() {
            postgres.shutdown().await.unwrap();
        }
        let path = self.data.as_ref().unwrap().path().to_owned();
        drop(self.data.take());
        std::fs::remove_dir_all(path).unwrap();
    }
}

fn deps(ledger: Ledger, database_url: &str) -> Deps {
    let signer = CheckpointSigner::from_secret_hex(&"07".repeat(32), ORIGIN).unwrap();
    Deps {
        ledger,
        log: AuditLog::lazy(database_url).unwrap(),
        origin: ORIGIN.to_owned(),
        checkpoint_keys: vec![signer.public()],
        signer: Some(signer),
        retention_days: 400,
    }
}

fn record(n: usize, entry: &Entry) -> Value {
    json!({"eventName": "INSERT", "dynamodb": {"SequenceNumber": format!("{}", 1_000 + n), "NewImage": {
        "pk": {"S": entry.entry_id}, "unack": {"S": "1"}, "at": {"N": "1"}, "schema_version": {"N": "1"},
        "body": {"S": serde_json::to_string(entry).unwrap()}}}})
}

fn entry(n: u64) -> Entry {
    let run = RunId::new("r-1").unwrap();
    Entry {
        schema_version: ENTRY_SCHEMA_VERSION,
        entry_id: format!("r-1#{n}"),
        stream: "r-1".into(),
        event_no: n,
        occurred_at: Timestamp::from_millisecond(NOW_MS + i64::try_from(n).unwrap()).unwrap(),
        actor: Actor::Agent(run.clone()),
        verb: "set_stage".into(),
        target: Target::new("deal", "4411"),
        customer_id: None,
        state: EntryState::Refused,
        reason: Some(Reason::StageNotAllowed),
        mode: None,
        tier: None,
        intent_id: None,
        run_id: Some(run),
        step: Some(1),
        before: None,
        after: Some(json!({"stage": "closedwon"})),
        because: Some("text \u{0} from a model".into()),
        detail: None,
        prompt: None,
        model_version: None,
        config_version: None,
        subjects: vec!["501".into()],
    }
}

#[tokio::test]
async fn what_the_stream_delivers_is_acknowledged_and_the_same_again_is_harmless() {
    let world = World::new().await;
    let entries: Vec<Entry> = (1..=3).map(entry).collect();
    world.deps.ledger.append_outbox(&entries).await.unwrap();
    assert_eq!(world.waiting().await, 3);
    assert!(world.stream(&world.deps, &entries).await.is_empty());
    assert_eq!(world.waiting().await, 0);
    assert!(world.stream(&world.deps, &entries).await.is_empty());
    assert_eq!(world.deps.log.search(&Query::default()).await.unwrap().rows.len(), 3);

    // The record of the acknowledgement itself, and records of other tables, are no rows.
    let removal =
        json!({"Records": [{"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "1"}}, {"s3": {}}, 7]});
    let answer = handle(&world.deps, removal).await.unwrap();
    assert_eq!(serde_json::to_value(answer).unwrap(), json!({"batchItemFailures": []}));
    for other in [json!({}), json!({"sweep": "flags"}), json!(null), json!({"Records": "x"})] {
        assert!(handle(&world.deps, other).await.is_err());
    }
    world.end().await;
}

#[tokio::test]
async fn nothing_is_lost_while_postgres_is_away() {
    let world = World::new().await;
    let entries: Vec<Entry> = (1..=450).map(entry).collect();
    world.deps.ledger.append_outbox(&entries).await.unwrap();
    let away = deps(world.deps.ledger.clone(), "host=/nowhere user=nobody dbname=none");
    assert_eq!(world.stream(&away, &entries[..2]).await, ["1000", "1001"]);
    let error = handle(&away, json!({"sweep": "outbox"})).await.unwrap_err();
    assert!(error.chain().starts_with("cannot connect to the audit database: "), "{}", error.chain());
    assert_eq!(world.waiting().await, 450);

    assert!(world.stream(&world.deps, &entries[..2]).await.is_empty());
    assert_eq!(world.sweep().await, Swept { appended: 448, duplicate: 0, poison: 0, left: 0, lag_ms: 0 });
    assert_eq!(world.sweep().await, Swept::default());
    let verified = world.deps.log.verify().await.unwrap();
    assert_eq!((verified.entries, verified.first_bad), (450, None));
    world.end().await;
}

#[tokio::test]
async fn rows_that_cannot_go_in_hold_up_nobody() {
    let world = World::new().await;
    let mut entries: Vec<Entry> = (1..=460).map(entry).collect();
    // The oldest: a call that ended without a reason, which the log refuses.
    entries[0].reason = None;
    // Older than a whole round of good rows: written by a newer build.
    for newer in &mut entries[1..231] {
        newer.schema_version = ENTRY_SCHEMA_VERSION + 1;
    }
    world.deps.ledger.append_outbox(&entries).await.unwrap();
    let body = aws_sdk_dynamodb::types::AttributeValue::S("{no json".into());
    world
        .client
        .update_item()
        .table_name("t-outbox")
        .key("pk", aws_sdk_dynamodb::types::AttributeValue::S("r-1#240".into()))
        .update_expression("SET body = :b")
        .expression_attribute_values(":b", body)
        .send()
        .await
        .unwrap();
    assert!(world.stream(&world.deps, &entries[..3]).await.is_empty(), "the shard goes on");
    let swept = world.sweep().await;
    assert_eq!(swept, Swept { appended: 228, duplicate: 0, poison: 231, left: 231, lag_ms: 0 });
    assert_eq!(world.deps.log.parked().await.unwrap().len(), 1);
    assert_eq!(world.sweep().await, Swept { appended: 0, duplicate: 0, poison: 231, left: 231, lag_ms: 0 });
    world.end().await;
}

#[tokio::test]
async fn a_prompt_is_brought_from_where_it_waits() {
    let world = World::new().await;
    let shared = world.deps.ledger.put_shared("{\"system\":\"..\",").await.unwrap();
    let tail = "\"messages\":[]}";
    let inline = PartRef { hash: sha256_hex(tail.as_bytes()), pk: INLINE.into(), sk: tail.into() };
    let whole = format!("{{\"system\":\"..\",{tail}");
    let mut with_prompt = entry(1);
    with_prompt.prompt = Some(PromptRef { hash: sha256_hex(whole.as_bytes()), parts: vec![shared, inline] });
    world.deps.ledger.append_outbox(&[with_prompt]).await.unwrap();
    assert_eq!(world.sweep().await, Swept { appended: 1, duplicate: 0, poison: 0, left: 0, lag_ms: 0 });
    let prompt = world.deps.log.prompt_bytes(&sha256_hex(whole.as_bytes())).await.unwrap();
    assert_eq!(prompt, Prompt::Exact(whole.into_bytes()));
    world.end().await;
}
