//! The stores of one install, as the settings name them. Must never keep a halt from the store that can be
//! reached.
use crate::error::CliError;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use config::{Clients, Freshness, HotConfig, SecretName, Secrets, Settings};
use interlock::Interlock;
use kill_switch::{Switch, Timeouts};
use std::sync::Arc;
use std::time::Duration;
use types::Clock;
use web::Zone;

/// A terminal waits longer than a page: the way to the stores may be long, and its first use opens a
/// connection.
const PATIENT: Timeouts = Timeouts { connect: Duration::from_secs(2), response: Duration::from_secs(2) };
/// An address on which nothing listens, in the place of one that is not known.
const NOWHERE: &str = "redis://127.0.0.1:1/";

/// Everything a subcommand works with.
pub(crate) struct Install {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) secrets: Secrets,
    pub(crate) hot: HotConfig,
    pub(crate) interlock: Interlock,
    pub(crate) budget: budget::Budget,
    pub(crate) ledger: ledger::Ledger,
    /// Why the switch store's address is not known, if it is not.
    pub(crate) no_switch: Option<CliError>,
}

impl Install {
    /// Over the stores that the settings name. Opens no connection, but may fetch the switch store's address.
    ///
    /// # Errors
    /// None that a person can meet: a switch store without an address is a gap, see `no_switch`.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, CliError> {
        Self::with_clock(settings, Clock::system()).await
    }

    pub(crate) async fn with_clock(settings: &Settings, clock: Clock) -> Result<Self, CliError> {
        let clients = Clients::new(settings).await;
        let secrets = Secrets::new(settings, clients.ssm(), clock.clone());
        let (switch, no_switch) = match switch(&secrets).await {
            Ok(switch) => (switch, None),
            // FAIL-CLOSED: half of the switches is enough to stop, so a missing address must not end the
            // command.
            Err(error) => (Switch::new(NOWHERE, PATIENT).map_err(CliError::SwitchUrl)?, Some(error)),
        };
        let dynamodb = clients.dynamodb();
        // A halt that the client repeats by itself would count twice.
        let once = dynamodb.config().to_builder().retry_config(RetryConfig::disabled()).build();
        let once = aws_sdk_dynamodb::Client::from_conf(once);
        let (table, replicas) = (settings.table("control"), settings.redis_replicas);
        Ok(Self {
            interlock: Interlock::new(once, table, Arc::new(switch), clock.clone(), replicas),
            budget: budget::Budget::new(dynamodb.clone(), settings.table("budget"), clock.clone()),
            ledger: ledger::Ledger::new(dynamodb.clone(), &settings.table_prefix, clock.clone()),
            hot: HotConfig::new(settings, clients.ssm(), clock.clone()),
            settings: settings.clone(),
            dynamodb,
            secrets,
            clock,
            no_switch,
        })
    }

    /// The company's zone; UTC, which every time then says, while the hot configuration is silent.
    pub(crate) async fn zone(&self) -> Zone {
        let loaded = self.hot.get().await;
        match loaded.freshness {
            Freshness::Fresh | Freshness::LastGood { .. } => {
                Zone::new(&loaded.hot.zone).unwrap_or_else(|_| Zone::utc())
            }
            Freshness::Unusable => Zone::utc(),
        }
    }

    /// The audit log; asks nothing yet.
    pub(crate) async fn audit_log(&self) -> Result<audit_log::AuditLog, CliError> {
        let url = self.secrets.get(SecretName::DatabaseUrl).await.map_err(CliError::Config)?;
        let opened = audit_log::AuditLog::lazy(url.expose());
        opened.map_err(|source| CliError::AuditLog { operation: "use the audit database", source })
    }

    /// The signing key, if it is set.
    pub(crate) async fn signer(&self) -> Result<Option<web::LinkSigner>, CliError> {
        let secret = self.secrets.find(SecretName::LinkSigningKey).await.map_err(CliError::Config)?;
        secret.map(|key| web::LinkSigner::from_secret_hex(key.expose()).map_err(CliError::Key)).transpose()
    }

    /// An address of the halt page: `path` alone where the page's own address is not set.
    pub(crate) fn halt_address(&self, path: &str) -> String {
        format!("{}{path}", self.settings.public_halt_url.as_deref().unwrap_or_default())
    }
}

async fn switch(secrets: &Secrets) -> Result<Switch, CliError> {
    let url = secrets.get(SecretName::RedisUrl).await.map_err(CliError::Config)?;
    Switch::new(url.expose(), PATIENT).map_err(CliError::SwitchUrl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_nowhere_is_an_address() {
        assert!(Switch::new(NOWHERE, PATIENT).is_ok());
    }
}
