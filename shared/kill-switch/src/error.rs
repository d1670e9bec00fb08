//! What can be wrong with the switch itself. Must never hold the store's address or password.

/// The switch could not be built.
#[derive(Debug)]
pub struct BadUrl;

impl std::fmt::Display for BadUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the switch store's address is not a redis:// or rediss:// URL: set `REDIS_URL`")
    }
}

impl std::error::Error for BadUrl {}
