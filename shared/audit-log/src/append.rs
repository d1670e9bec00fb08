//! Appending: many entries in one statement, each once. Must never let a bad row hold up or hide the others.
use crate::canonical::{Columns, canonical_bytes, digest_from_hex, hex, sha256};
use crate::error::{Error, Fault};
use crate::session::{AuditLog, Role, Session};
use ledger::{ENTRY_SCHEMA_VERSION, Entry, PartRef};
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::{Statement, types::ToSql};

/// Most rows of one statement.
const ROWS_MAX: usize = 500;
/// Most content of one statement, in bytes (a single larger row goes alone).
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What became of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendResult {
    /// It is in the log, at this place.
    Appended(i64),
    /// It was in the log already, at this place, with the same content.
    Duplicate(i64),
    /// It cannot go into the log as it is.
    Poison(Poison),
}

/// Why an entry cannot go into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poison {
    /// It was written by a newer build. It is not parked: leave it where it waits, and deploy that build.
    NewerSchema(u32),
    /// A field cannot be stored at all.
    Unfit(&'static str),
    /// The log has this entry id with other content.
    Conflict(i64),
    /// A part of its prompt is nowhere (its hash).
    PartMissing(String),
    /// A part of its prompt has other bytes than its hash says (its hash).
    PartAltered(String),
    /// Postgres refused it.
    Refused(Fault),
}

impl Poison {
    /// Does the log keep the whole row aside, so that the outbox may let go of it?
    #[must_use]
    pub const fn is_parked(&self) -> bool {
        match self {
            Self::NewerSchema(_) => false,
            Self::Unfit(_)
            | Self::Conflict(_)
            | Self::PartMissing(_)
            | Self::PartAltered(_)
            | Self::Refused(_) => true,
        }
    }
}

impl std::fmt::Display for Poison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NewerSchema(version) => write!(f, "written by a newer build (schema version `{version}`)"),
            Self::Unfit(field) => write!(f, "`{field}` cannot be stored"),
            Self::Conflict(seq) => write!(f, "row `{seq}` has the same entry id and other content"),
            Self::PartMissing(hash) => write!(f, "prompt part `{hash}` is missing"),
            Self::PartAltered(hash) => write!(f, "prompt part `{hash}` does not have its hash"),
            Self::Refused(fault) => write!(f, "{fault}"),
        }
    }
}

/// One entry, ready to be sent.
struct Ready {
    index: usize,
    columns: Columns,
    content: Vec<u8>,
    salt: Vec<u8>,
    pads: Vec<u8>,
}

/// Prompt parts that the log does not have yet, by hash.
type Parts = BTreeMap<Vec<u8>, Vec<u8>>;

impl AuditLog {
    /// Appends the entries in their order; answers in the same order, one by one. Whatever was sent before is
    /// recognised. `fetch` is asked for the bytes of a prompt part only where the log does not have them;
    /// `None` means that they are nowhere.
    ///
    /// # Errors
    /// [`Error::Append`] and the connection's errors (send all of them again), [`Error::FetchPart`],
    /// [`Error::Random`].
    pub async fn append<E, F, Fut>(&self, entries: &[Entry], fetch: F) -> Result<Vec<AppendResult>, Error>
    where
        E: std::error::Error + Send + Sync + 'static,
        F: Fn(PartRef) -> Fut,
        Fut: Future<Output = Result<Option<Vec<u8>>, E>>,
    {
        let session = self.session(Role::Writer).await?;
        let done = Self::append_on(&session, entries, fetch).await;
        if let Err(Error::Append(fault)) = &done {
            self.forget_dead(Role::Writer, &session, fault).await;
        }
        done
    }

    async fn append_on<E, F, Fut>(
        session: &Session,
        entries: &[Entry],
        fetch: F,
    ) -> Result<Vec<AppendResult>, Error>
    where
        E: std::error::Error + Send + Sync + 'static,
        F: Fn(PartRef) -> Fut,
        Fut: Future<Output = Result<Option<Vec<u8>>, E>>,
    {
        let mut results: BTreeMap<usize, AppendResult> = BTreeMap::new();
        let mut ready = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            match prepare(index, entry)? {
                Ok(row) => ready.push(row),
                Err(poison) => drop(results.insert(index, AppendResult::Poison(poison))),
            }
        }
        let (parts, bad) = fetch_parts(session, entries, &ready, fetch).await?;
        ready.retain(|row| {
            let poison = row.columns.prompt_parts.iter().find_map(|hash| bad.get(hash));
            if let Some(poison) = poison {
                results.insert(row.index, AppendResult::Poison(poison.clone()));
            }
            poison.is_none()
        });
        append_ready(session, &ready, &parts, &mut results).await?;
        for (index, result) in &results {
            if let (AppendResult::Poison(poison), Some(entry)) = (result, entries.get(*index)) {
                park(session, entry, poison).await?;
            }
        }
        Ok(results.into_values().collect())
    }
}

fn prepare(index: usize, entry: &Entry) -> Result<Result<Ready, Poison>, Error> {
    // FAIL-CLOSED: a shape we do not know would be stored with fields missing.
    if entry.schema_version > ENTRY_SCHEMA_VERSION {
        return Ok(Err(Poison::NewerSchema(entry.schema_version)));
    }
    let columns = match Columns::of(entry) {
        Ok(columns) => columns,
        Err(field) => return Ok(Err(Poison::Unfit(field))),
    };
    let content = canonical_bytes(entry)?;
    Ok(Ok(Ready { index, columns, content, salt: random()?.to_vec(), pads: fresh_pads()? }))
}

fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

/// A fresh salt.
pub(crate) fn fresh_salt() -> Result<Vec<u8>, Error> {
    Ok(random()?.to_vec())
}

/// A fresh HMAC-SHA256 key, as its inner and its outer pad, so that SQL needs nothing but `sha256`.
pub(crate) fn fresh_pads() -> Result<Vec<u8>, Error> {
    Ok(pads_of(&random()?))
}

fn pads_of(key: &[u8; 32]) -> Vec<u8> {
    let block = |pad: u8| key.iter().copied().chain([0; 32]).map(move |byte| byte ^ pad);
    block(0x36).chain(block(0x5c)).collect()
}

/// Brings the parts that the log lacks; those that cannot be had come back as poison, by hash.
async fn fetch_parts<E, F, Fut>(
    session: &Session,
    entries: &[Entry],
    ready: &[Ready],
    fetch: F,
) -> Result<(Parts, BTreeMap<Vec<u8>, Poison>), Error>
where
    E: std::error::Error + Send + Sync + 'static,
    F: Fn(PartRef) -> Fut,
    Fut: Future<Output = Result<Option<Vec<u8>>, E>>,
{
    let (mut parts, mut bad) = (Parts::new(), BTreeMap::new());
    let wanted: BTreeSet<&Vec<u8>> = ready.iter().flat_map(|row| &row.columns.prompt_parts).collect();
    if wanted.is_empty() {
        return Ok((parts, bad));
    }
    let wanted: Vec<&Vec<u8>> = wanted.into_iter().collect();
    let missing = session
        .client
        .query("SELECT audit.missing_parts($1)", &[&wanted])
        .await
        .map_err(|error| Error::Append(error.into()))?;
    let mut missing: BTreeSet<Vec<u8>> = missing.iter().map(|row| row.get(0)).collect();
    let places =
        ready.iter().filter_map(|row| entries.get(row.index)?.prompt.as_ref()).flat_map(|p| &p.parts);
    for place in places {
        let Some(hash) = digest_from_hex(&place.hash) else { continue };
        if !missing.remove(&hash) {
            continue;
        }
        match fetch(place.clone()).await.map_err(|error| Error::FetchPart(Box::new(error)))? {
            None => drop(bad.insert(hash, Poison::PartMissing(place.hash.clone()))),
            Some(bytes) if sha256(&bytes) == hash => drop(parts.insert(hash, bytes)),
            Some(_) => drop(bad.insert(hash, Poison::PartAltered(place.hash.clone()))),
        }
    }
    Ok((parts, bad))
}

/// Sends the rows in batches. A batch that Postgres refuses is halved until the bad row stands alone.
async fn append_ready(
    session: &Session,
    ready: &[Ready],
    parts: &Parts,
    results: &mut BTreeMap<usize, AppendResult>,
) -> Result<(), Error> {
    if ready.is_empty() {
        return Ok(());
    }
    let statement = session
        .append
        .get_or_try_init(|| session.client.prepare(APPEND))
        .await
        .map_err(|error| Error::Append(error.into()))?;
    // A stack, first batch on top: the chain follows the order given.
    let mut batches: Vec<&[Ready]> = batches(ready, parts);
    batches.reverse();
    while let Some(batch) = batches.pop() {
        match send(session, statement, batch, parts).await {
            Ok(answers) => {
                for (row, answer) in batch.iter().zip(answers) {
                    results.insert(row.index, answer);
                }
            }
            Err(fault) if !fault.is_about_the_data() => return Err(Error::Append(fault)),
            Err(fault) => match batch {
                [] => {}
                [row] => drop(results.insert(row.index, AppendResult::Poison(Poison::Refused(fault)))),
                _ => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    batches.push(second);
                    batches.push(first);
                }
            },
        }
    }
    Ok(())
}

fn batches<'a>(ready: &'a [Ready], parts: &Parts) -> Vec<&'a [Ready]> {
    let weight = |row: &Ready| {
        let of_parts = row.columns.prompt_parts.iter().filter_map(|hash| parts.get(hash)).map(Vec::len);
        row.content.len().saturating_add(of_parts.sum())
    };
    let (mut batches, mut rest) = (Vec::new(), ready);
    while !rest.is_empty() {
        let mut bytes = 0_usize;
        let fits = rest.iter().take(ROWS_MAX).take_while(|row| {
            bytes = bytes.saturating_add(weight(row));
            bytes <= BYTES_MAX
        });
        let (batch, others) = rest.split_at(fits.count().max(1));
        batches.push(batch);
        rest = others;
    }
    batches
}

const APPEND: &str = "SELECT outcome, seq_no FROM audit.append($1::text[], $2::text[], $3::int8[], \
     $4::int8[], \
     $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], \
     $13::int8[], \
     $14::bytea[], $15::text[], $16::text[], $17::bytea[], $18::text[], $19::text[], $20::text[], \
     $21::text[], \
     $22::bytea[], $23::bytea[], $24::bytea[], $25::bytea[], $26::bytea[])";

async fn send(
    session: &Session,
    statement: &Statement,
    batch: &[Ready],
    parts: &Parts,
) -> Result<Vec<AppendResult>, Fault> {
    fn of<'a, T>(batch: &'a [Ready], field: impl Fn(&'a Ready) -> T) -> Vec<T> {
        batch.iter().map(field).collect()
    }
    type Param = Box<dyn ToSql + Sync + Send>;
    let joined: Vec<Option<Vec<u8>>> =
        of(batch, |row| row.columns.prompt_hash.as_ref().map(|_| row.columns.prompt_parts.concat()));
    let persons: Vec<String> = of(batch, |row| row.columns.persons.join("\n"));
    let needed: BTreeSet<&Vec<u8>> = batch.iter().flat_map(|row| &row.columns.prompt_parts).collect();
    let (hashes, bytes): (Vec<Vec<u8>>, Vec<Vec<u8>>) =
        needed.into_iter().filter_map(|hash| Some((hash.clone(), parts.get(hash)?.clone()))).unzip();
    let columns = |field: fn(&Columns) -> Option<String>| of(batch, |row| field(&row.columns));
    let params: [Param; 26] = [
        Box::new(columns(|c| Some(c.entry_id.clone()))),
        Box::new(columns(|c| Some(c.stream.clone()))),
        Box::new(of(batch, |row| row.columns.event_no)),
        Box::new(of(batch, |row| row.columns.occurred_us)),
        Box::new(columns(|c| Some(c.actor.clone()))),
        Box::new(columns(|c| Some(c.verb.clone()))),
        Box::new(columns(|c| Some(c.state.to_owned()))),
        Box::new(columns(|c| c.reason.map(str::to_owned))),
        Box::new(columns(|c| c.mode.map(str::to_owned))),
        Box::new(columns(|c| c.tier.map(str::to_owned))),
        Box::new(columns(|c| c.intent_id.clone())),
        Box::new(columns(|c| c.run_id.clone())),
        Box::new(of(batch, |row| row.columns.step)),
        Box::new(of(batch, |row| row.columns.prompt_hash.clone())),
        Box::new(columns(|c| c.model_version.clone())),
        Box::new(columns(|c| c.config_version.clone())),
        Box::new(joined),
        Box::new(columns(|c| Some(c.target_id.clone()))),
        Box::new(columns(|c| c.customer_id.clone())),
        Box::new(columns(|c| c.to_stage.clone())),
        Box::new(persons),
        Box::new(of(batch, |row| row.content.clone())),
        Box::new(of(batch, |row| row.salt.clone())),
        Box::new(of(batch, |row| row.pads.clone())),
        Box::new(hashes),
        Box::new(bytes),
    ];
    let params: Vec<&(dyn ToSql + Sync)> =
        params.iter().map(|p| -> &(dyn ToSql + Sync) { p.as_ref() }).collect();
    let rows = session.client.query(statement, &params).await?;
    Ok(rows
        .iter()
        .map(|row| match (row.get::<_, &str>(0), row.get(1)) {
            ("appended", seq) => AppendResult::Appended(seq),
            ("duplicate", seq) => AppendResult::Duplicate(seq),
            (_, seq) => AppendResult::Poison(Poison::Conflict(seq)),
        })
        .collect())
}

/// Keeps the whole row aside, once.
async fn park(session: &Session, entry: &Entry, poison: &Poison) -> Result<(), Error> {
    // The id may be hostile text: its hash is enough to find it.
    let id_hash = hex(&sha256(entry.entry_id.as_bytes()));
    tracing::error!(id_hash, why = %poison, "an audit row cannot be appended");
    if !poison.is_parked() {
        return Ok(());
    }
    let id = crate::canonical::column(&entry.entry_id);
    let persons: Vec<String> =
        entry.subjects.iter().map(|person| crate::canonical::person_key(person)).collect();
    session
        .client
        .execute(
            "SELECT audit.park($1, $2, $3, $4)",
            &[&id, &canonical_bytes(entry)?, &poison.to_string(), &persons],
        )
        .await
        .map_err(|error| Error::Append(error.into()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{KeyInit, Mac};

    #[test]
    fn the_pads_make_hmac_sha256() {
        let key = [7; 32];
        let pads = pads_of(&key);
        let inner = sha256(&[&pads[..64], b"deal:4411"].concat());
        let ours = sha256(&[&pads[64..], &inner[..]].concat());
        let theirs = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap().chain_update(b"deal:4411");
        assert_eq!(ours, theirs.finalize().into_bytes().to_vec());
    }
}
