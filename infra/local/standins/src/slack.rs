//! The Slack stand-in: one incoming webhook. Must never accept what Slack would refuse.
use crate::faults::{Fault, Faults, Matcher, lock};
use crate::serve::{self, Received, Reply, Running, Vendor};
use crate::{Clock, Error};
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex};

/// The path of the one webhook that there is.
pub const WEBHOOK_PATH: &str = "/services/T000/B000/xxx";

const BLOCKS_MAX: usize = 50;
const ATTACHMENTS_MAX: usize = 100;

/// One message that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// `text`, which people see in the notification.
    pub text: String,
    /// The whole payload.
    pub payload: Value,
}

/// One request that came in, accepted or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The body as text.
    pub body: String,
    /// The answer's status; `None` when the connection was cut, or the answer is still to come.
    pub status: Option<u16>,
}

/// The handle: cheap to clone, all clones see the same channel.
#[derive(Clone)]
pub struct Slack {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Slack {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Slack").finish_non_exhaustive()
    }
}

struct Inner {
    now_ms: Clock,
    faults: Faults,
    posts: Mutex<Vec<Post>>,
    messages: Mutex<Vec<Message>>,
}

impl Slack {
    /// An empty channel.
    #[must_use]
    pub fn new(now_ms: Clock) -> Self {
        let inner =
            Inner { now_ms, faults: Faults::default(), posts: Mutex::default(), messages: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Serves on a loopback port that the system picks; the webhook is its URL plus `WEBHOOK_PATH`.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(self) -> Result<Running<Self>, Error> {
        serve::run(self).await
    }

    /// Serves on a loopback listener that the caller bound.
    ///
    /// # Errors
    /// When the listener has no loopback address.
    pub fn start_on(self, listener: tokio::net::TcpListener) -> Result<Running<Self>, Error> {
        serve::run_on(self, listener)
    }

    /// The next request that matches meets this fault; more calls queue up.
    pub fn next(&self, matcher: Matcher, fault: Fault) {
        self.inner.faults.next(matcher, fault);
    }

    /// Each request that matches meets this fault, until `clear_faults`.
    pub fn always(&self, matcher: Matcher, fault: Fault) {
        self.inner.faults.always(matcher, fault);
    }

    /// Forgets all faults that have not been met.
    pub fn clear_faults(&self) {
        self.inner.faults.clear();
    }

    /// The messages that were accepted, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        lock(&self.inner.messages).clone()
    }

    /// Every request, accepted or not, oldest first.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        lock(&self.inner.posts).clone()
    }
}

impl Vendor for Slack {
    const NAME: &'static str = "slack";

    fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    fn arrived(&self, request: &Received) -> usize {
        let at_ms = (self.inner.now_ms)();
        let mut posts = lock(&self.inner.posts);
        posts.push(Post { at_ms, body: request.text().into_owned(), status: None });
        posts.len().saturating_sub(1)
    }

    async fn answer(&self, request: Received, _place: usize) -> Reply {
        match check(&request) {
            Err((status, code)) => Reply::plain(status, "text/plain", code),
            Ok(payload) => {
                let text = payload.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
                let at_ms = (self.inner.now_ms)();
                lock(&self.inner.messages).push(Message { at_ms, text, payload });
                Reply::plain(200, "text/plain", "ok")
            }
        }
    }

    fn too_many(&self, _policy: &str) -> Reply {
        Reply::plain(429, "text/plain", "rate_limited").with("retry-after", "1")
    }

    fn broken(&self, status: u16) -> Reply {
        let code = match status {
            403 => "action_prohibited",
            404 => "no_service",
            410 => "channel_is_archived",
            _ => "rollup_error",
        };
        Reply::plain(status, "text/plain", code)
    }

    fn answered(&self, place: usize, status: Option<u16>) {
        if let Some(post) = lock(&self.inner.posts).get_mut(place) {
            post.status = status;
        }
    }
}

/// The payload, or Slack's status and code.
fn check(request: &Received) -> Result<Value, (u16, &'static str)> {
    if request.method != "POST" {
        return Err((405, "invalid_method"));
    }
    if request.path != WEBHOOK_PATH {
        let token = request.path.starts_with("/services/T000/B000/");
        return Err(if token { (403, "invalid_token") } else { (404, "no_service") });
    }
    let json = request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    if !json || request.oversize {
        return Err((400, "invalid_payload"));
    }
    let payload: Value = serde_json::from_slice(&request.body).map_err(|_| (400, "invalid_payload"))?;
    let fields = payload.as_object().ok_or((400, "invalid_payload"))?;
    match fields.get("text") {
        Some(Value::String(text)) if !text.trim().is_empty() => {}
        Some(Value::String(_)) | None => return Err((400, "no_text")),
        Some(_) => return Err((400, "invalid_payload")),
    }
    let known =
        ["text", "blocks", "attachments", "thread_ts", "mrkdwn", "unfurl_links", "unfurl_media", "metadata"];
    if fields.keys().any(|name| !known.contains(&name.as_str())) {
        return Err((400, "invalid_payload"));
    }
    if fields.get("attachments").and_then(Value::as_array).is_some_and(|all| all.len() > ATTACHMENTS_MAX) {
        return Err((400, "too_many_attachments"));
    }
    if let Some(blocks) = fields.get("blocks") {
        let blocks = blocks.as_array().ok_or((400, "invalid_blocks"))?;
        if blocks.len() > BLOCKS_MAX {
            return Err((400, "invalid_blocks"));
        }
        let mut ids = Vec::new();
        for block in blocks {
            block_is_good(block, &mut ids).ok_or((400, "invalid_blocks"))?;
        }
    }
    Ok(payload)
}

/// `None` where Slack would answer `invalid_blocks`.
fn block_is_good(block: &Value, ids: &mut Vec<String>) -> Option<()> {
    let block = block.as_object()?;
    if let Some(id) = block.get("block_id") {
        let id = bounded(id, 1, 255)?;
        // Block ids are unique in a message.
        if ids.iter().any(|known| known == id) {
            return None;
        }
        ids.push(id.to_owned());
    }
    let only = |names: &[&str]| only(block, names);
    match block.get("type")?.as_str()? {
        "header" => {
            only(&["type", "block_id", "text"])?;
            text_object(block.get("text")?, &["plain_text"], 150)
        }
        "section" => {
            only(&["type", "block_id", "text", "fields", "accessory", "expand"])?;
            section(block)
        }
        "context" => {
            only(&["type", "block_id", "elements"])?;
            let elements = list(block.get("elements")?, 1, 10)?;
            elements.iter().try_for_each(|one| text_object(one, &["plain_text", "mrkdwn"], 3000))
        }
        "divider" => only(&["type", "block_id"]),
        "markdown" => {
            only(&["type", "block_id", "text"])?;
            bounded(block.get("text")?, 1, 12_000).map(drop)
        }
        "actions" => {
            only(&["type", "block_id", "elements"])?;
            list(block.get("elements")?, 1, 25)?.iter().try_for_each(button)
        }
        _ => None,
    }
}

fn section(block: &Map<String, Value>) -> Option<()> {
    if block.get("text").is_none() && block.get("fields").is_none() {
        return None;
    }
    if let Some(text) = block.get("text") {
        text_object(text, &["plain_text", "mrkdwn"], 3000)?;
    }
    if let Some(fields) = block.get("fields") {
        let fields = list(fields, 1, 10)?;
        fields.iter().try_for_each(|one| text_object(one, &["plain_text", "mrkdwn"], 2000))?;
    }
    block.get("accessory").map_or(Some(()), button)
}

fn button(element: &Value) -> Option<()> {
    let element = element.as_object()?;
    only(element, &["type", "text", "action_id", "url", "value", "style", "confirm", "accessibility_label"])?;
    if element.get("type")?.as_str()? != "button" {
        return None;
    }
    text_object(element.get("text")?, &["plain_text"], 75)?;
    let optional =
        |name: &str, max: usize| element.get(name).map_or(Some(()), |one| bounded(one, 1, max).map(drop));
    optional("action_id", 255)?;
    optional("url", 3000)?;
    optional("value", 2000)?;
    element
        .get("style")
        .map_or(Some(()), |style| matches!(style.as_str()?, "primary" | "danger").then_some(()))
}

fn text_object(value: &Value, kinds: &[&str], max: usize) -> Option<()> {
    let object = value.as_object()?;
    only(object, &["type", "text", "emoji", "verbatim"])?;
    let kind = object.get("type")?.as_str()?;
    if !kinds.contains(&kind) || (kind == "mrkdwn" && object.contains_key("emoji")) {
        return None;
    }
    bounded(object.get("text")?, 1, max).map(drop)
}

fn only(object: &Map<String, Value>, names: &[&str]) -> Option<()> {
    object.keys().all(|name| names.contains(&name.as_str())).then_some(())
}

fn list(value: &Value, min: usize, max: usize) -> Option<&Vec<Value>> {
    value.as_array().filter(|all| (min..=max).contains(&all.len()))
}

/// Text whose length in characters is within the bounds.
fn bounded(value: &Value, min: usize, max: usize) -> Option<&str> {
    value.as_str().filter(|text| (min..=max).contains(&text.chars().count()))
}
