//! What can go wrong with the audit log. Must never carry a password, nor the values of a row.
use std::fmt;

/// What Postgres, or the way to it, answered: the code and the message, never the detail, which quotes whole
/// rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// SQLSTATE, where Postgres itself answered.
    pub code: Option<String>,
    /// One line.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "`{code}` {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Fault {}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self { code: Some(db.code().code().to_owned()), message: db.message().to_owned() },
            None => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                Self { code: None, message: format!("{error}{}", cause.unwrap_or_default()) }
            }
        }
    }
}

impl Fault {
    /// Is the connection gone, so that the next try needs a new one?
    pub(crate) fn is_about_the_connection(&self) -> bool {
        // No code: the wire broke. Class 08: connection exception; 57P: the server went down or cut us off.
        self.code.as_deref().is_none_or(|code| code.starts_with("08") || code.starts_with("57P"))
    }

    /// Did Postgres refuse the values, rather than fail to do its work? Sending them again would change
    /// nothing.
    pub(crate) fn is_about_the_data(&self) -> bool {
        // Classes: 22 data exception, 23 integrity constraint violation, 54 program limit exceeded.
        self.code.as_deref().is_some_and(|code| matches!(code.get(..2), Some("22" | "23" | "54")))
    }
}

/// Why an answer is not known. A row that Postgres refuses is not among them: it is a value, see
/// [`crate::Poison`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database address cannot be read.
    #[error("the database address cannot be read; it must be a `postgres://` address")]
    Address(#[source] Fault),
    /// The address leads off the machine, and this build has no TLS for it.
    #[error(
        "the database is not on this machine and the connection would be readable on the way; add \
        `sslmode=disable` if the network is private"
    )]
    Unencrypted,
    /// No connection.
    #[error("cannot connect to the audit database")]
    Connect(#[source] Fault),
    /// The connection is there, but the role cannot be taken.
    #[error("cannot take the audit role `{role}`; migrate first, or grant it to this login")]
    TakeRole {
        /// `writer`, `reader`, `eraser`, `retainer` or `judge`.
        role: &'static str,
        /// What Postgres said.
        #[source]
        source: Fault,
    },
    /// A migration failed; nothing of it stays.
    #[error("migration `{version}` of the audit database failed")]
    Migrate {
        /// Its number; 0 is the table of migrations itself.
        version: i32,
        /// What Postgres said.
        #[source]
        source: Fault,
    },
    /// A migration that was applied has another text now.
    #[error("migration `{version}` was applied with another text; restore it and add a new one instead")]
    MigrationChanged {
        /// Its number.
        version: i32,
    },
    /// The database was migrated by a newer build.
    #[error("the audit database is at version `{found}`, this build knows `{known}`; deploy the newer build")]
    DatabaseNewer {
        /// The version found.
        found: i32,
        /// The newest that this build knows.
        known: i32,
    },
    /// The rows may or may not be there; appending them again is safe.
    #[error("appending to the audit log got no answer")]
    Append(#[source] Fault),
    /// A prompt part could not be read where it waits.
    #[error("a prompt part could not be fetched")]
    FetchPart(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A read failed.
    #[error("reading {what} from the audit log failed")]
    Read {
        /// What was read.
        what: &'static str,
        /// What Postgres said.
        #[source]
        source: Fault,
    },
    /// A stored value does not read as what it should be.
    #[error("the audit row `{seq}` has an unreadable `{column}`")]
    Unreadable {
        /// Which row.
        seq: i64,
        /// Which column.
        column: &'static str,
    },
    /// A judgement was not stored.
    #[error("storing a judgement failed")]
    Judge(#[source] Fault),
    /// An erasure may or may not have happened; look for its entry.
    #[error("the erasure got no answer")]
    Erase(#[source] Fault),
    /// Old entries may or may not have lost their personal half; look for the entry, or ask again.
    #[error("the retention got no answer, or was refused")]
    Retain(#[source] Fault),
    /// The log grew under each try of an erasure.
    #[error("the audit log kept growing about this person; stop her runs and try again")]
    EraseContended,
    /// An entry cannot be written as JSON.
    #[error("an entry cannot be written as canonical bytes")]
    Canonical(#[source] serde_json::Error),
    /// What a verification shall go on from is not what an earlier one returned.
    #[error("the place to go on from cannot be read; verify from the first row")]
    Seal,
    /// No randomness for a salt.
    #[error("the system gave no randomness")]
    Random,
}
