//! A database is brought up to date once and whole. Must never start from an empty schema only.
use super::*;
use crate::{Error, Query};

#[tokio::test]
async fn migrating_again_or_side_by_side_changes_nothing() {
    let address = database().await;
    let mut migrations = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let address = address.clone();
        migrations.spawn(async move { AuditLog::connect(&address).await.unwrap().migrate().await });
    }
    for migrated in migrations.join_all().await {
        migrated.unwrap();
    }
    let owner = connect(&address).await;
    let steps: i64 = owner.query_one("SELECT count(*) FROM audit.migration", &[]).await.unwrap().get(0);
    assert_eq!(steps, 6);
}

#[tokio::test]
async fn an_older_database_with_rows_is_upgraded_in_place() {
    let address = database().await;
    let log = Log { log: AuditLog::connect(&address).await.unwrap(), address, parts: BTreeMap::new() };
    log.log.migrate_to(1).await.unwrap();
    log.append(&many("r-1", 3)).await;
    log.log.migrate().await.unwrap();
    log.append(&many("r-1", 4)).await;
    assert_eq!(log.log.search(&Query::default()).await.unwrap().rows.len(), 4);
    assert_eq!(log.log.verify().await.unwrap().entries, 4);
}

#[tokio::test]
async fn another_text_or_a_newer_database_is_refused() {
    let log = Log::new().await;
    log.owner("UPDATE audit.migration SET sha256 = sha256('x') WHERE version = 1").await;
    assert!(matches!(log.log.migrate().await, Err(Error::MigrationChanged { version: 1 })));
    let log = Log::new().await;
    log.owner("INSERT INTO audit.migration VALUES (99, sha256('x'))").await;
    assert!(matches!(log.log.migrate().await, Err(Error::DatabaseNewer { found: 99, known: 6 })));
}

#[tokio::test]
async fn the_roles_of_a_dropped_database_are_taken_over() {
    let log = Log::filled(&many("r-1", 1)).await;
    log.owner("DROP SCHEMA audit CASCADE").await;
    log.log.migrate().await.unwrap();
    assert_eq!(log.append(&many("r-1", 1)).await, [AppendResult::Appended(1)]);
}

#[tokio::test]
async fn the_rows_of_version_1_as_it_wrote_them_are_upgraded_and_verify() {
    let address = database().await;
    let log = Log { log: AuditLog::connect(&address).await.unwrap(), address, parts: BTreeMap::new() };
    log.log.migrate_to(1).await.unwrap();
    log.owner(include_str!("fixtures/version1.sql")).await;
    log.log.migrate().await.unwrap();
    let verified = log.log.verify().await.unwrap();
    assert_eq!((verified.entries, verified.first_bad), (7, None));
    assert_eq!(verified.head.hash, "5d918fa4027f51ee5d7e13c8f8e7bc7353af8f26d8faea7ea8851aa9af43f665");
    // What came later works on them: search, duplicates, the next row, retention.
    assert_eq!(log.append(&many("r-3", 2)).await, [AppendResult::Duplicate(7), AppendResult::Appended(8)]);
    let rows = log.log.search(&Query::default()).await.unwrap().rows;
    assert!(rows.iter().any(|row| row.because.as_deref() == Some("a\u{fffd}b")), "U+0000 is shown safely");
    let by = Actor::System("audit".into());
    let now: i64 = log.count("SELECT extract(epoch FROM now())::bigint").await;
    let before = Timestamp::from_second(now - 184 * 86_400).unwrap();
    assert_eq!(log.log.retain(before, &by, Timestamp::from_second(now).unwrap()).await.unwrap().entries, 5);
    assert_eq!(log.log.verify().await.unwrap().first_bad, None);
}
