//! What "we do not know" means here. Must never hold whom a request is about.

/// A request got no further; asking again is safe.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
    /// The tables.
    #[error(transparent)]
    Tables(#[from] ledger::LedgerError),
    /// The audit log.
    #[error(transparent)]
    Log(#[from] audit_log::Error),
    /// More than four gigabytes.
    #[error("the export is too large for one archive")]
    TooLarge,
    /// Nobody was named.
    #[error("a data request must name a contact, an address, a deal or a customer")]
    Nobody,
    /// Too many words were given for one field.
    #[error("`{field}` is not usable")]
    Field {
        /// Which.
        field: &'static str,
    },
}
