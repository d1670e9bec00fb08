//! What the owner could do by hand is found at its row. Must never need an honest owner.
use super::*;
use crate::{Damage, Kept, Point, Prompt};

/// Lets the owner do it: triggers off, as only an owner can.
async fn after(entries: &[Entry], sql: &str) -> (Log, Option<(i64, Damage)>) {
    let log = Log::filled(entries).await;
    assert_eq!(log.log.verify().await.unwrap().first_bad, None, "good before");
    log.owner(&format!("SET session_replication_role = replica; {sql}")).await;
    let bad = log.log.verify().await.unwrap().first_bad;
    (log, bad)
}

#[tokio::test]
async fn a_change_in_any_column_is_found_at_its_row() {
    let texts =
        ["entry_id", "stream", "actor", "reason", "intent_id", "run_id", "model_version", "config_version"];
    let mut changes: Vec<String> = texts.iter().map(|c| format!("{c} = {c} || 'x'")).collect();
    changes.extend(
        [
            "event_no = event_no + 1",
            "occurred_at = occurred_at + interval '1 microsecond'",
            "verb = 'add_note'",
            "state = 'failed'",
            "mode = 'live'",
            "tier = 'reversible'",
            "step = NULL",
            "prompt_hash = NULL",
            "subject = sha256('x')",
            "commitment = sha256('x')",
            "hash = sha256('x')",
        ]
        .map(str::to_owned),
    );
    let drop_checks = "DO $$ DECLARE c text; BEGIN FOR c IN SELECT conname FROM pg_constraint \
         WHERE conrelid = 'audit.entry'::regclass AND contype = 'c' \
         LOOP EXECUTE format('ALTER TABLE audit.entry DROP CONSTRAINT %I', c); END LOOP; END $$;";
    let mut log = Log::new().await;
    let prompt = log.prompt(&[b"one"]);
    let mut entries = many("r-1", 6);
    entries.iter_mut().for_each(|entry| entry.prompt = Some(prompt.clone()));
    log.append(&entries).await;
    log.owner(drop_checks).await;
    for change in changes {
        let sql = format!(
            "SET session_replication_role = replica; CREATE TABLE kept AS TABLE audit.entry; \
             UPDATE audit.entry SET {change} WHERE seq = 4"
        );
        log.owner(&sql).await;
        let bad = log.log.verify().await.unwrap().first_bad;
        assert_eq!(bad, Some((4, Damage::HashDiffers)), "{change}");
        log.owner(
            "SET session_replication_role = replica; DELETE FROM audit.entry; \
             INSERT INTO audit.entry TABLE kept; DROP TABLE kept",
        )
        .await;
    }
    assert_eq!(log.log.verify().await.unwrap().first_bad, None);
}

#[tokio::test]
async fn a_row_taken_out_is_found() {
    let entries = many("r-1", 9);
    let (_log, bad) = after(
        &entries,
        "DELETE FROM audit.payload WHERE seq = 5; DELETE FROM audit.subject WHERE seq = 5; \
         DELETE FROM audit.entry WHERE seq = 5",
    )
    .await;
    assert_eq!(bad, Some((5, Damage::Missing)));
}

#[tokio::test]
async fn two_rows_in_the_other_order_are_found() {
    let swap = "ALTER TABLE audit.entry DROP CONSTRAINT entry_seq_check; \
        UPDATE audit.entry SET seq = -seq WHERE seq IN (3, 4); \
        UPDATE audit.entry SET seq = 7 + seq WHERE seq IN (-3, -4);";
    let (_log, bad) = after(&many("r-1", 6), swap).await;
    assert_eq!(bad, Some((3, Damage::PrevDiffers)));
}

#[tokio::test]
async fn the_personal_half_and_its_copies_cannot_be_changed() {
    for (change, damage) in [
        (
            "UPDATE audit.payload SET bytes = set_byte(bytes, 40, get_byte(bytes, 40) # 1) WHERE seq = 3",
            Damage::CommitmentDiffers,
        ),
        ("UPDATE audit.payload SET salt = sha256(salt) WHERE seq = 3", Damage::CommitmentDiffers),
        ("UPDATE audit.payload SET target_id = 'deal:1' WHERE seq = 3", Damage::CopyDiffers("target_id")),
        ("UPDATE audit.payload SET customer_id = NULL WHERE seq = 3", Damage::CopyDiffers("customer_id")),
        ("UPDATE audit.payload SET to_stage = 'won' WHERE seq = 3", Damage::CopyDiffers("to_stage")),
        (
            "DELETE FROM audit.subject WHERE seq = 3 AND person = 'contact:501'",
            Damage::CopyDiffers("subject"),
        ),
        ("DELETE FROM audit.payload WHERE seq = 3", Damage::PayloadMissing),
        (
            "UPDATE audit.payload SET salt = NULL, bytes = NULL, target_id = NULL, customer_id = NULL, \
            to_stage = NULL, \
          erased_by = 5 WHERE seq = 3; DELETE FROM audit.subject WHERE seq = 3",
            Damage::ErasedWithoutEntry,
        ),
    ] {
        let (_log, bad) = after(&many("r-1", 6), change).await;
        assert_eq!(bad, Some((3, damage)), "{change}");
    }
}

#[tokio::test]
async fn an_erasure_covers_only_the_rows_it_names() {
    let mut entries = many("r-1", 2);
    let mut other = call("r-2", 1, "set_stage", EntryState::WouldHave);
    other.subjects = vec!["contact:777".into()];
    entries.push(other);
    let log = Log::filled(&entries).await;
    let erased = log
        .log
        .erase_found(&whom(&["contact:501"]), "R-1", &Actor::System("cli".into()), at(99))
        .await
        .unwrap();
    assert_eq!((erased.entries, log.log.verify().await.unwrap().first_bad), (2, None));
    log.owner(&format!(
        "SET session_replication_role = replica; DELETE FROM audit.subject WHERE seq = 3; UPDATE \
        audit.payload SET \
         salt = NULL, bytes = NULL, target_id = NULL, customer_id = NULL, to_stage = NULL, \
         erased_by = {} WHERE seq = 3",
        erased.seq
    ))
    .await;
    assert_eq!(log.log.verify().await.unwrap().first_bad, Some((3, Damage::ErasedWithoutEntry)));
}

#[tokio::test]
async fn a_prompt_cannot_be_changed() {
    for change in [
        "ALTER TABLE audit.prompt_part DROP CONSTRAINT content_has_its_hash; \
         UPDATE audit.prompt_part SET bytes = 'other' WHERE bytes = 'two'",
        "DELETE FROM audit.prompt_part WHERE bytes = 'two'",
        "UPDATE audit.prompt_part SET bytes = NULL, erased_by = 1 WHERE bytes = 'two'",
    ] {
        let mut log = Log::new().await;
        let prompt = log.prompt(&[b"one", b"two"]);
        let mut entries = many("r-1", 3);
        entries[1].prompt = Some(prompt.clone());
        log.append(&entries).await;
        log.owner(&format!("SET session_replication_role = replica; {change}")).await;
        assert_eq!(log.log.verify().await.unwrap().first_bad, Some((2, Damage::PromptDiffers)), "{change}");
        assert_ne!(log.log.prompt_bytes(&prompt.hash).await.unwrap(), Prompt::Exact(b"onetwo".to_vec()));
    }
}

#[tokio::test]
async fn a_cut_tail_is_found_by_the_head_or_else_only_by_a_point_kept_elsewhere() {
    let cut = "DELETE FROM audit.payload WHERE seq > 4; DELETE FROM audit.subject WHERE seq > 4; \
               DELETE FROM audit.entry WHERE seq > 4;";
    let (_log, bad) = after(&many("r-1", 6), cut).await;
    assert_eq!(bad, Some((5, Damage::Missing)));

    let log = Log::filled(&many("r-1", 6)).await;
    let head: Point = log.log.verify().await.unwrap().head;
    assert_eq!(head.seq, 6);
    let kept = Kept { points: vec![head], checkpoints: Vec::new() };
    log.append(&many("r-1", 7)[6..]).await;
    assert_eq!(log.log.verify_against(&kept).await.unwrap().first_bad, None);
    log.owner(&format!(
        "SET session_replication_role = replica; {cut} \
         UPDATE audit.head SET seq = 4, hash = (SELECT hash FROM audit.entry WHERE seq = 4)"
    ))
    .await;
    // The limit of what a chain can show from inside.
    assert_eq!(log.log.verify().await.unwrap().first_bad, None);
    assert_eq!(log.log.verify_against(&kept).await.unwrap().first_bad, Some((5, Damage::PointDiffers)));
    // A tail written anew has the length, but not the hash.
    log.append(&many("r-2", 4)).await;
    assert_eq!(log.log.verify().await.unwrap().first_bad, None);
    assert_eq!(log.log.verify_against(&kept).await.unwrap().first_bad, Some((6, Damage::PointDiffers)));
}
