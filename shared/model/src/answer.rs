//! Reading an HTTP 200 of the API. Must never take a call from an answer that did not end whole.
use crate::turn::{Answer, CALLS_MAX, Call, Charge, Receipt, Stop, Turn};
use crate::usage::WireUsage;
use crate::{Input, Malformed, frozen, text};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct WireAnswer<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    model: String,
    stop_reason: Option<String>,
    stop_details: Option<WireStop>,
    usage: WireUsage,
}

#[derive(Deserialize)]
struct WireStop {
    category: Option<String>,
}

#[derive(Deserialize)]
struct WireBlock<'a> {
    r#type: String,
    id: Option<String>,
    name: Option<String>,
    text: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// Ids of calls are echoed back to the API; ours are stored, so they are bounded.
const ID_BYTES_MAX: usize = 128;
const WORD_BYTES_MAX: usize = 64;

/// Reads the body of a 200. Blocks are chosen by type: an answer may begin with thinking.
pub(crate) fn read(body: &[u8], request_id: Option<String>) -> Turn {
    let Ok(wire) = serde_json::from_slice::<WireAnswer<'_>>(body) else {
        return unreadable("no such answer");
    };
    let receipt = Receipt {
        usage: wire.usage.into(),
        model_version: text::line(&wire.model, WORD_BYTES_MAX),
        request_id: request_id.map(|id| text::line(&id, ID_BYTES_MAX)),
    };
    let stop = match wire.stop_reason.as_deref() {
        Some("end_turn") => Stop::EndTurn,
        Some("tool_use") => Stop::ToolUse,
        Some("refusal") => {
            let category = wire.stop_details.and_then(|d| d.category);
            return Turn::Refusal { receipt, category: category.map(|c| text::line(&c, WORD_BYTES_MAX)) };
        }
        // A cut answer may hold half a call that happens to be whole JSON.
        Some("max_tokens") => return Turn::Truncated { receipt },
        // FAIL-CLOSED: a word that came after this was written is a stop.
        Some(other) => return Turn::StopUnknown { receipt, stop: text::line(other, WORD_BYTES_MAX) },
        None => return Turn::StopUnknown { receipt, stop: "missing".into() },
    };
    whole(wire.content, stop, receipt)
}

fn whole(content: &RawValue, stop: Stop, receipt: Receipt) -> Turn {
    let Ok(blocks) = serde_json::from_str::<Vec<WireBlock<'_>>>(content.get()) else {
        return unreadable("no such content");
    };
    let mut texts = Vec::new();
    let mut calls = Vec::new();
    let mut calls_dropped = 0_u64;
    for block in blocks {
        match block.r#type.as_str() {
            "text" => texts.extend(block.text),
            "tool_use" if calls.len() >= CALLS_MAX => calls_dropped = calls_dropped.saturating_add(1),
            "tool_use" => match call(block) {
                Some(call) => calls.push(call),
                None => return unreadable("a call that cannot be answered"),
            },
            _ => {}
        }
    }
    let misfit = match (stop, calls.is_empty()) {
        (Stop::EndTurn, true) | (Stop::ToolUse, false) => None,
        (Stop::EndTurn, false) => Some("end_turn_with_calls"),
        (Stop::ToolUse, true) => Some("tool_use_without_calls"),
    };
    if let Some(stop) = misfit {
        return Turn::StopUnknown { receipt, stop: stop.into() };
    }
    let content_raw = content.get().as_bytes().to_vec();
    Turn::Answer(Answer { text: texts.join("\n"), calls, calls_dropped, content_raw, stop, receipt })
}

/// None when its id is missing or unfit: then no result could name it, and the run could not go on.
fn call(block: WireBlock<'_>) -> Option<Call> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let id = block.id.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(plain))?;
    let name = block.name?;
    // FAIL-CLOSED: a cleaned name could be that of a real tool, so a name that needs cleaning is never used.
    let input = match block.input {
        Some(_) | None if !frozen::is_name(&name) => Input::Malformed(Malformed::Name),
        Some(raw) => Input::read(raw.get()),
        None => Input::Malformed(Malformed::NotAnObject),
    };
    Some(Call { id, name: text::line(&name, frozen::NAME_BYTES_MAX), input })
}

/// WHY NOT: try again: it was served and billed, and the same body would most likely be answered alike.
pub(crate) fn unreadable(message: &str) -> Turn {
    Turn::Rejected {
        status: Some(200),
        kind: "unreadable_answer".into(),
        message: message.into(),
        charge: Charge::InFull,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settlement;
    use serde_json::{Value, json};

    fn body(content: &str, stop: &str) -> String {
        format!(
            r#"{{"id":"msg_01","type":"message","role":"assistant","model":"claude-haiku-5-5",
            "content":{content},"stop_reason":{stop},"stop_sequence":null,
            "stop_details":{{"category":"cyber"}},
            "usage":{{"input_tokens":812,"output_tokens":64}}}}"#
        )
    }

    fn turn(content: &str, stop: &str) -> Turn {
        read(body(content, stop).as_bytes(), Some("req_1".into()))
    }

    fn answer(content: &str, stop: &str) -> Answer {
        match turn(content, stop) {
            Turn::Answer(answer) => answer,
            Turn::Refusal { .. }
            | Turn::Truncated { .. }
            | Turn::StopUnknown { .. }
            | Turn::Rejected { .. }
            | Turn::Retry { .. }
            | Turn::Halted => panic!("must be an answer"),
        }
    }

    #[test]
    fn blocks_are_chosen_by_type_and_content_is_kept_byte_for_byte() {
        let content = r#"[ {"type":"thinking","thinking":"","signature":"s=="},
            {"type":"text","text":"Hm.","citations":null},
            {"type":"tool_use","id":"toolu_01B","name":"set_stage","input":{"deal_id":"17"},
            "caller":{"type":"direct"}}]"#;
        let answer = answer(content, "\"tool_use\"");
        assert_eq!(answer.content_raw, content.as_bytes());
        assert_eq!((answer.text.as_str(), answer.stop, answer.calls_dropped), ("Hm.", Stop::ToolUse, 0));
        let [call] = answer.calls.as_slice() else { panic!("one call") };
        assert_eq!((call.id.as_str(), call.name.as_str()), ("toolu_01B", "set_stage"));
        let Input::Object(input) = &call.input else { panic!("an object") };
        assert_eq!(Value::Object(input.clone()), json!({"deal_id":"17"}));
        assert_eq!(
            (answer.receipt.model_version.as_str(), answer.receipt.usage.total()),
            ("claude-haiku-5-5", 876)
        );
        assert_eq!(answer.receipt.request_id.as_deref(), Some("req_1"));
    }

    #[test]
    fn no_call_leaves_an_answer_that_did_not_end_whole() {
        let call = r#"[{"type":"tool_use","id":"t","name":"set_stage","input":{"stage":"closedwon"}}]"#;
        assert!(matches!(turn(call, "\"max_tokens\""), Turn::Truncated { .. }));
        let refused = turn(call, "\"refusal\"");
        assert!(matches!(&refused, Turn::Refusal { category: Some(c), .. } if c == "cyber"), "{refused:?}");
        for stop in [
            "\"pause_turn\"",
            "\"stop_sequence\"",
            "\"model_context_window_exceeded\"",
            "\"new\"",
            "null",
            "\"end_turn\"",
        ] {
            let turn = turn(call, stop);
            assert!(matches!(turn, Turn::StopUnknown { .. }), "{stop}: {turn:?}");
            assert!(matches!(turn.settlement(), Settlement::Exact(usage) if usage.total() == 876));
        }
        assert!(matches!(turn("[]", "\"tool_use\""), Turn::StopUnknown { .. }), "no call to answer");
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_charged_in_full() {
        let doubled = body("[]", "\"end_turn\"").replacen('{', r#"{"content":[],"#, 1);
        let no_usage = r#"{"model":"m","content":[],"stop_reason":"end_turn"}"#.to_owned();
        let no_id = body(r#"[{"type":"tool_use","name":"x","input":{}}]"#, "\"tool_use\"");
        let odd_id = body(r#"[{"type":"tool_use","id":"a b","name":"x","input":{}}]"#, "\"tool_use\"");
        let half = body("[]", "\"end_turn\"").replace("\"usage\"", "\"used\"");
        for bad in [doubled, no_usage, no_id, odd_id, half, "<html>".into(), String::new(), "[]".into()] {
            let turn = read(bad.as_bytes(), None);
            assert!(matches!(turn, Turn::Rejected { status: Some(200), .. }), "{bad}: {turn:?}");
            assert_eq!(turn.settlement(), Settlement::InFull);
        }
    }

    #[test]
    fn calls_beyond_the_bound_are_counted() {
        let calls: Vec<Value> = (0..10_000)
            .map(|n| json!({"type":"tool_use","id":format!("t{n}"),"name":"x","input":{}}))
            .collect();
        let answer = answer(&Value::Array(calls).to_string(), "\"tool_use\"");
        assert_eq!((answer.calls.len(), answer.calls_dropped), (CALLS_MAX, 10_000 - 64));
        assert_eq!(answer.calls.last().map(|c| c.id.as_str()), Some("t63"));
    }

    #[test]
    fn a_call_that_is_not_plain_is_shown_as_malformed() {
        let one = |name: &str, input: &str| {
            let name = Value::from(name);
            let answer =
                answer(&format!(r#"[{{"type":"tool_use","id":"t","name":{name}{input}}}]"#), "\"tool_use\"");
            answer.calls.into_iter().next().expect("a call")
        };
        let hidden = one("set_\u{202e}stage", r#","input":{}"#);
        assert_eq!((hidden.name.as_str(), hidden.input), ("set_stage", Input::Malformed(Malformed::Name)));
        assert_eq!(one(&"x".repeat(65), r#","input":{}"#).input, Input::Malformed(Malformed::Name));
        assert_eq!(one("x", r#","input":{"a":1,"a":2}"#).input, Input::Malformed(Malformed::DuplicateKey));
        assert_eq!(one("x", r#","input":null"#).input, Input::Malformed(Malformed::NotAnObject));
        assert_eq!(one("x", "").input, Input::Malformed(Malformed::NotAnObject));
    }
}
