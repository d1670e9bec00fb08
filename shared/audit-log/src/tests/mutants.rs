//! The database's own functions, broken one at a time: the checks of this file must notice each. Must never
//! count a mutant that was not put in.
use super::*;
use crate::{Error, Poison};

/// A function, what stands in it, and what stands there instead.
struct Mutant {
    name: &'static str,
    function: &'static str,
    from: &'static str,
    to: &'static str,
    /// What else the owner has to break for it to run at all.
    also: &'static str,
}

const fn mutant(name: &'static str, function: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { name, function, from, to, also: "" }
}

const MUTANTS: [Mutant; 20] = [
    mutant(
        "a row lost after the act",
        "append",
        "INSERT INTO audit.entry SELECT e.*;",
        "IF r.entry_id = 'r-1#3' THEN outcome := 'appended'; seq_no := e.seq; RETURN NEXT; CONTINUE; END IF; \
         INSERT INTO audit.entry SELECT e.*;",
    ),
    Mutant {
        also: "ALTER TABLE audit.entry DROP CONSTRAINT entry_entry_id_key",
        ..mutant("a row twice", "append", "IF FOUND THEN", "IF FOUND AND false THEN")
    },
    mutant("other content under the same id", "append", "old_bytes = r.content", "true"),
    mutant("an unsalted commitment", "append", "r.salt || r.content", "r.content"),
    mutant("rows in another order", "append", "ORDER BY nr", "ORDER BY nr DESC"),
    Mutant {
        also: "ALTER TABLE audit.entry DROP CONSTRAINT entry_prev_key",
        ..mutant("a chain that does not go on", "append", "h.hash := e.hash;", "")
    },
    mutant(
        "a head that stays behind",
        "append",
        "UPDATE audit.head SET seq = h.seq, hash = h.hash",
        "UPDATE audit.head SET hash = h.hash",
    ),
    mutant("a hash without the actor", "entry_hash", "|| audit.lp(e.actor)", ""),
    mutant("a hash without lengths", "lp(text)", "int4send(octet_length(t)) ||", ""),
    mutant(
        "an erasure of more than it names",
        "erase_found",
        "WHERE p.seq = ANY (seqs);\n    DELETE",
        "WHERE p.seq = ANY (seqs) OR p.seq = 6;\n    DELETE",
    ),
    mutant(
        "an erasure that leaves names",
        "erase_found",
        "DELETE FROM audit.subject s WHERE s.seq = ANY (seqs);",
        "",
    ),
    mutant(
        "an erasure that leaves the prompts",
        "erase_found",
        "WHERE part.bytes IS NOT NULL",
        "WHERE false AND part.bytes IS NOT NULL",
    ),
    mutant(
        "an erasure that leaves the pseudonym's key",
        "erase_found",
        "DELETE FROM audit.subject_key k WHERE k.target_id = ANY (gone);",
        "",
    ),
    mutant(
        "an erasure that leaves the refused rows",
        "erase_found",
        "DELETE FROM audit.parked k WHERE k.persons && people OR k.content = ANY (parked_hashes);",
        "",
    ),
    mutant("an erasure without what the search found", "found_scope", "UNION SELECT unnest(hits)", ""),
    mutant(
        "an erasure without the rest of the run",
        "found_scope",
        "UNION SELECT e.seq FROM audit.entry e WHERE e.run_id IN (SELECT run_id FROM direct WHERE run_id IS NOT \
         NULL)",
        "",
    ),
    mutant(
        "an erasure that takes an erasure's list",
        "found_scope",
        "AND e.verb NOT IN ('erase_subject', 'retention')",
        "",
    ),
    mutant(
        "a retention that takes an erasure's list",
        "retention_scope",
        "AND e.verb NOT IN ('erase_subject', 'retention')",
        "",
    ),
    mutant("a retention below the floor", "retain", "interval '183 days'", "interval '1 day'"),
    mutant(
        "a retention that takes a living pseudonym",
        "retain",
        "AND NOT EXISTS (SELECT FROM audit.payload p WHERE p.target_id = k.target_id)",
        "",
    ),
];

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

async fn good(log: &Log, entries: i64) -> Result<(), String> {
    let verified = log.log.verify().await.map_err(|error| format!("{error:?}"))?;
    ensure(verified.first_bad.is_none(), &format!("verify: {:?}", verified.first_bad))?;
    ensure(verified.entries == entries, "another number of rows")
}

/// Appends as after an outage, erases, retains, and looks at what every promise says.
async fn story(log: &mut Log) -> Result<(), String> {
    let mut entries = many("r-1", 5);
    for (n, entry) in entries.iter_mut().enumerate() {
        entry.prompt = Some(log.prompt(&[b"system", format!("turn {n}").as_bytes()]));
    }
    let old = "2020-01-01T00:00:00Z".parse().unwrap();
    let mut others = many("r-2", 3);
    for entry in &mut others {
        entry.subjects = vec!["contact:777".into()];
        entry.target = Target::new("deal", "4187");
    }
    others[0].occurred_at = old;
    let appended = |results: &[AppendResult], from: i64| {
        let expected: Vec<_> = (from..).take(results.len()).map(AppendResult::Appended).collect();
        ensure(results == expected, &format!("appended: {results:?}"))
    };
    appended(&log.append(&entries[..2]).await, 1)?;
    let again = log.append(&entries).await;
    ensure(again[..2] == [1, 2].map(AppendResult::Duplicate), &format!("again: {again:?}"))?;
    appended(&again[2..], 3)?;
    appended(&log.append(&others).await, 6)?;
    good(log, 8).await?;
    let order = "SELECT count(*) FROM audit.entry WHERE stream = 'r-1' AND seq <> event_no";
    ensure(log.count(order).await == 0, "another order than given")?;
    let mut forged = entries[1].clone();
    forged.because = Some("something else".into());
    ensure(log.append(&[forged]).await == [AppendResult::Poison(Poison::Conflict(2))], "no conflict")?;

    let by = Actor::System("cli".into());
    log.log.erase_found(&whom(&["contact:501"]), "R-1", &by, at(90)).await.map_err(|e| format!("{e:?}"))?;
    good(log, 9).await?;
    for (sql, what) in [
        ("FROM audit.subject WHERE person = 'contact:501'", "a name stayed"),
        ("FROM audit.prompt_part WHERE bytes IS NOT NULL", "a prompt stayed"),
        ("FROM audit.subject_key WHERE target_id = 'deal:4411'", "a key stayed"),
        ("FROM audit.parked", "a refused row stayed"),
    ] {
        ensure(log.count(&format!("SELECT count(*) {sql}")).await == 0, what)?;
    }

    let now: i64 = log.count("SELECT extract(epoch FROM now())::bigint").await;
    let young = Timestamp::from_second(now - 100 * 86_400).unwrap();
    let refused = log.log.retain(young, &by, at(91)).await;
    ensure(matches!(refused, Err(Error::Retain(_))), "a retention below the floor")?;
    let retained = log.log.retain("2021-01-01T00:00:00Z".parse().unwrap(), &by, at(92)).await;
    ensure(retained.is_ok_and(|retained| retained.entries == 1), "another retention")?;
    ensure(
        log.count("SELECT count(*) FROM audit.subject_key WHERE target_id = 'deal:4187'").await == 1,
        "a living key",
    )?;
    good(log, 10).await?;
    // The lists of an erasure stay, however old they are: this one happens long before the next retention.
    // One row of the run, and the first erasure's own, as a search might find them.
    let mut found = whom(&[]);
    found.seqs = vec![7, 9];
    log.log.erase_found(&found, "R-2", &by, old).await.map_err(|e| format!("{e:?}"))?;
    let stayed = "SELECT count(*) FROM audit.payload WHERE seq IN (7, 8) AND erased_by IS NULL";
    ensure(log.count(stayed).await == 0, "a row of the run stayed")?;
    ensure(
        log.count("SELECT count(*) FROM audit.payload WHERE seq = 9 AND erased_by IS NOT NULL").await == 0,
        "an erasure's list went",
    )?;
    let late = Timestamp::from_second(now - 184 * 86_400).unwrap();
    log.log.retain(late, &by, Timestamp::from_second(now).unwrap()).await.map_err(|e| format!("{e:?}"))?;
    log.log.verify().await.map_err(|error| format!("{error:?}")).and_then(|verified| {
        ensure(verified.first_bad.is_none(), &format!("verify: {:?}", verified.first_bad))
    })
}

/// Replaces the text in the function as the database has it; false where it does not stand there exactly
/// once.
async fn put_in(log: &Log, mutant: &Mutant) -> bool {
    let name = mutant.function.split('(').next().unwrap();
    let owner = connect(&log.address).await;
    let rows = owner
        .query("SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = $1", &[&name])
        .await
        .unwrap();
    let texts: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let there: Vec<_> = texts.iter().filter(|text| text.matches(mutant.from).count() == 1).collect();
    let [text] = there.as_slice() else { return false };
    if !mutant.also.is_empty() {
        owner.batch_execute(mutant.also).await.unwrap();
    }
    owner.batch_execute(&text.replacen(mutant.from, mutant.to, 1)).await.unwrap();
    true
}

#[tokio::test]
async fn each_broken_function_is_noticed() {
    story(&mut Log::new().await).await.expect("unbroken, it holds");
    let mut killed = 0;
    for mutant in &MUTANTS {
        let mut log = Log::new().await;
        assert!(put_in(&log, mutant).await, "{}: its text is not in `{}`", mutant.name, mutant.function);
        #[expect(clippy::disallowed_methods, reason = "a story that breaks off must not end the others")]
        let told = tokio::spawn(async move { story(&mut log).await }).await;
        match told {
            Ok(Ok(())) => println!("ALIVE   {}", mutant.name),
            Ok(Err(why)) => {
                killed += 1;
                println!("killed  {:<45} {why}", mutant.name);
            }
            // The story itself broke off: an append that gave no answer.
            Err(_) => {
                killed += 1;
                println!("killed  {:<45} no answer", mutant.name);
            }
        }
    }
    println!("{killed} / {} killed", MUTANTS.len());
    assert_eq!(killed, MUTANTS.len());
}
