//! The set of tools, their schemas against the rules of strict tool use, and their snapshots.
use super::*;
use crate::loopback::{context, dead_ports, refused_at_once};
use serde_json::json;
use std::path::PathBuf;
use types::{Reason, Tier};

fn tools() -> Registry {
    Registry::new(&dead_ports())
}

/// Every object of a schema, the schema itself first.
fn objects<'a>(schema: &'a Value, found: &mut Vec<&'a serde_json::Map<String, Value>>) {
    match schema {
        Value::Object(fields) => {
            found.push(fields);
            fields.values().for_each(|value| objects(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| objects(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn there_are_six_tools_and_none_that_deletes_merges_searches_or_sends() {
    let tools = tools();
    let list: Vec<_> = tools.all().iter().map(|tool| (tool.name, tool.tier(), tool.noun)).collect();
    assert_eq!(
        list,
        [
            ("get_deal", Tier::Read, "deals"),
            ("append_note", Tier::Reversible, "notes"),
            ("set_stage", Tier::SemiReversible, "stages"),
            ("schedule_follow_up", Tier::Reversible, "follow-ups"),
            ("draft_email", Tier::Irreversible, "emails"),
            ("ask_human", Tier::Ask, "questions"),
        ]
    );
    for (name, ..) in list {
        for word in ["delete", "merge", "query", "search", "send", "list", "update", "remove"] {
            assert!(!name.contains(word), "{name} must not {word}");
        }
        assert!(tools.get(name).is_some());
    }
    for unknown in ["", "Get_deal", "get_deal ", "send_email", "delete_deal"] {
        assert!(tools.get(unknown).is_none(), "{unknown:?}");
    }
}

#[test]
fn every_schema_keeps_the_rules_of_strict_tool_use() {
    let forbidden = [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "pattern",
        "format",
        "$ref",
        "$defs",
        "$schema",
        "anyOf",
        "oneOf",
        "default",
        "title",
    ];
    for spec in tools().specs() {
        let name = spec.name;
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!((1..=128).contains(&name.len()) && name.chars().all(plain), "{name}");
        assert!((40..=400).contains(&spec.description.len()), "{name}: {}", spec.description.len());
        let mut found = Vec::new();
        objects(&spec.input_schema, &mut found);
        let top = found[0];
        assert_eq!(top.get("type"), Some(&json!("object")), "{name}");
        assert_eq!(top.get("additionalProperties"), Some(&json!(false)), "{name}");
        let properties = top["properties"].as_object().expect("properties");
        let mut required: Vec<&str> =
            top["required"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        required.sort_unstable();
        let names: Vec<&str> = properties.keys().map(String::as_str).collect();
        assert_eq!(required, names, "{name}: every argument is required, none is optional");
        assert!(names.contains(&"deal_id"), "{name}");
        for (argument, schema) in properties {
            assert_eq!(schema["type"], json!("string"), "{name}.{argument}");
            assert!(schema["description"].as_str().is_some_and(|text| text.len() > 10), "{name}.{argument}");
        }
        for keyword in forbidden {
            let met = found.iter().any(|fields| fields.contains_key(keyword));
            assert!(!met, "{name}: `{keyword}` is not allowed in a strict schema");
        }
    }
}

#[test]
fn what_the_model_is_told_is_what_the_snapshots_say() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("snapshots");
    #[expect(clippy::disallowed_methods, reason = "a test's own switch, not a setting of the product")]
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let specs = tools().specs();
    for spec in &specs {
        let path = folder.join(format!("{}.json", spec.name));
        let now = json!({
            "name": spec.name, "description": spec.description,
            "input_schema": spec.input_schema, "strict": true,
        });
        if bless {
            let text = format!("{}\n", serde_json::to_string_pretty(&now).expect("json"));
            std::fs::write(&path, text).expect("the snapshot is written");
        }
        let kept = std::fs::read(&path).unwrap_or_default();
        let kept: Value = serde_json::from_slice(&kept).unwrap_or_default();
        let hint = "if this change is meant: BLESS=1 cargo test -p tools";
        assert_eq!(now, kept, "{} differs from its snapshot; {hint}", spec.name);
    }
    let files = std::fs::read_dir(&folder).expect("the folder").count();
    assert_eq!(files, specs.len(), "one snapshot per tool and no other");
}

/// Arguments of each tool that nothing is wrong with.
fn good(name: &str) -> Value {
    let (deal_id, because) = ("4411", "They said so.");
    match name {
        "get_deal" => json!({"deal_id": deal_id}),
        "append_note" => json!({"deal_id": deal_id, "text": "a", "because": because}),
        "set_stage" => json!({"deal_id": deal_id, "stage": "closedlost", "because": because}),
        "schedule_follow_up" => {
            json!({"deal_id": deal_id, "due_date": "2026-11-30", "subject": "a", "because": because})
        }
        "draft_email" => {
            json!({"deal_id": deal_id, "to_contact_id": "704411", "subject": "a", "body": "b",
                   "because": because})
        }
        "ask_human" => json!({"deal_id": deal_id, "question": "a?", "because": because}),
        other => panic!("no arguments for {other}"),
    }
}

#[tokio::test]
async fn every_tool_refuses_a_foreign_deal_and_any_misfit_before_it_asks_anybody() {
    let context = context("4411");
    for tool in tools().all() {
        let good = good(tool.name);
        let names: Vec<String> = good.as_object().expect("an object").keys().cloned().collect();
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            changed
        };
        for foreign in ["4412", "", "4411x", "deal:4411", "0", "*"] {
            let refusal = refused_at_once(tool, &context, &with("deal_id", foreign.into())).await;
            assert_eq!(refusal.reason, Reason::ForeignDeal, "{}: {foreign:?}", tool.name);
            assert!(!refusal.tell.contains("4411") && !refusal.tell.contains("Van Dijk"), "{}", refusal.tell);
        }
        let mut misfits = vec![json!(null), json!([]), json!("4411"), json!({}), with("force", json!(true))];
        misfits.push(good.as_object().expect("an object").values().cloned().collect());
        for name in &names {
            let mut without = good.clone();
            without.as_object_mut().expect("an object").remove(name);
            misfits.push(without);
            for value in [json!(null), json!(4411), json!(1e308), json!(["4411"]), json!({"a": "4411"})] {
                misfits.push(with(name, value));
            }
        }
        for misfit in misfits {
            let refusal = refused_at_once(tool, &context, &misfit).await;
            assert_eq!(refusal.reason, Reason::MalformedArguments, "{}: {misfit}", tool.name);
            assert!(refusal.tell.len() < 400 && refusal.retry_ms.is_none());
        }
    }
}

#[tokio::test]
async fn every_text_has_a_bound_that_the_code_keeps() {
    let context = context("4411");
    let tools = tools();
    for (tool, argument, chars_max) in [
        ("append_note", "text", 5_000),
        ("append_note", "because", 300),
        ("set_stage", "because", 300),
        ("schedule_follow_up", "subject", 200),
        ("schedule_follow_up", "because", 300),
        ("draft_email", "subject", 200),
        ("draft_email", "body", 10_000),
        ("draft_email", "because", 300),
        ("ask_human", "question", 1_000),
        ("ask_human", "because", 300),
    ] {
        let tool = tools.get(tool).expect("a tool");
        for text in [String::new(), " \n\u{202E}".to_owned(), "é".repeat(chars_max + 1)] {
            let mut arguments = good(tool.name);
            arguments[argument] = text.into();
            let refusal = refused_at_once(tool, &context, &arguments).await;
            assert_eq!(refusal.reason, Reason::MalformedArguments, "{} {argument}", tool.name);
            assert!(refusal.tell.starts_with(argument), "{}", refusal.tell);
        }
    }
}
