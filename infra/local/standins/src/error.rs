//! What can go wrong while a stand-in starts, keeps its journal or delivers. Must never hold a secret.
use thiserror::Error;

/// A failure of the stand-in itself, never one that it plays.
#[derive(Debug, Error)]
pub enum Error {
    /// The loopback socket could not be opened.
    #[error("open a loopback port for `{vendor}`")]
    Listen {
        /// Which stand-in.
        vendor: &'static str,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The journal could not be opened or read.
    #[error("open the journal `{path}`")]
    JournalOpen {
        /// The file.
        path: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A whole line of the journal is not one of ours; go on with a fresh file.
    #[error("read line {line} of the journal `{path}`; remove the file to start afresh")]
    JournalLine {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// The parser's answer.
        #[source]
        source: serde_json::Error,
    },
    /// A change could not be written to the journal, so it was not applied.
    #[error("append to the journal")]
    JournalAppend(#[source] std::io::Error),
    /// No record has this id.
    #[error("no `{kind}` has the id `{id}`")]
    NoRecord {
        /// The kind in the plural, as in paths.
        kind: &'static str,
        /// The id that was asked for.
        id: u64,
    },
    /// The webhook request could not be sent or was not answered in time.
    #[error("deliver {events} events")]
    Deliver {
        /// How many events the batch held.
        events: usize,
        /// The client's answer, without its URL.
        #[source]
        source: reqwest::Error,
    },
}
