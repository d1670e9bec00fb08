//! Builds the clients once per process. Must never print a secret.
use crate::Deps;
use config::{Clients, Secrets, Settings};
use starter::Starter;
use std::sync::Arc;
use types::Clock;

/// Why intake cannot work here.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] config::SettingsErrors),
    /// Nothing starts runs.
    #[error("`STATE_MACHINE_ARN` is not set: set it to the state machine that drives the runs")]
    NoStateMachine,
}

impl Deps {
    /// Everything from the environment, as in AWS.
    ///
    /// # Errors
    /// [`StartError`] names what is missing or wrong.
    pub async fn from_env() -> Result<Self, StartError> {
        let settings = Settings::from_env()?;
        let clients = Clients::new(&settings).await;
        let state_machine_arn = settings.state_machine_arn.clone().ok_or(StartError::NoStateMachine)?;
        let starter = Starter::StepFunctions { client: clients.sfn(), state_machine_arn };
        Ok(Self::new(&settings, &clients, Clock::system(), starter))
    }

    /// The same from settings that were read already.
    #[must_use]
    pub fn new(settings: &Settings, clients: &Clients, clock: Clock, starter: Starter) -> Self {
        Self {
            ledger: ledger::Ledger::new(clients.dynamodb(), &settings.table_prefix, clock.clone()),
            starter,
            secrets: Arc::new(Secrets::new(settings, clients.ssm(), clock.clone())),
            app_id: settings.hubspot_app_id.as_deref().and_then(|id| id.parse().ok()),
            erase_after_ms: settings
                .erase_after_hours
                .map(|hours| i64::from(hours).saturating_mul(3_600_000)),
            clock,
        }
    }
}
