//! Every rule about a request that the vendor answers with an error. Must never let an unknown field pass.
use super::{messages, schema};
use crate::serve::Received;
use serde_json::{Map, Value};

/// `POST` here for an answer.
pub(super) const MESSAGES_PATH: &str = "/v1/messages";
/// `POST` here for a count.
pub(super) const COUNT_PATH: &str = "/v1/messages/count_tokens";
const VERSIONS: [&str; 2] = ["2026-10-21", "2023-06-01"];
const BREAKPOINTS_MAX: usize = 4;

/// A refusal: status, error type and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) message: String,
}

pub(super) fn bad(message: impl Into<String>) -> Bad {
    Bad { status: 400, kind: "invalid_request_error", message: message.into() }
}

fn refusal(status: u16, kind: &'static str, message: impl Into<String>) -> Bad {
    Bad { status, kind, message: message.into() }
}

/// Which thinking settings a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thinking {
    AdaptiveOrDisabled,
    AdaptiveOrBetweenTools,
    AdaptiveOnly,
    BudgetOnly,
}

/// What a model permits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model {
    id: &'static str,
    thinking: Thinking,
    forced_choice: bool,
    pub(super) prefill: bool,
    pub(super) system_turns: bool,
    output_max: u64,
}

const MODELS: [Model; 4] = [
    Model {
        id: "claude-haiku-5-5",
        thinking: Thinking::AdaptiveOrDisabled,
        forced_choice: true,
        prefill: false,
        system_turns: true,
        output_max: 128_000,
    },
    Model {
        id: "claude-sonnet-5-5",
        thinking: Thinking::AdaptiveOrBetweenTools,
        forced_choice: false,
        prefill: false,
        system_turns: true,
        output_max: 128_000,
    },
    Model {
        id: "claude-opus-5-5",
        thinking: Thinking::AdaptiveOnly,
        forced_choice: false,
        prefill: false,
        system_turns: true,
        output_max: 128_000,
    },
    Model {
        id: "claude-haiku-4-5",
        thinking: Thinking::BudgetOnly,
        forced_choice: true,
        prefill: true,
        system_turns: false,
        output_max: 64_000,
    },
];

/// Does the model think when the request says nothing about it?
pub(super) fn thinks_by_default(model: &str) -> bool {
    MODELS.iter().any(|one| one.id == model && one.thinking != Thinking::BudgetOnly)
}

/// Checks address, headers and body, and answers the body.
pub(super) fn request(request: &Received, api_key: &str) -> Result<Map<String, Value>, Bad> {
    let counting = request.path == COUNT_PATH;
    if request.path != MESSAGES_PATH && !counting {
        return Err(refusal(404, "not_found_error", "Not found"));
    }
    if request.method != "POST" {
        return Err(refusal(405, "invalid_request_error", "Method Not Allowed"));
    }
    headers(request, api_key)?;
    if request.oversize {
        return Err(refusal(413, "request_too_large", "Request exceeds the maximum size"));
    }
    let value: Value = serde_json::from_slice(&request.body)
        .map_err(|error| bad(format!("The request body is not valid JSON: {error}")))?;
    let Value::Object(body) = value else { return Err(bad("The request body is not a JSON object")) };
    top_level(&body, counting)?;
    Ok(body)
}

fn headers(request: &Received, api_key: &str) -> Result<(), Bad> {
    match request.header("anthropic-version") {
        None => return Err(bad("anthropic-version: header is required")),
        Some(version) if !VERSIONS.contains(&version) => {
            return Err(bad(format!("anthropic-version: \"{version}\" is not a valid version")));
        }
        Some(_) => {}
    }
    if !request.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
        return Err(bad("content-type: must be application/json"));
    }
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    match request.header("x-api-key").or(bearer) {
        None => Err(refusal(401, "authentication_error", "x-api-key header is required")),
        Some(key) if key != api_key => Err(refusal(401, "authentication_error", "invalid x-api-key")),
        Some(_) => Ok(()),
    }
}

/// Refuses every field that is not in the list.
pub(super) fn only(object: &Map<String, Value>, at: &str, names: &[&str]) -> Result<(), Bad> {
    match object.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) if at.is_empty() => Err(bad(format!("{name}: Extra inputs are not permitted"))),
        Some(name) => Err(bad(format!("{at}.{name}: Extra inputs are not permitted"))),
        None => Ok(()),
    }
}

/// The text of a field that must be there.
pub(super) fn text<'a>(object: &'a Map<String, Value>, at: &str, name: &str) -> Result<&'a str, Bad> {
    match object.get(name) {
        None => Err(bad(format!("{at}.{name}: Field required"))),
        Some(value) => {
            value.as_str().ok_or_else(|| bad(format!("{at}.{name}: Input should be a valid string")))
        }
    }
}

fn top_level(body: &Map<String, Value>, counting: bool) -> Result<(), Bad> {
    let mut names = vec![
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "inference_geo",
        "speed",
    ];
    if !counting {
        names.extend(["max_tokens", "metadata", "stop_sequences", "stream", "service_tier"]);
    }
    only(body, "", &names)?;
    for name in ["model", "messages"] {
        if !body.contains_key(name) {
            return Err(bad(format!("{name}: Field required")));
        }
    }
    let id = body
        .get("model")
        .and_then(Value::as_str)
        .ok_or_else(|| bad("model: Input should be a valid string"))?;
    let model = MODELS.iter().find(|model| model.id == id);
    let model = model.ok_or_else(|| refusal(404, "not_found_error", format!("model: {id}")))?;
    if !counting {
        max_tokens(body, *model)?;
    }
    small_fields(body)?;
    system(body)?;
    let tools = tools(body)?;
    choice(body, *model, &tools)?;
    thinking(body, *model)?;
    messages::check(body, *model, !tools.is_empty())?;
    if breakpoints(&Value::Object(body.clone())) > BREAKPOINTS_MAX {
        return Err(bad("A maximum of 4 blocks with cache_control may be provided."));
    }
    Ok(())
}

fn max_tokens(body: &Map<String, Value>, model: Model) -> Result<(), Bad> {
    let value = body.get("max_tokens").ok_or_else(|| bad("max_tokens: Field required"))?;
    let count = value.as_u64().ok_or_else(|| bad("max_tokens: Input should be a valid integer"))?;
    if count > model.output_max {
        return Err(bad(format!(
            "max_tokens: {count} > {}, which is the maximum allowed number of output tokens for {}",
            model.output_max, model.id
        )));
    }
    Ok(())
}

fn small_fields(body: &Map<String, Value>) -> Result<(), Bad> {
    if let Some(metadata) = body.get("metadata") {
        let metadata = metadata.as_object().ok_or_else(|| bad("metadata: Input should be an object"))?;
        only(metadata, "metadata", &["user_id"])?;
        let long = |id: &Value| !id.is_null() && id.as_str().is_none_or(|id| id.chars().count() > 512);
        if metadata.get("user_id").is_some_and(long) {
            return Err(bad("metadata.user_id: String should have at most 512 characters"));
        }
    }
    if let Some(stops) = body.get("stop_sequences") {
        let good = |stop: &Value| stop.as_str().is_some_and(|stop| !stop.trim().is_empty());
        if !stops.as_array().is_some_and(|stops| stops.iter().all(good)) {
            return Err(bad("stop_sequences: each stop sequence must contain non-whitespace"));
        }
    }
    match body.get("stream") {
        None | Some(Value::Bool(false)) => {}
        Some(_) => return Err(bad("stream: only whole answers are given here")),
    }
    one_of(body, "service_tier", &["auto", "standard_only"])?;
    one_of(body, "speed", &["standard", "fast"])?;
    one_of(body, "inference_geo", &["us", "global"])?;
    body.get("cache_control").map_or(Ok(()), |control| cache_control(control, "cache_control"))?;
    let Some(config) = body.get("output_config") else { return Ok(()) };
    let config = config.as_object().ok_or_else(|| bad("output_config: Input should be an object"))?;
    only(config, "output_config", &["effort", "format"])?;
    one_of(config, "effort", &["low", "medium", "high", "xhigh", "max"])?;
    let Some(format) = config.get("format").filter(|format| !format.is_null()) else { return Ok(()) };
    let format = format.as_object().ok_or_else(|| bad("output_config.format: Input should be an object"))?;
    only(format, "output_config.format", &["type", "schema"])?;
    one_of(format, "type", &["json_schema"])?;
    let schema = format.get("schema").ok_or_else(|| bad("output_config.format.schema: Field required"))?;
    schema::strict(schema, "output_config.format.schema").map(drop)
}

fn one_of(object: &Map<String, Value>, name: &str, options: &[&str]) -> Result<(), Bad> {
    match object.get(name) {
        None => Ok(()),
        Some(value) if value.as_str().is_some_and(|value| options.contains(&value)) => Ok(()),
        Some(_) => Err(bad(format!("{name}: Input should be one of {options:?}"))),
    }
}

/// `{"type":"ephemeral"}` with `5m`, `1h` or no `ttl`.
pub(super) fn cache_control(control: &Value, at: &str) -> Result<(), Bad> {
    if control.is_null() {
        return Ok(());
    }
    let control = control.as_object().ok_or_else(|| bad(format!("{at}: Input should be an object")))?;
    only(control, at, &["type", "ttl"])?;
    if text(control, at, "type")? != "ephemeral" {
        return Err(bad(format!("{at}.type: Input should be 'ephemeral'")));
    }
    one_of(control, "ttl", &["5m", "1h"])
}

fn breakpoints(value: &Value) -> usize {
    if let Some(object) = value.as_object() {
        let own = usize::from(object.get("cache_control").is_some_and(Value::is_object));
        // Schemas and inputs may well have a property of that name.
        let inner = object.iter().filter(|(name, _)| !["input_schema", "input"].contains(&name.as_str()));
        return inner.map(|(_, one)| breakpoints(one)).sum::<usize>().saturating_add(own);
    }
    value.as_array().map_or(0, |all| all.iter().map(breakpoints).sum())
}

fn system(body: &Map<String, Value>) -> Result<(), Bad> {
    let Some(system) = body.get("system") else { return Ok(()) };
    if system.is_string() {
        return Ok(());
    }
    let blocks = system.as_array().ok_or_else(|| bad("system: Input should be a valid string or a list"))?;
    for (index, block) in blocks.iter().enumerate() {
        messages::text_block(block, &format!("system.{index}"), messages::Citations::Refused)?;
    }
    Ok(())
}

/// The names of the tools.
fn tools(body: &Map<String, Value>) -> Result<Vec<&str>, Bad> {
    let Some(tools) = body.get("tools") else { return Ok(Vec::new()) };
    let tools = tools.as_array().ok_or_else(|| bad("tools: Input should be a valid list"))?;
    let mut names = Vec::new();
    let mut total = schema::Count::default();
    for (index, tool) in tools.iter().enumerate() {
        let at = format!("tools.{index}");
        let tool = tool.as_object().ok_or_else(|| bad(format!("{at}: Input should be an object")))?;
        let known = [
            "type",
            "name",
            "description",
            "input_schema",
            "strict",
            "cache_control",
            "defer_loading",
            "eager_input_streaming",
            "input_examples",
            "allowed_callers",
        ];
        only(tool, &at, &known)?;
        one_of(tool, "type", &["custom"])?;
        let name = text(tool, &at, "name")?;
        if !is_name(name, 128) {
            return Err(bad(format!("{at}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")));
        }
        if names.contains(&name) {
            return Err(bad("tools: Tool names must be unique."));
        }
        names.push(name);
        if tool.get("description").is_some_and(|text| !text.is_string()) {
            return Err(bad(format!("{at}.description: Input should be a valid string")));
        }
        tool.get("cache_control").map_or(Ok(()), |one| cache_control(one, &format!("{at}.cache_control")))?;
        let input =
            tool.get("input_schema").ok_or_else(|| bad(format!("{at}.input_schema: Field required")))?;
        if input.get("type").and_then(Value::as_str) != Some("object") {
            return Err(bad(format!("{at}.input_schema.type: Input should be 'object'")));
        }
        match tool.get("strict") {
            None | Some(Value::Bool(false)) => {}
            Some(Value::Bool(true)) => total.add(schema::strict(input, &format!("{at}.input_schema"))?),
            Some(_) => return Err(bad(format!("{at}.strict: Input should be a valid boolean"))),
        }
    }
    total.check()?;
    Ok(names)
}

/// Letters, digits, `_` and `-`, so many at most.
pub(super) fn is_name(name: &str, max: usize) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !name.is_empty() && name.len() <= max && name.bytes().all(fits)
}

fn choice(body: &Map<String, Value>, model: Model, tools: &[&str]) -> Result<(), Bad> {
    let Some(choice) = body.get("tool_choice") else { return Ok(()) };
    let choice = choice.as_object().ok_or_else(|| bad("tool_choice: Input should be an object"))?;
    let kind = text(choice, "tool_choice", "type")?;
    let names: &[&str] = match kind {
        "auto" | "any" => &["type", "disable_parallel_tool_use"],
        "tool" => &["type", "name", "disable_parallel_tool_use"],
        "none" => &["type"],
        _ => return Err(bad("tool_choice.type: Input should be one of 'auto', 'any', 'tool', 'none'")),
    };
    only(choice, "tool_choice", names)?;
    if choice.get("disable_parallel_tool_use").is_some_and(|value| !value.is_boolean()) {
        return Err(bad("tool_choice.disable_parallel_tool_use: Input should be a valid boolean"));
    }
    if tools.is_empty() {
        return Err(bad("tool_choice may only be specified while providing tools."));
    }
    if matches!(kind, "any" | "tool") && !model.forced_choice {
        return Err(bad(format!("tool_choice: forced tool use is not supported on {}", model.id)));
    }
    if kind == "tool" && !tools.contains(&text(choice, "tool_choice", "name")?) {
        return Err(bad("tool_choice.name: Tool not found in provided tools"));
    }
    Ok(())
}

fn thinking(body: &Map<String, Value>, model: Model) -> Result<(), Bad> {
    let effort = body.get("output_config").and_then(|config| config.get("effort")).and_then(Value::as_str);
    let deep = matches!(effort, Some("xhigh" | "max"));
    let Some(thinking) = body.get("thinking") else { return Ok(()) };
    let thinking = thinking.as_object().ok_or_else(|| bad("thinking: Input should be an object"))?;
    let kind = text(thinking, "thinking", "type")?;
    let refuse = || Err(bad(format!("thinking.type: \"{kind}\" is not supported on {}", model.id)));
    match kind {
        "enabled" => {
            only(thinking, "thinking", &["type", "budget_tokens", "display"])?;
            if model.thinking != Thinking::BudgetOnly {
                return refuse();
            }
            let budget = thinking.get("budget_tokens").and_then(Value::as_u64);
            let budget = budget.ok_or_else(|| bad("thinking.enabled.budget_tokens: Field required"))?;
            let max = body.get("max_tokens").and_then(Value::as_u64).unwrap_or(u64::MAX);
            if budget < 1_024 || budget >= max {
                return Err(bad(
                    "thinking.enabled.budget_tokens: must be at least 1024 and less than max_tokens",
                ));
            }
            Ok(())
        }
        "adaptive" => {
            only(thinking, "thinking", &["type", "display"])?;
            if model.thinking == Thinking::BudgetOnly { refuse() } else { Ok(()) }
        }
        "disabled" => {
            only(thinking, "thinking", &["type"])?;
            match model.thinking {
                Thinking::BudgetOnly => Ok(()),
                Thinking::AdaptiveOrDisabled if !deep => Ok(()),
                Thinking::AdaptiveOrDisabled | Thinking::AdaptiveOrBetweenTools | Thinking::AdaptiveOnly => {
                    refuse()
                }
            }
        }
        "between_tools" => {
            only(thinking, "thinking", &["type", "display"])?;
            if model.thinking == Thinking::AdaptiveOrBetweenTools && !deep { Ok(()) } else { refuse() }
        }
        _ => Err(bad(
            "thinking.type: Input should be one of 'adaptive', 'enabled', 'disabled', 'between_tools'",
        )),
    }
}
