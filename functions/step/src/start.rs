//! Builds the clients once per process. Must never print a secret.
use crate::{Deps, Links};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use config::{Clients, HotConfig, SecretName, Secrets, Settings};
use kill_switch::{Switch, Timeouts};
use starter::Starter;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use types::Clock;

/// How long one request to the CRM may take.
const CRM_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one message to Slack may take.
const SLACK_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the step cannot work here.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] config::SettingsErrors),
    /// A secret is missing.
    #[error(transparent)]
    Secret(#[from] config::ConfigError),
    /// The switch store's address.
    #[error(transparent)]
    Switch(#[from] kill_switch::BadUrl),
    /// HubSpot's client.
    #[error(transparent)]
    Crm(#[from] crm::ConfigError),
    /// The model's client.
    #[error(transparent)]
    Model(#[from] model::ModelError),
    /// Slack's client.
    #[error(transparent)]
    Slack(#[from] notify::ConfigError),
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
        let clock = Clock::system();
        let state_machine_arn = settings.state_machine_arn.clone().ok_or(StartError::NoStateMachine)?;
        let starter = Starter::StepFunctions { client: clients.sfn(), state_machine_arn };
        Self::new(&settings, &clients, clock, starter).await
    }

    /// The same from settings that were read already.
    ///
    /// # Errors
    /// [`StartError`] names what is missing or wrong.
    pub async fn new(
        settings: &Settings,
        clients: &Clients,
        clock: Clock,
        starter: Starter,
    ) -> Result<Self, StartError> {
        let secrets = Secrets::new(settings, clients.ssm(), clock.clone());
        let (redis_url, token, key, slack_url) = tokio::try_join!(
            secrets.get(SecretName::RedisUrl),
            secrets.get(SecretName::HubspotToken),
            secrets.get(SecretName::AnthropicApiKey),
            secrets.find(SecretName::SlackWebhookUrl),
        )?;
        let slack = match slack_url {
            Some(url) => {
                let url = notify::WebhookUrl::new(url.expose())?;
                Some(notify::Slack::new(url, SLACK_TIMEOUT)?)
            }
            None => None,
        };
        let hubspot = crm::HubSpot::new(&crm::HubSpotConfig {
            base_url: settings.hubspot_base_url.clone(),
            api_version: settings.hubspot_api_version.clone(),
            token: crm::Secret::new(token.expose()),
            connect_timeout: Duration::from_secs(3),
            request_timeout: CRM_TIMEOUT,
        })?;
        let app_id = settings.hubspot_app_id.as_deref().and_then(|id| id.parse().ok());
        let client = clients.dynamodb();
        // A change of the control item that the client repeats by itself would count twice.
        let once = client.config().to_builder().retry_config(RetryConfig::disabled()).build();
        let once = aws_sdk_dynamodb::Client::from_conf(once);
        let switch = Arc::new(Switch::new(redis_url.expose(), Timeouts::default())?);
        Ok(Self {
            ledger: ledger::Ledger::new(client.clone(), &settings.table_prefix, clock.clone()),
            interlock: interlock::Interlock::new(
                once,
                settings.table("control"),
                switch,
                clock.clone(),
                settings.redis_replicas,
            ),
            budget: budget::Budget::new(client, settings.table("budget"), clock.clone()),
            hot: Arc::new(HotConfig::new(settings, clients.ssm(), clock.clone())),
            model: model::Messages::new(
                &settings.anthropic_base_url,
                model::ApiKey::new(key.expose()),
                model::VERSION,
                model::Timeouts::default(),
            )?,
            model_name: settings.model.clone(),
            tools: tools::Registry::new(&tools::Ports::new(&hubspot, app_id, slack.clone())),
            deals: hubspot.deal_reader(),
            emails: hubspot.email_reader(),
            companies: hubspot.company_reader(),
            contacts: hubspot.contact_reader(),
            pipelines: hubspot.pipeline_reader(),
            slack,
            starter,
            log_lag: crate::LogLag::new(settings.audit_lag_minutes_max),
            clock,
            crm_ms_max: i64::try_from(CRM_TIMEOUT.as_millis()).unwrap_or(10_000),
            links: Links {
                halt_url: settings.public_halt_url.clone(),
                console_url: settings.public_console_url.clone(),
            },
            frozen: Mutex::new(HashMap::new()),
        })
    }
}
