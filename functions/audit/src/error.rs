//! Why an invocation gave no answer. Must never mean that a row is lost: it is delivered again.

/// Why an invocation gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// None of the events that this function knows.
    #[error(
        "the payload has no `Records`, and is none of `{{\"sweep\":\"outbox\"}}`, \
        `{{\"checkpoint\":\"audit\"}}`, `{{\"retention\":\"audit\"}}` and `{{\"migrate\":\"audit\"}}`"
    )]
    Payload,
    /// A data request.
    #[error(transparent)]
    Privacy(#[from] privacy::PrivacyError),
    /// The log.
    #[error(transparent)]
    Log(#[from] audit_log::Error),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] ledger::LedgerError),
    /// The last checkpoint in the ledger is not one of ours: somebody edited it, or the key was changed and
    /// the old public key is not in `CHECKPOINT_PUBLIC_KEY`.
    #[error("the last checkpoint, of row `{size}`, cannot be believed; no other one is signed after it")]
    LastCheckpoint {
        /// Entries it says it covers.
        size: i64,
        /// Why it is not believed.
        #[source]
        fault: audit_log::NoteFault,
    },
}

impl AuditError {
    /// The error and what caused it, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl From<AuditError> for lambda_runtime::Diagnostic {
    fn from(error: AuditError) -> Self {
        let error_type = match &error {
            AuditError::Payload => "Payload",
            AuditError::Privacy(_) => "Privacy",
            AuditError::Log(_) => "AuditLog",
            AuditError::Outbox(_) => "Outbox",
            AuditError::LastCheckpoint { .. } => "LastCheckpoint",
        };
        Self { error_type: error_type.to_owned(), error_message: error.chain() }
    }
}

/// Why the audit writer cannot work here.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database's address is missing.
    #[error(transparent)]
    Secret(#[from] config::ConfigError),
    /// The database's address is wrong.
    #[error(transparent)]
    Address(#[from] audit_log::Error),
    /// A checkpoint key cannot be used.
    #[error("a checkpoint key cannot be used")]
    CheckpointKey(#[from] audit_log::NoteFault),
}
