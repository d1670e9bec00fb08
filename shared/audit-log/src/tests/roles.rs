//! Each role does its own work and nothing else, as a real login. Must never test as a superuser.
use super::*;
use crate::test_postgres::as_user;
use crate::{Error, Judged, Query};
use tokio_postgres::error::SqlState;

/// A login that has this role alone.
async fn login(log: &Log, role: &str) -> String {
    let role: String =
        connect(&log.address).await.query_one("SELECT audit.role_name($1)", &[&role]).await.unwrap().get(0);
    log.owner(&format!("CREATE ROLE {role}_login LOGIN IN ROLE {role}")).await;
    as_user(&log.address, &format!("{role}_login"))
}

/// Each statement is denied for want of a right, not for a typo: the owner can run it.
async fn denied(log: &Log, address: &str, statements: &[&str]) {
    let (client, owner) = (connect(address).await, connect(&log.address).await);
    for sql in statements {
        let error = client.batch_execute(sql).await.expect_err(sql);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {error:?}");
        let as_owner = owner
            .batch_execute(&format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; ROLLBACK"))
            .await;
        if let Err(error) = as_owner {
            owner.batch_execute("ROLLBACK").await.unwrap();
            panic!("{sql} is no valid statement: {error:?}");
        }
    }
}

const CHANGES: [&str; 9] = [
    "INSERT INTO audit.parked VALUES ('a', 'b', 'c', 'd', '{}')",
    "UPDATE audit.entry SET verb = 'x'",
    "DELETE FROM audit.entry WHERE seq = -1",
    "TRUNCATE audit.judgement",
    "UPDATE audit.payload SET target_id = 'deal:1'",
    "UPDATE audit.head SET seq = 0",
    "DELETE FROM audit.subject",
    "UPDATE audit.prompt_part SET erased_by = 1",
    "CREATE TABLE audit.mine (a int)",
];
const READS: [&str; 5] = [
    "SELECT * FROM audit.entry",
    "SELECT * FROM audit.payload",
    "SELECT * FROM audit.audit_log",
    "SELECT * FROM audit.prompt_part",
    "SELECT * FROM audit.parked",
];
const ERASE: [&str; 1] = [
    "SELECT * FROM audit.erase_found('{}', '{}', '{}', '{}', '{}', '{}', '{1}', 'R', 'i', 1, 1, 'a', 't', '', '', '')",
];
const RETAIN: [&str; 1] = ["SELECT * FROM audit.retention_scope(0, 1)"];
const JUDGE: [&str; 1] = ["SELECT audit.judge(ARRAY[1::bigint], 'p', 'expected', NULL, 0)"];
const WRITE: [&str; 2] =
    ["SELECT audit.park('a', 'b', 'c', '{}')", "SELECT * FROM audit.missing_parts('{}')"];
const KEYS: [&str; 3] = [
    "SELECT * FROM audit.subject_key",
    "SELECT audit.pseudonym('deal:1', decode(repeat('00', 128), 'hex'))",
    "ALTER TABLE audit.entry DISABLE TRIGGER ALL",
];

#[tokio::test]
async fn the_writer_appends_and_can_do_nothing_else() {
    let log = Log::filled(&many("r-1", 2)).await;
    let address = login(&log, "writer").await;
    let own = AuditLog::connect(&address).await.unwrap();
    let nothing = |_: PartRef| async { Ok::<_, Infallible>(None) };
    assert_eq!(own.append(&many("r-2", 1), nothing).await.unwrap(), [AppendResult::Appended(3)]);
    for statements in [&CHANGES[..], &READS, &ERASE, &RETAIN, &JUDGE, &KEYS] {
        denied(&log, &address, statements).await;
    }
    assert!(matches!(own.search(&Query::default()).await, Err(Error::TakeRole { role: "reader", .. })));
    assert!(matches!(
        own.erase_found(&whom(&["contact:501"]), "R-1", &Actor::System("x".into()), at(9)).await,
        Err(Error::TakeRole { role: "eraser", .. })
    ));
    assert!(own.migrate().await.is_err());
}

#[tokio::test]
async fn the_reader_reads_and_can_do_nothing_else() {
    let log = Log::filled(&many("r-1", 2)).await;
    let address = login(&log, "reader").await;
    let own = AuditLog::connect(&address).await.unwrap();
    assert_eq!(own.search(&Query::default()).await.unwrap().rows.len(), 2);
    assert_eq!(own.verify().await.unwrap().entries, 2);
    for statements in [&CHANGES[..], &ERASE, &RETAIN, &JUDGE, &WRITE, &KEYS] {
        denied(&log, &address, statements).await;
    }
}

#[tokio::test]
async fn the_eraser_the_retainer_and_the_judge_have_one_task_each() {
    let log = Log::filled(&many("r-1", 2)).await;
    let judge = login(&log, "judge").await;
    let own = AuditLog::connect(&judge).await.unwrap();
    let person = types::PersonId::new("p-1").unwrap();
    assert_eq!(own.judge(&[1], &person, Judged::Expected, None, at(5)).await.unwrap(), 1);
    for statements in [&CHANGES[..], &READS, &ERASE, &RETAIN, &WRITE, &KEYS] {
        denied(&log, &judge, statements).await;
    }
    let eraser = login(&log, "eraser").await;
    for statements in [&CHANGES[..], &READS, &RETAIN, &JUDGE, &WRITE, &KEYS] {
        denied(&log, &eraser, statements).await;
    }
    let retainer = login(&log, "retainer").await;
    for statements in [&CHANGES[..], &READS, &ERASE, &JUDGE, &WRITE, &KEYS] {
        denied(&log, &retainer, statements).await;
    }
    let own = AuditLog::connect(&retainer).await.unwrap();
    let by = Actor::System("audit".into());
    assert_eq!(own.retain(at(0), &by, at(9)).await.unwrap(), crate::Retained::default());
    // A request that comes again is found by reading: whoever erases reads too.
    log.owner(
        "DO $$ BEGIN EXECUTE format('GRANT %I TO %I', audit.role_name('reader'), \
         audit.role_name('eraser') || '_login'); END $$",
    )
    .await;
    let own = AuditLog::connect(&eraser).await.unwrap();
    let by = Actor::Person(person);
    assert_eq!(own.erase_found(&whom(&["contact:501"]), "R-1", &by, at(9)).await.unwrap().entries, 2);
}

#[tokio::test]
async fn a_stranger_gets_nothing() {
    let log = Log::filled(&many("r-1", 1)).await;
    log.owner("CREATE ROLE stranger LOGIN").await;
    let address = as_user(&log.address, "stranger");
    for statements in [&CHANGES[..], &READS, &ERASE, &RETAIN, &JUDGE, &WRITE, &KEYS] {
        denied(&log, &address, statements).await;
    }
}

#[tokio::test]
async fn not_even_the_owner_changes_a_row_while_the_triggers_stand() {
    let mut log = Log::new().await;
    let mut entries = many("r-1", 2);
    entries[0].prompt = Some(log.prompt(&[b"one"]));
    log.append(&entries).await;
    let person = types::PersonId::new("p-1").unwrap();
    log.log.judge(&[1], &person, Judged::Expected, Some("yes"), at(5)).await.unwrap();
    let owner = connect(&log.address).await;
    let mut statements = vec![
        "UPDATE audit.entry SET verb = 'x'".to_owned(),
        "UPDATE audit.payload SET target_id = 'deal:1'".to_owned(),
        "UPDATE audit.payload SET salt = NULL, bytes = NULL, target_id = NULL, customer_id = NULL, \
        to_stage = NULL, \
         erased_by = 2 WHERE seq = 1"
            .to_owned(),
        "UPDATE audit.prompt_part SET bytes = NULL, erased_by = 1".to_owned(),
        "UPDATE audit.prompt SET ord = 7".to_owned(),
        "UPDATE audit.judgement SET judged = 'surprising'".to_owned(),
        "UPDATE audit.judgement SET note = NULL".to_owned(),
    ];
    for table in ["entry", "payload", "prompt_part", "prompt", "judgement"] {
        statements.push(format!("DELETE FROM audit.{table}"));
        statements.push(format!("TRUNCATE audit.{table} CASCADE"));
    }
    for sql in statements {
        let error = owner.batch_execute(&sql).await.expect_err(&sql);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {error:?}");
    }
    assert_eq!(log.log.verify().await.unwrap().first_bad, None);
    // A CASCADE from one table meets another's trigger, so each table is looked at by name too.
    let guarded = owner
        .query(
            "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'never_emptied' ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let guarded: Vec<String> = guarded.iter().map(|row| row.get(0)).collect();
    let tables = ["entry", "erasure", "judgement", "payload", "prompt", "prompt_part"];
    assert_eq!(guarded, tables.map(|table| format!("audit.{table}")));
}
