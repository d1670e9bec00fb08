//! What the budget does not know (a refusal is a value instead). Must never repeat a secret.
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// The budget could not be read or written: we do not know, so nothing may be sent.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// A row could not be read.
    #[error("could not read budget row `{row}`")]
    Read {
        /// The row's key.
        row: String,
        /// Why.
        #[source]
        cause: StoreFailure,
    },
    /// A row could not be written, or nobody knows whether it was. Asking again with the same ids is safe.
    #[error("could not write budget row `{row}`; the same call with the same ids may be made again")]
    Write {
        /// The row's key.
        row: String,
        /// Why.
        #[source]
        cause: StoreFailure,
    },
    /// A row is not shaped as we write it.
    #[error("budget row `{row}` has no usable `{field}`")]
    Malformed {
        /// The row's key.
        row: String,
        /// The field.
        field: &'static str,
    },
    /// Others changed the row each time we tried.
    #[error("budget row `{row}` kept changing; try again")]
    Contended {
        /// The row's key.
        row: String,
    },
    /// The open day, or the note that says which day is open, is gone. A person must look: nothing is
    /// reserved.
    #[error("budget day `{date}` and the note of the open day disagree; see the budget table")]
    DayBroken {
        /// The date.
        date: String,
    },
    /// Not an IANA time zone.
    #[error("time zone is not an IANA name")]
    Zone,
    /// A call cannot cost nothing or less.
    #[error("a reservation must ask for more than zero tokens and dollars")]
    Amount,
}

/// What the store said, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreFailure(String);

impl<E: ProvideErrorMetadata, R> From<SdkError<E, R>> for StoreFailure {
    fn from(error: SdkError<E, R>) -> Self {
        let kind = match &error {
            SdkError::ConstructionFailure(_) => "request could not be built",
            SdkError::TimeoutError(_) => "no answer in time",
            SdkError::DispatchFailure(_) => "no connection, or no credentials",
            SdkError::ResponseError(_) => "answer not understood",
            SdkError::ServiceError(service) => service.err().code().unwrap_or("refused"),
            _ => "unknown failure",
        };
        Self(kind.to_owned())
    }
}
