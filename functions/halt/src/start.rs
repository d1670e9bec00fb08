//! Builds the clients once per process. Must never wait for anything but the switch store's address.
use crate::{Deps, Install, StartError};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use config::{Clients, HotConfig, SecretName, Secrets, Settings};
use kill_switch::{Switch, Timeouts};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use types::Clock;
use web::{LinkVerifier, Zone};

/// How long a cold start waits for the company's zone; without it times are in UTC, and say so.
const ZONE_TIMEOUT: Duration = Duration::from_millis(300);

impl Deps {
    /// Everything from the environment.
    ///
    /// # Errors
    /// [`StartError`] when a setting is missing or wrong.
    pub async fn from_env() -> Result<Self, StartError> {
        Self::from_settings(&Settings::from_env().map_err(StartError::Settings)?, Clock::system()).await
    }

    /// The same from settings that were read already.
    ///
    /// # Errors
    /// [`StartError`] when a setting is missing or wrong.
    pub async fn from_settings(settings: &Settings, clock: Clock) -> Result<Self, StartError> {
        let clients = Clients::new(settings).await;
        let secrets = Secrets::new(settings, clients.ssm(), clock.clone());
        let url = secrets.get(SecretName::RedisUrl).await.map_err(StartError::RedisUrl)?;
        let switch = Switch::new(url.expose(), Timeouts::default()).map_err(StartError::BadRedisUrl)?;
        // A halt that the client repeats by itself would count twice.
        let client = clients.dynamodb();
        let once = client.config().to_builder().retry_config(RetryConfig::disabled()).build();
        let once = aws_sdk_dynamodb::Client::from_conf(once);
        let interlock = interlock::Interlock::new(
            once,
            settings.table("control"),
            Arc::new(switch),
            clock.clone(),
            settings.redis_replicas,
        );
        let key = settings.link_public_key.ok_or(StartError::NoPublicKey)?;
        let deps = Self {
            interlock,
            budget: budget::Budget::new(client.clone(), settings.table("budget"), clock.clone()),
            ledger: ledger::Ledger::new(client, &settings.table_prefix, clock.clone()),
            verifier: LinkVerifier::from_bytes(&key).map_err(StartError::PublicKey)?,
            secrets,
            hot: HotConfig::new(settings, clients.ssm(), clock),
            zone: Mutex::new(Zone::utc()),
            install: Install {
                company: settings.company_name.clone(),
                deputy_name: settings.deputy_name.clone(),
                deputy_phone: settings.deputy_phone.clone(),
                halt_url: settings.public_halt_url.clone(),
                console_url: settings.public_console_url.clone(),
                hubspot_app_url: settings.hubspot_app_url(),
            },
        };
        if tokio::time::timeout(ZONE_TIMEOUT, deps.refresh_zone()).await.is_err() {
            tracing::warn!("the company's zone is not known yet; times are in UTC");
        }
        Ok(deps)
    }
}
