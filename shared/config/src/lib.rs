//! Settings, secrets and hot configuration. Must never be read by another shared crate.

mod address;
mod clients;
mod error;
mod hot;
pub mod logging;
pub mod metrics;
mod put;
mod secret;
mod secrets;
mod settings;
mod shape;

pub use clients::Clients;
pub use error::{Cause, ConfigError, Problem, SettingsErrors};
pub use hot::{Freshness, Hot, HotConfig, LAST_GOOD_MS_MAX, Loaded};
pub use put::Put;
pub use secret::Secret;
pub use secrets::{SecretName, Secrets};
pub use settings::{RETENTION_DAYS_MIN, Settings};

/// Chooses the TLS provider of the process (ring), once, before any client is built.
pub fn install_tls() {
    // An error only says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod wire_tests;
