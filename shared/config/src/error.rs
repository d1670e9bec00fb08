//! What can go wrong while reading settings, secrets and hot configuration. Must never repeat a value.
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use std::fmt;

/// One wrong setting: which variable, and what it should have been. Never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable's name.
    pub variable: &'static str,
    /// What it must be.
    pub must: &'static str,
}

/// Everything that is wrong with the settings, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsErrors(pub Vec<Problem>);

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings are wrong")?;
        for (i, Problem { variable, must }) in self.0.iter().enumerate() {
            write!(f, "{} `{variable}` must be {must}", if i == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

/// A secret or a part of the hot configuration could not be read or saved.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither the variable nor `<NAME>_PARAMETER` is set.
    #[error("`{variable}` is not set: set it, or name an SSM parameter in `{variable}_PARAMETER`")]
    SecretNotSet {
        /// The variable.
        variable: &'static str,
    },
    /// The parameter that holds a secret could not be read, or is empty.
    #[error("could not read SSM parameter `{parameter}`, named by `{variable}_PARAMETER`")]
    ReadSecret {
        /// The variable it stands for.
        variable: &'static str,
        /// The parameter's name.
        parameter: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The hot configuration could not be read.
    #[error("could not read hot configuration below `{path}`")]
    ReadHot {
        /// The SSM path.
        path: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// A part of the hot configuration is not what it must be.
    #[error("hot configuration `{part}` must be {must}")]
    MalformedHot {
        /// `stages`, `caps`, `prices` or `zone`.
        part: &'static str,
        /// What it must be.
        must: &'static str,
    },
    /// A part of the hot configuration could not be saved; whether it was is not known. Read it again.
    #[error("could not save hot configuration `{part}`; read it again before the next try")]
    PutHot {
        /// `stages`, `caps`, `prices` or `zone`.
        part: &'static str,
        /// Why.
        #[source]
        cause: Cause,
    },
}

/// What AWS said, in one line.
// WHY NOT keep the SDK's own error: its Debug prints the raw response, which may hold a decrypted parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub(crate) String);

impl<E: ProvideErrorMetadata, R> From<SdkError<E, R>> for Cause {
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
