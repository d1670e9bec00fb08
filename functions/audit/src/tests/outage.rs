//! Postgres away, killed and full, on a real server. Must never let a row be lost, or be there twice.
use super::*;
use crate::AuditError;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio_postgres::{Client, NoTls};

impl World {
    /// The server is stopped, as for an upgrade.
    async fn stop_postgres(&mut self) {
        self.postgres.take().expect("it runs").shutdown().await.unwrap();
    }

    /// On the same data folder, so at the same address.
    async fn start_postgres(&mut self) {
        let before = self.postgres.take();
        drop(before);
        self.postgres = Some(stores::postgres::start(self.data.as_ref().unwrap(), None).await.unwrap());
    }

    /// Every entry of the log in its order, by the number it had in its run.
    async fn numbers(&self) -> Vec<i64> {
        let client = owner(self.postgres.as_ref().unwrap().url()).await;
        let rows = client.query("SELECT event_no FROM audit.entry ORDER BY seq", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Delivers until the outbox is empty; a sweep that meets a server in recovery is tried again.
    async fn drain(&self) -> Swept {
        let mut all = Swept::default();
        for _ in 0..600 {
            match handle(&self.deps, json!({"sweep": "outbox"})).await {
                Ok(Response::Swept(swept)) => {
                    all.appended += swept.appended;
                    all.duplicate += swept.duplicate;
                    all.poison += swept.poison;
                    if swept.left == 0 {
                        return all;
                    }
                }
                Ok(other) => panic!("{other:?}"),
                Err(AuditError::Log(_)) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                Err(error) => panic!("{}", error.chain()),
            }
        }
        panic!("the outbox did not get empty");
    }

    async fn is_whole(&self, entries: i64) {
        let verified = self.deps.log.verify().await.unwrap();
        assert_eq!((verified.entries, verified.first_bad), (entries, None));
        assert_eq!(self.waiting().await, 0);
        assert!(self.deps.log.parked().await.unwrap().is_empty(), "an outage is no fault of a row");
    }
}

/// A connection as the owner; in a tokio task of its own, which ends with the server.
async fn owner(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test's connection ends with its runtime")]
    tokio::spawn(async move { drop(connection.await) });
    client
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn an_hour_without_postgres_loses_no_row_and_keeps_their_order() {
    let mut world = World::new().await;
    world.stop_postgres().await;
    let mut n = 0;
    for minute in 0..60 {
        let rows: Vec<Entry> = (0..10)
            .map(|_| {
                n += 1;
                let at = world.deps.ledger.clock().now();
                Entry {
                    occurred_at: at.checked_add(std::time::Duration::from_millis(n)).unwrap(),
                    ..entry(n)
                }
            })
            .collect();
        world.deps.ledger.append_outbox(&rows).await.unwrap();
        let error = handle(&world.deps, json!({"sweep": "outbox"})).await.unwrap_err();
        assert!(matches!(error, AuditError::Log(_)), "{}", error.chain());
        // What the alarm and every step look at grows by the minute.
        let oldest = world.deps.ledger.oldest_unacknowledged_ms().await.unwrap().unwrap();
        let lag_ms = world.deps.ledger.clock().now_ms() - oldest;
        assert_eq!((lag_ms + 59_999) / 60_000, minute, "minute {minute}");
        world.deps.ledger.clock().advance_ms(60_000);
    }
    world.start_postgres().await;
    let answer = handle(&world.deps, json!({"sweep": "outbox"})).await.unwrap();
    let Response::Swept(swept) = answer else { panic!("{answer:?}") };
    assert_eq!((swept.appended, swept.duplicate, swept.left), (600, 0, 0), "{swept:?}");
    assert!((3_540_000..=3_600_000).contains(&swept.lag_ms), "{swept:?}");
    assert_eq!(world.numbers().await, (1..=600).collect::<Vec<i64>>());
    world.is_whole(600).await;
    world.end().await;
}

/// Waits until the writer stands in `audit.append`, behind a lock that this test holds; its process id.
async fn writer_in_append(owner: &Client) -> u32 {
    loop {
        let found = owner
            .query_opt(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'holdfast-audit' \
                 AND wait_event_type = 'Lock' AND query LIKE '%audit.append(%'",
                &[],
            )
            .await
            .unwrap();
        if let Some(row) = found {
            return u32::try_from(row.get::<_, i32>(0)).unwrap();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_an_append_neither_loses_a_row_nor_has_one_twice() {
    let mut world = World::new().await;
    let mut total = 0_u64;
    for victim in ["backend", "postmaster", "backend", "postmaster"] {
        let rows: Vec<Entry> = (total + 1..=total + 40).map(entry).collect();
        total += 40;
        world.deps.ledger.append_outbox(&rows).await.unwrap();
        // Half of them are in the log already, and nobody acknowledged them: the writer died just before.
        let nothing = |_: PartRef| async { Ok::<_, std::convert::Infallible>(None) };
        world.deps.log.append(&rows[..20], nothing).await.unwrap();
        let url = world.postgres.as_ref().unwrap().url().to_owned();
        let (holder, looker) = (owner(&url).await, owner(&url).await);
        holder.batch_execute("BEGIN; SELECT FROM audit.head FOR UPDATE").await.unwrap();
        let murder = async {
            let pid = writer_in_append(&looker).await;
            kill(if victim == "backend" {
                pid
            } else {
                world.postgres.as_ref().unwrap().process_id().unwrap()
            });
        };
        let (swept, ()) = tokio::join!(handle(&world.deps, json!({"sweep": "outbox"})), murder);
        assert!(matches!(swept, Err(AuditError::Log(_))), "{victim}: {swept:?}");
        assert_eq!(world.waiting().await, 40, "{victim}: nothing was acknowledged");
        if victim == "postmaster" {
            world.start_postgres().await;
        }
        let drained = world.drain().await;
        assert_eq!((drained.appended, drained.duplicate, drained.poison), (20, 20, 0), "{victim}");
    }
    assert_eq!(world.numbers().await, (1..=160).collect::<Vec<i64>>());
    world.is_whole(160).await;
    world.end().await;
}

/// A file system of its own, as small as it is told. `None` where this user may not mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).ok()?;
        // The server wants to own its folder; it runs as this user where we are root.
        let said = Command::new("id").args(["-u", "postgres"]).output().ok()?;
        let uid = String::from_utf8(said.stdout).ok()?.trim().to_owned();
        let options = format!("size=64m,mode=0700,uid={uid}");
        let mount = ["-t", "tmpfs", "-o", &options, "none"];
        let mounted = Command::new("mount").args(mount).arg(folder).output().ok()?;
        mounted.status.success().then(|| Self(folder.to_owned()))
    }

    fn used_kb(&self) -> u64 {
        let said = Command::new("df").args(["--output=used", "-k"]).arg(&self.0).output().unwrap();
        String::from_utf8(said.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
    }

    fn resize(&self, kb: u64) {
        let size = format!("remount,size={kb}k");
        assert!(Command::new("mount").args(["-o", &size]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Fills the disk, or makes the table answer as on a full one; gives the way back.
async fn fill(disk: Option<&SmallDisk>, url: &str) {
    if let Some(disk) = disk {
        owner(url).await.batch_execute("CHECKPOINT").await.unwrap();
        disk.resize(disk.used_kb() + 1_000);
        return;
    }
    let sql = "CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               IF NEW.seq > 3 THEN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END IF; \
               RETURN NEW; END $$; CREATE TRIGGER full_disk BEFORE INSERT ON audit.payload FOR EACH ROW \
               EXECUTE FUNCTION public.full()";
    owner(url).await.batch_execute(sql).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_keeps_the_rows_waiting_and_parks_none() {
    let world = World::new().await;
    let url = world.postgres.as_ref().unwrap().url().to_owned();
    let folder = std::env::temp_dir().join(format!("audit-fn-disk-{}", std::process::id()));
    let disk = SmallDisk::new(&folder);
    println!(
        "the full disk is {}",
        if disk.is_some() { "a small tmpfs" } else { "a trigger that answers 53100" }
    );
    let (small_url, admin) = (url.replacen("/postgres?", "/small?", 1), owner(&url).await);
    let place = if disk.is_some() {
        let space = format!("CREATE TABLESPACE small LOCATION '{}'", folder.display());
        admin.batch_execute(&space).await.unwrap();
        " TABLESPACE small"
    } else {
        ""
    };
    admin.batch_execute(&format!("CREATE DATABASE small{place}")).await.unwrap();
    let on_small = deps(world.deps.ledger.clone(), &small_url);
    handle(&on_small, json!({"migrate": "audit"})).await.unwrap();
    fill(disk.as_ref(), &small_url).await;

    // Text that no database compresses.
    let noise = |n: u64| (0..1_200).map(|i| sha256_hex(format!("{n}-{i}").as_bytes())).collect::<String>();
    let rows: Vec<Entry> = (1..=30).map(|n| Entry { because: Some(noise(n)), ..entry(n) }).collect();
    for some in rows.chunks(5) {
        world.deps.ledger.append_outbox(some).await.unwrap();
    }
    let error = handle(&on_small, json!({"sweep": "outbox"})).await.unwrap_err();
    let AuditError::Log(audit_log::Error::Append(fault)) = &error else { panic!("{}", error.chain()) };
    assert_eq!(fault.code.as_deref(), Some("53100"), "{fault}");
    assert!(world.waiting().await > 0 && on_small.log.parked().await.unwrap().is_empty());

    match &disk {
        Some(disk) => disk.resize(200_000),
        None => {
            owner(&small_url).await.batch_execute("DROP TRIGGER full_disk ON audit.payload").await.unwrap()
        }
    }
    let swept = handle(&on_small, json!({"sweep": "outbox"})).await.unwrap();
    assert!(matches!(swept, Response::Swept(Swept { left: 0, poison: 0, .. })), "{swept:?}");
    let verified = on_small.log.verify().await.unwrap();
    assert_eq!((verified.entries, verified.first_bad), (30, None));
    drop((on_small, admin));
    world.end().await;
}
