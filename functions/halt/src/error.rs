//! What can go wrong in an invocation. Must never hold a key, a PIN or a page.

/// The invocation has no answer. A page always has one; this is for direct invocations and broken events.
#[derive(Debug, thiserror::Error)]
pub enum HaltError {
    /// The payload is neither a function-URL event nor an operation.
    #[error("the payload is no function-URL event and no known operation")]
    UnknownEvent,
    /// The function-URL event could not be read.
    #[error("could not read the request")]
    ReadRequest(#[source] web::WebError),
    /// An operation has a field that cannot be used.
    #[error("the operation's `{field}` cannot be used")]
    BadField {
        /// Which.
        field: &'static str,
    },
    /// The switches gave no answer to an operation.
    #[error("could not {operation}")]
    Switches {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: interlock::InterlockError,
    },
    /// The outbox gave no answer.
    #[error("could not move the log to the outbox; the next sweep tries again")]
    MoveLog(#[source] ledger::LedgerError),
}

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error("could not read the settings")]
    Settings(#[source] config::SettingsErrors),
    /// A secret could not be fetched.
    #[error("could not fetch the address of the switch store")]
    RedisUrl(#[source] config::ConfigError),
    /// The switch store's address cannot be used.
    #[error("the address of the switch store cannot be used")]
    BadRedisUrl(#[source] kill_switch::BadUrl),
    /// Without it no link can be verified.
    #[error("`LINK_PUBLIC_KEY` must be set: run `holdfast init`, which prints it")]
    NoPublicKey,
    /// It is no key.
    #[error("`LINK_PUBLIC_KEY` cannot be used")]
    PublicKey(#[source] web::WebError),
}

impl From<HaltError> for lambda_runtime::Diagnostic {
    fn from(error: HaltError) -> Self {
        let kind = match &error {
            HaltError::UnknownEvent | HaltError::ReadRequest(_) | HaltError::BadField { .. } => "BadEvent",
            HaltError::Switches { .. } | HaltError::MoveLog(_) => "StoreSilent",
        };
        Self { error_type: kind.to_owned(), error_message: error.to_string() }
    }
}
