//! The schema, in numbered steps. Must never apply a step twice, half, or in two texts.
use crate::error::{Error, Fault};
use crate::session::{AuditLog, Role};
use sha2::{Digest, Sha256};

/// Every step, oldest first. Never edit one that was released: add the next.
const STEPS: &[(i32, &str)] = &[
    (1, include_str!("../migrations/0001_chain.sql")),
    (2, include_str!("../migrations/0002_reading.sql")),
    (3, include_str!("../migrations/0003_retention.sql")),
    (4, include_str!("../migrations/0004_found.sql")),
    (5, include_str!("../migrations/0005_one_erasure.sql")),
    (6, include_str!("../migrations/0006_rare_ends.sql")),
];

/// Any constant: whoever migrates this database takes the same lock.
const LOCK: i64 = 0x686f_6c64_6661_7374;

impl AuditLog {
    /// Brings the database up to this build, in one transaction; does nothing where it is already.
    ///
    /// # Errors
    /// [`Error::Migrate`], [`Error::MigrationChanged`], [`Error::DatabaseNewer`]; nothing is changed then.
    pub async fn migrate(&self) -> Result<(), Error> {
        self.migrate_to(i32::MAX).await
    }

    pub(crate) async fn migrate_to(&self, last: i32) -> Result<(), Error> {
        let session = self.session(Role::Owner).await?;
        let client = &session.client;
        let at = |version: i32| {
            move |error: tokio_postgres::Error| Error::Migrate { version, source: error.into() }
        };
        client.batch_execute("BEGIN").await.map_err(at(0))?;
        let done = async {
            client.query_one("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(at(0))?;
            client
                .batch_execute(
                    "SET LOCAL client_min_messages = warning;
                     CREATE SCHEMA IF NOT EXISTS audit;
                     CREATE TABLE IF NOT EXISTS audit.migration (
                         version int PRIMARY KEY, sha256 bytea NOT NULL,
                         applied_at timestamptz NOT NULL DEFAULT now());
                     REVOKE ALL ON audit.migration FROM PUBLIC",
                )
                .await
                .map_err(at(0))?;
            let applied = client
                .query("SELECT version, sha256 FROM audit.migration ORDER BY version", &[])
                .await
                .map_err(at(0))?;
            let applied: Vec<(i32, Vec<u8>)> = applied.iter().map(|row| (row.get(0), row.get(1))).collect();
            check_applied(&applied)?;
            for (version, sql) in STEPS.iter().filter(|(version, _)| *version <= last) {
                if applied.iter().any(|(done, _)| done == version) {
                    continue;
                }
                client.batch_execute(sql).await.map_err(at(*version))?;
                let digest = Sha256::digest(sql).to_vec();
                client
                    .execute(
                        "INSERT INTO audit.migration (version, sha256) VALUES ($1, $2)",
                        &[version, &digest],
                    )
                    .await
                    .map_err(at(*version))?;
            }
            client.batch_execute("COMMIT").await.map_err(at(0))
        }
        .await;
        if done.is_err()
            && let Err(error) = client.batch_execute("ROLLBACK").await
        {
            tracing::warn!(error = %Fault::from(error), "rolling back a migration failed");
        }
        done
    }
}

fn check_applied(applied: &[(i32, Vec<u8>)]) -> Result<(), Error> {
    let known = STEPS.last().map_or(0, |(version, _)| *version);
    for (version, digest) in applied {
        let Some((_, sql)) = STEPS.iter().find(|(step, _)| step == version) else {
            return Err(Error::DatabaseNewer { found: *version, known });
        };
        if Sha256::digest(sql).as_slice() != digest.as_slice() {
            return Err(Error::MigrationChanged { version: *version });
        }
    }
    Ok(())
}
