//! Recomputes the whole log. Must never trust a hash, a copy or an erasure that it did not check itself.
//!
//! INVARIANT (I27): any change to a row, its personal half, its prompt or its order is found, and the first
//! bad row named.
//! One thing cannot be seen from inside: a tail that was cut off together with the head's memory of it. Hand
//! [`AuditLog::verify_against`] a [`Point`] that was kept elsewhere.
use crate::canonical::{Columns, hex, sha256};
use crate::error::Error;
use crate::row::hex_column;
use crate::session::AuditLog;
use crate::subject::names;
use ledger::Entry;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry::Vacant};
use std::fmt;
use tokio_postgres::Row;

/// Rows of one read.
const PAGE: i64 = 1_000;
/// Prompt parts of one read.
const PARTS_PAGE: usize = 64;

/// A place in the chain and the hash there: what a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Entries up to and with this one.
    pub seq: i64,
    /// The chain's hash there, hex.
    pub hash: String,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// It is not there.
    Missing,
    /// It does not follow the row before.
    PrevDiffers,
    /// A column is not what the hash was made over.
    HashDiffers,
    /// The personal half is not there, and no erasure is claimed.
    PayloadMissing,
    /// The personal half is not what was committed to.
    CommitmentDiffers,
    /// It is said to be erased, and no erasure entry names it.
    ErasedWithoutEntry,
    /// A column is not what the committed bytes say.
    CopyDiffers(&'static str),
    /// A part of its prompt is missing, altered, or erased without an erasure.
    PromptDiffers,
    /// The head does not name the last row.
    HeadDiffers,
    /// A point that was kept elsewhere has another hash, or lies beyond the end.
    PointDiffers,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the row is missing",
            Self::PrevDiffers => "it does not follow the row before it",
            Self::HashDiffers => "the row was changed",
            Self::PayloadMissing => "its personal half is missing without an erasure",
            Self::CommitmentDiffers => "its personal half was changed",
            Self::ErasedWithoutEntry => "it was erased without an erasure entry",
            Self::CopyDiffers(column) => return write!(f, "its `{column}` was changed"),
            Self::PromptDiffers => "its prompt was changed",
            Self::HeadDiffers => "the log does not end where its head says",
            Self::PointDiffers => "it is not the row of the checkpoint",
        })
    }
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Entries found good, from the first on.
    pub entries: i64,
    /// Where the good part ends.
    pub head: Point,
    /// The first bad row.
    pub first_bad: Option<(i64, Damage)>,
}

const ENTRIES: &str = "SELECT e.seq, e.entry_id, e.stream, e.event_no, \
     (extract(epoch FROM e.occurred_at) * 1000000)::int8, e.actor, e.verb, e.state, e.reason, e.mode, \
     e.tier, \
     e.intent_id, e.run_id, e.step, e.prompt_hash, e.model_version, e.config_version, e.subject, \
     e.commitment, e.prev, \
     e.hash, p.seq, p.salt, p.bytes, p.target_id, p.customer_id, p.to_stage, p.erased_by, \
     ARRAY(SELECT s.person FROM audit.subject s WHERE s.seq = e.seq ORDER BY s.person COLLATE \"C\"), \
     ARRAY(SELECT r.part_hash FROM audit.prompt r WHERE r.hash = e.prompt_hash ORDER BY r.ord) \
     FROM audit.entry e LEFT JOIN audit.payload p ON p.seq = e.seq WHERE e.seq > $1 ORDER BY e.seq LIMIT $2";

/// What one pass remembers.
struct Pass {
    last: i64,
    hash: Vec<u8>,
    parts_seen: BTreeSet<Vec<u8>>,
    erasures: BTreeMap<i64, Option<Entry>>,
}

impl AuditLog {
    /// Recomputes every entry, its personal half, its prompt and its erasure, page by page.
    ///
    /// # Errors
    /// [`Error::Read`] and the connection's errors. Damage is not an error but the answer.
    pub async fn verify(&self) -> Result<Verified, Error> {
        self.verify_against(&[]).await
    }

    /// The same, against points of the chain that were kept where the database's owner cannot edit them.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn verify_against(&self, points: &[Point]) -> Result<Verified, Error> {
        let points: BTreeMap<i64, &str> =
            points.iter().map(|point| (point.seq, point.hash.as_str())).collect();
        let mut pass =
            Pass { last: 0, hash: vec![0; 32], parts_seen: BTreeSet::new(), erasures: BTreeMap::new() };
        let first_bad = loop {
            let page = self.read("entries", ENTRIES, &[&pass.last, &PAGE]).await?;
            if page.is_empty() {
                match self.end(&pass, &points).await? {
                    End::MoreToRead => continue,
                    End::Good => break None,
                    End::Bad(seq, damage) => break Some((seq, damage)),
                }
            }
            if let Some(bad) = self.page(&page, &mut pass, &points).await? {
                break Some(bad);
            }
        };
        let head = Point { seq: pass.last, hash: hex(&pass.hash) };
        Ok(Verified { entries: pass.last, head, first_bad })
    }

    /// Checks one page; `pass` ends at its last good row.
    async fn page(
        &self,
        page: &[Row],
        pass: &mut Pass,
        points: &BTreeMap<i64, &str>,
    ) -> Result<Option<(i64, Damage)>, Error> {
        let bad_parts = self.bad_parts(page, pass).await?;
        for row in page {
            let expected = pass.last.saturating_add(1);
            let seq: i64 = row.get(0);
            if seq != expected {
                return Ok(Some((expected, Damage::Missing)));
            }
            let damage = match chain_damage(row, &pass.hash) {
                Some(damage) => Some(damage),
                None => self.payload_damage(row, seq, pass).await?,
            };
            let parts: Vec<Vec<u8>> = row.get(29);
            let damage = damage
                .or_else(|| {
                    parts.iter().any(|part| bad_parts.contains(part)).then_some(Damage::PromptDiffers)
                })
                .or_else(|| {
                    let differs = points.get(&seq).is_some_and(|hash| **hash != hex_column(row, 20));
                    differs.then_some(Damage::PointDiffers)
                });
            if let Some(damage) = damage {
                return Ok(Some((seq, damage)));
            }
            pass.last = seq;
            pass.hash = row.get(20);
        }
        Ok(None)
    }

    /// The personal half: as committed, or erased by an entry that names it.
    async fn payload_damage(&self, row: &Row, seq: i64, pass: &mut Pass) -> Result<Option<Damage>, Error> {
        if row.get::<_, Option<i64>>(21).is_none() {
            return Ok(Some(Damage::PayloadMissing));
        }
        let (salt, bytes): (Option<&[u8]>, Option<&[u8]>) = (row.get(22), row.get(23));
        if let (Some(salt), Some(bytes)) = (salt, bytes) {
            let commitment: &[u8] = row.get(18);
            if sha256(&[&[1], salt, bytes].concat()) != commitment {
                return Ok(Some(Damage::CommitmentDiffers));
            }
            return Ok(copy_damage(row, bytes));
        }
        let copies: [Option<&str>; 3] = [row.get(24), row.get(25), row.get(26)];
        let persons: Vec<&str> = row.get(28);
        let left_over =
            salt.is_some() || bytes.is_some() || copies.iter().any(Option::is_some) || !persons.is_empty();
        let by: Option<i64> = row.get(27);
        let named = match by {
            Some(by) => self.erasure(by, pass).await?.is_some_and(|entry| names(entry.detail.as_ref(), seq)),
            None => false,
        };
        Ok((left_over || !named).then_some(Damage::ErasedWithoutEntry))
    }

    /// The erasure entry at that place, if there is a true one.
    async fn erasure<'a>(&self, seq: i64, pass: &'a mut Pass) -> Result<Option<&'a Entry>, Error> {
        if let Vacant(place) = pass.erasures.entry(seq) {
            let rows = self.read("an erasure", ENTRIES, &[&seq.saturating_sub(1), &1_i64]).await?;
            let entry = rows.first().filter(|row| row.get::<_, i64>(0) == seq).and_then(|row| {
                let (salt, bytes): (Option<&[u8]>, Option<&[u8]>) = (row.get(22), row.get(23));
                let (salt, bytes) = (salt?, bytes?);
                let true_to_it = sha256(&[&[1], salt, bytes].concat()) == row.get::<_, &[u8]>(18);
                let entry: Entry = serde_json::from_slice(bytes).ok()?;
                (true_to_it && entry.verb == "erase_subject" && row.get::<_, &str>(6) == "erase_subject")
                    .then_some(entry)
            });
            place.insert(entry);
        }
        Ok(pass.erasures.get(&seq).and_then(Option::as_ref))
    }

    /// Parts named on this page, not seen before, that do not have their hash.
    async fn bad_parts(&self, page: &[Row], pass: &mut Pass) -> Result<BTreeSet<Vec<u8>>, Error> {
        let named = page.iter().flat_map(|row| row.get::<_, Vec<Vec<u8>>>(29));
        let fresh: Vec<Vec<u8>> = named.filter(|part| pass.parts_seen.insert(part.clone())).collect();
        let mut bad: BTreeSet<Vec<u8>> = fresh.iter().cloned().collect();
        for some in fresh.chunks(PARTS_PAGE) {
            // An erased part must have been used by an entry that the same erasure took.
            let rows = self
                .read(
                    "prompt parts",
                    "SELECT part.hash, part.bytes, part.erased_by IS NOT NULL AND EXISTS (SELECT FROM \
                    audit.prompt p \
                     JOIN audit.entry e ON e.prompt_hash = p.hash JOIN audit.payload y ON y.seq = e.seq \
                     WHERE p.part_hash = part.hash AND y.erased_by = part.erased_by) \
                     FROM audit.prompt_part part WHERE part.hash = ANY ($1)",
                    &[&some],
                )
                .await?;
            for row in &rows {
                let hash: Vec<u8> = row.get(0);
                let bytes: Option<&[u8]> = row.get(1);
                if bytes.map_or_else(|| row.get(2), |bytes| sha256(bytes) == hash) {
                    bad.remove(&hash);
                }
            }
        }
        Ok(bad)
    }

    /// Nothing more was found after `pass.last`: does the head agree?
    async fn end(&self, pass: &Pass, points: &BTreeMap<i64, &str>) -> Result<End, Error> {
        let rows = self
            .read(
                "the head",
                "SELECT h.seq, h.hash, EXISTS (SELECT FROM audit.entry e WHERE e.seq > $1) FROM audit.head h",
                &[&pass.last],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(End::Bad(pass.last, Damage::HeadDiffers)) };
        let (seq, hash, more): (i64, &[u8], bool) = (row.get(0), row.get(1), row.get(2));
        Ok(if more {
            End::MoreToRead
        } else if seq > pass.last {
            End::Bad(pass.last.saturating_add(1), Damage::Missing)
        } else if seq != pass.last || hash != pass.hash {
            End::Bad(pass.last, Damage::HeadDiffers)
        } else {
            match points.keys().next_back() {
                Some(kept) if *kept > pass.last => {
                    End::Bad(pass.last.saturating_add(1), Damage::PointDiffers)
                }
                _ => End::Good,
            }
        })
    }
}

enum End {
    MoreToRead,
    Good,
    Bad(i64, Damage),
}

/// The row against the row before and against its own hash.
fn chain_damage(row: &Row, prev: &[u8]) -> Option<Damage> {
    if row.get::<_, &[u8]>(19) != prev {
        return Some(Damage::PrevDiffers);
    }
    let mut image = vec![0];
    let mut add = |bytes: Option<&[u8]>| match bytes {
        None => image.extend_from_slice(&u32::MAX.to_be_bytes()),
        Some(bytes) => {
            image.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            image.extend_from_slice(bytes);
        }
    };
    let text = |index: usize| row.get::<_, Option<&str>>(index).map(str::as_bytes);
    add(row.get(19));
    add(Some(&row.get::<_, i64>(0).to_be_bytes()));
    add(text(1));
    add(text(2));
    add(Some(&row.get::<_, i64>(3).to_be_bytes()));
    add(Some(&row.get::<_, i64>(4).to_be_bytes()));
    for index in 5..=12 {
        add(text(index));
    }
    let step = row.get::<_, Option<i64>>(13).map(i64::to_be_bytes);
    add(step.as_ref().map(|step| step.as_slice()));
    add(row.get(14));
    add(text(15));
    add(text(16));
    add(row.get(17));
    add(row.get(18));
    (sha256(&image) != row.get::<_, &[u8]>(20)).then_some(Damage::HashDiffers)
}

/// The columns that are shown and searched against the bytes that were committed to.
fn copy_damage(row: &Row, bytes: &[u8]) -> Option<Damage> {
    let Some(told) = serde_json::from_slice::<Entry>(bytes).ok().and_then(|entry| Columns::of(&entry).ok())
    else {
        return Some(Damage::CopyDiffers("bytes"));
    };
    let text = |index: usize| row.get::<_, Option<&str>>(index);
    let same = [
        ("entry_id", text(1) == Some(&told.entry_id)),
        ("stream", text(2) == Some(&told.stream)),
        ("event_no", row.get::<_, i64>(3) == told.event_no),
        ("occurred_at", row.get::<_, i64>(4) == told.occurred_us),
        ("actor", text(5) == Some(&told.actor)),
        ("verb", text(6) == Some(&told.verb)),
        ("state", text(7) == Some(told.state)),
        ("reason", text(8) == told.reason),
        ("mode", text(9) == told.mode),
        ("tier", text(10) == told.tier),
        ("intent_id", text(11) == told.intent_id.as_deref()),
        ("run_id", text(12) == told.run_id.as_deref()),
        ("step", row.get::<_, Option<i64>>(13) == told.step),
        ("prompt_hash", row.get::<_, Option<&[u8]>>(14) == told.prompt_hash.as_deref()),
        ("model_version", text(15) == told.model_version.as_deref()),
        ("config_version", text(16) == told.config_version.as_deref()),
        ("target_id", text(24) == Some(&told.target_id)),
        ("customer_id", text(25) == told.customer_id.as_deref()),
        ("to_stage", text(26) == told.to_stage.as_deref()),
        ("subject", row.get::<_, Vec<String>>(28) == told.persons),
        ("prompt", row.get::<_, Vec<Vec<u8>>>(29) == told.prompt_parts),
    ];
    same.iter().find(|(_, same)| !same).map(|(column, _)| Damage::CopyDiffers(column))
}
