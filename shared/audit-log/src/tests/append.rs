//! Each entry once, in order, whatever comes with it. Must never count a row that is not in the table.
use super::*;
use crate::{Error, Poison, Prompt};

#[tokio::test]
async fn the_same_entry_twice_is_one_row_and_another_content_is_refused() {
    let log = Log::new().await;
    let entries = many("r-1", 3);
    assert_eq!(log.append(&entries).await, [1, 2, 3].map(AppendResult::Appended));
    assert_eq!(log.append(&entries).await, [1, 2, 3].map(AppendResult::Duplicate));

    let mut forged = entries[1].clone();
    forged.because = Some("something else".into());
    assert_eq!(log.append(&[forged]).await, [AppendResult::Poison(Poison::Conflict(2))]);
    assert_eq!(log.count("SELECT count(*) FROM audit.entry").await, 3);
    assert_eq!(log.log.parked().await.unwrap().len(), 1);
    assert_eq!(log.log.verify().await.unwrap().first_bad, None);
}

#[tokio::test]
async fn one_poison_row_does_not_hold_up_the_others() {
    let log = Log::new().await;
    let mut entries = many("r-1", 8);
    // A would-have row without a mode: a combination that the table refuses.
    entries[2].mode = None;
    // An irreversible act that the agent says it did.
    entries[4].state = EntryState::Applied;
    entries[4].tier = Some(Tier::Irreversible);
    entries[6].schema_version = 99;
    let results = log.append(&entries).await;
    let poison: Vec<usize> = (0..8).filter(|i| matches!(results[*i], AppendResult::Poison(_))).collect();
    assert_eq!(poison, [2, 4, 6], "{results:?}");
    let seqs: Vec<i64> = results
        .iter()
        .filter_map(|r| if let AppendResult::Appended(seq) = r { Some(*seq) } else { None })
        .collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5], "gapless, in the order given");
    // The row of a newer build stays where it waits; the others are kept aside, once.
    log.append(&entries).await;
    let parked = log.log.parked().await.unwrap();
    assert_eq!(parked.len(), 2, "{parked:?}");
    assert!(
        parked.iter().any(|(id, why, _)| id == "r-1#5" && why.contains("agent_never_sends")),
        "{parked:?}"
    );
    assert_eq!(log.log.verify().await.unwrap().entries, 5);
}

#[tokio::test]
async fn hostile_bytes_are_kept_whole_and_shown_safely() {
    let mut entry = call("r-1", 1, "set_stage", EntryState::Refused);
    entry.verb = format!("no\0such{}", "x".repeat(5_000));
    entry.reason = Some(Reason::UnknownTool);
    let hostile = "a\u{0}b \u{202e}<script>\u{1b}[2J \\u0000 \u{0}\u{0}";
    entry.because = Some(hostile.into());
    entry.after = Some(json!({"a\0key": hostile, "n": 1e300, "deep": [[hostile]]}));
    entry.subjects = vec!["x\ny@example.com".into(), "\0".into()];
    let log = Log::filled(std::slice::from_ref(&entry)).await;

    let row = log.log.row(1).await.unwrap().unwrap();
    let shown = hostile.replace('\0', "\u{fffd}");
    assert_eq!(row.because.as_deref(), Some(shown.as_str()));
    assert_eq!(row.after.as_ref().unwrap()["deep"][0][0], Value::String(shown));
    assert!(row.verb.starts_with("no\u{fffd}such") && row.verb.chars().count() == 200);
    let bytes = connect(&log.address).await.query_one("SELECT bytes FROM audit.payload", &[]).await.unwrap();
    let kept: Entry = serde_json::from_slice(bytes.get(0)).unwrap();
    assert_eq!(kept, entry, "the committed bytes keep everything");
    assert_eq!(log.log.verify().await.unwrap().first_bad, None);
}

#[tokio::test]
async fn eight_writers_make_one_gapless_chain() {
    let log = Log::new().await;
    let mut writers = tokio::task::JoinSet::new();
    for w in 0..8 {
        let address = log.address.clone();
        writers.spawn(async move {
            let own = AuditLog::connect(&address).await.unwrap();
            let nothing = |_: PartRef| async { Ok::<_, Infallible>(None) };
            for batch in many(&format!("r-{w}"), 40).chunks(5) {
                // The shared rows are the same in every writer: appended by whoever comes first.
                let mut batch = batch.to_vec();
                batch.push(call("r-shared", batch[0].event_no, "add_note", EntryState::WouldHave));
                own.append(&batch, nothing).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let verified = log.log.verify().await.unwrap();
    assert_eq!((verified.entries, verified.first_bad), (8 * 40 + 8, None));
    assert_eq!(log.count("SELECT max(seq) - count(*) FROM audit.entry").await, 0);
}

#[tokio::test]
async fn a_prompt_is_stored_once_by_its_parts_and_comes_back_byte_for_byte() {
    let mut log = Log::new().await;
    let first = log.prompt(&[b"system", b"tools", b"turn one \0"]);
    let second = log.prompt(&[b"system", b"tools", b"turn one \0", b"turn two"]);
    let mut entries = many("r-1", 2);
    entries[0].prompt = Some(first.clone());
    entries[1].prompt = Some(second.clone());

    let asked = std::sync::Mutex::new(Vec::new());
    let fetch = |part: PartRef| {
        asked.lock().unwrap().push(part.hash.clone());
        std::future::ready(Ok::<_, Infallible>(log.parts.get(&part.hash).cloned()))
    };
    log.log.append(&entries[..1], fetch).await.unwrap();
    log.log.append(&entries, fetch).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 4, "each part is fetched once");
    assert_eq!(log.count("SELECT count(*) FROM audit.prompt_part").await, 4);
    let bytes = log.log.prompt_bytes(&second.hash).await.unwrap();
    assert_eq!(bytes, Prompt::Exact(b"systemtoolsturn one \0turn two".to_vec()));
    assert_eq!(log.log.prompt_bytes(&"0".repeat(64)).await.unwrap(), Prompt::Absent);
    assert_eq!(log.log.verify().await.unwrap().first_bad, None);
}

#[tokio::test]
async fn a_prompt_that_cannot_be_had_is_poison_and_a_failed_fetch_is_an_error() {
    let mut log = Log::new().await;
    let mut entries = many("r-1", 4);
    let missing = log.prompt(&[b"never there"]);
    log.parts.clear();
    entries[0].prompt = Some(missing.clone());
    let mut altered = log.prompt(&[b"right"]);
    log.parts.insert(altered.parts[0].hash.clone(), b"wrong".to_vec());
    entries[1].prompt = Some(altered.clone());
    // Right parts, wrong whole: only the database can tell.
    altered = log.prompt(&[b"part"]);
    altered.hash = missing.hash.clone();
    entries[2].prompt = Some(altered);
    let results = log.append(&entries).await;
    assert!(matches!(results[0], AppendResult::Poison(Poison::PartMissing(_))), "{results:?}");
    assert!(matches!(results[1], AppendResult::Poison(Poison::PartAltered(_))), "{results:?}");
    assert!(matches!(results[2], AppendResult::Poison(Poison::Refused(_))), "{results:?}");
    assert_eq!(results[3], AppendResult::Appended(1));

    entries[0].entry_id = "r-1#9".into();
    let failing = |_: PartRef| async { Err::<Option<Vec<u8>>, _>(std::io::Error::other("throttled")) };
    let error = log.log.append(&entries[..1], failing).await.unwrap_err();
    assert!(matches!(error, Error::FetchPart(_)), "{error:?}");
    assert_eq!(log.count("SELECT count(*) FROM audit.parked WHERE entry_id = 'r-1#9'").await, 0);
}

#[tokio::test]
async fn a_connection_that_died_is_opened_anew() {
    let log = Log::filled(&many("r-1", 1)).await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(log.count(kill).await >= 1);
    // The first try may meet the dead connection: its answer is an error, never a lost row.
    let nothing = |_: PartRef| async { Ok::<_, Infallible>(None) };
    let mut results = log.log.append(&many("r-1", 2), nothing).await;
    if results.is_err() {
        results = log.log.append(&many("r-1", 2), nothing).await;
    }
    assert_eq!(results.unwrap(), [AppendResult::Duplicate(1), AppendResult::Appended(2)]);
    assert_eq!(log.log.verify().await.unwrap().entries, 2);
}

#[tokio::test]
async fn the_future_of_an_append_can_move_between_threads() {
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    let log = Log::new().await;
    let nothing = |_: PartRef| async { Ok::<_, Infallible>(None) };
    let entries = many("r-1", 1);
    assert_eq!(sendable(log.log.append(&entries, nothing)).await.unwrap(), [AppendResult::Appended(1)]);
}
