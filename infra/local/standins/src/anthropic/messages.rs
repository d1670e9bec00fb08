//! The rules about the conversation itself: turns, blocks, and each call answered once. Must never repair a
//! turn.
use super::check::{Bad, Model, bad, cache_control, is_name, only, text};
use super::signature;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const MESSAGES_MAX: usize = 100_000;

/// Whether a text block may carry citations, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Citations {
    /// On a system prompt, a user's text or a result.
    Refused,
    /// On the model's own text, as it was answered.
    Allowed,
}

/// Checks all turns.
pub(super) fn check(body: &Map<String, Value>, model: Model, has_tools: bool) -> Result<(), Bad> {
    let all = body.get("messages").and_then(Value::as_array);
    let all = all.ok_or_else(|| bad("messages: Input should be a valid list"))?;
    if all.is_empty() {
        return Err(bad("messages: at least one message is required"));
    }
    if all.len() > MESSAGES_MAX {
        return Err(bad("messages: List should have at most 100000 items"));
    }
    let mut turns = Vec::new();
    for (index, message) in all.iter().enumerate() {
        turns.push(turn(message, index)?);
    }
    order(&turns, model)?;
    let mut used = BTreeSet::new();
    let mut open: Vec<&str> = Vec::new();
    for (index, turn) in turns.iter().enumerate() {
        let at = format!("messages.{index}");
        match turn.role {
            "assistant" => {
                open = calls(body, turn, index, &mut used)?;
                if !open.is_empty() && !has_tools {
                    return Err(bad(
                        "Requests which include `tool_use` or `tool_result` blocks must define tools",
                    ));
                }
            }
            "user" => {
                answers(turn, &at, &open)?;
                open.clear();
            }
            _ => {}
        }
    }
    if open.is_empty() {
        return Ok(());
    }
    Err(unanswered(all.len().saturating_sub(1), &open))
}

fn unanswered(index: usize, open: &[&str]) -> Bad {
    bad(format!(
        "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. \
            Each \
         `tool_use` block must have a corresponding `tool_result` block in the next message.",
        open.join(", ")
    ))
}

/// One turn, with its blocks (a plain text is one block without a name).
struct Turn<'a> {
    role: &'a str,
    blocks: Vec<&'a Map<String, Value>>,
}

fn turn(message: &Value, index: usize) -> Result<Turn<'_>, Bad> {
    let at = format!("messages.{index}");
    let message = message.as_object().ok_or_else(|| bad(format!("{at}: Input should be an object")))?;
    only(message, &at, &["role", "content"])?;
    let role = text(message, &at, "role")?;
    if !matches!(role, "user" | "assistant" | "system") {
        return Err(bad(format!("{at}.role: Input should be 'user', 'assistant' or 'system'")));
    }
    let content = message.get("content").ok_or_else(|| bad(format!("{at}.content: Field required")))?;
    if let Some(content) = content.as_str() {
        if content.trim().is_empty() {
            return Err(bad(format!("{at}: all messages must have non-empty content")));
        }
        return Ok(Turn { role, blocks: Vec::new() });
    }
    let list = content.as_array();
    let list = list.ok_or_else(|| bad(format!("{at}.content: Input should be a valid string or a list")))?;
    if list.is_empty() {
        return Err(bad(format!("{at}: all messages must have non-empty content")));
    }
    let mut blocks = Vec::new();
    for (place, one) in list.iter().enumerate() {
        blocks.push(block(one, role, &format!("{at}.content.{place}"))?);
    }
    Ok(Turn { role, blocks })
}

fn block<'a>(value: &'a Value, role: &str, at: &str) -> Result<&'a Map<String, Value>, Bad> {
    let object = value.as_object().ok_or_else(|| bad(format!("{at}: Input should be an object")))?;
    let kind = text(object, at, "type")?;
    match (role, kind) {
        ("assistant", "text") => text_block(value, at, Citations::Allowed)?,
        ("user" | "system", "text") => text_block(value, at, Citations::Refused)?,
        ("assistant", "tool_use") => tool_use(object, at)?,
        ("assistant", "thinking") => {
            only(object, at, &["type", "thinking", "signature"])?;
            text(object, at, "thinking")?;
            text(object, at, "signature")?;
        }
        ("assistant", "redacted_thinking") => only(object, at, &["type", "data"])?,
        ("user", "tool_result") => tool_result(object, at)?,
        _ => return Err(bad(format!("{at}.type: a `{kind}` block is not permitted in a {role} turn"))),
    }
    Ok(object)
}

/// A text block: not empty, no unknown field.
pub(super) fn text_block(block: &Value, at: &str, citations: Citations) -> Result<(), Bad> {
    let block = block.as_object().ok_or_else(|| bad(format!("{at}: Input should be an object")))?;
    if text(block, at, "type")? != "text" {
        return Err(bad(format!("{at}.type: Input should be 'text'")));
    }
    let names: &[&str] = match citations {
        Citations::Allowed => &["type", "text", "cache_control", "citations"],
        Citations::Refused => &["type", "text", "cache_control"],
    };
    only(block, at, names)?;
    let words = text(block, at, "text")?;
    if words.is_empty() {
        return Err(bad(format!("{at}: text content blocks must be non-empty")));
    }
    if words.trim().is_empty() {
        return Err(bad(format!("{at}: text content blocks must contain non-whitespace text")));
    }
    block.get("cache_control").map_or(Ok(()), |one| cache_control(one, &format!("{at}.cache_control")))
}

fn tool_use(block: &Map<String, Value>, at: &str) -> Result<(), Bad> {
    only(block, at, &["type", "id", "name", "input", "cache_control", "caller"])?;
    let id = text(block, at, "id")?;
    if !is_name(id, usize::MAX) {
        return Err(bad(format!("{at}.id: String should match pattern '^[a-zA-Z0-9_-]+$'")));
    }
    if !is_name(text(block, at, "name")?, 200) {
        return Err(bad(format!("{at}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,200}}$'")));
    }
    match block.get("input") {
        Some(Value::Object(_)) => Ok(()),
        Some(_) => Err(bad(format!("{at}.input: Input should be an object"))),
        None => Err(bad(format!("{at}.input: Field required"))),
    }
}

fn tool_result(block: &Map<String, Value>, at: &str) -> Result<(), Bad> {
    only(block, at, &["type", "tool_use_id", "content", "is_error", "cache_control"])?;
    text(block, at, "tool_use_id")?;
    if block.get("is_error").is_some_and(|value| !value.is_boolean()) {
        return Err(bad(format!("{at}.is_error: Input should be a valid boolean")));
    }
    match block.get("content") {
        None | Some(Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => parts.iter().enumerate().try_for_each(|(place, part)| {
            text_block(part, &format!("{at}.content.{place}"), Citations::Refused)
        }),
        Some(_) => Err(bad(format!("{at}.content: Input should be a valid string or a list"))),
    }
}

/// User and assistant take turns; a system turn stands behind a user turn and is last or before an assistant
/// turn.
fn order(turns: &[Turn<'_>], model: Model) -> Result<(), Bad> {
    let mut before = "";
    for (index, turn) in turns.iter().enumerate() {
        let at = format!("messages.{index}");
        let good = match (before, turn.role) {
            ("" | "assistant", "user") | ("user" | "system", "assistant") => true,
            ("user", "system") => model.system_turns,
            _ => false,
        };
        if !good {
            return Err(bad(format!(
                "{at}.role: a {} turn is not permitted here; roles must alternate",
                turn.role
            )));
        }
        before = turn.role;
    }
    if before == "assistant" && !model.prefill {
        return Err(bad(
            "This model does not support assistant message prefill. The conversation must end with a user \
                message.",
        ));
    }
    Ok(())
}

/// The ids that an assistant turn calls with. Thinking that was sealed over other words is refused.
fn calls<'a>(
    body: &Map<String, Value>,
    turn: &Turn<'a>,
    index: usize,
    used: &mut BTreeSet<&'a str>,
) -> Result<Vec<&'a str>, Bad> {
    let mut open = Vec::new();
    for (place, block) in turn.blocks.iter().enumerate() {
        let field = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
        match field("type") {
            "thinking" if field("signature") != signature(body, Some(index)) => {
                return Err(bad(format!(
                    "messages.{index}.content.{place}: Invalid `signature` in `thinking` block"
                )));
            }
            "tool_use" => {
                let id = block.get("id").and_then(Value::as_str).unwrap_or_default();
                if !used.insert(id) {
                    return Err(bad(format!(
                        "messages.{index}.content.{place}: `tool_use` ids must be unique"
                    )));
                }
                open.push(id);
            }
            _ => {}
        }
    }
    Ok(open)
}

/// A user turn answers each open call once, before anything else, and nothing that was not called.
fn answers(turn: &Turn<'_>, at: &str, open: &[&str]) -> Result<(), Bad> {
    let mut answered: Vec<&str> = Vec::new();
    let mut other = false;
    for (place, block) in turn.blocks.iter().enumerate() {
        let Some(id) = block.get("tool_use_id").and_then(Value::as_str) else {
            other = true;
            continue;
        };
        if other {
            return Err(bad(format!(
                "{at}.content.{place}: `tool_result` blocks must come first in the message"
            )));
        }
        if answered.contains(&id) {
            return Err(bad(format!(
                "{at}.content.{place}: each tool_use must have a single result. Found multiple \
                    `tool_result` blocks \
                 with id: {id}"
            )));
        }
        if !open.contains(&id) {
            return Err(bad(format!(
                "{at}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each \
                 `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )));
        }
        answered.push(id);
    }
    let left: Vec<&str> = open.iter().copied().filter(|id| !answered.contains(id)).collect();
    if left.is_empty() {
        return Ok(());
    }
    let index = at.rsplit('.').next().and_then(|index| index.parse::<usize>().ok()).unwrap_or(0);
    Err(unanswered(index.saturating_sub(1), &left))
}
