//! The Anthropic stand-in: checks each request as strictly as the vendor, then lets a small deterministic
//! triager answer. Must never answer a request that the vendor would refuse.
mod check;
mod fill;
mod messages;
mod reading;
mod schema;
mod triage;

use crate::faults::{Fault, Faults, Matcher, lock};
use crate::serve::{self, Received, Reply, Running, Vendor};
use crate::{Clock, Error};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use check::Bad;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The key that is accepted unless another one is set.
pub const API_KEY: &str = "sk-ant-local-demo";

/// A shorter prefix is not cached.
const CACHED_TOKENS_MIN: u64 = 512;
/// How long a cached prefix lives.
const CACHE_MS: i64 = 300_000;

/// One request that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Path as sent.
    pub path: String,
    /// The headers in lower case, without the key.
    pub headers: BTreeMap<String, String>,
    /// The exact bytes.
    pub body: Vec<u8>,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The answer's status; `None` when the connection was cut, or the answer is still to come.
    pub status: Option<u16>,
}

/// The handle: cheap to clone, all clones see the same model.
#[derive(Clone)]
pub struct Anthropic {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Anthropic {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Anthropic").finish_non_exhaustive()
    }
}

struct Inner {
    api_key: String,
    now_ms: Clock,
    faults: Faults,
    calls: Mutex<Vec<Call>>,
    script: Mutex<VecDeque<(u16, Vec<u8>)>>,
    /// Prefixes in the cache, by hash, with the moment of their last use.
    cache: Mutex<BTreeMap<Vec<u8>, i64>>,
    requests: Mutex<u64>,
    held: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

/// Counts a call that waits at the gate, also when its client gives up.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn at(gate: &'a watch::Sender<usize>) -> Self {
        gate.send_modify(|count| *count = count.saturating_add(1));
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Anthropic {
    /// A model that accepts this key only.
    #[must_use]
    pub fn new(api_key: &str, now_ms: Clock) -> Self {
        let inner = Inner {
            api_key: api_key.to_owned(),
            now_ms,
            faults: Faults::default(),
            calls: Mutex::default(),
            script: Mutex::default(),
            cache: Mutex::default(),
            requests: Mutex::default(),
            held: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Serves on a loopback port that the system picks.
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

    /// The next good requests get these bodies with status 200, in this order; then the triager answers
    /// again.
    pub fn script(&self, answers: Vec<Value>) {
        lock(&self.inner.script).extend(answers.into_iter().map(|one| (200, one.to_string().into_bytes())));
    }

    /// The next good request gets exactly these bytes, for answers that a JSON value cannot hold.
    pub fn script_bytes(&self, status: u16, body: &[u8]) {
        lock(&self.inner.script).push_back((status, body.to_vec()));
    }

    /// Calls wait before their answer until `release`.
    pub fn hold(&self) {
        self.inner.held.send_replace(true);
    }

    /// Lets the waiting calls go on.
    pub fn release(&self) {
        self.inner.held.send_replace(false);
    }

    /// Returns when so many calls wait at the gate.
    pub async fn wait_until_held(&self, calls: usize) {
        let mut waiting = self.inner.waiting.subscribe();
        // The sender lives in `inner`, so the wait cannot fail.
        drop(waiting.wait_for(|count| *count >= calls).await);
    }

    /// Returns when no call waits at the gate: all were released, or their clients have left.
    pub async fn wait_until_none_held(&self) {
        let mut waiting = self.inner.waiting.subscribe();
        // The sender lives in `inner`, so the wait cannot fail.
        drop(waiting.wait_for(|count| *count == 0).await);
    }

    /// Every request, refused ones included, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.inner.calls).clone()
    }

    fn request_id(&self) -> String {
        let mut requests = lock(&self.inner.requests);
        *requests = requests.saturating_add(1);
        format!("req_{:024}", *requests)
    }

    fn refuse(&self, bad: &Bad) -> Reply {
        let request_id = self.request_id();
        let answer = json!({"type": "error", "error": {"type": bad.kind, "message": bad.message},
                            "request_id": request_id});
        Reply::json(bad.status, &answer).with("request-id", request_id)
    }

    fn answer_messages(&self, body: &Map<String, Value>) -> Reply {
        let scripted = lock(&self.inner.script).pop_front();
        let (status, bytes) = match scripted {
            Some(scripted) => scripted,
            None => (200, self.turn(body).to_string().into_bytes()),
        };
        let mut reply = Reply { status, headers: Vec::new(), content_type: "application/json", body: bytes }
            .with("request-id", self.request_id())
            .with("anthropic-organization-id", "00000000-0000-4000-8000-00000000a11a");
        for (name, limit) in
            [("requests", 4_000_u64), ("input-tokens", 4_000_000), ("output-tokens", 800_000)]
        {
            reply = with_limit(reply, name, limit, (self.inner.now_ms)());
        }
        reply
    }

    /// What the triager says, in the vendor's form.
    fn turn(&self, body: &Map<String, Value>) -> Value {
        let mut content = triage::content(body);
        if thinks(body) {
            let block = json!({"type": "thinking", "thinking": "", "signature": signature(body, None)});
            content.insert(0, block);
        }
        let calls = |block: &Value| block.get("type").and_then(Value::as_str) == Some("tool_use");
        let mut stop = if content.iter().any(calls) { "tool_use" } else { "end_turn" };
        let max_tokens = body.get("max_tokens").and_then(Value::as_u64).unwrap_or(0);
        let mut output = tokens_of(&Value::from(content.clone()));
        if output > max_tokens {
            cut(&mut content, max_tokens);
            output = max_tokens;
            stop = "max_tokens";
        }
        let digest = Sha256::digest(Value::Object(body.clone()).to_string().as_bytes());
        json!({"id": format!("msg_{}", hex(&digest, 12)), "type": "message", "role": "assistant",
               "model": body.get("model"), "content": content, "stop_reason": stop, "stop_sequence": null,
               "stop_details": null, "usage": self.usage(body, output)})
    }

    /// Token counts: a quarter of the bytes, which is never above the bytes; parts of it from the cache.
    fn usage(&self, body: &Map<String, Value>, output: u64) -> Value {
        let total = input_tokens(body);
        let prefix = cached_prefix(body);
        let prefix_tokens = prefix.as_ref().map_or(0, |(_, tokens)| *tokens).min(total);
        let mut created = 0;
        let mut read = 0;
        if let Some((key, _)) = prefix.filter(|_| prefix_tokens >= CACHED_TOKENS_MIN) {
            let now_ms = (self.inner.now_ms)();
            let last = lock(&self.inner.cache).insert(key, now_ms);
            if last.is_some_and(|last| now_ms.saturating_sub(last) < CACHE_MS) {
                read = prefix_tokens;
            } else {
                created = prefix_tokens;
            }
        }
        let rest = total.saturating_sub(created).saturating_sub(read);
        json!({"input_tokens": rest, "output_tokens": output, "cache_creation_input_tokens": created,
               "cache_read_input_tokens": read,
               "cache_creation": {"ephemeral_5m_input_tokens": created, "ephemeral_1h_input_tokens": 0},
               "output_tokens_details": {"thinking_tokens": 0}, "service_tier": "standard",
               "inference_geo": "global"})
    }
}

/// A whole answer for `script`, with the usual counts.
#[must_use]
pub fn message(content: &Value, stop_reason: &str) -> Value {
    json!({"id": "msg_scripted", "type": "message", "role": "assistant", "model": "claude-haiku-5-5",
           "content": content, "stop_reason": stop_reason, "stop_sequence": null, "stop_details": null,
           "usage": {"input_tokens": 800, "output_tokens": 60, "cache_creation_input_tokens": 0,
                     "cache_read_input_tokens": 0,
                     "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
                     "output_tokens_details": {"thinking_tokens": 0}, "service_tier": "standard",
                     "inference_geo": "global"}})
}

fn with_limit(reply: Reply, what: &str, limit: u64, now_ms: i64) -> Reply {
    let reset = jiff::Timestamp::from_millisecond(now_ms.saturating_add(1_000));
    let reset = reset.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default();
    let names = match what {
        "requests" => [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
        "input-tokens" => [
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
        ],
        _ => [
            "anthropic-ratelimit-output-tokens-limit",
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
        ],
    };
    let [all, left, at] = names;
    reply.with(all, limit.to_string()).with(left, limit.to_string()).with(at, reset)
}

fn hex(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).map(|byte| format!("{byte:02x}")).collect()
}

/// A quarter of the value's bytes, at least one.
fn tokens_of(value: &Value) -> u64 {
    let bytes = u64::try_from(value.to_string().len()).unwrap_or(u64::MAX);
    bytes.div_ceil(4).max(1)
}

/// The tokens of all that the model reads.
fn input_tokens(body: &Map<String, Value>) -> u64 {
    ["system", "tools", "messages"].iter().filter_map(|name| body.get(*name)).map(tokens_of).sum()
}

/// Tools and system form the cached prefix when one of them, or the request, carries a breakpoint.
fn cached_prefix(body: &Map<String, Value>) -> Option<(Vec<u8>, u64)> {
    let marked = |name: &str| {
        let parts = body.get(name).and_then(Value::as_array);
        parts.is_some_and(|parts| {
            parts.iter().any(|part| part.get("cache_control").is_some_and(|c| !c.is_null()))
        })
    };
    if !marked("system") && !marked("tools") && !body.contains_key("cache_control") {
        return None;
    }
    let prefix = json!([body.get("model"), body.get("tools"), body.get("system")]);
    let tokens = ["tools", "system"].iter().filter_map(|name| body.get(*name)).map(tokens_of).sum();
    Some((Sha256::digest(prefix.to_string().as_bytes()).to_vec(), tokens))
}

/// Does this request make the model think before it speaks?
fn thinks(body: &Map<String, Value>) -> bool {
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    match body.get("thinking").and_then(|thinking| thinking.get("type")).and_then(Value::as_str) {
        Some("adaptive" | "enabled") => true,
        Some("between_tools") => {
            let last = body.get("messages").and_then(Value::as_array).and_then(|all| all.last());
            let last = last.and_then(|one| one.get("content")).and_then(Value::as_array);
            last.is_some_and(|blocks| blocks.iter().any(|block| block.get("tool_use_id").is_some()))
        }
        Some(_) => false,
        None => check::thinks_by_default(model),
    }
}

/// The seal of a thinking block: it binds the model and all that came before the turn (`before` messages, or
/// all).
fn signature(body: &Map<String, Value>, before: Option<usize>) -> String {
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let prefix = messages.get(..before.unwrap_or(messages.len())).unwrap_or_default();
    let sealed = json!([body.get("model"), body.get("tools"), body.get("system"), prefix]);
    STANDARD.encode(Sha256::digest(sealed.to_string().as_bytes()))
}

/// Cuts an answer as a token limit does: a text ends midway, a call has only the start of its input.
fn cut(content: &mut Vec<Value>, max_tokens: u64) {
    content.truncate(2);
    let chars = usize::try_from(max_tokens.saturating_mul(2)).unwrap_or(usize::MAX);
    for block in content.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(text) = block.get("text").and_then(Value::as_str) {
            let text: String = text.chars().take(chars.max(1)).collect();
            block.insert("text".to_owned(), json!(text));
        }
        if block.contains_key("input") {
            block.insert("input".to_owned(), json!({}));
        }
    }
}

impl Vendor for Anthropic {
    const NAME: &'static str = "anthropic";

    fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    fn arrived(&self, request: &Received) -> usize {
        let mut headers = request.headers.clone();
        headers.remove("x-api-key");
        headers.remove("authorization");
        let at_ms = (self.inner.now_ms)();
        let mut calls = lock(&self.inner.calls);
        calls.push(Call {
            path: request.target(),
            headers,
            body: request.body.to_vec(),
            at_ms,
            status: None,
        });
        calls.len().saturating_sub(1)
    }

    async fn answer(&self, request: Received, _place: usize) -> Reply {
        let body = match check::request(&request, &self.inner.api_key) {
            Ok(body) => body,
            Err(bad) => return self.refuse(&bad),
        };
        if *self.inner.held.borrow() {
            let waiting = Waiting::at(&self.inner.waiting);
            let mut held = self.inner.held.subscribe();
            // The sender lives in `inner`, so the wait cannot fail.
            drop(held.wait_for(|held| !*held).await);
            drop(waiting);
        }
        if request.path == check::COUNT_PATH {
            let answer = json!({"input_tokens": input_tokens(&body)});
            return Reply::json(200, &answer).with("request-id", self.request_id());
        }
        self.answer_messages(&body)
    }

    fn too_many(&self, policy: &str) -> Reply {
        let request_id = self.request_id();
        let mut error = json!({"type": "rate_limit_error", "message":
            "This request would exceed your organization's rate limit. Please try again later."});
        if !policy.is_empty()
            && let Some(fields) = error.as_object_mut()
        {
            fields.insert("details".to_owned(), json!({"error_code": policy}));
        }
        let answer = json!({"type": "error", "error": error, "request_id": request_id});
        let reply = Reply::json(429, &answer).with("request-id", request_id);
        // A spent limit does not come back by waiting, so it names no time.
        if policy.ends_with("spend_limit_reached") { reply } else { reply.with("retry-after", "1") }
    }

    fn broken(&self, status: u16) -> Reply {
        let (kind, message) = match status {
            400 => ("invalid_request_error", "invalid request"),
            401 => ("authentication_error", "invalid x-api-key"),
            402 => ("billing_error", "Your credit balance is too low"),
            403 => {
                ("permission_error", "Your API key does not have permission to use the specified resource")
            }
            404 => ("not_found_error", "Not found"),
            409 => ("conflict_error", "Conflict"),
            413 => ("request_too_large", "Request exceeds the maximum size"),
            504 => ("timeout_error", "The request timed out"),
            529 => ("overloaded_error", "Overloaded"),
            _ => ("api_error", "Internal server error"),
        };
        let reply = self.refuse(&Bad { status, kind, message: message.to_owned() });
        if status >= 500 { reply.with("x-should-retry", "true") } else { reply }
    }

    fn answered(&self, place: usize, status: Option<u16>) {
        if let Some(call) = lock(&self.inner.calls).get_mut(place) {
            call.status = status;
        }
    }
}
