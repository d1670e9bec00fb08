//! A database owner who can do anything, and what the verifier says of it. Must never tell the verifier what
//! was done.
use super::*;
use crate::{CheckpointSigner, Damage, Kept, Query, open_checkpoint};

const ORIGIN: &str = "holdfast/test";

/// A log of every shape: two people, prompts with shared parts, an erasure, a retention, a late row.
async fn full() -> Log {
    let mut log = Log::new().await;
    let mut entries = many("r-1", 4);
    for (n, entry) in entries.iter_mut().enumerate() {
        entry.prompt = Some(log.prompt(&[b"system", format!("turn {n}").as_bytes()]));
    }
    entries[3].occurred_at = "2020-01-01T00:00:00Z".parse().unwrap();
    let mut other: Vec<Entry> = many("r-2", 3);
    for (n, entry) in other.iter_mut().enumerate() {
        entry.subjects = vec!["contact:777".into()];
        entry.target = Target::new("deal", "4187");
        entry.prompt = Some(log.prompt(&[b"system", b"tools", format!("other {n}").as_bytes()]));
    }
    other[2].intent_id = None;
    other[2].state = EntryState::Applied;
    other[2].verb = "flip".into();
    other[2].subjects = Vec::new();
    let opened = call("r-3", 1, "set_stage", EntryState::Opened);
    let applied = then(&opened, 2, EntryState::Applied);
    entries.extend(other);
    entries.extend([opened, applied]);
    log.append(&entries).await;
    let by = Actor::System("cli".into());
    log.log.erase_found(&whom(&["contact:777"]), "R-1", &by, at(90)).await.unwrap();
    log.log.retain("2021-01-01T00:00:00Z".parse().unwrap(), &by, at(91)).await.unwrap();
    log.append(&many("r-4", 3)).await;
    assert_eq!(log.log.verify().await.unwrap().first_bad, None, "good before");
    log
}

/// What the owner did, in SQL; is it found from inside; is it found against a checkpoint?
const DEEDS: [(&str, &str, bool); 15] = [
    ("edits a row", "UPDATE audit.entry SET verb = 'append_note' WHERE seq = 8", true),
    (
        "edits a row and its own hash",
        "UPDATE audit.entry SET actor = 'person:eve' WHERE seq = 8; \
      UPDATE audit.entry e SET hash = audit.entry_hash(e) WHERE seq = 8",
        true,
    ),
    (
        "deletes a row",
        "DELETE FROM audit.payload WHERE seq = 8; DELETE FROM audit.subject WHERE seq = 8; \
      DELETE FROM audit.entry WHERE seq = 8",
        true,
    ),
    (
        "reorders two rows",
        "ALTER TABLE audit.entry DROP CONSTRAINT entry_seq_check; \
      UPDATE audit.entry SET seq = -seq WHERE seq IN (8, 9); UPDATE audit.entry SET seq = 17 + seq WHERE seq < 0",
        true,
    ),
    (
        "inserts a row between two",
        "UPDATE audit.entry SET seq = seq + 1000 WHERE seq > 12; \
      UPDATE audit.entry SET seq = seq - 999 WHERE seq > 1000; UPDATE audit.payload SET seq = seq + 1000 WHERE seq > 12; \
      UPDATE audit.payload SET seq = seq - 999 WHERE seq > 1000; UPDATE audit.subject SET seq = seq + 1000 WHERE seq > 12; \
      UPDATE audit.subject SET seq = seq - 999 WHERE seq > 1000; \
      INSERT INTO audit.entry SELECT 13, 'forged', stream, 77, occurred_at, actor, verb, state, reason, mode, tier, \
      intent_id, run_id, step, prompt_hash, model_version, config_version, subject, commitment, sha256('a'), \
      sha256('b') FROM audit.entry WHERE seq = 12; UPDATE audit.head SET seq = seq + 1",
        true,
    ),
    (
        "appends a row past the function",
        "INSERT INTO audit.entry SELECT seq + 1, 'forged', stream, 77, occurred_at, \
      actor, verb, state, reason, mode, tier, intent_id, run_id, step, prompt_hash, model_version, config_version, \
      subject, commitment, hash, sha256('b') FROM audit.entry WHERE seq = (SELECT seq FROM audit.head)",
        true,
    ),
    (
        "cuts the tail",
        "DELETE FROM audit.payload WHERE seq > 12; DELETE FROM audit.subject WHERE seq > 12; \
      DELETE FROM audit.entry WHERE seq > 12",
        true,
    ),
    (
        "cuts the tail and rewinds the head",
        "DELETE FROM audit.payload WHERE seq > 12; \
      DELETE FROM audit.subject WHERE seq > 12; DELETE FROM audit.entry WHERE seq > 12; \
      UPDATE audit.head SET seq = 12, hash = (SELECT hash FROM audit.entry WHERE seq = 12)",
        false,
    ),
    (
        "erases without an entry",
        "UPDATE audit.payload SET salt = NULL, bytes = NULL, target_id = NULL, \
      customer_id = NULL, to_stage = NULL, erased_by = 10 WHERE seq = 8; DELETE FROM audit.subject WHERE seq = 8",
        true,
    ),
    (
        "edits a personal half",
        "UPDATE audit.payload SET bytes = convert_to(replace(convert_from(bytes, 'UTF8'), \
      'closedlost', 'closedwon'), 'UTF8') WHERE seq = 9",
        true,
    ),
    (
        "edits it with a fresh salt",
        "UPDATE audit.payload SET salt = sha256('x'), bytes = 'x' WHERE seq = 9",
        true,
    ),
    ("hides a row from a person's export", "DELETE FROM audit.subject WHERE seq = 9", true),
    (
        "swaps two prompts",
        "UPDATE audit.prompt SET ord = ord + 10 WHERE hash IN (SELECT prompt_hash FROM audit.entry \
      WHERE seq = 1); UPDATE audit.prompt SET part_hash = (SELECT part_hash FROM audit.prompt p JOIN audit.entry e \
      ON e.prompt_hash = p.hash WHERE e.seq = 2 AND ord = 1) WHERE ord = 11",
        true,
    ),
    (
        "edits a prompt",
        "ALTER TABLE audit.prompt_part DROP CONSTRAINT content_has_its_hash; \
      UPDATE audit.prompt_part SET bytes = 'nothing of note' WHERE bytes = 'turn 1'",
        true,
    ),
    ("backdates an erasure", "UPDATE audit.erasure SET request = 'R-0', entries = 1", true),
];

/// The same done with the head's hash and every later row made anew by the database's own functions: a forger
/// who knows the format as well as we do.
const FORGED_TAIL: &str = "DO $$ DECLARE r audit.entry; last bytea; b bytea; BEGIN \
    UPDATE audit.payload SET bytes = convert_to(replace(convert_from(bytes, 'UTF8'), 'somebody else', 'us'), 'UTF8') \
      WHERE seq = 8; \
    SELECT hash INTO last FROM audit.entry WHERE seq = 7; \
    FOR r IN SELECT * FROM audit.entry WHERE seq >= 8 ORDER BY seq LOOP \
      SELECT sha256('\\x01'::bytea || salt || bytes) INTO b FROM audit.payload WHERE seq = r.seq AND bytes IS NOT NULL; \
      r.prev := last; r.commitment := coalesce(b, r.commitment); r.hash := audit.entry_hash(r); \
      UPDATE audit.entry SET prev = sha256(r.prev), hash = sha256(r.hash) WHERE seq = r.seq; \
      UPDATE audit.entry SET prev = r.prev, hash = r.hash, commitment = r.commitment WHERE seq = r.seq; \
      last := r.hash; \
    END LOOP; UPDATE audit.head SET hash = last; END $$";

#[tokio::test]
async fn whatever_the_owner_does_is_found_from_inside_or_against_a_checkpoint() {
    let signer = CheckpointSigner::from_secret_hex(&"07".repeat(32), ORIGIN).unwrap();
    println!("{:<36} {:<54} against a checkpoint", "the owner", "verify says");
    let mut deeds = DEEDS.to_vec();
    deeds.push(("writes the tail anew, hashes and all", FORGED_TAIL, false));
    for (deed, sql, from_inside) in deeds {
        let log = full().await;
        let (seal, bad) = log.log.extend(None, i64::MAX).await.unwrap();
        assert_eq!(bad, None);
        let note = signer.sign(seal.point.seq, &seal.root().unwrap());
        let checkpoint = open_checkpoint(&note, &[signer.public()], ORIGIN).unwrap();
        let kept = Kept { points: Vec::new(), checkpoints: vec![checkpoint] };
        assert_eq!(log.log.verify_against(&kept).await.unwrap().first_bad, None);

        log.owner(&format!("SET session_replication_role = replica; {sql}")).await;
        let inside = log.log.verify().await.unwrap().first_bad;
        let against = log.log.verify_against(&kept).await.unwrap().first_bad;
        let say = |found: &Option<(i64, Damage)>| {
            found
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), |(seq, damage)| format!("row {seq}: {damage}"))
        };
        println!("{deed:<36} {:<54} {}", say(&inside), say(&against));
        assert_eq!(inside.is_some(), from_inside, "{deed}: {inside:?}");
        assert!(against.is_some(), "{deed}: {against:?}");
    }
}

/// Everything that is evidence.
const COLUMNS: [(&str, &[&str]); 7] = [
    (
        "entry",
        &[
            "seq",
            "entry_id",
            "stream",
            "event_no",
            "occurred_at",
            "actor",
            "verb",
            "state",
            "reason",
            "mode",
            "tier",
            "intent_id",
            "run_id",
            "step",
            "prompt_hash",
            "model_version",
            "config_version",
            "subject",
            "commitment",
            "prev",
            "hash",
        ],
    ),
    ("payload", &["seq", "salt", "bytes", "target_id", "customer_id", "to_stage", "erased_by"]),
    ("subject", &["seq", "person"]),
    ("prompt", &["hash", "ord", "part_hash"]),
    ("prompt_part", &["hash", "bytes", "erased_by"]),
    ("erasure", &["seq", "request", "entries", "parts"]),
    ("head", &["seq", "hash"]),
];

/// One random change of one value anywhere that is evidence: a byte flipped, a number moved, a null set or
/// taken.
async fn change_something(log: &Log, dice: &mut Dice) -> Option<String> {
    let (table, columns) = COLUMNS[dice.below(COLUMNS.len())];
    let column = columns[dice.below(columns.len())];
    let owner = connect(&log.address).await;
    let rows =
        owner.query(&format!("SELECT ctid::text FROM audit.{table} ORDER BY ctid"), &[]).await.unwrap();
    let ctid: String = rows[dice.below(rows.len())].get(0);
    let kind = owner
        .query_one(
            "SELECT data_type FROM information_schema.columns WHERE table_schema = 'audit' AND table_name = $1 \
             AND column_name = $2",
            &[&table, &column],
        )
        .await
        .unwrap();
    let at = dice.below(1_000_000);
    let value = match kind.get::<_, &str>(0) {
        "bytea" => format!(
            "set_byte({column}, {at} % octet_length({column}), \
             get_byte({column}, {at} % octet_length({column})) # {})",
            1 << dice.below(8)
        ),
        "bigint" | "integer" => format!("{column} + {}", 1 + dice.below(3)),
        "timestamp with time zone" => format!("{column} + interval '{} microsecond'", 1 + dice.below(9)),
        _ => format!(
            "overlay({column} placing chr(97 + (ascii(substr({column}, 1 + {at} % length({column}), 1)) + {}) % 26) \
             from 1 + {at} % length({column}) for 1)",
            1 + dice.below(24)
        ),
    };
    let sql = format!(
        "SET session_replication_role = replica; UPDATE audit.{table} SET {column} = {value} \
         WHERE ctid = '{ctid}' AND {column} IS NOT NULL AND {column} IS DISTINCT FROM {value}"
    );
    // What even the owner's table refuses (a key twice, an empty text) is no change.
    owner.batch_execute(&sql).await.ok()?;
    Some(format!("{table}.{column} of {ctid}: {value}"))
}

/// A small generator of its own (xorshift), so that a failing seed can be run again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Every row of every table as text: is it another log now?
async fn whole(log: &Log) -> String {
    let owner = connect(&log.address).await;
    let mut text = String::new();
    for table in ["entry", "payload", "subject", "prompt", "prompt_part", "erasure", "head"] {
        let sql =
            format!("SELECT coalesce(string_agg(t::text, '|' ORDER BY t::text), '') FROM audit.{table} t");
        text.push_str(owner.query_one(&sql, &[]).await.unwrap().get(0));
    }
    text
}

#[tokio::test]
async fn any_single_change_anywhere_is_found() {
    let log = full().await;
    log.owner(
        "DO $$ DECLARE c record; BEGIN FOR c IN SELECT conname, conrelid::regclass AS t FROM pg_constraint \
         JOIN pg_namespace n ON n.oid = connamespace AND n.nspname = 'audit' WHERE contype IN ('c', 'f') \
         LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', c.t, c.conname); END LOOP; END $$; \
         CREATE SCHEMA kept; CREATE TABLE kept.entry AS TABLE audit.entry; CREATE TABLE kept.payload AS TABLE \
         audit.payload; CREATE TABLE kept.subject AS TABLE audit.subject; CREATE TABLE kept.prompt AS TABLE \
         audit.prompt; CREATE TABLE kept.prompt_part AS TABLE audit.prompt_part; CREATE TABLE kept.erasure AS TABLE \
         audit.erasure; CREATE TABLE kept.head AS TABLE audit.head",
    )
    .await;
    let good = whole(&log).await;
    let seed = 0x5eed_0000_0001_u64;
    let mut dice = Dice(seed);
    let (mut changed, mut by_table) = (0, BTreeMap::<String, u32>::new());
    for round in 0..200 {
        let Some(change) = change_something(&log, &mut dice).await else { continue };
        if whole(&log).await == good {
            continue;
        }
        changed += 1;
        *by_table.entry(change.split('.').next().unwrap().to_owned()).or_default() += 1;
        let found = log.log.verify().await;
        let is_found = !matches!(&found, Ok(verified) if verified.first_bad.is_none());
        assert!(is_found, "seed {seed:#x}, round {round}: {change} was not found");
        log.owner(
            "SET session_replication_role = replica; DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY ARRAY['entry', \
             'payload', 'subject', 'prompt', 'prompt_part', 'erasure', 'head'] LOOP \
             EXECUTE format('DELETE FROM audit.%I', t); EXECUTE format('INSERT INTO audit.%I SELECT * FROM kept.%I', t, t); \
             END LOOP; END $$",
        )
        .await;
    }
    assert_eq!(log.log.verify().await.unwrap().first_bad, None, "put back");
    println!("{changed} single changes, all found: {by_table:?}");
    assert!(changed > 120 && by_table.len() == 7, "{changed} changes: {by_table:?}");
    assert_eq!(log.log.search(&Query::default()).await.unwrap().rows.len(), 13);
}
