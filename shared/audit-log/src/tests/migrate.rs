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
    assert_eq!(steps, 3);
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
    assert!(matches!(log.log.migrate().await, Err(Error::DatabaseNewer { found: 99, known: 3 })));
}

#[tokio::test]
async fn the_roles_of_a_dropped_database_are_taken_over() {
    let log = Log::filled(&many("r-1", 1)).await;
    log.owner("DROP SCHEMA audit CASCADE").await;
    log.log.migrate().await.unwrap();
    assert_eq!(log.append(&many("r-1", 1)).await, [AppendResult::Appended(1)]);
}
