//! One HTTP try to the Messages API, raced against the switch. Must never retry, redirect or show the key.
use crate::turn::{Charge, Turn};
use crate::{Body, ModelError, answer, refused};
use budget::Reservation;
use interlock::Go;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, Url};
use std::fmt;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// The API version whose rules this crate follows.
pub const VERSION: &str = "2026-10-21";

/// The most bytes of an answer that are read: far above what `max_tokens` allows.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The API key. `Debug` does not show it.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Wraps the key.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

/// How long a try may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect, TLS included.
    pub connect: Duration,
    /// From the first byte sent to the last byte read.
    pub total: Duration,
}

impl Default for Timeouts {
    /// 5 s and 30 s: a step has 60 s, and a write needs the rest.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Duration::from_secs(30) }
    }
}

/// What one look at the switch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Read, and nothing stops the run.
    Clear,
    /// A flag stops the run.
    Halted,
    /// No answer in time, or none that can be read.
    Unreadable,
}

/// How often the switch is looked at, and for how long it may stay unreadable.
#[derive(Debug, Clone, Copy)]
struct Pace {
    every: Duration,
    unreadable_max: Duration,
}

const PACE: Pace = Pace { every: Duration::from_millis(250), unreadable_max: Duration::from_secs(3) };

/// The client. Cheap to clone; holds no connection between two tries.
#[derive(Debug, Clone)]
pub struct Messages {
    http: Client,
    url: Url,
    headers: HeaderMap,
    key: ApiKey,
    pace: Pace,
}

impl Messages {
    /// Builds the client. `base_url` is the origin (`https://api.anthropic.com`), `version` usually
    /// [`VERSION`].
    ///
    /// A TLS provider must have been installed for the process.
    ///
    /// # Errors
    /// [`ModelError::BaseUrl`], [`ModelError::Header`] or [`ModelError::Client`].
    pub fn new(base_url: &str, key: ApiKey, version: &str, timeouts: Timeouts) -> Result<Self, ModelError> {
        let url = messages_url(base_url).ok_or(ModelError::BaseUrl)?;
        let value =
            |header, text: &str| HeaderValue::from_str(text).map_err(|_| ModelError::Header { header });
        let mut api_key = value("api key", &key.0)?;
        api_key.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (HeaderName::from_static("anthropic-version"), value("version", version)?),
            (HeaderName::from_static("x-api-key"), api_key),
        ]);
        let mut builder = Client::builder()
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.total)
            .redirect(reqwest::redirect::Policy::none())
            // INVARIANT (I14): the client sends what it is told to send, once; its own retries are off.
            .retry(reqwest::retry::never())
            // WHY NOT: keep connections: one that died while the function was frozen fails after the first
            // byte, and then the whole reservation is charged.
            .pool_max_idle_per_host(0);
        if url.scheme() == "http" {
            // Loopback only (see `messages_url`), where a proxy has no business and nothing speaks TLS, so no
            // certificates are loaded: most of a client's start-up.
            builder = builder.no_proxy().tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| ModelError::Client(error.without_url()))?;
        Ok(Self { http, url, headers, key, pace: PACE })
    }

    /// One HTTP try. The switch is looked at by `watch` every 250 ms while it runs.
    ///
    /// INVARIANT (I14): a try takes a reservation made before it; the caller retries under a new one.
    /// INVARIANT (I11): a halt drops the request within one look, and nothing received is used.
    pub async fn next<W, F>(&self, body: &Body, _go: &Go, reservation: &Reservation, watch: W) -> Turn
    where
        W: Fn() -> F,
        F: Future<Output = Watch>,
    {
        self.attempt(body, reservation.tokens(), watch).await
    }

    async fn attempt<W, F>(&self, body: &Body, reserved_tokens: u64, watch: W) -> Turn
    where
        W: Fn() -> F,
        F: Future<Output = Watch>,
    {
        // FAIL-CLOSED: a reservation that does not even cover the output is not this body's.
        if reserved_tokens <= u64::from(body.max_tokens()) {
            return Turn::Rejected {
                status: None,
                kind: "reservation_too_small".into(),
                message: format!("{reserved_tokens} tokens reserved, up to {} of output", body.max_tokens()),
                charge: Charge::Nothing,
            };
        }
        // The switch first: when both are ready, the halt wins.
        tokio::select! {
            biased;
            () = stopped(&watch, self.pace) => Turn::Halted,
            turn = self.send(body) => turn,
        }
    }

    async fn send(&self, body: &Body) -> Turn {
        let request =
            self.http.post(self.url.clone()).headers(self.headers.clone()).body(body.bytes().to_vec());
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return lost(&error),
        };
        let status = response.status().as_u16();
        let request_id = header_text(&response, "request-id");
        let received = match read_bounded(&mut response).await {
            Ok(Some(received)) => received,
            Ok(None) if status == 200 => return answer::unreadable("it has more than 1 MB"),
            // The status alone says what an error comes to.
            Ok(None) => Vec::new(),
            Err(error) => return lost(&error),
        };
        if status == 200 {
            return answer::read(&received, request_id);
        }
        // A proxy in between may echo what it was sent.
        let shown = self.hide(&String::from_utf8_lossy(&received));
        refused::read(status, response.headers(), shown.as_bytes())
    }

    fn hide(&self, text: &str) -> String {
        if self.key.0.is_empty() { text.to_owned() } else { text.replace(&self.key.0, "[key]") }
    }
}

/// How long the switch has been unreadable.
struct Patience {
    readable_at: Instant,
    max: Duration,
}

impl Patience {
    /// How long the next look may take.
    fn left(&self, now: Instant) -> Duration {
        self.max.saturating_sub(now.saturating_duration_since(self.readable_at))
    }

    /// Does this look stop the run?
    fn stops(&mut self, look: Watch, now: Instant) -> bool {
        match look {
            Watch::Clear => {
                self.readable_at = now;
                false
            }
            Watch::Halted => true,
            // FAIL-CLOSED: a switch that cannot be read for so long may say halt.
            Watch::Unreadable => self.left(now).is_zero(),
        }
    }
}

/// Returns when the run has to stop: a flag says so, or the switch has been unreadable for too long.
async fn stopped<W, F>(watch: &W, pace: Pace)
where
    W: Fn() -> F,
    F: Future<Output = Watch>,
{
    let mut patience = Patience { readable_at: Instant::now(), max: pace.unreadable_max };
    loop {
        // A look that takes up all the patience is an unreadable one.
        let look = timeout(patience.left(Instant::now()), watch()).await.unwrap_or(Watch::Unreadable);
        if patience.stops(look, Instant::now()) {
            return;
        }
        sleep(pace.every).await;
    }
}

/// https, or http on loopback, without credentials: the key goes there.
fn messages_url(base_url: &str) -> Option<Url> {
    let mut url = Url::parse(base_url).ok()?;
    let loopback = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    let allowed = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    if !allowed || !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return None;
    }
    let path = format!("{}/v1/messages", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}

fn header_text(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// None when there is more than the bound.
async fn read_bounded(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut received = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if received.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Ok(None);
        }
        received.extend_from_slice(&chunk);
    }
    Ok(Some(received))
}

/// A try without an answer. Only a connection that never stood is certainly not billed.
fn lost(error: &reqwest::Error) -> Turn {
    let (kind, charge) = if error.is_connect() || error.is_builder() {
        ("connect", Charge::Nothing)
    } else if error.is_timeout() {
        ("timeout", Charge::InFull)
    } else {
        ("connection", Charge::InFull)
    };
    Turn::Retry { after_ms: None, kind: kind.into(), charge }
}

#[cfg(test)]
mod tests;
