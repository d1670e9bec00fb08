//! Why no Slack client was built. Must never carry the webhook's URL: whoever holds it can post.

/// Why no Slack client was built.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The URL could carry the secret in the clear.
    #[error("the Slack webhook URL must be https, or http on loopback")]
    WebhookUrl,
    /// The HTTP client could not be built.
    #[error("the HTTP client for Slack could not be built")]
    BuildClient(#[source] reqwest::Error),
}
