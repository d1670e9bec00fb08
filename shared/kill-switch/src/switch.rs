//! Reading the flags: one round trip, one deadline, no retry that outlives it. Must never treat silence as
//! "clear".
use crate::check::{Check, Clear, HaltedScope};
use crate::error::BadUrl;
use crate::keys::{self, Scope};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline, RedisResult};
use std::sync::Mutex;
use std::time::Duration;

/// How long each part of a check may take. A check takes at most `connect + response`, a stale connection
/// twice that.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To open a connection, TLS and sign-in included.
    pub connect: Duration,
    /// To answer one round trip.
    pub response: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_millis(250), response: Duration::from_millis(250) }
    }
}

/// The flags of one store. Cheap to share; holds one multiplexed connection for checks.
pub struct Switch {
    client: Client,
    timeouts: Timeouts,
    shared: Mutex<Option<MultiplexedConnection>>,
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address can hold a password.
        f.debug_struct("Switch").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

/// The flags as a page shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// The epoch in the arming key, if there is one and it is a number.
    pub armed: Option<u64>,
    /// Does `agent:halted:global` exist?
    pub halted_global: bool,
    /// The global press counter's present value; empty when there is none.
    pub seq_global: String,
    /// For each customer asked about, in that order: does her flag exist, and her press counter's value.
    pub customers: Vec<(bool, String)>,
}

impl Switch {
    /// A switch over the store at `url` (`redis://` or `rediss://`). Opens nothing yet.
    ///
    /// # Errors
    /// [`BadUrl`] when the address cannot be used.
    pub fn new(url: &str, timeouts: Timeouts) -> Result<Self, BadUrl> {
        let info = url.into_connection_info().map_err(|_| BadUrl)?;
        // A user that may only read flags is refused CLIENT SETINFO; do not ask.
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let client = Client::open(info.set_redis_settings(settings)).map_err(|_| BadUrl)?;
        Ok(Self { client, timeouts, shared: Mutex::new(None) })
    }

    /// The check at the top of every step and before every act: one round trip to the primary.
    ///
    /// `MGET` reads the arming key and the flags at one instant; `EXISTS` in the same round trip also sees a
    /// flag that somebody set as another type than text, which `MGET` shows as absent.
    // INVARIANT (I6): any existing key halts, whatever its value. INVARIANT (I5): silence is not "clear".
    pub async fn check(&self, customer: Option<&str>) -> Check {
        let mut flags = vec![keys::halted(&Scope::Global)];
        flags.extend(customer.map(|id| keys::halted(&Scope::Customer(id))));
        let mut pipe = redis::pipe();
        pipe.cmd("MGET").arg(keys::ARMED).arg(&flags);
        for flag in &flags {
            pipe.cmd("EXISTS").arg(flag);
        }
        // FAIL-CLOSED: an error, a timeout or an unexpected shape parks the run.
        let Ok((values, exists_global, exists_customer)) = self.read_flags(&pipe, customer.is_some()).await
        else {
            return Check::Unreachable;
        };
        let mut values = values.into_iter();
        let armed = values.next().flatten();
        let global = values.next().flatten().is_some() || exists_global;
        let halted_customer = values.next().flatten().is_some() || exists_customer;
        if global {
            return Check::Halted(HaltedScope::Global);
        }
        if halted_customer {
            return Check::Halted(HaltedScope::Customer);
        }
        match armed.as_deref().and_then(epoch_of) {
            Some(epoch) => Check::Clear(Clear { epoch, customer: customer.map(str::to_owned) }),
            None => Check::Disarmed,
        }
    }

    async fn read_flags(
        &self,
        pipe: &Pipeline,
        with_customer: bool,
    ) -> RedisResult<(Vec<Option<Vec<u8>>>, bool, bool)> {
        if with_customer {
            return self.query(pipe).await;
        }
        let (values, global) = self.query(pipe).await?;
        Ok((values, global, false))
    }

    /// Everything the halt page shows of the flags, in one round trip. `None` when the store did not answer.
    pub async fn read(&self, customers: &[String]) -> Option<Flags> {
        let mut names =
            vec![keys::ARMED.to_owned(), keys::halted(&Scope::Global), keys::halt_seq(&Scope::Global)];
        for id in customers {
            names.push(keys::halted(&Scope::Customer(id)));
            names.push(keys::halt_seq(&Scope::Customer(id)));
        }
        let mut pipe = redis::pipe();
        pipe.cmd("MGET").arg(&names);
        let (values,): (Vec<Option<Vec<u8>>>,) = self.query(&pipe).await.ok()?;
        let mut values = values.into_iter();
        let text = |value: Option<Option<Vec<u8>>>| {
            String::from_utf8_lossy(&value.flatten().unwrap_or_default()).into_owned()
        };
        Some(Flags {
            armed: values.next().flatten().as_deref().and_then(epoch_of),
            halted_global: values.next().flatten().is_some(),
            seq_global: text(values.next()),
            customers: customers
                .iter()
                .map(|_| (values.next().flatten().is_some(), text(values.next())))
                .collect(),
        })
    }

    /// Adds a stop for a tripped cap: `SETNX`, the only change that a step's user may make. True when it is
    /// set now.
    pub async fn set_if_absent(&self, scope: &Scope<'_>) -> bool {
        let mut pipe = redis::pipe();
        pipe.cmd("SETNX").arg(keys::halted(scope)).arg("1");
        self.query::<(i64,)>(&pipe).await.is_ok()
    }

    /// What the store says of itself (`INFO` of that section), for the doctor. `None` when it does not
    /// answer.
    pub async fn info(&self, section: &str) -> Option<String> {
        let mut pipe = redis::pipe();
        pipe.cmd("INFO").arg(section);
        self.query::<(String,)>(&pipe).await.ok().map(|(text,)| text)
    }

    /// One round trip on the shared connection. A connection that broke since its last use is replaced once;
    /// one that is silent is dropped and not asked again.
    async fn query<T: FromRedisValue>(&self, pipe: &Pipeline) -> RedisResult<T> {
        let kept = self.shared.lock().ok().and_then(|slot| slot.clone());
        if let Some(mut connection) = kept {
            match pipe.query_async(&mut connection).await {
                Ok(value) => return Ok(value),
                Err(error)
                    if error.is_timeout() || !(error.is_io_error() || error.is_unrecoverable_error()) =>
                {
                    self.keep(None);
                    return Err(error);
                }
                Err(_) => self.keep(None),
            }
        }
        let mut connection = self.connect(self.timeouts).await?;
        let value = pipe.query_async(&mut connection).await?;
        self.keep(Some(connection));
        Ok(value)
    }

    fn keep(&self, connection: Option<MultiplexedConnection>) {
        if let Ok(mut slot) = self.shared.lock() {
            *slot = connection;
        }
    }

    /// A new connection with those timeouts; the caller owns it.
    pub(crate) async fn connect(&self, timeouts: Timeouts) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeouts.connect))
            .set_response_timeout(Some(timeouts.response));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

/// The epoch in an arming key's value: digits only.
fn epoch_of(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A command by name, for the writes.
pub(crate) fn cmd(name: &str) -> Cmd {
    redis::cmd(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_an_epoch() {
        assert_eq!(epoch_of(b"7"), Some(7));
        for bad in [b"" as &[u8], b"-1", b"+1", b" 1", b"1 ", b"seven", b"\xff", b"99999999999999999999"] {
            assert_eq!(epoch_of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let switch = Switch::new("redis://user:canary-password@127.0.0.1:1/", Timeouts::default());
        assert!(!format!("{switch:?}").contains("canary"));
        assert!(Switch::new("http://127.0.0.1/", Timeouts::default()).is_err());
    }
}
