//! What "we do not know" means here, each with the next command. Must never hold a key, a PIN or an address.
use crate::report::Three;
use std::error::Error;

/// A subcommand has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A setting is wrong.
    #[error("the settings cannot be used")]
    Settings(#[source] config::SettingsErrors),
    /// A secret, or the hot configuration, could not be read.
    #[error("a setting cannot be read")]
    Config(#[source] config::ConfigError),
    /// The switch store's address cannot be used.
    #[error("the address of the switch store cannot be used")]
    SwitchUrl(#[source] kill_switch::BadUrl),
    /// The control item gave no answer.
    #[error("could not {operation}")]
    Control {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: interlock::InterlockError,
    },
    /// The tables of runs and outbox gave no answer.
    #[error("could not {operation}")]
    Tables {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: ledger::LedgerError,
    },
    /// The audit log gave no answer.
    #[error("could not {operation}")]
    AuditLog {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: audit_log::Error,
    },
    /// A data request got no further.
    #[error("could not {operation}")]
    Privacy {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: privacy::PrivacyError,
    },
    /// A key or a PIN could not be made or read.
    #[error("could not make a key")]
    Key(#[source] web::WebError),
    /// Several changed the list of people at the same moment.
    #[error("the list of people was changed by others at each try")]
    PeopleBusy,
    /// The halt function could not be asked.
    #[error("could not ask the function `{function}`")]
    Function {
        /// Its name.
        function: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The halt function answered with something else.
    #[error("the function `{function}` gave no usable answer: `{said}`")]
    FunctionSaid {
        /// Its name.
        function: String,
        /// The first words of its answer.
        said: String,
    },
}

impl CliError {
    /// What, why, and the next command.
    #[must_use]
    pub fn three(&self) -> Three {
        let next = match self {
            Self::Settings(_) | Self::Config(_) | Self::SwitchUrl(_) => {
                "set what is named above, then: holdfast doctor"
            }
            Self::Control { source: interlock::InterlockError::Absent, .. } => "holdfast init --name NAME",
            Self::Control { .. } | Self::Tables { .. } => "look at what is there now: holdfast status",
            Self::AuditLog { .. } => "check DATABASE_URL and the database, then: holdfast doctor",
            Self::Privacy { .. } => {
                "nothing is lost: holdfast requests shows it, and a sweep goes on with it"
            }
            Self::Key(_) => "check LINK_SIGNING_KEY, then try again",
            Self::PeopleBusy => "try again",
            Self::Function { .. } => "install the AWS command line tool, or run without --through",
            Self::FunctionSaid { .. } => "look at the function's log, then: holdfast status",
        };
        Three::new(self.to_string(), causes(self), next)
    }
}

/// The causes of an error, outermost first, on one line.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    if texts.is_empty() { "no more is known".to_owned() } else { texts.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_what_why_and_what_next() {
        let absent =
            CliError::Control { operation: "read the switches", source: interlock::InterlockError::Absent };
        let three = absent.three();
        assert_eq!(three.what, "could not read the switches");
        assert_eq!(three.why, "there is no control item: run `holdfast init` first");
        assert_eq!(three.next, "holdfast init --name NAME");
        assert_eq!(CliError::PeopleBusy.three().why, "no more is known");
    }
}
