//! The one HTTP call to Slack. Must never show the webhook's URL (whoever holds it can post), follow a
//! redirect, or wait for long.
use crate::{ConfigError, Message};
use std::{fmt, time::Duration};

/// Bytes of Slack's plain-text answer that are read.
const ANSWER_BYTES_MAX: usize = 1_024;

/// The wait after a 429 that names none (ms).
const WAIT_MS_DEFAULT: u64 = 1_000;

/// The longest wait that Slack may ask for (ms): one hour.
const WAIT_MS_MAX: u64 = 3_600_000;

/// The incoming webhook's URL: a secret. `Debug` shows stars; there is no `Display` and no reader.
#[derive(Clone)]
pub struct WebhookUrl(reqwest::Url);

impl WebhookUrl {
    /// Checks that the URL is https, or http on loopback.
    ///
    /// # Errors
    /// [`ConfigError::WebhookUrl`] for any other text; the text is not repeated.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        let url = reqwest::Url::parse(text.trim()).ok().filter(is_private);
        url.map(Self).ok_or(ConfigError::WebhookUrl)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookUrl(***)")
    }
}

/// What travels there cannot be read on the way.
pub(crate) fn is_private(url: &reqwest::Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let anonymous = url.username().is_empty() && url.password().is_none();
    anonymous && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
}

/// What Slack did with a message: a value, because nothing may depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a message that Slack did not take stays queued"]
pub enum Posted {
    /// Slack took it.
    Ok,
    /// Slack will never take it like this.
    Refused {
        /// Slack's code (`no_service`, `invalid_payload`), or the status.
        code: String,
    },
    /// Too many messages.
    RateLimited {
        /// How long to wait, in milliseconds.
        wait_ms: u64,
    },
    /// No answer, or none that Slack gives. The message may have been posted.
    Unavailable {
        /// What was seen, without any address.
        what: String,
    },
}

/// Slack, through one incoming webhook.
#[derive(Clone)]
pub struct Slack {
    url: WebhookUrl,
    http: reqwest::Client,
}

impl fmt::Debug for Slack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slack").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Slack {
    /// Builds the client; connects to nothing. `request_timeout` bounds a whole post.
    ///
    /// The process must have installed a rustls provider before: building a TLS client without one panics.
    ///
    /// # Errors
    /// [`ConfigError::BuildClient`] when the HTTP client cannot be built.
    pub fn new(url: WebhookUrl, request_timeout: Duration) -> Result<Self, ConfigError> {
        let builder = reqwest::Client::builder()
            .connect_timeout(request_timeout)
            .timeout(request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")));
        // On loopback nothing speaks TLS, so no certificates are loaded: most of a client's start-up time.
        let builder = if url.0.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let http = builder.build().map_err(|source| ConfigError::BuildClient(source.without_url()))?;
        Ok(Self { url, http })
    }

    /// Posts one message, once.
    pub async fn post(&self, message: &Message) -> Posted {
        let mut response = match self.http.post(self.url.0.clone()).json(message).send().await {
            Ok(response) => response,
            Err(error) => return Posted::Unavailable { what: what_happened(&error) },
        };
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after_ms =
            retry_after.and_then(|s| s.trim().parse::<u64>().ok()).map(|s| s.saturating_mul(1_000));
        let mut answer = Vec::new();
        while let Ok(Some(part)) = response.chunk().await {
            let room = ANSWER_BYTES_MAX.saturating_sub(answer.len());
            answer.extend(part.iter().take(room));
            if answer.len() >= ANSWER_BYTES_MAX {
                break;
            }
        }
        match status {
            200..=299 if answer.trim_ascii() == b"ok" => Posted::Ok,
            429 => {
                Posted::RateLimited { wait_ms: retry_after_ms.unwrap_or(WAIT_MS_DEFAULT).min(WAIT_MS_MAX) }
            }
            300..=499 => Posted::Refused { code: code_of(status, &answer) },
            _ => Posted::Unavailable { what: format!("status {status}") },
        }
    }
}

/// Slack's own code where the answer looks like one, else the status.
fn code_of(status: u16, answer: &[u8]) -> String {
    let code = std::str::from_utf8(answer.trim_ascii()).unwrap_or_default();
    let plain = (1..=60).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if plain { code.to_owned() } else { format!("status {status}") }
}

/// In our words only: the library's own would name the URL.
fn what_happened(error: &reqwest::Error) -> String {
    let words = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "connection broken"
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info;
    use axum::{body::Bytes, http::HeaderMap, response::IntoResponse};
    use std::sync::{Arc, Mutex};

    const PATH: &str = "/services/T000/B000/canary";

    type Answer = (u16, &'static [(&'static str, &'static str)], &'static str);

    /// A server that records the bodies that reach the webhook's path and answers as told; `None` never
    /// answers.
    async fn server(answer: Option<Answer>) -> (String, Arc<Mutex<Vec<Bytes>>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}{PATH}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let handler = move |headers: HeaderMap, body: Bytes| {
            let record = Arc::clone(&record);
            async move {
                assert_eq!(headers.get("content-type").expect("a type"), "application/json");
                record.lock().expect("no panic while held").push(body);
                let Some((status, headers, body)) = answer else {
                    return std::future::pending().await;
                };
                let mut response = body.into_response();
                *response.status_mut() = axum::http::StatusCode::from_u16(status).expect("a status");
                for &(name, value) in headers {
                    response.headers_mut().insert(name, value.parse().expect("a value"));
                }
                response
            }
        };
        let app = axum::Router::new().route(PATH, axum::routing::post(handler));
        #[expect(clippy::disallowed_methods, reason = "a test server ends with its test's runtime")]
        tokio::spawn(async move { axum::serve(listener, app).await.expect("served") });
        (url, seen)
    }

    fn slack(url: &str, request_timeout: Duration) -> Slack {
        // A second test in the same process finds it installed.
        drop(rustls::crypto::ring::default_provider().install_default());
        Slack::new(WebhookUrl::new(url).expect("a URL"), request_timeout).expect("a client")
    }

    async fn post_to(url: &str) -> Posted {
        slack(url, Duration::from_secs(20)).post(&info("hello", &[])).await
    }

    #[tokio::test]
    async fn a_message_is_posted_once_as_json() {
        let (url, seen) = server(Some((200, &[], "ok"))).await;
        assert_eq!(post_to(&url).await, Posted::Ok);
        let seen = seen.lock().expect("the bodies");
        assert_eq!(seen.len(), 1);
        let body: serde_json::Value = serde_json::from_slice(&seen[0]).expect("json");
        assert_eq!(body, serde_json::to_value(info("hello", &[])).expect("json"));
    }

    #[tokio::test]
    async fn each_answer_of_slack_has_its_value() {
        let refused = |code: &str| Posted::Refused { code: code.to_owned() };
        let unavailable = |what: &str| Posted::Unavailable { what: what.to_owned() };
        let cases: [(Answer, Posted); 11] = [
            ((400, &[], "invalid_payload"), refused("invalid_payload")),
            ((403, &[], "invalid_token\n"), refused("invalid_token")),
            ((404, &[], "no_service"), refused("no_service")),
            ((404, &[], "<html>https://hooks"), refused("status 404")),
            ((302, &[("location", "http://127.0.0.1:9/")], ""), refused("status 302")),
            ((429, &[("retry-after", "30")], ""), Posted::RateLimited { wait_ms: 30_000 }),
            ((429, &[], ""), Posted::RateLimited { wait_ms: 1_000 }),
            ((429, &[("retry-after", "999999999")], ""), Posted::RateLimited { wait_ms: 3_600_000 }),
            ((500, &[], "rollup_error"), unavailable("status 500")),
            ((200, &[], "<html>welcome to the airport"), unavailable("status 200")),
            ((200, &[], ""), unavailable("status 200")),
        ];
        for (answer, posted) in cases {
            let (url, seen) = server(Some(answer)).await;
            assert_eq!(post_to(&url).await, posted, "{answer:?}");
            assert_eq!(seen.lock().expect("the bodies").len(), 1, "{answer:?} must not be posted again");
        }
    }

    #[tokio::test]
    async fn a_silent_or_absent_slack_is_unavailable() {
        let (url, _) = server(None).await;
        let posted = slack(&url, Duration::from_millis(200)).post(&info("hello", &[])).await;
        assert_eq!(posted, Posted::Unavailable { what: "no answer in time".to_owned() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let nobody = format!("http://{}{PATH}", listener.local_addr().expect("an address"));
        drop(listener);
        assert_eq!(post_to(&nobody).await, Posted::Unavailable { what: "no connection".to_owned() });
    }

    #[tokio::test]
    async fn the_url_shows_in_no_error_and_no_debug_text() {
        let url = "http://localhost:9/services/T/B/canary";
        let slack = slack(url, Duration::from_secs(20));
        let error = WebhookUrl::new("http://hooks.slack.com/services/T/B/canary").expect_err("in the clear");
        let shown = format!("{slack:?} {:?} {error} {error:?}", WebhookUrl::new(url));
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn the_secret_travels_only_where_it_cannot_be_read() {
        for bad in [
            "",
            "hooks.slack.com",
            "http://hooks.slack.com/x",
            "http://127.0.0.1.evil.example/x",
            "file:///x",
        ] {
            assert!(WebhookUrl::new(bad).is_err(), "{bad}");
        }
        for good in ["https://hooks.slack.com/services/T/B/x\n", "http://127.0.0.1:1/x", "http://[::1]:1/x"] {
            assert!(WebhookUrl::new(good).is_ok(), "{good}");
        }
    }
}
