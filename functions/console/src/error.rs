//! What the console does not know. Must never carry a PIN, a key, a cookie or what a row says.

/// Why the console could not be built, or an answer is not known. Refusals of normal life are values.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The payload is no request.
    #[error("could not read the request")]
    ReadRequest(#[source] web::WebError),
    /// Settings are wrong.
    #[error("could not read the settings")]
    Settings(#[source] config::SettingsErrors),
    /// A secret is missing or cannot be read.
    #[error("could not read a secret")]
    Secret(#[source] config::ConfigError),
    /// The signing key cannot be used.
    #[error("could not use the signing key")]
    SigningKey(#[source] web::WebError),
    /// The address of the switch store cannot be read.
    #[error("could not read the address of the switch store")]
    SwitchAddress(#[source] kill_switch::BadUrl),
    /// HubSpot's settings cannot be used.
    #[error("could not set up the way to HubSpot")]
    HubSpot(#[source] crm::ConfigError),
}
