//! The five functions, built from settings as in AWS, over whatever listens at those addresses. Must never
//! reach into a function: it only hands over events.
use config::{Clients, Settings};
use serde_json::Value;
use starter::{Start, Starter};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use types::Clock;

/// What the house is built from.
#[derive(Debug, Clone)]
pub struct HouseOptions {
    /// Environment variables by name, as a function would find them.
    pub variables: BTreeMap<String, String>,
    /// The clock of every function.
    pub clock: Clock,
}

/// Why the house does not stand.
#[derive(Debug, thiserror::Error)]
pub enum HouseError {
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] config::SettingsErrors),
    /// The step function.
    #[error(transparent)]
    Step(#[from] step::StartError),
    /// The halt function.
    #[error(transparent)]
    Halt(#[from] halt::StartError),
    /// The console.
    #[error(transparent)]
    Console(#[from] console::ConsoleError),
    /// The audit writer.
    #[error(transparent)]
    Audit(#[from] audit::StartError),
}

/// The five functions.
pub struct House {
    /// What they were built from.
    pub settings: Settings,
    /// Their clients.
    pub clients: Clients,
    /// The webhook.
    pub intake: Arc<intake::Deps>,
    /// One step per invocation.
    pub step: Arc<step::Deps>,
    /// The halt page.
    pub halt: Arc<halt::Deps>,
    /// The audit writer.
    pub audit: Arc<audit::Deps>,
    /// The console.
    pub console: Arc<console::Deps>,
    /// The clock of every function.
    pub clock: Clock,
}

/// Executions that were asked for, in the place of Step Functions.
pub type StepDriver = UnboundedReceiver<Start>;

impl House {
    /// Builds every function from the same settings, with the local loop in the place of Step Functions.
    ///
    /// # Errors
    /// [`HouseError`] names what is missing or wrong.
    pub async fn build(options: HouseOptions) -> Result<(Self, StepDriver), HouseError> {
        config::install_tls();
        let settings = Settings::from_map(|name| options.variables.get(name).cloned())?;
        let clients = Clients::new(&settings).await;
        let clock = options.clock;
        let (starts, asked_for) = unbounded_channel();
        let starter = Starter::Local(starts);
        let step = step::Deps::new(&settings, &clients, clock.clone(), starter.clone()).await?;
        let house = Self {
            intake: Arc::new(intake::Deps::new(&settings, &clients, clock.clone(), starter.clone())),
            step: Arc::new(step),
            halt: Arc::new(halt::Deps::from_settings(&settings, clock.clone()).await?),
            audit: Arc::new(audit::Deps::from_settings(&settings, &clients, clock.clone()).await?),
            console: Arc::new(console::Deps::new(&settings, &clients, clock.clone(), Some(starter)).await?),
            settings,
            clients,
            clock,
        };
        Ok((house, asked_for))
    }

    /// Everything that AWS runs by schedule, once: flags and log, effects, outbox. Failures are logged; the
    /// next sweep tries again.
    pub async fn sweep(&self) {
        if let Err(error) = halt::handle(&self.halt, serde_json::json!({"sweep": "flags"})).await {
            tracing::warn!(%error, "the sweep of the flags failed");
        }
        if let Some(invocation) = crate::driver::invocation(&self.clock)
            && let Err(error) =
                step::handle(&self.step, serde_json::json!({"sweep": "effects"}), &invocation).await
        {
            tracing::warn!(%error, "the sweep of the effects failed");
        }
        self.sweep_outbox().await;
    }

    /// Moves the outbox to Postgres: locally a timer stands in for the stream's doorbell.
    pub async fn sweep_outbox(&self) {
        if let Err(error) = audit::handle(&self.audit, serde_json::json!({"sweep": "outbox"})).await {
            tracing::warn!(%error, "the sweep of the outbox failed; the rows wait");
        }
    }

    /// What AWS does each quarter of an hour: signs where the audit log stands. A failure is logged.
    pub async fn checkpoint(&self) {
        if let Err(error) = audit::handle(&self.audit, serde_json::json!({"checkpoint": "audit"})).await {
            tracing::warn!(%error, "the audit log's checkpoint failed");
        }
    }

    /// What AWS does each day: old personal halves leave the audit log. A failure is logged.
    pub async fn retain(&self) {
        if let Err(error) = audit::handle(&self.audit, serde_json::json!({"retention": "audit"})).await {
            tracing::warn!(%error, "the audit log's retention failed");
        }
    }

    /// One function-URL event for intake.
    ///
    /// # Errors
    /// What the function could not judge.
    pub async fn deliver(&self, event: Value) -> Result<Value, intake::IntakeError> {
        intake::handle(&self.intake, event).await
    }
}
