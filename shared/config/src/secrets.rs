//! Secrets: from the environment locally, from SSM in AWS, kept 15 minutes. Must never be written anywhere.
use crate::{Cause, ConfigError, Secret, Settings, address::is_https_or_loopback, settings::hex_32};
use std::collections::BTreeMap;
use tokio::sync::Mutex;
use types::Clock;

/// How long a fetched secret is used before it is fetched again.
const KEPT_MS: i64 = 15 * 60 * 1_000;

macro_rules! secret_names {
    ($($(#[$doc:meta])* $variant:ident = $variable:literal),+ $(,)?) => {
        /// Which secret. Its variable holds it; `<variable>_PARAMETER` holds the name of an SSM parameter
        /// instead.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SecretName { $($(#[$doc])* $variant),+ }

        impl SecretName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The environment variable.
            #[must_use]
            pub const fn variable(self) -> &'static str {
                match self { $(Self::$variant => $variable),+ }
            }

            /// The environment variable that names an SSM parameter.
            #[must_use]
            pub const fn parameter_variable(self) -> &'static str {
                match self { $(Self::$variant => concat!($variable, "_PARAMETER")),+ }
            }
        }
    };
}

secret_names! {
    /// The app's access token.
    HubspotToken = "HUBSPOT_TOKEN",
    /// One client secret, or two separated by a comma during rotation.
    HubspotClientSecret = "HUBSPOT_CLIENT_SECRET",
    /// The registered, signed URL. Not a secret, but known only after the deploy.
    HubspotTargetUrl = "HUBSPOT_TARGET_URL",
    /// The model's key.
    AnthropicApiKey = "ANTHROPIC_API_KEY",
    /// Whoever has it can post.
    SlackWebhookUrl = "SLACK_WEBHOOK_URL",
    /// May hold a password.
    RedisUrl = "REDIS_URL",
    /// May hold a password.
    DatabaseUrl = "DATABASE_URL",
    /// The Ed25519 key that page links are signed with.
    LinkSigningKey = "LINK_SIGNING_KEY",
    /// The Ed25519 key that checkpoints of the audit log are signed with.
    CheckpointKey = "CHECKPOINT_KEY",
}

impl SecretName {
    pub(crate) const fn must(self) -> &'static str {
        match self {
            Self::HubspotToken | Self::AnthropicApiKey => "one word of printable ASCII",
            Self::HubspotClientSecret => "one client secret, or two separated by a comma",
            Self::HubspotTargetUrl | Self::SlackWebhookUrl => "an https address, or http on this machine",
            Self::RedisUrl => "a redis:// or rediss:// address",
            Self::DatabaseUrl => "a postgres:// address or `host=..` pairs",
            Self::LinkSigningKey | Self::CheckpointKey => "64 hex digits",
        }
    }

    pub(crate) fn is_right(self, text: &str) -> bool {
        let word = |t: &str| !t.is_empty() && t.len() <= 4_096 && t.bytes().all(|b| b.is_ascii_graphic());
        match self {
            Self::HubspotToken | Self::AnthropicApiKey => word(text),
            Self::HubspotClientSecret => {
                let parts: Vec<_> = text.split(',').map(str::trim).collect();
                parts.len() <= 2 && parts.iter().all(|part| word(part))
            }
            Self::HubspotTargetUrl | Self::SlackWebhookUrl => is_https_or_loopback(text),
            Self::RedisUrl => {
                word(text)
                    && ["redis://", "rediss://", "unix://", "redis+unix://"]
                        .iter()
                        .any(|s| text.starts_with(s))
            }
            Self::DatabaseUrl => {
                let scheme = text.starts_with("postgres://") || text.starts_with("postgresql://");
                (scheme && word(text)) || (text.contains("host=") && !text.chars().any(char::is_control))
            }
            Self::LinkSigningKey | Self::CheckpointKey => hex_32(text).is_some(),
        }
    }
}

/// Where a secret comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Plain(Secret),
    Parameter(String),
}

/// The secrets of this process.
#[derive(Debug)]
pub struct Secrets {
    ssm: aws_sdk_ssm::Client,
    sources: BTreeMap<SecretName, Source>,
    clock: Clock,
    kept: Mutex<BTreeMap<SecretName, (i64, Secret)>>,
}

impl Secrets {
    /// Secrets as the settings say; nothing is fetched yet.
    #[must_use]
    pub fn new(settings: &Settings, ssm: aws_sdk_ssm::Client, clock: Clock) -> Self {
        Self { ssm, sources: settings.secrets.clone(), clock, kept: Mutex::default() }
    }

    /// The secret; fetched from SSM at first use and again every 15 minutes.
    ///
    /// # Errors
    /// [`ConfigError::SecretNotSet`] or [`ConfigError::ReadSecret`]. An old value is not used in place of one
    /// that cannot be read: it may have been revoked.
    pub async fn get(&self, name: SecretName) -> Result<Secret, ConfigError> {
        self.find(name).await?.ok_or(ConfigError::SecretNotSet { variable: name.variable() })
    }

    /// The same for a secret that may be left out (Slack): `None` when neither variable is set.
    ///
    /// # Errors
    /// [`ConfigError::ReadSecret`] when a parameter is named and cannot be read.
    pub async fn find(&self, name: SecretName) -> Result<Option<Secret>, ConfigError> {
        let parameter = match self.sources.get(&name) {
            None => return Ok(None),
            Some(Source::Plain(secret)) => return Ok(Some(secret.clone())),
            Some(Source::Parameter(parameter)) => parameter,
        };
        // The lock is held while fetching, so that a burst of first uses makes one request.
        let mut kept = self.kept.lock().await;
        let now_ms = self.clock.now_ms();
        if let Some((fetched_ms, secret)) = kept.get(&name)
            && (0..KEPT_MS).contains(&now_ms.saturating_sub(*fetched_ms))
        {
            return Ok(Some(secret.clone()));
        }
        let failed = |cause| ConfigError::ReadSecret {
            variable: name.variable(),
            parameter: parameter.clone(),
            cause,
        };
        let answer = self.ssm.get_parameter().name(parameter).with_decryption(true).send().await;
        let value = answer.map_err(|error| failed(error.into()))?.parameter.and_then(|found| found.value);
        let text = value.as_deref().map(str::trim).filter(|text| name.is_right(text));
        let text = text.ok_or_else(|| failed(Cause(format!("its value is not {}", name.must()))))?;
        let secret = Secret::new(text);
        kept.insert(name, (now_ms, secret.clone()));
        Ok(Some(secret))
    }

    /// Forgets a fetched secret, so that the next use fetches it again: once after a 401.
    pub async fn forget(&self, name: SecretName) {
        self.kept.lock().await.remove(&name);
    }

    /// The client secrets that a webhook may be signed with: one, or two during rotation.
    ///
    /// # Errors
    /// As [`Secrets::get`].
    pub async fn hubspot_client_secrets(&self) -> Result<Vec<Secret>, ConfigError> {
        let both = self.get(SecretName::HubspotClientSecret).await?;
        Ok(both.expose().split(',').map(|part| Secret::new(part.trim())).collect())
    }
}
