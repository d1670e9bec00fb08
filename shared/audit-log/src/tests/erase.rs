//! A person's data goes, the chain stays. Must never search only the tables that the erasure was written for.
use super::*;
use crate::{Judged, JudgedFilter, Prompt, Query};

const CANARY: &str = "canary-7f3a";

/// In how many rows of which tables the text is found, in plain or inside bytes.
async fn found(log: &Log, text: &str) -> Vec<(String, i64)> {
    let owner = connect(&log.address).await;
    let tables =
        owner.query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'audit'", &[]).await.unwrap();
    let mut found = Vec::new();
    for table in tables.iter().map(|row| row.get::<_, String>(0)) {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let sql = format!(
            "SELECT count(*) FROM audit.{table} t WHERE t::text ILIKE '%{text}%' OR t::text LIKE '%{hex}%'"
        );
        let n: i64 = owner.query_one(&sql, &[]).await.unwrap().get(0);
        if n > 0 {
            found.push((table, n));
        }
    }
    found
}

#[tokio::test]
async fn an_erasure_leaves_no_canary_and_the_chain_valid() {
    let mut log = Log::new().await;
    let mail = format!("{CANARY}@example.com");
    let mut entries = many("r-1", 4);
    for (n, entry) in entries.iter_mut().enumerate() {
        entry.subjects = vec![mail.clone(), "contact:501".into()];
        entry.because = Some(format!("{CANARY} wrote"));
        entry.target = Target::new("deal", format!("{CANARY}-deal"));
        let turn = format!("turn {n} {CANARY}");
        entry.prompt = Some(log.prompt(&[b"system", b"tools", turn.as_bytes()]));
    }
    // Of the same run, but not marked with the person: it quotes her all the same.
    entries[3].subjects.clear();
    let mut other = call("r-2", 1, "set_stage", EntryState::WouldHave);
    other.subjects = vec!["contact:777".into()];
    other.prompt = Some(log.prompt(&[b"system", b"tools", b"about somebody else"]));
    entries.push(other);
    log.append(&entries).await;
    let mut bad = entries[0].clone();
    bad.because = Some(format!("{CANARY} in a conflict"));
    log.append(&[bad]).await;
    let person = types::PersonId::new("p-1").unwrap();
    let note = format!("ask {CANARY} first");
    log.log.judge(&[1, 5], &person, Judged::Surprising, Some(&note), at(5)).await.unwrap();
    log.log.judge(&[5], &person, Judged::Expected, Some("fine"), at(6)).await.unwrap();
    log.owner("UPDATE audit.judgement SET note = NULL WHERE false").await;
    assert!(found(&log, CANARY).await.len() >= 5, "the canary is in many places before");
    let kept = log.log.row(5).await.unwrap().unwrap();

    let her = [mail.to_uppercase(), "contact:501".into()];
    let export = log.log.export_subject(&her).await.unwrap();
    assert_eq!((export.rows.len(), export.prompt_hashes.len()), (3, 3));

    let erased = log
        .log
        .erase_found(&whom(&[&mail, "contact:501"]), "R-2", &Actor::Person(person), at(99))
        .await
        .unwrap();
    assert_eq!((erased.entries, erased.parts, erased.seq), (4, 4, 6));
    let left = found(&log, CANARY).await;
    // A judgement's note on the other row quotes her by hand: only the rows of her runs are cleared.
    assert_eq!(left, [("judgement".to_owned(), 1)], "{left:?}");
    let verified = log.log.verify().await.unwrap();
    assert_eq!((verified.entries, verified.first_bad), (6, None));

    let row = log.log.row(1).await.unwrap().unwrap();
    assert_eq!(row.erased_on_request.as_deref(), Some("R-2"));
    assert_eq!((row.verb.as_str(), row.target_id, row.before, row.because), ("set_stage", None, None, None));
    assert_eq!(log.log.row(5).await.unwrap().unwrap(), kept, "the other person's row is untouched");
    let prompt = |n: usize| entries[n].prompt.clone().unwrap().hash;
    assert_eq!(log.log.prompt_bytes(&prompt(0)).await.unwrap(), Prompt::Erased);
    assert!(matches!(log.log.prompt_bytes(&prompt(4)).await.unwrap(), Prompt::Exact(_)));
    assert!(log.log.export_subject(&her).await.unwrap().rows.is_empty());
    assert_eq!(log.log.erasures().await.unwrap()[0].request, "R-2");

    // A row that comes again late does not bring her back.
    assert_eq!(log.append(&entries[..4]).await, [1, 2, 3, 4].map(AppendResult::Duplicate));
    assert_eq!(found(&log, CANARY).await, left);
    // Erasing somebody who is not there leaves evidence and changes nothing else.
    let again = log
        .log
        .erase_found(&whom(&[&mail, "contact:501"]), "R-3", &Actor::System("cli".into()), at(100))
        .await
        .unwrap();
    assert_eq!((again.entries, again.seq), (0, 7));
    assert_eq!(log.log.verify().await.unwrap().first_bad, None);
    let surprising = Query { judged: Some(JudgedFilter::Surprising), ..Query::default() };
    assert_eq!(log.log.would_have(&surprising).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn the_same_target_has_another_pseudonym_after_an_erasure() {
    let log = Log::filled(&many("r-1", 2)).await;
    assert_eq!(log.count("SELECT count(DISTINCT subject) FROM audit.entry").await, 1);
    log.log.erase_found(&whom(&["contact:501"]), "R-1", &Actor::System("cli".into()), at(99)).await.unwrap();
    log.append(&many("r-2", 1)).await;
    // Before, the erasure's own target, after.
    assert_eq!(log.count("SELECT count(DISTINCT subject) FROM audit.entry").await, 3);
    assert_eq!(log.log.verify().await.unwrap().first_bad, None);
}
