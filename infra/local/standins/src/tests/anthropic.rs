//! Anthropic: each rule that is a refusal, counts, faults, scripts and the gate. Must never use the
//! product's own client.
use super::{Answer, Hand, http, start};
use crate::anthropic::{API_KEY, message};
use crate::{Fault, Matcher, Standins};
use serde_json::{Value, json};

pub(super) async fn send(all: &Standins, path: &str, body: &Value) -> Answer {
    let request = http().post(format!("{}{path}", all.anthropic.url)).json(body);
    let request = request.header("x-api-key", API_KEY).header("anthropic-version", "2026-10-21");
    Answer::of(request.send().await.unwrap()).await
}

pub(super) async fn ask(all: &Standins, body: &Value) -> Answer {
    send(all, "/v1/messages", body).await
}

fn tool(name: &str) -> Value {
    json!({"name": name, "description": "Reads.", "strict": true, "input_schema": {"type": "object",
           "properties": {"deal_id": {"type": "string"}}, "required": ["deal_id"],
               "additionalProperties": false}})
}

/// A good request, for tests that break one thing.
pub(super) fn good() -> Value {
    json!({"model": "claude-haiku-5-5", "max_tokens": 1024, "thinking": {"type": "disabled"},
           "system": [{"type": "text", "text": "You triage.", "cache_control": {"type": "ephemeral"}}],
           "tools": [tool("get_deal")], "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
           "messages": [{"role": "user", "content": "Deal 4411 replied."}]})
}

/// The good request after one call and its result.
fn second_turn() -> Value {
    let mut body = good();
    body["messages"] = json!([
        {"role": "user", "content": "Deal 4411 replied."},
        {"role": "assistant", "content": [{"type": "text", "text": "Next.", "citations": null},
            {"type": "tool_use", "id": "toolu_1", "name": "get_deal", "input": {"deal_id": "4411"},
             "caller": {"type": "direct"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "{}",
                                      "is_error": false}]}]);
    body
}

fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match body.pointer_mut(parent).unwrap() {
        Value::Array(list) if name == "-" => list.push(value),
        Value::Array(list) => list[name.parse::<usize>().unwrap()] = value,
        Value::Object(map) => drop(map.insert(name.to_owned(), value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => panic!("no place at {pointer}"),
    }
    body
}

fn without(mut body: Value, name: &str) -> Value {
    body.as_object_mut().unwrap().remove(name);
    body
}

async fn refuse_all(table: Vec<(Value, &str)>) {
    let all = start(&Hand::new()).await;
    for (body, words) in table {
        let answer = ask(&all, &body).await;
        assert_eq!(answer.status, 400, "{words}: {body} -> {}", answer.text);
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{words} is not in: {message}");
        assert_eq!(answer.json()["request_id"], answer.header("request-id"));
    }
}

#[tokio::test]
async fn good_requests_are_answered() {
    let all = start(&Hand::new()).await;
    for body in [good(), second_turn(), without(good(), "thinking")] {
        let answer = ask(&all, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["role"], "assistant");
        assert_eq!(answer.json()["model"], "claude-haiku-5-5");
        assert!(answer.header("request-id").starts_with("req_"));
        assert!(!answer.header("anthropic-ratelimit-requests-remaining").is_empty());
        assert!(answer.header("anthropic-ratelimit-input-tokens-reset").ends_with('Z'));
    }
    let one = ask(&all, &good()).await.json();
    let other = ask(&all, &good()).await.json();
    assert_eq!((&one["content"], &one["id"]), (&other["content"], &other["id"]));
}

type Headers = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn headers_are_checked() {
    let all = start(&Hand::new()).await;
    let table: [(Headers, u16, &str); 8] = [
        (&[("x-api-key", API_KEY)], 400, "invalid_request_error"),
        (&[("x-api-key", API_KEY), ("anthropic-version", "2024-01-01")], 400, "invalid_request_error"),
        (&[("anthropic-version", "2026-10-21")], 401, "authentication_error"),
        (&[("x-api-key", "other"), ("anthropic-version", "2026-10-21")], 401, "authentication_error"),
        (
            &[
                ("x-api-key", "other"),
                ("authorization", "Bearer sk-ant-local-demo"),
                ("anthropic-version", "2026-10-21"),
            ],
            401,
            "authentication_error",
        ),
        (&[("authorization", "Bearer sk-ant-local-demo"), ("anthropic-version", "2026-10-21")], 200, ""),
        (&[("x-api-key", API_KEY), ("anthropic-version", "2023-06-01")], 200, ""),
        (
            &[("x-api-key", API_KEY), ("anthropic-version", "2026-10-21"), ("content-type", "text/plain")],
            400,
            "invalid_request_error",
        ),
    ];
    for (headers, status, kind) in table {
        let mut request = http().post(format!("{}/v1/messages", all.anthropic.url)).body(good().to_string());
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text);
        if status != 200 {
            assert_eq!(answer.json()["error"]["type"], kind);
        }
    }
    assert_eq!(send(&all, "/v1/complete", &good()).await.status, 404);
    assert!(!format!("{:?}", all.anthropic.calls()).contains(API_KEY));
}

#[tokio::test]
async fn unknown_fields_are_refused_at_every_level() {
    let extra = |pointer: &str| (with(second_turn(), pointer, json!(1)), "Extra inputs are not permitted");
    refuse_all(vec![
        extra("/mood"),
        extra("/system/0/mood"),
        extra("/system/0/cache_control/mood"),
        extra("/tools/0/mood"),
        extra("/tool_choice/mood"),
        extra("/thinking/mood"),
        extra("/messages/0/mood"),
        extra("/messages/1/content/0/mood"),
        extra("/messages/1/content/1/mood"),
        extra("/messages/2/content/0/mood"),
        (with(good(), "/metadata", json!({"name": "x"})), "metadata.name"),
        (with(good(), "/output_config", json!({"mood": 1})), "output_config.mood"),
        (with(good(), "/temperature", json!(1)), "temperature: Extra inputs are not permitted"),
        (with(good(), "/top_p", json!(1)), "top_p: Extra inputs are not permitted"),
        (with(good(), "/top_k", json!(1)), "top_k: Extra inputs are not permitted"),
    ])
    .await;
}

#[tokio::test]
async fn each_field_has_its_rule() {
    refuse_all(vec![
        (without(good(), "max_tokens"), "max_tokens: Field required"),
        (without(good(), "messages"), "messages: Field required"),
        (without(good(), "model"), "model: Field required"),
        (with(good(), "/max_tokens", json!("5")), "valid integer"),
        (with(good(), "/max_tokens", json!(128_001)), "maximum allowed"),
        (with(good(), "/metadata", json!({"user_id": "u".repeat(513)})), "512"),
        (with(good(), "/stop_sequences", json!([" "])), "non-whitespace"),
        (with(good(), "/service_tier", json!("gold")), "service_tier"),
        (with(good(), "/output_config", json!({"effort": "huge"})), "effort"),
        (with(good(), "/stream", json!(true)), "stream"),
        (with(good(), "/system", json!([{"type": "text", "text": ""}])), "non-empty"),
        (with(good(), "/system", json!(5)), "system"),
        (with(good(), "/system/0/cache_control", json!({"type": "ephemeral", "ttl": "2h"})), "ttl"),
        (with(good(), "/tools/0/name", json!("get deal")), "pattern"),
        (with(good(), "/tools/-", tool("get_deal")), "unique"),
        (with(good(), "/tools/0/input_schema", json!({"type": "string"})), "object"),
        (with(good(), "/tools/0/strict", json!("yes")), "boolean"),
        (with(good(), "/tool_choice", json!({"type": "maybe"})), "tool_choice.type"),
        (with(good(), "/tool_choice", json!({"type": "tool", "name": "fly"})), "not found"),
        (with(good(), "/tool_choice", json!({"type": "none", "disable_parallel_tool_use": true})), "Extra"),
        (without(good(), "tools"), "tool_choice may only"),
    ])
    .await;
    let marked = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
    let five: Vec<Value> = (0..5).map(|index| marked(&index.to_string())).collect();
    refuse_all(vec![(with(good(), "/system", json!(five)), "maximum of 4")]).await;
}

#[tokio::test]
async fn models_have_their_own_rules() {
    let on = |model: &str, name: &str, value: Value| {
        let body = with(without(good(), "thinking"), "/model", json!(model));
        with(body, &format!("/{name}"), value)
    };
    let kind = |kind: &str| json!({"type": kind});
    let budget = |tokens: u32| json!({"type": "enabled", "budget_tokens": tokens});
    let deep = with(good(), "/output_config", json!({"effort": "xhigh"}));
    refuse_all(vec![
        (on("claude-sonnet-5-5", "tool_choice", kind("any")), "forced tool use"),
        (
            on("claude-opus-5-5", "tool_choice", json!({"type": "tool", "name": "get_deal"})),
            "forced tool use",
        ),
        (on("claude-sonnet-5-5", "thinking", kind("disabled")), "not supported"),
        (on("claude-opus-5-5", "thinking", kind("disabled")), "not supported"),
        (on("claude-opus-5-5", "thinking", kind("between_tools")), "not supported"),
        (on("claude-haiku-5-5", "thinking", kind("between_tools")), "not supported"),
        (on("claude-haiku-5-5", "thinking", budget(1_024)), "not supported"),
        (on("claude-haiku-4-5", "thinking", kind("adaptive")), "not supported"),
        (on("claude-haiku-4-5", "thinking", budget(1_023)), "at least 1024"),
        (on("claude-haiku-4-5", "thinking", budget(1_024)), "less than max_tokens"),
        (on("claude-haiku-4-5", "max_tokens", json!(64_001)), "maximum allowed"),
        (on("claude-haiku-5-5", "thinking", kind("hard")), "Input should be one of"),
        (deep, "not supported"),
    ])
    .await;
    let all = start(&Hand::new()).await;
    for body in [
        on("claude-sonnet-5-5", "thinking", kind("between_tools")),
        on("claude-opus-5-5", "thinking", kind("adaptive")),
        on("claude-haiku-5-5", "tool_choice", kind("any")),
        on("claude-haiku-4-5", "tool_choice", json!({"type": "tool", "name": "get_deal"})),
    ] {
        assert_eq!(ask(&all, &body).await.status, 200, "{body}");
    }
    let unknown = ask(&all, &on("claude-haiku-6", "max_tokens", json!(10))).await;
    assert_eq!((unknown.status, unknown.json()["error"]["type"].as_str()), (404, Some("not_found_error")));
    let none = ask(&all, &on("claude-haiku-5-5", "tool_choice", kind("none"))).await.json();
    assert_eq!(none["stop_reason"], "end_turn");
}

#[tokio::test]
async fn turns_alternate_and_each_call_is_answered_once() {
    let user = |content: Value| json!({"role": "user", "content": content});
    let model = |content: Value| json!({"role": "assistant", "content": content});
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "get_deal", "input": {}});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "x"});
    let text = |words: &str| json!({"type": "text", "text": words});
    let talk = |turns: Value| with(good(), "/messages", turns);
    let go = || user(json!("go"));
    refuse_all(vec![
        (talk(json!([])), "at least one message"),
        (talk(json!([model(json!("hi"))])), "not permitted here"),
        (talk(json!([go(), go()])), "alternate"),
        (talk(json!([go(), model(json!("hi"))])), "prefill"),
        (talk(json!([{"role": "robot", "content": "x"}])), "role"),
        (talk(json!([user(json!(""))])), "non-empty"),
        (talk(json!([user(json!([]))])), "non-empty"),
        (talk(json!([user(json!([text("")]))])), "non-empty"),
        (talk(json!([user(json!([text(" \n")]))])), "non-whitespace"),
        (talk(json!([user(json!([{"type": "image"}]))])), "not permitted"),
        (talk(json!([user(json!([call("a")]))])), "not permitted"),
        (talk(json!([user(json!([{"type": "text", "text": "x", "citations": null}]))])), "Extra"),
        (talk(json!([user(json!([result("a")]))])), "unexpected `tool_use_id`"),
        (talk(json!([go(), model(json!([call("a")])), user(json!("no"))])), "without `tool_result`"),
        (talk(json!([go(), model(json!([call("a"), call("b")])), user(json!([result("a")]))])), "after: b"),
        (
            talk(json!([go(), model(json!([call("a")])), user(json!([result("a"), result("a")]))])),
            "single result",
        ),
        (talk(json!([go(), model(json!([call("a")])), user(json!([text("x"), result("a")]))])), "come first"),
        (talk(json!([go(), model(json!([call("a"), call("a")])), user(json!([result("a")]))])), "unique"),
        (talk(json!([go(), model(json!([call("a b")])), user(json!([result("a b")]))])), "pattern"),
        (
            talk(json!([
                go(),
                model(json!([{"type": "tool_use", "id": "a", "name": "x", "input": "y"}])),
                go()
            ])),
            "input",
        ),
        (talk(json!([go(), {"role": "system", "content": "x"}, go()])), "alternate"),
        (talk(json!([{"role": "system", "content": "x"}, go()])), "alternate"),
        (without(without(second_turn(), "tools"), "tool_choice"), "must define tools"),
    ])
    .await;
    let all = start(&Hand::new()).await;
    let late = talk(json!([go(), {"role": "system", "content": "dry run is on"}]));
    assert_eq!(ask(&all, &late).await.status, 200);
    let old = with(without(late, "thinking"), "/model", json!("claude-haiku-4-5"));
    assert_eq!(ask(&all, &old).await.status, 400);
    let both = talk(json!([
        go(),
        model(json!([call("a"), call("b")])),
        user(json!([result("b"), result("a"), text("more")]))
    ]));
    assert_eq!(ask(&all, &both).await.status, 200);
}

#[tokio::test]
async fn strict_schemas_have_no_bounds_and_no_open_objects() {
    let schema = |properties: Value| {
        let body = good();
        let one = json!({"type": "object", "properties": properties, "required": [],
            "additionalProperties": false});
        with(body, "/tools/0/input_schema", one)
    };
    let field = |one: Value| schema(json!({"x": one}));
    let optional: serde_json::Map<String, Value> =
        (0..25).map(|index| (format!("p{index}"), json!({"type": "string"}))).collect();
    let unions: serde_json::Map<String, Value> =
        (0..17).map(|index| (format!("p{index}"), json!({"type": ["string", "null"]}))).collect();
    let many: Vec<Value> = (0..21).map(|index| tool(&format!("t{index}"))).collect();
    let mut looped = field(json!({"$ref": "#/$defs/a"}));
    looped["tools"][0]["input_schema"]["$defs"] =
        json!({"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}});
    let mut open = good();
    open["tools"][0]["input_schema"].as_object_mut().unwrap().remove("additionalProperties");
    refuse_all(vec![
        (open, "additionalProperties"),
        (field(json!({"type": "object", "properties": {}})), "additionalProperties"),
        (field(json!({"type": "array", "items": {"type": "object"}})), "additionalProperties"),
        (field(json!({"type": "integer", "minimum": 0})), "minimum"),
        (field(json!({"type": "integer", "multipleOf": 2})), "multipleOf"),
        (field(json!({"type": "string", "maxLength": 5})), "maxLength"),
        (field(json!({"type": "string", "minLength": 5})), "minLength"),
        (field(json!({"type": "integer", "format": "uint64"})), "format"),
        (field(json!({"type": "array", "items": {"type": "string"}, "minItems": 2})), "minItems"),
        (field(json!({"type": "array", "items": {"type": "string"}, "maxItems": 2})), "maxItems"),
        (field(json!({"$ref": "https://example.com/x"})), "$ref"),
        (field(json!({"$ref": "#/$defs/none"})), "not defined"),
        (looped, "recursive"),
        (schema(Value::Object(optional)), "25 optional parameters"),
        (schema(Value::Object(unions)), "17 parameters with a union type"),
        (with(good(), "/tools", json!(many)), "21 tools"),
        (with(good(), "/tools/0/input_schema/required", json!(["deal_id", "y"])), "not among the properties"),
    ])
    .await;
    let all = start(&Hand::new()).await;
    let mut loose = field(json!({"type": "string", "maxLength": 5}));
    loose["tools"][0]["strict"] = json!(false);
    assert_eq!(ask(&all, &loose).await.status, 200);
}

#[tokio::test]
async fn thinking_is_sealed_to_all_that_came_before_it() {
    let all = start(&Hand::new()).await;
    let body = without(good(), "thinking");
    let first = ask(&all, &body).await.json();
    assert_eq!(first["content"][0]["type"], "thinking");
    assert_eq!(ask(&all, &good()).await.json()["content"][0]["type"], "text");
    let id = first["content"].as_array().unwrap().last().unwrap()["id"].clone();
    let body = with(body, "/messages/-", json!({"role": "assistant", "content": first["content"]}));
    let result = json!([{"type": "tool_result", "tool_use_id": id, "content": "{}"}]);
    let body = with(body, "/messages/-", json!({"role": "user", "content": result}));
    assert_eq!(ask(&all, &body).await.status, 200);
    for changed in [
        with(body.clone(), "/system/0/text", json!("Dry run is on.")),
        with(body.clone(), "/tools/-", tool("more")),
        with(body.clone(), "/messages/0/content", json!("Deal 4411 replied!")),
        with(body, "/model", json!("claude-opus-5-5")),
    ] {
        let answer = ask(&all, &changed).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text.contains("Invalid `signature` in `thinking` block"));
    }
}

#[tokio::test]
async fn counts_are_a_quarter_of_the_bytes_and_the_cache_shows() {
    let hand = Hand::new();
    let all = start(&hand).await;
    let mut body = good();
    body["system"][0]["text"] = json!("rule ".repeat(1_000));
    let count = without(body.clone(), "max_tokens");
    let counted =
        send(&all, "/v1/messages/count_tokens", &count).await.json()["input_tokens"].as_u64().unwrap();
    let total = |usage: &Value| -> u64 {
        let of = |name: &str| usage[name].as_u64().unwrap();
        of("input_tokens") + of("cache_creation_input_tokens") + of("cache_read_input_tokens")
    };
    let first = ask(&all, &body).await.json()["usage"].clone();
    let second = ask(&all, &body).await.json()["usage"].clone();
    assert_eq!(total(&first), counted);
    assert_eq!(total(&second), counted);
    assert!(counted < u64::try_from(body.to_string().len()).unwrap());
    assert!(first["cache_creation_input_tokens"].as_u64().unwrap() > 1_000);
    assert_eq!(second["cache_read_input_tokens"], first["cache_creation_input_tokens"]);
    hand.forward(300_000);
    assert_eq!(ask(&all, &body).await.json()["usage"]["cache_read_input_tokens"], 0);
    let short = ask(&all, &good()).await.json()["usage"].clone();
    assert_eq!(short["cache_creation_input_tokens"], 0);
    for name in ["max_tokens", "stream", "metadata", "service_tier"] {
        let refused =
            send(&all, "/v1/messages/count_tokens", &with(count.clone(), &format!("/{name}"), json!(1)))
                .await;
        assert_eq!(refused.status, 400, "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_cut() {
    let all = start(&Hand::new()).await;
    let answer = ask(&all, &with(good(), "/max_tokens", json!(4))).await.json();
    assert_eq!(answer["stop_reason"], "max_tokens");
    assert_eq!(answer["usage"]["output_tokens"], 4);
    assert_eq!(answer["content"].as_array().unwrap().last().unwrap()["input"], json!({}));
}

#[tokio::test]
async fn scripts_are_verbatim_and_come_after_the_checks() {
    let all = start(&Hand::new()).await;
    let refusal = message(&json!([]), "refusal");
    all.anthropic.script(vec![refusal.clone()]);
    all.anthropic.script_bytes(200, br#"{"content":[{"input":{"a":1,"a":2e999}}]}"#);
    assert_eq!(ask(&all, &with(good(), "/mood", json!(1))).await.status, 400);
    assert_eq!(ask(&all, &good()).await.json(), refusal);
    assert_eq!(ask(&all, &good()).await.text, r#"{"content":[{"input":{"a":1,"a":2e999}}]}"#);
    assert_eq!(ask(&all, &good()).await.json()["stop_reason"], "tool_use");
    let calls = all.anthropic.calls();
    assert_eq!(calls.len(), 4);
    assert_eq!(calls[1].body, good().to_string().into_bytes());
    assert_eq!(calls.iter().map(|call| call.status.unwrap()).collect::<Vec<_>>(), [400, 200, 200, 200]);
}

#[tokio::test]
async fn faults_speak_anthropic() {
    let all = start(&Hand::new()).await;
    let table = [
        (Fault::Status(529), "overloaded_error"),
        (Fault::Status(500), "api_error"),
        (Fault::Status(504), "timeout_error"),
        (Fault::Status(402), "billing_error"),
        (Fault::Status429 { policy: String::new() }, "rate_limit_error"),
    ];
    for (fault, kind) in table {
        all.anthropic.next(Matcher::any(), fault);
        assert_eq!(ask(&all, &good()).await.json()["error"]["type"], kind);
    }
    all.anthropic.next(Matcher::any(), Fault::Status429 { policy: String::new() });
    assert_eq!(ask(&all, &good()).await.header("retry-after"), "1");
    all.anthropic.next(Matcher::any(), Fault::Status429 { policy: "enforced_spend_limit_reached".into() });
    let spent = ask(&all, &good()).await;
    assert_eq!(spent.json()["error"]["details"]["error_code"], "enforced_spend_limit_reached");
    assert!(spent.headers.get("retry-after").is_none());
}

#[tokio::test]
async fn a_held_call_waits_for_its_release_and_a_client_may_leave() {
    let all = start(&Hand::new()).await;
    all.anthropic.hold();
    let url = all.anthropic.url.clone();
    let request = || {
        let request = http().post(format!("{url}/v1/messages")).json(&good());
        request.header("x-api-key", API_KEY).header("anthropic-version", "2026-10-21").send()
    };
    let mut waiting = Box::pin(request());
    tokio::select! {
        _ = &mut waiting => panic!("a held call was answered"),
        () = all.anthropic.wait_until_held(1) => {}
    }
    assert_eq!(all.anthropic.calls()[0].status, None);
    all.anthropic.release();
    assert_eq!(waiting.await.unwrap().status(), 200);
    all.anthropic.hold();
    let mut leaving = Box::pin(request());
    tokio::select! {
        _ = &mut leaving => panic!("a held call was answered"),
        () = all.anthropic.wait_until_held(1) => {}
    }
    drop(leaving);
    all.anthropic.wait_until_none_held().await;
    all.anthropic.release();
    assert_eq!(request().await.unwrap().status(), 200);
    assert_eq!(all.anthropic.calls()[1].status, None);
}
