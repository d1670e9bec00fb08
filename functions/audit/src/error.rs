//! Why an invocation gave no answer. Must never mean that a row is lost: it is delivered again.

/// Why an invocation gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Neither a stream batch nor a sweep nor a migration.
    #[error(
        "the payload has no `Records`, and is neither `{{\"sweep\":\"outbox\"}}` nor \
        `{{\"migrate\":\"audit\"}}`"
    )]
    Payload,
    /// The log.
    #[error(transparent)]
    Log(#[from] audit_log::Error),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] ledger::LedgerError),
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
            AuditError::Log(_) => "AuditLog",
            AuditError::Outbox(_) => "Outbox",
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
}
