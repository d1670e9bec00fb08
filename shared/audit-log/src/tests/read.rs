//! Rows are found by what people know of them, through an index. Must never depend on the size of the log.
use super::*;
use crate::{Judged, JudgedFilter, Query, Row};
use types::PersonId;

fn seqs(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.seq).collect()
}

fn by_text(text: &str) -> Query {
    Query { text: Some(text.into()), ..Query::default() }
}

#[tokio::test]
async fn a_tool_call_is_one_row_with_every_column() {
    let mut log = Log::new().await;
    let mut opened = call("r-1", 1, "set_stage", EntryState::Opened);
    opened.prompt = Some(log.prompt(&[b"one"]));
    let mut applied = then(&opened, 3, EntryState::Applied);
    applied.actor = Actor::System("sweep".into());
    applied.prompt = None;
    applied.before = None;
    let other = call("r-1", 2, "add_note", EntryState::WouldHave);
    log.append(&[opened.clone(), other, applied]).await;

    let owner = connect(&log.address).await;
    let row = owner
        .query_one(
            "SELECT actor, verb, target_id, before::text, after::text, prompt_hash, model_version, \
             occurred_at::text, run_id, step, mode, tier, decision, reason, config_version, hash, \
             settled_seq \
             FROM audit.audit_log WHERE seq = 1",
            &[],
        )
        .await
        .unwrap();
    let texts: Vec<Option<String>> = (0..9).map(|i| row.get(i)).collect();
    let hash = opened.prompt.unwrap().hash;
    let expected = [
        "agent:r-1",
        "set_stage",
        "deal:4411",
        "{\"dealstage\": \"negotiation\"}",
        "{\"dealstage\": \"closedlost\"}",
        &hash,
        "claude-haiku-5-5",
    ];
    assert_eq!(texts[..7].iter().map(|t| t.as_deref().unwrap()).collect::<Vec<_>>(), expected);
    assert_eq!((row.get::<_, &str>(12), row.get::<_, i64>(16)), ("applied", 3));
    assert_eq!(log.count("SELECT count(*) FROM audit.audit_log").await, 2);

    let row = log.log.row(1).await.unwrap().unwrap();
    assert_eq!((row.decision, row.settled_at, row.occurred_at), (EntryState::Applied, at(3), at(1)));
    assert_eq!(text(row.before.as_ref().unwrap()), "{\"dealstage\":\"negotiation\"}");
    assert_eq!(log.log.row(3).await.unwrap(), None, "the outcome is no row of its own");
}

#[tokio::test]
async fn an_outcome_that_was_appended_before_its_opening_is_still_the_outcome() {
    let opened = call("r-1", 1, "set_stage", EntryState::Opened);
    let unknown = then(&opened, 2, EntryState::Unknown);
    let mut applied = then(&opened, 3, EntryState::Applied);
    applied.occurred_at = unknown.occurred_at;
    let log = Log::filled(&[applied, opened, unknown]).await;
    let rows = log.log.search(&Query::default()).await.unwrap().rows;
    assert_eq!((rows.len(), rows[0].decision, rows[0].entry_id.as_str()), (1, EntryState::Applied, "r-1#1"));
    for (state, found) in
        [(EntryState::Applied, vec![2]), (EntryState::Unknown, vec![]), (EntryState::Opened, vec![])]
    {
        let query = Query { decisions: vec![state], ..Query::default() };
        assert_eq!(seqs(&log.log.search(&query).await.unwrap().rows), found, "{state}");
    }
    let counts = log.log.counts(at(0), at(9), "UTC").await.unwrap();
    assert_eq!((counts[0].applied, counts[0].other), (1, 0));
}

#[tokio::test]
async fn a_call_that_ended_as_would_have_after_a_failure_can_be_judged() {
    let failed = call("r-1", 1, "set_stage", EntryState::Failed);
    let would = then(&failed, 2, EntryState::WouldHave);
    let log = Log::filled(&[failed, would]).await;
    assert_eq!(seqs(&log.log.would_have(&Query::default()).await.unwrap().rows), [1]);
    let ann = PersonId::new("ann").unwrap();
    assert_eq!(log.log.judge(&[1], &ann, Judged::Surprising, None, at(20)).await.unwrap(), 1);
    assert_eq!(log.log.counts(at(0), at(9), "UTC").await.unwrap()[0].surprising, 1);
}

#[tokio::test]
async fn rows_are_found_by_deal_customer_person_and_run() {
    let mut entries = many("r-1", 3);
    entries[1].target = Target::new("deal", "9");
    entries[1].customer_id = None;
    entries[1].subjects = vec!["contact:501".into()];
    entries[2].target = Target::new("customer", "4411");
    entries[2].subjects.clear();
    entries.push(call("r-2", 1, "add_note", EntryState::Applied));
    let log = Log::filled(&entries).await;
    for (text, found) in [
        ("4411", vec![4, 3, 1]),
        ("deal:4411", vec![4, 1]),
        ("deal:9", vec![2]),
        ("88", vec![4, 3, 1]),
        ("501", vec![4, 2, 1]),
        ("ANN@example.COM ", vec![4, 1]),
        ("r-1", vec![3, 2, 1]),
        ("441", vec![]),
        ("' OR true --", vec![]),
    ] {
        assert_eq!(seqs(&log.log.search(&by_text(text)).await.unwrap().rows), found, "{text}");
    }
    let narrow = |change: fn(&mut Query)| {
        let mut query = by_text("4411");
        change(&mut query);
        query
    };
    for (query, found) in [
        (narrow(|q| q.verb = Some("add_note".into())), vec![4]),
        (narrow(|q| q.decisions = vec![EntryState::Applied, EntryState::Refused]), vec![4]),
        (narrow(|q| q.decisions = vec![EntryState::WouldHave]), vec![3, 1]),
        (narrow(|q| q.actor = Some(Actor::Agent(RunId::new("r-2").unwrap()))), vec![4]),
        (narrow(|q| q.to_stage = Some("ClosedLost".into())), vec![4, 3, 1]),
        (narrow(|q| q.to_stage = Some("won".into())), vec![]),
        (narrow(|q| q.customer_id = Some("88".into())), vec![4, 3, 1]),
        (narrow(|q| q.until = Some(at(3))), vec![4, 1]),
    ] {
        assert_eq!(seqs(&log.log.search(&query).await.unwrap().rows), found, "{query:?}");
    }
    let since = narrow(|q| q.from = Some(at(3)));
    assert_eq!(seqs(&log.log.search(&since).await.unwrap().rows), [3]);
    assert_eq!((log.log.older(&since).await.unwrap(), log.log.count(&since).await.unwrap()), (2, 1));
    assert_eq!(log.log.older(&by_text("4411")).await.unwrap(), 0, "nothing lies before the whole log");
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let log = Log::filled(&many("r-1", 7)).await;
    let mut query = Query { limit: 3, ..Query::default() };
    let mut all = Vec::new();
    loop {
        let page = log.log.search(&query).await.unwrap();
        all.extend(seqs(&page.rows));
        query.cursor = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(all, [7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn why_names_the_move_what_was_read_and_who_turned_writes_on() {
    let flip = |n: u64, mode: Mode| {
        let mut flip = call("r-0", n, "flip", EntryState::Applied);
        flip.entry_id = format!("control#{n}");
        flip.stream = "control".into();
        flip.actor = Actor::Person(PersonId::new("p-maria").unwrap());
        flip.target = Target::new("tool", "set_stage");
        (flip.mode, flip.tier, flip.intent_id, flip.run_id, flip.step) = (None, None, None, None, None);
        flip.after = Some(json!({"mode": mode.code()}));
        flip
    };
    let mut read = call("r-1", 3, "read_deal", EntryState::Applied);
    read.tier = Some(Tier::Read);
    read.after = None;
    let opened = call("r-1", 4, "set_stage", EntryState::Opened);
    let applied = then(&opened, 5, EntryState::Applied);
    let dry = call("r-2", 6, "set_stage", EntryState::WouldHave);
    let later = flip(7, Mode::Live);
    let log =
        Log::filled(&[flip(1, Mode::Live), flip(2, Mode::DryRun), read, opened, applied, dry, later]).await;

    let answer = log.log.why("4411", Some("closedlost"), Some(at(0)), Some(at(60))).await.unwrap().unwrap();
    assert_eq!((answer.row.seq, answer.row.because.is_some()), (4, true));
    assert_eq!(seqs(&answer.reads), [3]);
    assert_eq!(answer.turned_on.unwrap().actor, "person:p-maria");
    assert_eq!(log.log.why("4411", None, None, None).await.unwrap().unwrap().row.seq, 4);
    assert_eq!(log.log.why("4187", Some("closedlost"), None, None).await.unwrap(), None);
    assert_eq!(log.log.why("4411", Some("closedlost"), Some(at(30)), None).await.unwrap(), None);
    assert_eq!(seqs(&log.log.run("r-1").await.unwrap()), [3, 4]);
}

#[tokio::test]
async fn the_latest_judgement_counts_and_only_of_would_have_rows() {
    let mut entries = many("r-1", 3);
    entries.push(call("r-1", 4, "set_stage", EntryState::Applied));
    let log = Log::filled(&entries).await;
    let (ann, bob) = (PersonId::new("ann").unwrap(), PersonId::new("bob").unwrap());
    assert_eq!(log.log.judge(&[1, 2, 4, 77], &ann, Judged::Expected, None, at(20)).await.unwrap(), 2);
    log.log.judge(&[1], &bob, Judged::Surprising, Some("should\0wait"), at(21)).await.unwrap();
    log.log.judge(&[2], &ann, Judged::Withdrawn, None, at(22)).await.unwrap();
    for (judged, found) in [
        (JudgedFilter::Surprising, vec![1]),
        (JudgedFilter::Judged, vec![1]),
        (JudgedFilter::Expected, vec![]),
        (JudgedFilter::NotYet, vec![3, 2]),
    ] {
        let page = log.log.would_have(&Query { judged: Some(judged), ..Query::default() }).await.unwrap();
        assert_eq!(seqs(&page.rows), found, "{judged:?}");
    }
    let judgement = log.log.row(1).await.unwrap().unwrap().judgement.unwrap();
    assert_eq!((judgement.person.as_str(), judgement.note.as_deref()), ("bob", Some("should\u{fffd}wait")));
    assert_eq!(log.log.row(2).await.unwrap().unwrap().judgement, None);

    let counts = log.log.counts(at(0), at(60), "Europe/Berlin").await.unwrap();
    let one = &counts[0];
    assert_eq!((counts.len(), one.day.as_str(), one.verb.as_str()), (1, "2026-03-09", "set_stage"));
    assert_eq!((one.would_have, one.applied, one.judged, one.surprising), (3, 1, 1, 1));
    assert_eq!(log.log.counts(at(0), at(60), "Pacific/Kiritimati").await.unwrap()[0].day, "2026-03-10");
    assert!(log.log.counts(at(0), at(60), "Not/AZone").await.is_err());
}

#[tokio::test]
async fn target_and_actor_are_looked_up_by_index() {
    let mut log = Log::new().await;
    let mut entries = Vec::new();
    for run in 0..40 {
        for mut entry in many(&format!("r-{run}"), 50) {
            entry.target = Target::new("deal", run * 100 + i64::try_from(entry.event_no).unwrap());
            entry.subjects.clear();
            entries.push(entry);
        }
    }
    entries[0].prompt = Some(log.prompt(&[b"one"]));
    log.append(&entries).await;
    log.owner("ANALYZE").await;
    let owner = connect(&log.address).await;
    for (condition, index) in [
        ("target_id = 'deal:1203'", "payload_target"),
        ("actor = 'agent:r-7'", "entry_actor"),
        ("run_id = 'r-7'", "entry_run"),
        ("actor = 'agent:r-7' AND target_id = 'deal:703'", "payload_target"),
    ] {
        let sql = format!("EXPLAIN SELECT * FROM audit.audit_log WHERE {condition}");
        let plan = owner.query(&sql, &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        assert!(plan.iter().any(|line| line.contains(index)), "{condition}: {plan:#?}");
        assert!(!plan.iter().any(|line| line.contains("Seq Scan on entry e")), "{condition}: {plan:#?}");
    }
    assert_eq!(log.log.search(&by_text("1203")).await.unwrap().rows.len(), 1);
    let lag = log.log.lag().await.unwrap();
    assert_eq!((lag.entries, lag.parked, lag.occurred_at), (2000, 0, Some(at(50))));
    assert!(lag.appended_at.is_some());
}

/// Calls of every end, of one entry and of two, among them ends that were appended before their beginnings.
fn calls_of_every_end() -> Vec<ledger::Entry> {
    let ends = [
        EntryState::Applied,
        EntryState::WouldHave,
        EntryState::Refused,
        EntryState::Drafted,
        EntryState::Failed,
        EntryState::Unknown,
        EntryState::Halted,
    ];
    let mut entries = Vec::new();
    for n in 0..42 {
        let end = ends[n % ends.len()];
        let no = u64::try_from(n).unwrap() * 3 + 1;
        let verb = if n % 5 == 0 { "set_stage" } else { "add_note" };
        let begin = if n % 4 == 0 { end } else { EntryState::Opened };
        let first = call(&format!("r-{n}"), no, verb, begin);
        match n % 4 {
            0 => entries.push(first),
            1 => entries.extend([then(&first, no + 1, end), first]),
            _ => entries.extend([first.clone(), then(&first, no + 1, end)]),
        }
    }
    entries
}

#[tokio::test]
async fn what_ended_otherwise_than_planned_is_found_from_its_end_and_is_the_same() {
    let log = Log::filled(&calls_of_every_end()).await;
    let all = log.log.search(&Query { limit: 100, ..Query::default() }).await.unwrap().rows;
    assert_eq!(all.len(), 42);
    let ann = PersonId::new("ann").unwrap();
    let judged: Vec<i64> =
        all.iter().filter(|row| row.decision == EntryState::WouldHave).map(|row| row.seq).take(2).collect();
    assert_eq!(log.log.judge(&judged, &ann, Judged::Expected, None, at(20)).await.unwrap(), 2);
    for decisions in [
        vec![EntryState::WouldHave],
        vec![EntryState::Refused],
        vec![EntryState::Drafted, EntryState::Unknown, EntryState::Failed],
        vec![EntryState::Applied, EntryState::Refused],
    ] {
        for verb in [None, Some("set_stage".to_owned())] {
            for (judged_only, from) in
                [(None, None), (None, Some(at(50))), (Some(JudgedFilter::NotYet), Some(at(40)))]
            {
                let query = Query {
                    decisions: decisions.clone(),
                    verb: verb.clone(),
                    judged: judged_only,
                    from,
                    limit: 2,
                    ..Query::default()
                };
                let fits = |row: &&Row| {
                    decisions.contains(&row.decision)
                        && verb.as_ref().is_none_or(|verb| *verb == row.verb)
                        && (judged_only.is_none() || !judged.contains(&row.seq))
                };
                let since = |row: &&Row| from.is_none_or(|from| row.occurred_at >= from);
                let mut expected: Vec<i64> =
                    all.iter().filter(fits).filter(since).map(|row| row.seq).collect();
                let before = all.iter().filter(fits).filter(|row| !since(row)).count();
                let mut found = Vec::new();
                let mut page = query.clone();
                loop {
                    let answer = log.log.search(&page).await.unwrap();
                    found.extend(seqs(&answer.rows));
                    page.cursor = answer.next;
                    if answer.next.is_none() {
                        break;
                    }
                }
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected, "{query:?}");
                assert_eq!(
                    log.log.count(&query).await.unwrap(),
                    u64::try_from(found.len()).unwrap(),
                    "{query:?}"
                );
                assert_eq!(log.log.older(&query).await.unwrap(), u64::try_from(before).unwrap(), "{query:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_the_console_asks_on_every_page_walks_an_index_of_ends() {
    let log = Log::new().await;
    let mut entries = Vec::new();
    for run in 0..40 {
        entries.extend(many(&format!("r-{run}"), 50));
    }
    log.append(&entries).await;
    log.owner("ANALYZE").await;
    let owner = connect(&log.address).await;
    for (decision, verb, index) in [
        (EntryState::Refused, Some("set_stage"), "entry_rare_end"),
        (EntryState::Drafted, None, "entry_rare_end"),
        (EntryState::WouldHave, None, "entry_would_have"),
    ] {
        let query = Query { decisions: vec![decision], verb: verb.map(str::to_owned), ..Query::default() };
        let walk = crate::search::walk(&query);
        let sql = format!("EXPLAIN SELECT e.seq {} ORDER BY {}.seq DESC LIMIT 26", walk.text(), walk.along);
        let plan = owner.query(&sql, &walk.conditions.values()).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        assert!(plan.iter().any(|line| line.contains(index)), "{decision}: {plan:#?}");
        assert!(
            !plan.iter().any(|line| line.contains("Seq Scan on entry") || line.contains("Hash Join")),
            "{decision}: {plan:#?}"
        );
    }
}
