//! The one HTTP client for HubSpot, private to this crate: what leaves here is a narrow port per verb.
//! Must never follow a redirect, send a request twice, or carry the token to another host.
use crate::{ApiVersion, ConfigError, CrmError, PlannedRequest, Secret, Sent, text};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{error::Error as _, fmt, sync::Arc, time::Duration};
use types::{IntentId, Reason};

/// Bytes of an answer that we are ready to hold.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// HubSpot's rolling window, for a 429 that does not say how long to wait (ms).
const WAIT_MS_DEFAULT: u64 = 10_000;

/// The longest wait that a header may ask for (ms): one day.
const WAIT_MS_MAX: u64 = 86_400_000;

/// How long a connection for reads is kept: about one step, because a frozen function does not see it die.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Characters of HubSpot's message that are kept.
const MESSAGE_CHARS_MAX: usize = 300;

/// Joins HubSpot's log, a proxy's or a stand-in's with our audit log.
const INTENT_HEADER: &str = "x-holdfast-intent";

/// How to reach HubSpot.
#[derive(Debug, Clone)]
pub struct HubSpotConfig {
    /// `https://api.hubapi.com`; plain http on loopback only.
    pub base_url: String,
    /// The dated version in HubSpot's paths (`2026-09`).
    pub api_version: String,
    /// The app's static token.
    pub token: Secret,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Time for a whole request, connecting and reading the answer included.
    pub request_timeout: Duration,
}

/// HubSpot. It can do nothing itself: take the port of the one verb you need.
#[derive(Clone)]
pub struct HubSpot(Arc<Client>);

impl HubSpot {
    /// Checks the settings and builds the client; connects to nothing.
    ///
    /// The process must have installed a rustls provider before: building a TLS client without one panics.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that cannot be used.
    pub fn new(config: &HubSpotConfig) -> Result<Self, ConfigError> {
        let api_version = ApiVersion::new(&config.api_version)?;
        let base = base_of(&config.base_url).ok_or(ConfigError::BaseUrl)?;
        if config.token.is_empty() {
            return Err(ConfigError::Token);
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", config.token.expose()))
            .map_err(|_unprintable| ConfigError::Token)?;
        bearer.set_sensitive(true);
        let build = |idle_max: usize| {
            let builder = reqwest::Client::builder()
                .connect_timeout(config.connect_timeout)
                .timeout(config.request_timeout)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .pool_max_idle_per_host(idle_max)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")));
            // Nothing on loopback speaks TLS, so no certificates are loaded: most of a client's start-up.
            let builder = if base.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
            builder.build().map_err(|source| ConfigError::BuildClient(source.without_url()))
        };
        // A write always takes a fresh connection: one that was kept may have died while the function was
        // frozen, and a reset in the middle of a write is an unknown outcome, while a failed connect is a
        // known one.
        let (reads, writes) = (build(4)?, build(0)?);
        let token = config.token.clone();
        let request_timeout = config.request_timeout;
        Ok(Self(Arc::new(Client { base, api_version, bearer, token, reads, writes, request_timeout })))
    }

    /// The version in every path: needed to plan a request.
    #[must_use]
    pub fn api_version(&self) -> &ApiVersion {
        &self.0.api_version
    }

    /// The longest that one request can take.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.0.request_timeout
    }

    pub(crate) fn client(&self) -> Arc<Client> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for HubSpot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The private client behind every port.
pub(crate) struct Client {
    base: reqwest::Url,
    pub(crate) api_version: ApiVersion,
    bearer: HeaderValue,
    token: Secret,
    reads: reqwest::Client,
    writes: reqwest::Client,
    request_timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSpot").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// The base URL, if the token may go there.
fn base_of(text: &str) -> Option<reqwest::Url> {
    let url = reqwest::Url::parse(text).ok()?;
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let host = url.host_str()?;
    let loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let private = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    (bare && private).then_some(url)
}

/// What came back, as far as it came. The status is known even where the body is not.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Result<Vec<u8>, BodyFault>,
}

enum BodyFault {
    TooLarge,
    Broken(String),
}

/// Why there is no status.
enum NoAnswer {
    /// No connection: not one byte of the request left.
    NotSent(String),
    /// The request, or a part of it, may have arrived.
    Lost(String),
}

/// The parts of HubSpot's error body that are used; every one may be absent.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    message: Option<String>,
    category: Option<String>,
    #[serde(rename = "correlationId")]
    correlation_id: Option<String>,
    #[serde(rename = "policyName")]
    policy_name: Option<String>,
}

impl Client {
    /// One GET, its answer read as `T`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        call: &'static str,
        path: &str,
    ) -> Result<T, CrmError> {
        let request = self.reads.get(self.url(call, path)?);
        self.read_answer(call, self.exchange(request).await)
    }

    /// Asks what the token may do: the one POST without a permit. It changes nothing, and HubSpot has no GET
    /// for it.
    pub(crate) async fn post_token_info<T: DeserializeOwned>(&self) -> Result<T, CrmError> {
        let call = "read token info";
        let url = self.url(call, "/oauth/v2/private-apps/get/access-token-info")?;
        let body = serde_json::json!({ "tokenKey": self.token.expose() });
        self.read_answer(call, self.exchange(self.reads.post(url).json(&body)).await)
    }

    /// Sends a planned write, exactly as planned, and reads HubSpot's confirmation.
    // INVARIANT (I4): each writing port calls this with the intent id of the permit it was handed, and
    // nothing else does.
    pub(crate) async fn write(&self, planned: &PlannedRequest, intent_id: &IntentId) -> Sent<Value> {
        let not_sent = |message: &str| Sent::NotApplied {
            reason: Reason::CrmUnavailable,
            wait_ms: None,
            message: message.to_owned(),
        };
        let Ok(url) = self.url("write", planned.path()) else {
            return not_sent("the path leaves the configured host, nothing was sent");
        };
        let Ok(method) = reqwest::Method::from_bytes(planned.method().as_bytes()) else {
            return not_sent("not an HTTP method, nothing was sent");
        };
        let request =
            self.writes.request(method, url).header(INTENT_HEADER, intent_id.as_str()).json(planned.body());
        match self.exchange(request).await {
            Ok(answer) => self.outcome(&answer),
            Err(NoAnswer::NotSent(message)) => {
                Sent::NotApplied { reason: Reason::CrmUnavailable, wait_ms: Some(WAIT_MS_DEFAULT), message }
            }
            Err(NoAnswer::Lost(what)) => Sent::Unknown { what },
        }
    }

    /// What a write's answer says about the write.
    fn outcome(&self, answer: &Answer) -> Sent<Value> {
        let status = answer.status;
        let not_applied =
            |reason, wait_ms| Sent::NotApplied { reason, wait_ms, message: self.words_of(answer) };
        match status {
            200..=299 => match &answer.body {
                Ok(body) => match serde_json::from_slice(body) {
                    Ok(value) => Sent::Applied(value),
                    Err(_) => Sent::Unknown { what: format!("status {status} with a body that is not JSON") },
                },
                Err(BodyFault::TooLarge) => {
                    Sent::Unknown { what: format!("status {status}, body too large") }
                }
                Err(BodyFault::Broken(what)) => {
                    Sent::Unknown { what: format!("status {status}, then {what}") }
                }
            },
            // Not followed, so whatever is there was not asked to do anything.
            300..=399 => not_applied(Reason::CrmRefused, None),
            // FAIL-CLOSED: a proxy says 408 when it lost patience, which tells nothing about what lies behind
            // it.
            408 => Sent::Unknown { what: "status 408".to_owned() },
            404 => not_applied(Reason::CrmNotFound, None),
            423 | 477 => not_applied(Reason::CrmUnavailable, Some(WAIT_MS_DEFAULT)),
            429 => {
                let (wait_ms, daily) = wait_of(&answer.headers, &error_body(answer));
                not_applied(Reason::CrmRateLimited, (!daily).then_some(wait_ms))
            }
            400..=499 => not_applied(Reason::CrmRefused, None),
            _ => Sent::Unknown { what: format!("status {status}") },
        }
    }

    /// The URL of a path on the configured host.
    fn url(&self, call: &'static str, path: &str) -> Result<reqwest::Url, CrmError> {
        // FAIL-CLOSED: a path that changed on its way through the parser, or left the host, is not sent. The
        // whole URL must be the base, which ends in a slash, and then the path as it was given.
        let url = self.base.join(path).ok().filter(|url| {
            path.starts_with('/') && url.as_str().strip_prefix(self.base.as_str()) == path.get(1..)
        });
        url.ok_or(CrmError::BadId { call })
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Answer, NoAnswer> {
        let sent = request.header(AUTHORIZATION, self.bearer.clone()).send().await;
        let mut response = sent.map_err(no_answer)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        let body = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX => {
                    break Err(BodyFault::TooLarge);
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break Ok(body),
                Err(error) => break Err(BodyFault::Broken(what_happened(&error.without_url()))),
            }
        };
        tracing::debug!(status, "HubSpot answered");
        Ok(Answer { status, headers, body })
    }

    fn read_answer<T: DeserializeOwned>(
        &self,
        call: &'static str,
        answer: Result<Answer, NoAnswer>,
    ) -> Result<T, CrmError> {
        let answer = answer.map_err(|no_answer| match no_answer {
            NoAnswer::NotSent(what) | NoAnswer::Lost(what) => CrmError::Unavailable { call, what },
        })?;
        let status = answer.status;
        match status {
            200..=299 => match answer.body {
                Ok(body) => serde_json::from_slice(&body).map_err(|error| CrmError::Malformed {
                    call,
                    // The parser's own words may quote the answer; its place is enough.
                    what: format!("not the documented JSON at byte column {}", error.column()),
                }),
                Err(BodyFault::TooLarge) => Err(CrmError::TooLarge { call, bytes_max: BODY_BYTES_MAX }),
                Err(BodyFault::Broken(what)) => Err(CrmError::Unavailable { call, what }),
            },
            404 => Err(CrmError::NotFound { call }),
            408 | 423 | 477 => Err(CrmError::Unavailable { call, what: format!("status {status}") }),
            429 => {
                let (wait_ms, daily) = wait_of(&answer.headers, &error_body(&answer));
                Err(CrmError::RateLimited { call, wait_ms, daily })
            }
            300..=499 => {
                let body = error_body(&answer);
                Err(CrmError::Refused {
                    call,
                    status,
                    category: text::one_line(&body.category.unwrap_or_default(), 80),
                    message: self.harmless(&body.message.unwrap_or_default()),
                    correlation_id: text::one_line(&body.correlation_id.unwrap_or_default(), 80),
                })
            }
            _ => Err(CrmError::Unavailable { call, what: format!("status {status}") }),
        }
    }

    /// HubSpot's own words about a refusal, in one bounded line.
    fn words_of(&self, answer: &Answer) -> String {
        let body = error_body(answer);
        let category = body.category.or(body.policy_name).unwrap_or_default();
        let correlation_id = body.correlation_id.unwrap_or_default();
        let message = body.message.unwrap_or_default();
        let words = format!("status {} {category} {correlation_id} {message}", answer.status);
        self.harmless(words.trim_end())
    }

    /// One bounded line in which our own token cannot appear, should an answer echo it.
    fn harmless(&self, words: &str) -> String {
        text::one_line(&words.replace(self.token.expose(), "***"), MESSAGE_CHARS_MAX)
    }
}

/// The error body, or an empty one (proxies answer HTML).
fn error_body(answer: &Answer) -> ErrorBody {
    let body = answer.body.as_deref().unwrap_or_default();
    serde_json::from_slice(body).unwrap_or_default()
}

/// How long a 429 asks us to wait, and whether it is the day's limit.
fn wait_of(headers: &HeaderMap, body: &ErrorBody) -> (u64, bool) {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let interval_ms = number("x-hubspot-ratelimit-interval-milliseconds");
    let retry_after_ms = number("retry-after").map(|seconds| seconds.saturating_mul(1_000));
    let wait_ms = interval_ms.max(retry_after_ms).unwrap_or(WAIT_MS_DEFAULT).min(WAIT_MS_MAX);
    let daily = body.policy_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("daily"))
        || number("x-hubspot-ratelimit-daily-remaining") == Some(0);
    (wait_ms, daily)
}

fn no_answer(error: reqwest::Error) -> NoAnswer {
    let error = error.without_url();
    let what = what_happened(&error);
    // `is_connect` is said by the connector alone, before a request is handed to a connection; a request that
    // could not even be built was not sent either.
    if error.is_connect() || error.is_builder() { NoAnswer::NotSent(what) } else { NoAnswer::Lost(what) }
}

/// What happened, in our words and those of the innermost cause; never an address.
fn what_happened(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "connection broken"
    };
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(|inner| inner.source()) {
        cause = Some(inner);
    }
    match cause {
        Some(cause) => format!("{kind} ({})", text::one_line(&cause.to_string(), 120)),
        None => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests;
