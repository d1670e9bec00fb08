//! Recomputes the whole log. Must never trust a hash, a copy or an erasure that it did not check itself.
//!
//! INVARIANT (I27): any change to a row, its personal half, its prompt or its order is found, and the first
//! bad row named.
//! One thing cannot be seen from inside: a tail that was cut off together with the head's memory of it. Hand
//! [`AuditLog::verify_against`] what was kept elsewhere: a [`Checkpoint`] or a [`Point`].
use crate::canonical::{Columns, digest_from_hex, hex, sha256};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::merkle::{Edge, StoredEdge};
use crate::row::hex_column;
use crate::session::AuditLog;
use crate::subject::{ERASE_SUBJECT, RETENTION, named_count, names};
use ledger::Entry;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry::Vacant};
use std::fmt;
use tokio_postgres::Row;

/// Rows of one read.
const PAGE: i64 = 1_000;
/// Prompt parts of one read.
const PARTS_PAGE: usize = 64;

/// A place in the chain and the hash there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Entries up to and with this one.
    pub seq: i64,
    /// The chain's hash there, hex.
    pub hash: String,
}

/// What was kept where the database's owner cannot edit it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Places with the chain's hash.
    pub points: Vec<Point>,
    /// Checkpoints whose signature was checked.
    pub checkpoints: Vec<Checkpoint>,
}

/// How far the log was found good, with all that is needed to go on from there: the next checkpoint extends
/// this one, or is not signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The last good row and the chain's hash there.
    pub point: Point,
    /// The right edge of the tree over all rows up to it.
    pub edge: StoredEdge,
}

impl Seal {
    /// The root of the tree at this size, hex. `None` when the stored edge makes no sense.
    #[must_use]
    pub fn root(&self) -> Option<String> {
        let edge = Edge::restore(&self.edge)?;
        (i64::try_from(self.edge.size).ok()? == self.point.seq).then(|| hex(&edge.root()))
    }
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
    /// A stored prompt, or a part of one, belongs to no row up to here.
    PromptOfNobody,
    /// The head does not name the last row.
    HeadDiffers,
    /// The list of erasures does not say what the erasure's entry says.
    ErasureDiffers,
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
            Self::PromptOfNobody => "a stored prompt belongs to none of the rows up to this one",
            Self::HeadDiffers => "the log does not end where its head says",
            Self::ErasureDiffers => "the list of erasures does not agree with its entry",
            Self::PointDiffers => {
                "it is not the row that was kept elsewhere: rows were cut off or written anew"
            }
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
    /// The root of the tree over the good part, hex: what a checkpoint of this size would say.
    pub root: String,
    /// The first bad row.
    pub first_bad: Option<(i64, Damage)>,
    /// The last place that agreed with what was kept elsewhere; 0 without one.
    pub agreed: i64,
}

// The bound on the payloads says nothing new, and keeps a merge join from reading them from the first one on,
// page after page.
const ENTRIES: &str = "SELECT e.seq, e.entry_id, e.stream, e.event_no, \
     (extract(epoch FROM e.occurred_at) * 1000000)::int8, e.actor, e.verb, e.state, e.reason, e.mode, \
     e.tier, \
     e.intent_id, e.run_id, e.step, e.prompt_hash, e.model_version, e.config_version, e.subject, \
     e.commitment, e.prev, \
     e.hash, p.seq, p.salt, p.bytes, p.target_id, p.customer_id, p.to_stage, p.erased_by, \
     ARRAY(SELECT s.person FROM audit.subject s WHERE s.seq = e.seq ORDER BY s.person COLLATE \"C\"), \
     ARRAY(SELECT r.part_hash FROM audit.prompt r WHERE r.hash = e.prompt_hash ORDER BY r.ord) \
     FROM audit.entry e LEFT JOIN audit.payload p ON p.seq = e.seq AND p.seq > $1 WHERE e.seq > $1 ORDER BY e.seq LIMIT $2";

/// What one pass remembers.
struct Pass {
    last: i64,
    hash: Vec<u8>,
    edge: Edge,
    agreed: i64,
    parts_seen: BTreeSet<Vec<u8>>,
    erasures: BTreeMap<i64, Option<Entry>>,
}

/// What must be true at a place.
enum Claim {
    Hash(String),
    Root(String),
}

type Claims = BTreeMap<i64, Vec<Claim>>;

impl Kept {
    fn claims(&self) -> Claims {
        let mut claims = Claims::new();
        for point in &self.points {
            claims.entry(point.seq).or_default().push(Claim::Hash(point.hash.to_ascii_lowercase()));
        }
        for checkpoint in &self.checkpoints {
            claims.entry(checkpoint.size).or_default().push(Claim::Root(checkpoint.root.clone()));
        }
        claims
    }
}

impl Pass {
    const fn new(last: i64, hash: Vec<u8>, edge: Edge) -> Self {
        Self { last, hash, edge, agreed: 0, parts_seen: BTreeSet::new(), erasures: BTreeMap::new() }
    }

    fn point(&self) -> Point {
        Point { seq: self.last, hash: hex(&self.hash) }
    }
}

impl AuditLog {
    /// Recomputes every entry, its personal half, its prompt and its erasure, page by page.
    ///
    /// # Errors
    /// [`Error::Read`] and the connection's errors. Damage is not an error but the answer.
    pub async fn verify(&self) -> Result<Verified, Error> {
        self.verify_against(&Kept::default()).await
    }

    /// The same, against what was kept where the database's owner cannot edit it.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn verify_against(&self, kept: &Kept) -> Result<Verified, Error> {
        let claims = kept.claims();
        let mut pass = Pass::new(0, vec![0; 32], Edge::default());
        let mut first_bad = self.pass(&mut pass, &claims, i64::MAX).await?;
        if first_bad.is_none() {
            first_bad = self.erasure_damage(&mut pass).await?;
        }
        if first_bad.is_none() {
            first_bad = self.order_damage(&pass).await?;
        }
        let (head, root) = (pass.point(), hex(&pass.edge.root()));
        Ok(Verified { entries: pass.last, head, root, first_bad, agreed: pass.agreed })
    }

    /// Goes on from what an earlier call returned (`None`: from the first row), over `rows` rows at most, and
    /// says how far the log is good now. The new part is recomputed and must follow the old one.
    ///
    /// # Errors
    /// As [`Self::verify`], and [`Error::Seal`] when `from` makes no sense.
    pub async fn extend(
        &self,
        from: Option<&Seal>,
        rows: i64,
    ) -> Result<(Seal, Option<(i64, Damage)>), Error> {
        let mut pass = match from {
            None => Pass::new(0, vec![0; 32], Edge::default()),
            Some(seal) => {
                let hash = digest_from_hex(&seal.point.hash).ok_or(Error::Seal)?;
                let edge = Edge::restore(&seal.edge).ok_or(Error::Seal)?;
                if i64::try_from(seal.edge.size).ok() != Some(seal.point.seq) {
                    return Err(Error::Seal);
                }
                Pass::new(seal.point.seq, hash, edge)
            }
        };
        let end = pass.last.saturating_add(rows);
        let bad = self.pass(&mut pass, &Claims::new(), end).await?;
        Ok((Seal { point: pass.point(), edge: pass.edge.store() }, bad))
    }

    /// Reads on to the end of the log, or to `end`.
    async fn pass(&self, pass: &mut Pass, claims: &Claims, end: i64) -> Result<Option<(i64, Damage)>, Error> {
        while pass.last < end {
            let most = PAGE.min(end.saturating_sub(pass.last));
            let page = self.read("entries", ENTRIES, &[&pass.last, &most]).await?;
            if page.is_empty() {
                match self.end(pass, claims).await? {
                    End::MoreToRead => continue,
                    End::Good => break,
                    End::Bad(seq, damage) => return Ok(Some((seq, damage))),
                }
            }
            if let Some(bad) = self.page(&page, pass, claims).await? {
                return Ok(Some(bad));
            }
        }
        Ok(None)
    }

    /// Checks one page; `pass` ends at its last good row.
    async fn page(
        &self,
        page: &[Row],
        pass: &mut Pass,
        claims: &Claims,
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
            let damage = damage.or_else(|| {
                let none = parts.is_empty() && row.get::<_, Option<&[u8]>>(14).is_some();
                (none || parts.iter().any(|part| bad_parts.contains(part))).then_some(Damage::PromptDiffers)
            });
            if let Some(damage) = damage {
                return Ok(Some((seq, damage)));
            }
            let before = claims.contains_key(&seq).then(|| pass.edge.clone());
            pass.edge.push(row.get(20));
            if let (Some(said), Some(before)) = (claims.get(&seq), before) {
                let root = hex(&pass.edge.root());
                let agrees = |claim: &Claim| match claim {
                    Claim::Hash(hash) => *hash == hex_column(row, 20),
                    Claim::Root(kept) => *kept == root,
                };
                if !said.iter().all(agrees) {
                    pass.edge = before;
                    return Ok(Some((seq, Damage::PointDiffers)));
                }
                pass.agreed = seq;
            }
            (pass.last, pass.hash) = (seq, row.get(20));
        }
        Ok(None)
    }

    /// The personal half: as committed, or erased by an entry that names it.
    async fn payload_damage(&self, row: &Row, seq: i64, pass: &mut Pass) -> Result<Option<Damage>, Error> {
        if row.get::<_, Option<i64>>(21).is_none() {
            return Ok(Some(Damage::PayloadMissing));
        }
        let (salt, bytes): (Option<&[u8]>, Option<&[u8]>) = (row.get(22), row.get(23));
        let by: Option<i64> = row.get(27);
        if let (Some(salt), Some(bytes)) = (salt, bytes) {
            if by.is_some() {
                return Ok(Some(Damage::ErasedWithoutEntry));
            }
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
        let named = match by {
            // What an erasure takes was there before it.
            Some(by) if by <= seq => false,
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
                let is_one = entry.verb == ERASE_SUBJECT || entry.verb == RETENTION;
                (true_to_it && is_one && row.get::<_, &str>(6) == entry.verb).then_some(entry)
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

    /// The parts of a prompt are counted from zero without a gap, and each prompt belongs to an entry. (That
    /// they are the right ones, each entry told.)
    async fn order_damage(&self, pass: &Pass) -> Result<Option<(i64, Damage)>, Error> {
        let rows = self
            .read(
                "the order of prompt parts",
                "SELECT min(e.seq), bool_or(e.seq IS NULL) FROM (SELECT hash, min(ord) <> 0 OR max(ord) + 1 <> \
                 count(*) AS gap FROM audit.prompt GROUP BY hash) p \
                 LEFT JOIN audit.entry e ON e.prompt_hash = p.hash WHERE p.gap OR e.seq IS NULL",
                &[],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(match (row.get::<_, Option<i64>>(0), row.get::<_, Option<bool>>(1)) {
            (Some(seq), _) => Some((seq, Damage::PromptDiffers)),
            (None, Some(true)) => Some((pass.last, Damage::PromptOfNobody)),
            (None, Some(false) | None) => None,
        })
    }

    /// The list of erasures, as pages show it, against the entries: neither may say more than the other.
    async fn erasure_damage(&self, pass: &mut Pass) -> Result<Option<(i64, Damage)>, Error> {
        let rows = self
            .read(
                "the list of erasures",
                "SELECT coalesce(e.seq, x.seq), x.request, x.entries, x.parts, coalesce(p.parts, 0) \
                 FROM (SELECT seq FROM audit.entry WHERE verb IN ('erase_subject', 'retention') \
                   AND stream IN ('subject_requests', 'retention') AND seq <= $1) e \
                 FULL JOIN (SELECT * FROM audit.erasure WHERE seq <= $1) x ON x.seq = e.seq \
                 LEFT JOIN (SELECT erased_by, count(*) AS parts FROM audit.prompt_part \
                   WHERE erased_by IS NOT NULL GROUP BY erased_by) p ON p.erased_by = coalesce(e.seq, x.seq) \
                 ORDER BY 1",
                &[&pass.last],
            )
            .await?;
        for row in &rows {
            let seq: i64 = row.get(0);
            let (request, entries): (Option<&str>, Option<i64>) = (row.get(1), row.get(2));
            let entry = self.erasure(seq, pass).await?;
            let agrees = entry.is_some_and(|entry| {
                request == Some(crate::canonical::column(&entry.target.id).as_str())
                    && entries == Some(named_count(entry.detail.as_ref()))
                    && row.get::<_, Option<i64>>(3) == Some(row.get(4))
            });
            if !agrees {
                return Ok(Some((seq, Damage::ErasureDiffers)));
            }
        }
        Ok(None)
    }

    /// Nothing more was found after `pass.last`: does the head agree?
    async fn end(&self, pass: &Pass, claims: &Claims) -> Result<End, Error> {
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
            match claims.keys().next_back() {
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
