//! Building the console from settings and clients. Must never refuse to start because HubSpot or the log is
//! away.
use crate::{ConsoleError, Deps, Install, ToolInfo};
use audit_log::AuditLog;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use config::{Clients, HotConfig, SecretName, Secrets, Settings};
use crm::{HubSpot, HubSpotConfig};
use kill_switch::{Switch, Timeouts};
use starter::Starter;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use types::Clock;
use web::{LinkSigner, Sessions, Transport, Zone};

impl Deps {
    /// Everything from the environment, as in AWS. Without `STATE_MACHINE_ARN` held events can be discarded,
    /// not started.
    ///
    /// # Errors
    /// [`ConsoleError`] names what is missing or wrong.
    pub async fn from_env() -> Result<Self, ConsoleError> {
        let settings = Settings::from_env().map_err(ConsoleError::Settings)?;
        let clients = Clients::new(&settings).await;
        let arn = settings.state_machine_arn.clone();
        let starter = arn.map(|arn| Starter::StepFunctions { client: clients.sfn(), state_machine_arn: arn });
        Self::new(&settings, &clients, Clock::system(), starter).await
    }

    /// The same from settings that were read already.
    ///
    /// # Errors
    /// [`ConsoleError`] when the switch's address or the signing key is missing: without them there is no
    /// HALT.
    pub async fn new(
        settings: &Settings,
        clients: &Clients,
        clock: Clock,
        starter: Option<Starter>,
    ) -> Result<Self, ConsoleError> {
        let secrets = Secrets::new(settings, clients.ssm(), clock.clone());
        let redis = secrets.get(SecretName::RedisUrl).await.map_err(ConsoleError::Secret)?;
        let key = secrets.get(SecretName::LinkSigningKey).await.map_err(ConsoleError::Secret)?;
        let signer = LinkSigner::from_secret_hex(key.expose()).map_err(ConsoleError::SigningKey)?;
        let switch = Switch::new(redis.expose(), Timeouts::default()).map_err(ConsoleError::SwitchAddress)?;
        let hubspot = hubspot(settings, &secrets).await?;
        let client = clients.dynamodb();
        Ok(Self {
            interlock: interlock::Interlock::new(
                never_again(&client),
                settings.table("control"),
                Arc::new(switch),
                clock.clone(),
                settings.redis_replicas,
            ),
            ledger: ledger::Ledger::new(client.clone(), &settings.table_prefix, clock.clone()),
            budget: budget::Budget::new(client, settings.table("budget"), clock.clone()),
            hot: Arc::new(HotConfig::new(settings, clients.ssm(), clock)),
            audit: log(&secrets).await.map(Arc::new),
            pipelines: hubspot.as_ref().map(HubSpot::pipeline_reader),
            deals: hubspot.as_ref().map(HubSpot::deal_reader),
            starter,
            sessions: Sessions::derived_from(&signer, transport(settings)),
            signer,
            tools: tool_infos(settings, hubspot)?,
            install: install(settings),
            zone: Mutex::new(Zone::utc()),
        })
    }
}

/// A change of the control item that the client repeats by itself would count twice.
fn never_again(client: &aws_sdk_dynamodb::Client) -> aws_sdk_dynamodb::Client {
    let config = client.config().to_builder().retry_config(RetryConfig::disabled()).build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

/// The names for the pages.
fn install(settings: &Settings) -> Install {
    Install {
        company: settings.company_name.clone(),
        console_url: settings.public_console_url.clone(),
        halt_url: settings.public_halt_url.clone(),
        hubspot_app_url: settings.hubspot_app_url(),
    }
}

/// Plain HTTP is for loopback only; everything else gets the strict cookie.
fn transport(settings: &Settings) -> Transport {
    match settings.public_console_url.as_deref() {
        Some(url) if url.starts_with("http://") => Transport::LoopbackHttp,
        Some(_) | None => Transport::Https,
    }
}

/// The log, if an address is set. One that does not answer now may answer later.
async fn log(secrets: &Secrets) -> Option<AuditLog> {
    let url = match secrets.find(SecretName::DatabaseUrl).await {
        Ok(url) => url?,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the log's address cannot be read");
            return None;
        }
    };
    match AuditLog::lazy(url.expose()) {
        Ok(log) => Some(log),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the log cannot be used");
            None
        }
    }
}

async fn hubspot(settings: &Settings, secrets: &Secrets) -> Result<Option<HubSpot>, ConsoleError> {
    match secrets.find(SecretName::HubspotToken).await {
        Ok(Some(token)) => client(settings, token.expose()).map(Some),
        Ok(None) => Ok(None),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "HubSpot's token cannot be read");
            Ok(None)
        }
    }
}

fn client(settings: &Settings, token: &str) -> Result<HubSpot, ConsoleError> {
    let config = HubSpotConfig {
        base_url: settings.hubspot_base_url.clone(),
        api_version: settings.hubspot_api_version.clone(),
        token: crm::Secret::new(token),
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(4),
    };
    HubSpot::new(&config).map_err(ConsoleError::HubSpot)
}

/// Names and tiers of the registered tools; nothing is asked through this registry, so it needs no real
/// token.
fn tool_infos(settings: &Settings, hubspot: Option<HubSpot>) -> Result<Vec<ToolInfo>, ConsoleError> {
    let hubspot = match hubspot {
        Some(hubspot) => hubspot,
        None => client(settings, "none")?,
    };
    Ok(ToolInfo::of(&tools::Registry::new(&tools::Ports::new(&hubspot, None, None))))
}
