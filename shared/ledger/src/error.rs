//! What "we do not know" means here. Must never stand for an expected answer: those are values.
use types::Reason;

/// A row could not be read or written, or what it holds cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// No answer in time, or an error from the store. The change may or may not have happened.
    #[error("could not {operation}")]
    Store {
        /// What was tried.
        operation: &'static str,
        /// The store's own error; none when it was silent.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A row has a shape that this version does not know. It is left as it is.
    #[error("the `{row}` row cannot be read: an older or newer version wrote it")]
    Malformed {
        /// Which kind of row.
        row: &'static str,
    },
    /// The run does not exist.
    #[error("there is no run `{run_id}`")]
    NoRun {
        /// The run asked for.
        run_id: String,
    },
    /// A run whose rows were to be erased still goes on, or was changed meanwhile.
    #[error("the run `{run_id}` still goes on")]
    StillOpen {
        /// The run.
        run_id: String,
    },
}

impl LedgerError {
    /// The code that rows and pages show for it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        Reason::LedgerUnreachable
    }

    pub(crate) fn store(
        operation: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Store { operation, source: Some(Box::new(source)) }
    }
}
