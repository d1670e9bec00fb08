//! The log of requests. Must never hold the token.
use crate::serve::Received;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One request that came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// `GET`, `PATCH`, ...
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// The headers in lower case, without `authorization`.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub body: String,
    /// When it came in, in milliseconds since 1970.
    pub started_ms: i64,
    /// When it changed a record; `None` when it did not.
    pub applied_ms: Option<i64>,
    /// It changed a record.
    pub write: bool,
    /// It asked for something that no caller of ours may ask for.
    pub forbidden: bool,
    /// The first `[agent ...]` of the body, brackets included.
    pub marker: Option<String>,
    /// The record that it changed, as `deals/4411`.
    pub target: Option<String>,
    /// The answer's status; `None` when the connection was cut, or the answer is still to come.
    pub status: Option<u16>,
}

impl Seen {
    pub(crate) fn of(request: &Received, started_ms: i64) -> Self {
        let mut headers = request.headers.clone();
        headers.remove("authorization");
        let body = request.text().into_owned();
        let body =
            if request.path.ends_with("/access-token-info") { "(holds the token)".to_owned() } else { body };
        Self {
            method: request.method.clone(),
            path: request.target(),
            headers,
            marker: marker(&body),
            body,
            started_ms,
            applied_ms: None,
            write: false,
            forbidden: false,
            target: None,
            status: None,
        }
    }
}

fn marker(body: &str) -> Option<String> {
    let start = body.find("[agent ")?;
    let rest = body.get(start..)?;
    let end = rest.find(']')?;
    rest.get(..=end).map(str::to_owned)
}
