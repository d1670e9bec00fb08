//! What is old leaves, the chain stays. Must never take the machine's clock for the entries'.
use super::*;
use crate::{Damage, Error, Judged, Prompt, Query, Retained};

/// 2020-01-01: older than any floor.
fn long_ago(days: i64) -> Timestamp {
    Timestamp::from_second(1_577_836_800 + days * 86_400).unwrap()
}

/// Six calls, one a day, each with a prompt of a shared part and one of its own.
async fn six_days() -> (Log, Vec<Entry>) {
    let mut log = Log::new().await;
    let mut entries = many("r-1", 6);
    for (n, entry) in (0_i64..).zip(&mut entries) {
        entry.occurred_at = long_ago(n);
        entry.target = Target::new("deal", if n < 3 { "old" } else { "young" });
        entry.prompt = Some(log.prompt(&[b"system", format!("day {n}").as_bytes()]));
    }
    entries[2].target = Target::new("deal", "young");
    log.append(&entries).await;
    (log, entries)
}

#[tokio::test]
async fn the_personal_half_and_the_prompts_of_old_entries_go_and_the_chain_verifies() {
    let (log, entries) = six_days().await;
    let before = log.log.verify().await.unwrap();
    let person = types::PersonId::new("p-1").unwrap();
    log.log.judge(&[1, 6], &person, Judged::Surprising, Some("she said so"), at(5)).await.unwrap();
    let by = Actor::System("audit".into());
    let retained = log.log.retain(long_ago(3), &by, at(9)).await.unwrap();
    assert_eq!(retained, Retained { entries: 3, parts: 3 });
    let after = log.log.verify().await.unwrap();
    assert_eq!((after.entries, after.first_bad), (7, None));
    assert_eq!(log.log.verify_against(&kept(&before)).await.unwrap().first_bad, None, "no hash was touched");

    let row = log.log.row(1).await.unwrap().unwrap();
    assert_eq!((row.verb.as_str(), row.target_id, row.because), ("set_stage", None, None));
    assert_eq!(row.erased_on_request.as_deref(), Some("older-than-2020-01-04"));
    let hash = |n: usize| entries[n].prompt.clone().unwrap().hash;
    assert_eq!(log.log.prompt_bytes(&hash(0)).await.unwrap(), Prompt::Erased);
    assert_eq!(log.log.prompt_bytes(&hash(3)).await.unwrap(), Prompt::Exact(b"systemday 3".to_vec()));
    assert_eq!(log.count("SELECT count(*) FROM audit.subject WHERE seq <= 3").await, 0);
    assert_eq!(log.count("SELECT count(*) FROM audit.judgement WHERE note IS NOT NULL").await, 1);
    assert_eq!(log.count("SELECT count(*) FROM audit.subject_key WHERE target_id = 'deal:old'").await, 0);
    assert_eq!(log.count("SELECT count(*) FROM audit.subject_key WHERE target_id = 'deal:young'").await, 1);
    let entry = log.log.row(7).await.unwrap().unwrap();
    assert_eq!((entry.verb.as_str(), entry.actor.as_str()), ("retention", "system:audit"));
    assert_eq!(entry.detail.unwrap()["erased"], json!([[1, 3]]));
    assert!(log.log.erasures().await.unwrap().is_empty(), "it is no person's request");

    // Again: nothing is left, and nothing is written.
    assert_eq!(log.log.retain(long_ago(3), &by, at(10)).await.unwrap(), Retained::default());
    // Much later everything goes but what names the rows; a late copy of an old row brings nothing back.
    let all = log.log.retain(long_ago(400), &by, at(11)).await.unwrap();
    assert_eq!(all, Retained { entries: 3, parts: 4 });
    assert_eq!(log.append(&entries).await, [1, 2, 3, 4, 5, 6].map(AppendResult::Duplicate));
    let again = log.log.verify().await.unwrap();
    assert_eq!((again.entries, again.first_bad), (8, None));
    assert_eq!(log.log.search(&Query::default()).await.unwrap().rows.len(), 8);
}

#[tokio::test]
async fn nothing_younger_than_the_floor_goes_whatever_the_caller_says() {
    let (log, _) = six_days().await;
    let now: i64 = log.count("SELECT extract(epoch FROM now())::bigint").await;
    let by = Actor::System("audit".into());
    let young = Timestamp::from_second(now - 182 * 86_400).unwrap();
    let refused = log.log.retain(young, &by, at(9)).await.unwrap_err();
    let Error::Retain(fault) = refused else { panic!("{refused:?}") };
    assert_eq!(fault.message, "audit entries are kept whole for 183 days");
    assert_eq!(log.count("SELECT count(*) FROM audit.payload WHERE erased_by IS NOT NULL").await, 0);
    let old = Timestamp::from_second(now - 184 * 86_400).unwrap();
    assert_eq!(log.log.retain(old, &by, at(9)).await.unwrap().entries, 6);
}

#[tokio::test]
async fn a_retention_covers_only_the_rows_it_names_and_hides_no_other_erasure() {
    let (log, _) = six_days().await;
    let by = Actor::System("audit".into());
    log.log.retain(long_ago(3), &by, at(9)).await.unwrap();
    log.owner(
        "SET session_replication_role = replica; DELETE FROM audit.subject WHERE seq = 5; UPDATE audit.payload SET \
         salt = NULL, bytes = NULL, target_id = NULL, customer_id = NULL, to_stage = NULL, erased_by = 7 WHERE seq = 5",
    )
    .await;
    assert_eq!(log.log.verify().await.unwrap().first_bad, Some((5, Damage::ErasedWithoutEntry)));
}

#[tokio::test]
async fn an_erasure_and_a_retention_of_the_same_rows_leave_both_entries() {
    let (log, _) = six_days().await;
    let by = Actor::System("audit".into());
    log.log.erase_found(&whom(&["contact:501"]), "R-1", &by, at(8)).await.unwrap();
    let later = many("r-2", 1);
    log.append(&later).await;
    assert_eq!(log.log.retain(long_ago(400), &by, at(9)).await.unwrap(), Retained::default());
    let verified = log.log.verify().await.unwrap();
    assert_eq!((verified.entries, verified.first_bad), (8, None));
}
