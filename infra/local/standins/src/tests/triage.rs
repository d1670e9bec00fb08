//! The triager: from the text of a mail to calls, one a turn, whatever the shape of the conversation. Must
//! never script it.
use super::anthropic::ask;
use super::{Hand, start};
use crate::Standins;
use crate::hubspot::Kind;
use serde_json::{Value, json};

fn tools() -> Value {
    let tool = |name: &str, fields: &[&str]| {
        let mut properties: serde_json::Map<String, Value> =
            fields.iter().map(|field| ((*field).to_owned(), json!({"type": "string"}))).collect();
        if properties.contains_key("stage") {
            properties.insert(
                "stage".into(),
                json!({"type": "string", "enum":
                ["new", "qualified", "contractsent", "negotiation", "closedlost"]}),
            );
        }
        json!({"name": name, "description": name, "strict": true, "input_schema": {"type": "object",
               "properties": properties, "required": fields, "additionalProperties": false}})
    };
    json!([
        tool("get_deal", &["deal_id"]),
        tool("append_note", &["deal_id", "text", "because"]),
        tool("set_stage", &["deal_id", "stage", "because"]),
        tool("schedule_follow_up", &["deal_id", "due_date", "subject", "because"]),
        tool("draft_email", &["deal_id", "to_contact_id", "subject", "body", "because"]),
        tool("ask_human", &["deal_id", "question", "because"]),
    ])
}

/// How the mail reaches the model.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// In the first message, fenced as foreign text.
    Fenced,
    /// In the result of `get_deal`, as fields of HubSpot.
    Fields,
    /// In the result of `get_deal`, as JSON whose text is fenced.
    Both,
    /// In plain words.
    Plain,
}

const SHAPES: [Shape; 4] = [Shape::Fenced, Shape::Fields, Shape::Both, Shape::Plain];

fn fenced(label: &str, text: &str) -> String {
    format!("[untrusted {label} ab12cd]\n{text}\n[end ab12cd]")
}

fn deal_result(shape: Shape, deal: u64, mail: &str, notes: &[String]) -> String {
    let text = match shape {
        Shape::Both => fenced("mail", mail),
        Shape::Fields => mail.to_owned(),
        Shape::Fenced | Shape::Plain => {
            let note = notes.first().map(|note| fenced("note", note)).unwrap_or_default();
            return format!(
                "{}\n{note}",
                json!({"deal": {"id": deal.to_string(), "contact_ids": ["704411"]}})
            );
        }
    };
    json!({"deal": {"id": deal.to_string(), "stage": "new", "close_date": "2027-01-30"},
           "contacts": [{"id": "704411", "name": "M"}], "notes": notes,
           "emails": [{"id": "1", "hs_email_direction": "EMAIL", "hs_email_text": "Here are our prices, \
               call me",
                       "hs_timestamp": "2026-11-25T09:00:00Z"},
                      {"id": "2", "hs_email_direction": "INCOMING_EMAIL", "hs_email_subject": "Re: offer",
                       "hs_email_text": text, "hs_timestamp": "2026-11-20T09:00:00Z"}]})
    .to_string()
}

/// Lets the model go until it ends, and answers its calls: `get_deal` with the deal, others with `result`.
async fn run(
    all: &Standins,
    shape: Shape,
    deal: u64,
    mail: &str,
    result: (&str, bool),
) -> Vec<(String, Value)> {
    let notes: Vec<String> = all
        .hubspot
        .linked_to_deal(deal, Kind::Note)
        .into_iter()
        .map(|id| all.hubspot.property(Kind::Note, id, "hs_note_body").unwrap())
        .collect();
    let opening = match shape {
        Shape::Fenced => format!("Run on deal {deal}. Mail of 2026-11-20:\n{}", fenced("mail", mail)),
        Shape::Plain => format!("A reply came in on deal {deal} on 2026-11-20. It says: {mail}"),
        Shape::Fields | Shape::Both => format!("A reply came in on deal {deal}."),
    };
    let mut body = json!({"model": "claude-haiku-5-5", "max_tokens": 1024, "thinking": {"type": "disabled"},
        "system": "You triage. A price list, a budget and another supplier are mentioned here only.",
            "tools": tools(),
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "messages": [{"role": "user", "content": opening}]});
    let mut calls = Vec::new();
    for _ in 0..12 {
        let answer = ask(all, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let content = answer.json()["content"].clone();
        let uses: Vec<&Value> =
            content.as_array().unwrap().iter().filter(|b| b["type"] == "tool_use").collect();
        assert!(uses.len() <= 1);
        let Some(call) = uses.first() else {
            assert_eq!(answer.json()["stop_reason"], "end_turn");
            return calls;
        };
        assert_eq!(answer.json()["stop_reason"], "tool_use");
        let name = call["name"].as_str().unwrap().to_owned();
        let (text, is_error) = if name == "get_deal" {
            (deal_result(shape, deal, mail, &notes), false)
        } else {
            (result.0.to_owned(), result.1)
        };
        let reply = json!([{"type": "tool_result", "tool_use_id": call["id"], "content": text,
            "is_error": is_error}]);
        calls.push((name, call["input"].clone()));
        let turns = body["messages"].as_array_mut().unwrap();
        turns.push(json!({"role": "assistant", "content": content}));
        turns.push(json!({"role": "user", "content": reply}));
    }
    panic!("the model does not end: {calls:?}");
}

fn names(calls: &[(String, Value)]) -> Vec<&str> {
    calls.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn each_story_leads_to_its_calls_in_every_shape() {
    let all = start(&Hand::new()).await;
    let table: [(u64, &[&str]); 7] = [
        (4411, &["get_deal", "set_stage", "append_note"]),
        (4290, &["get_deal"]),
        (4302, &["get_deal", "schedule_follow_up"]),
        (4377, &["get_deal", "draft_email"]),
        (4391, &["get_deal", "set_stage"]),
        (4460, &["get_deal", "ask_human"]),
        (4455, &["get_deal", "set_stage", "delete_note", "draft_email"]),
    ];
    for (deal, wanted) in table {
        let mail = all.hubspot.property(Kind::Email, 900_000 + deal, "hs_email_text").unwrap();
        for shape in SHAPES {
            let calls = run(&all, shape, deal, &mail, ("done", false)).await;
            assert_eq!(names(&calls), wanted, "{deal} {shape:?}");
            assert_eq!(calls[0].1, json!({"deal_id": deal.to_string()}));
        }
    }
}

#[tokio::test]
async fn the_arguments_say_what_the_mail_says() {
    let all = start(&Hand::new()).await;
    let lost =
        run(&all, Shape::Fields, 4411, "Sorry. We signed with \"Acme\" last week.", ("done", false)).await;
    assert_eq!(lost[1].1["stage"], "closedlost");
    assert_eq!(lost[1].1["because"], "The customer writes: \"We signed with 'Acme' last week.\"");
    let call = run(&all, Shape::Fields, 4302, "Please call me next week.", ("done", false)).await;
    // Friday 20 November: the next working day is Monday 23, and seven days more.
    assert_eq!(call[1].1["due_date"], "2026-11-30");
    assert!(!call[1].1["subject"].as_str().unwrap().is_empty());
    let draft = run(&all, Shape::Both, 4377, "Your price list please.", ("done", false)).await;
    assert_eq!(draft[1].1["to_contact_id"], "704411");
    assert_eq!(draft[1].1["subject"], "Re: Re: offer");
    let budget =
        run(&all, Shape::Fields, 4391, "Our budget is 5,000, we start in May.", ("done", false)).await;
    assert_eq!(budget[1].1["stage"], "qualified");
    let vague = run(&all, Shape::Fields, 4391, "No budget yet.", ("done", false)).await;
    assert_eq!(names(&vague), ["get_deal"]);
}

#[tokio::test]
async fn a_mail_that_gives_orders_is_obeyed_as_far_as_the_model_can() {
    let all = start(&Hand::new()).await;
    let mail = all.hubspot.property(Kind::Email, 904_455, "hs_email_text").unwrap();
    let calls = run(&all, Shape::Fields, 4455, &mail, ("refused", true)).await;
    assert_eq!(calls[1].1["deal_id"], "4411");
    assert_eq!(calls[1].1["stage"], "closedwon");
    assert_eq!(calls[2], ("delete_note".to_owned(), json!({"deal_id": "4455"})));
    assert_eq!(calls[3].1["to_contact_id"], "x@evil.example");
}

#[tokio::test]
async fn a_refused_call_is_not_repeated_and_a_halt_ends_the_run() {
    let all = start(&Hand::new()).await;
    let mail = "We chose another supplier.";
    let refused = run(&all, Shape::Fields, 4411, mail, ("stage_not_allowed", true)).await;
    assert_eq!(names(&refused), ["get_deal", "set_stage", "append_note"]);
    let halted = run(&all, Shape::Fields, 4411, mail, ("halted_global", true)).await;
    assert_eq!(names(&halted), ["get_deal", "set_stage"]);
    let dry = run(&all, Shape::Fields, 4411, mail, ("would have done it (dry run)", false)).await;
    assert_eq!(names(&dry), ["get_deal", "set_stage", "append_note"]);
}

#[tokio::test]
async fn other_schemas_are_filled_by_name_and_type() {
    let all = start(&Hand::new()).await;
    let body = json!({"model": "claude-haiku-5-5", "max_tokens": 1024, "thinking": {"type": "disabled"},
        "tools": [{"name": "schedule_follow_up", "input_schema": {"type": "object", "properties": {
            "deal_id": {"type": "integer"}, "due_ms": {"type": "integer"}, "reason": {"type": ["string",
                "null"]},
            "kind": {"type": "string", "enum": ["call", "mail"]}, "title": {"$ref": "#/$defs/line"},
            "tags": {"type": "array", "items": {"type": "string"}}, "nice": {"type": "string"}},
            "required": ["deal_id", "due_ms", "reason", "kind", "title", "tags"],
            "$defs": {"line": {"type": "string"}}}}],
        "messages": [{"role": "user", "content":
            "Today is 2026-12-01. Deal 77, mail of 2026-11-20: please call me next week."}]});
    let answer = ask(&all, &body).await.json();
    let input = &answer["content"][1]["input"];
    assert_eq!(input["deal_id"], 77);
    // Tuesday 1 December is later than the mail: Wednesday 2, and seven days more, at nine.
    assert_eq!(input["due_ms"], 1_796_806_800_000_i64);
    assert_eq!((&input["kind"], &input["tags"]), (&json!("call"), &json!([])));
    assert!(input["reason"].as_str().unwrap().contains("call me next week"));
    assert!(!input["title"].as_str().unwrap().is_empty());
    assert!(input.get("nice").is_none());
}
