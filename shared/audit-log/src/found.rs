//! Looking through the log's texts for one person, and erasing what was found. Must never break the chain,
//! nor leave a copy behind.
use crate::append::{fresh_pads, fresh_salt};
use crate::canonical::{canonical_bytes, column, digest_from_hex, hex, person_key};
use crate::error::Error;
use crate::row::{ROW_COLUMNS, ROW_JOINS, Row, row_of};
use crate::search::FIRST_SEQ;
use crate::session::{AuditLog, Role, Session};
use crate::subject::{ERASE_SUBJECT, Erased, erasing_entry};
use tokio_postgres::types::ToSql;
use types::{Actor, Subject, Target, Timestamp};

/// How often an erasure starts again because the log grew about the same person.
const TRIES: u32 = 5;

/// What a person's rows are known by: her ids, and what a search in the texts found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    people: Vec<String>,
    targets: Vec<String>,
    customers: Vec<String>,
    /// Entries that the search found.
    pub seqs: Vec<i64>,
    /// Her runs.
    pub runs: Vec<String>,
    /// Refused rows that the search found, by hash (hex).
    pub parked: Vec<String>,
}

impl Found {
    /// What is known of a person without any search.
    #[must_use]
    pub fn of(subject: &Subject) -> Self {
        let target = |kind: &'static str| move |id: &String| column(&format!("{kind}:{id}"));
        let contacts = subject.contacts.iter().map(target("contact"));
        let targets = contacts
            .chain(subject.deals.iter().map(target("deal")))
            .chain(subject.customers.iter().map(target("customer")));
        Self {
            people: subject.people().iter().map(|id| person_key(id)).filter(|id| !id.is_empty()).collect(),
            targets: targets.collect(),
            customers: subject.customers.iter().cloned().collect(),
            ..Self::default()
        }
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 5] {
        [&self.people, &self.seqs, &self.runs, &self.targets, &self.customers]
    }
}

/// A text of the log and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<K> {
    /// The entry's place, or the part's or the refused row's hash (hex).
    pub at: K,
    /// The text.
    pub text: String,
}

impl AuditLog {
    /// Texts of entries behind `after`, in order, at most `limit`: the personal half and people's notes on
    /// it.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn look_through(&self, after: i64, limit: i64) -> Result<Vec<Text<i64>>, Error> {
        let sql = "SELECT p.seq, p.bytes, \
             (SELECT string_agg(j.note, ' ') FROM audit.judgement j WHERE j.seq = p.seq) \
             FROM audit.payload p WHERE p.seq > $1 AND p.bytes IS NOT NULL ORDER BY p.seq LIMIT $2";
        let rows = self.read("the texts of rows", sql, &[&after, &limit]).await?;
        let text = |row: &tokio_postgres::Row| {
            let mut text = String::from_utf8_lossy(row.get(1)).into_owned();
            if let Some(note) = row.get::<_, Option<&str>>(2) {
                text.push('\n');
                text.push_str(note);
            }
            Text { at: row.get(0), text }
        };
        Ok(rows.iter().map(text).collect())
    }

    /// Prompt parts whose hash comes after `after` (hex; empty: from the first), at most `limit`.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn look_through_parts(&self, after: &str, limit: i64) -> Result<Vec<Text<String>>, Error> {
        let after = digest_from_hex(after).unwrap_or_default();
        let sql = "SELECT hash, bytes FROM audit.prompt_part WHERE hash > $1 AND bytes IS NOT NULL \
             ORDER BY hash LIMIT $2";
        let rows = self.read("the texts of prompts", sql, &[&after, &limit]).await?;
        Ok(rows.iter().map(hashed_text).collect())
    }

    /// The entries that were made with a prompt of one of these parts.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn entries_of_parts(&self, parts: &[String]) -> Result<Vec<i64>, Error> {
        let hashes: Vec<Vec<u8>> = parts.iter().filter_map(|part| digest_from_hex(part)).collect();
        let sql = "SELECT DISTINCT e.seq FROM audit.prompt p JOIN audit.entry e ON e.prompt_hash = p.hash \
             WHERE p.part_hash = ANY ($1) ORDER BY 1";
        let rows = self.read("the rows of prompts", sql, &[&hashes]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Rows that the log refused and keeps aside.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn look_through_parked(&self) -> Result<Vec<Text<String>>, Error> {
        let sql = "SELECT content, bytes FROM audit.parked ORDER BY content LIMIT 10000";
        let rows = self.read("the refused rows", sql, &[]).await?;
        Ok(rows.iter().map(hashed_text).collect())
    }

    /// The entries that an erasure would take: those found, and the rest of their runs and tool calls.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn scope(&self, found: &Found) -> Result<Vec<i64>, Error> {
        let sql = "SELECT audit.found_scope($1, $2, $3, $4, $5)";
        let rows = self.read("a person's entries", sql, &found.parameters()).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The runs of these entries.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn runs_of(&self, seqs: &[i64]) -> Result<Vec<String>, Error> {
        let sql =
            "SELECT DISTINCT run_id FROM audit.entry WHERE seq = ANY ($1) AND run_id IS NOT NULL ORDER BY 1";
        let rows = self.read("a person's runs", sql, &[&seqs]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The rows of these entries: one per tool call, in order.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn rows_of(&self, seqs: &[i64]) -> Result<Vec<Row>, Error> {
        let sql = format!(
            "SELECT {ROW_COLUMNS} FROM audit.audit_log v {ROW_JOINS} WHERE v.seq IN (\
             SELECT {FIRST_SEQ} FROM audit.entry b WHERE b.seq = ANY ($1)) ORDER BY v.seq"
        );
        self.read("a person's rows", &sql, &[&seqs]).await?.iter().map(row_of).collect()
    }

    /// The personal halves of these entries, whole, and people's notes on them, in order.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn texts_of(&self, seqs: &[i64]) -> Result<Vec<Text<i64>>, Error> {
        let sql = "SELECT seq, bytes FROM audit.payload WHERE seq = ANY ($1) AND bytes IS NOT NULL \
             UNION ALL SELECT seq, convert_to(note, 'UTF8') FROM audit.judgement \
             WHERE seq = ANY ($1) AND note IS NOT NULL ORDER BY seq";
        let rows = self.read("a person's entries", sql, &[&seqs]).await?;
        let text = |row: &tokio_postgres::Row| Text {
            at: row.get(0),
            text: String::from_utf8_lossy(row.get(1)).into_owned(),
        };
        Ok(rows.iter().map(text).collect())
    }

    /// The prompt parts that these entries alone were made with.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn parts_of(&self, seqs: &[i64]) -> Result<Vec<Text<String>>, Error> {
        let sql = "SELECT part.hash, part.bytes FROM audit.prompt_part part WHERE part.bytes IS NOT NULL \
             AND part.hash IN (SELECT p.part_hash FROM audit.entry e JOIN audit.prompt p ON p.hash = e.prompt_hash \
                 WHERE e.seq = ANY ($1)) \
             AND NOT EXISTS (SELECT FROM audit.prompt p JOIN audit.entry e ON e.prompt_hash = p.hash \
                 WHERE p.part_hash = part.hash AND e.seq <> ALL ($1)) ORDER BY part.hash";
        let rows = self.read("a person's prompts", sql, &[&seqs]).await?;
        Ok(rows.iter().map(hashed_text).collect())
    }

    /// Erases the personal half of everything in [`Self::scope`], and the prompts only it was sent with;
    /// appends an entry that names the rows (never the person). A request that was answered already and finds
    /// nothing more appends nothing. The heap keeps dead rows until the next vacuum, and backups keep theirs
    /// until they age out.
    ///
    /// # Errors
    /// [`Error::Erase`] (ask again: it is safe), [`Error::EraseContended`] and the connection's errors.
    pub async fn erase_found(
        &self,
        found: &Found,
        request: &str,
        by: &Actor,
        at: Timestamp,
    ) -> Result<Erased, Error> {
        let session = self.session(Role::Eraser).await?;
        let before = self.erasures_of(request).await?;
        if let Some(before) = before
            && found.parked.is_empty()
            && self.scope(found).await?.is_empty()
        {
            return Ok(before);
        }
        let done = erase_on(&session, found, request, by, at).await;
        if let Err(Error::Erase(fault)) = &done {
            self.forget_dead(Role::Eraser, &session, fault).await;
        }
        let done = done?;
        // What an earlier try of the same request took counts too.
        let before = before.map_or((0, 0), |before| (before.entries, before.parts));
        Ok(Erased {
            entries: done.entries.saturating_add(before.0),
            parts: done.parts.saturating_add(before.1),
            ..done
        })
    }

    async fn erasures_of(&self, request: &str) -> Result<Option<Erased>, Error> {
        let sql = "SELECT max(seq), sum(entries)::int8, sum(parts)::int8 FROM audit.erasure WHERE request = $1 \
             HAVING count(*) > 0";
        let rows = self.read("the erasures of a request", sql, &[&column(request)]).await?;
        let erased = |row: &tokio_postgres::Row| Erased {
            seq: row.get(0),
            entries: row.get::<_, i64>(1).unsigned_abs(),
            parts: row.get::<_, i64>(2).unsigned_abs(),
        };
        Ok(rows.first().map(erased))
    }
}

fn hashed_text(row: &tokio_postgres::Row) -> Text<String> {
    Text { at: hex(row.get::<_, &[u8]>(0)), text: String::from_utf8_lossy(row.get(1)).into_owned() }
}

async fn erase_on(
    session: &Session,
    found: &Found,
    request: &str,
    by: &Actor,
    at: Timestamp,
) -> Result<Erased, Error> {
    let failed = |error: tokio_postgres::Error| Error::Erase(error.into());
    let parked: Vec<Vec<u8>> = found.parked.iter().filter_map(|hash| digest_from_hex(hash)).collect();
    for _ in 0..TRIES {
        let sql = "SELECT audit.found_scope($1, $2, $3, $4, $5)";
        let scope = session.client.query(sql, &found.parameters()).await.map_err(failed)?;
        let seqs: Vec<i64> = scope.iter().map(|row| row.get(0)).collect();
        let target = Target::new("request", request);
        let entry = erasing_entry(ERASE_SUBJECT, "subject_requests", target, &seqs, by, at)?;
        let no = i64::try_from(entry.event_no).unwrap_or(i64::MAX);
        let [people, seqs_found, runs, targets, customers] = found.parameters();
        let done = session
            .client
            .query_opt(
                "SELECT erasure_seq, parts_erased FROM audit.erase_found($1, $2, $3, $4, $5, $6, $7, $8, $9, \
                 $10, $11, $12, $13, $14, $15, $16)",
                &[
                    people,
                    seqs_found,
                    runs,
                    targets,
                    customers,
                    &parked,
                    &seqs,
                    &column(request),
                    &entry.entry_id,
                    &no,
                    &at.as_microsecond(),
                    &column(&by.to_string()),
                    &column(&entry.target.to_string()),
                    &canonical_bytes(&entry)?,
                    &fresh_salt()?,
                    &fresh_pads()?,
                ],
            )
            .await
            .map_err(failed)?;
        if let Some(row) = done {
            let entries = u64::try_from(seqs.len()).unwrap_or(u64::MAX);
            return Ok(Erased { seq: row.get(0), entries, parts: row.get::<_, i64>(1).unsigned_abs() });
        }
    }
    Err(Error::EraseContended)
}
