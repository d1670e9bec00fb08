//! What "we do not know" means here. Must never stand for an expected refusal: those are values.
use types::Reason;

/// The control item could not be read or changed, or what it holds cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum InterlockError {
    /// No answer in time, or an error from the store. The change may or may not have happened.
    #[error("could not {operation} the control item")]
    Store {
        /// What was tried.
        operation: &'static str,
        /// The store's own error; none when it was silent.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The item is not there: `holdfast init` has not been run on these tables.
    #[error("there is no control item: run `holdfast init` first")]
    Absent,
    /// The item has a shape that this version does not know.
    #[error("the control item's `{attribute}` cannot be read: an older or newer version wrote it")]
    Malformed {
        /// Which attribute.
        attribute: &'static str,
    },
}

impl InterlockError {
    /// The code that rows and pages show for it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Store { .. } | Self::Malformed { .. } => Reason::LedgerUnreachable,
            Self::Absent => Reason::NotYetArmed,
        }
    }
}
