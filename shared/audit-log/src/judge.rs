//! "Did you expect this?", by people, of would-have rows. Must never change an earlier word.
use crate::error::Error;
use crate::session::{AuditLog, Role};
use serde::{Deserialize, Serialize};
use types::{PersonId, Timestamp};

/// One person's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// She would have done it too.
    Expected,
    /// She would not.
    Surprising,
    /// She takes her last word back.
    Withdrawn,
}

impl Judged {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Surprising => "surprising",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The value with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Expected, Self::Surprising, Self::Withdrawn].into_iter().find(|judged| judged.code() == code)
    }
}

/// What was said of a row last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Who.
    pub person: String,
    /// What.
    pub judged: Judged,
    /// What it should have done, in her words.
    pub note: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl AuditLog {
    /// Stores a judgement of would-have rows; returns how many of `seqs` were such rows (erased ones are
    /// not).
    ///
    /// # Errors
    /// [`Error::Judge`] and the connection's errors.
    pub async fn judge(
        &self,
        seqs: &[i64],
        person: &PersonId,
        judged: Judged,
        note: Option<&str>,
        at: Timestamp,
    ) -> Result<u64, Error> {
        let note = note.map(|note| note.replace('\0', "\u{fffd}"));
        let session = self.session(Role::Judge).await?;
        let row = match session
            .client
            .query_one(
                "SELECT audit.judge($1, $2, $3, $4, $5)",
                &[&seqs, &person.as_str(), &judged.code(), &note, &at.as_microsecond()],
            )
            .await
        {
            Ok(row) => row,
            Err(error) => {
                let fault = error.into();
                self.forget_dead(Role::Judge, &session, &fault).await;
                return Err(Error::Judge(fault));
            }
        };
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }
}
