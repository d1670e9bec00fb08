//! Slack: what is accepted, and the code of each refusal. Must never use the product's own client.
use super::{Answer, Hand, http, start};
use crate::slack::WEBHOOK_PATH;
use crate::{Fault, Matcher, Standins};
use serde_json::{Value, json};

async fn post(all: &Standins, body: &Value) -> Answer {
    let request = http().post(format!("{}{WEBHOOK_PATH}", all.slack.url)).json(body);
    Answer::of(request.send().await.unwrap()).await
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

#[tokio::test]
async fn a_good_message_is_ok_and_kept() {
    let all = start(&Hand::new()).await;
    let body = json!({"text": "Agent halted", "unfurl_links": false, "unfurl_media": false, "blocks": [
        {"type": "header", "text": {"type": "plain_text", "text": "h".repeat(150)}},
        section(&"s".repeat(3000)),
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Limit*\nusd_per_day 25.00"}]},
        {"type": "divider"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "run r-1"}]},
        {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Open"},
                                          "url": "https://console.example/"}]}]});
    let answer = post(&all, &body).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "ok"));
    assert_eq!(all.slack.messages()[0].payload, body);
    assert_eq!(all.slack.messages()[0].text, "Agent halted");
}

#[tokio::test]
async fn each_refusal_has_its_code_and_keeps_nothing() {
    let all = start(&Hand::new()).await;
    let with = |block: Value| json!({"text": "t", "blocks": [block]});
    let fields: Vec<Value> = (0..11).map(|_| json!({"type": "mrkdwn", "text": "f"})).collect();
    let blocks: Vec<Value> = (0..51).map(|_| json!({"type": "divider"})).collect();
    let attachments: Vec<Value> = (0..101).map(|_| json!({})).collect();
    let button = |extra: Value| {
        let mut one = json!({"type": "button", "text": {"type": "plain_text", "text": "b"}});
        one.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        with(json!({"type": "actions", "elements": [one]}))
    };
    let plain = |kind: &str, max: usize| {
        json!({"type": kind, "text": {"type": "plain_text",
        "text": "x".repeat(max)}})
    };
    let context: Vec<Value> = (0..11).map(|_| json!({"type": "mrkdwn", "text": "c"})).collect();
    let table = [
        (json!({}), "no_text"),
        (json!({"text": " "}), "no_text"),
        (json!({"blocks": [section("x")]}), "no_text"),
        (json!({"text": 5}), "invalid_payload"),
        (json!([]), "invalid_payload"),
        (json!({"text": "t", "channel": "#general"}), "invalid_payload"),
        (json!({"text": "t", "attachments": attachments}), "too_many_attachments"),
        (json!({"text": "t", "blocks": blocks}), "invalid_blocks"),
        (json!({"text": "t", "blocks": {}}), "invalid_blocks"),
        (with(json!({"type": "hologram"})), "invalid_blocks"),
        (with(plain("header", 151)), "invalid_blocks"),
        (with(json!({"type": "header", "text": {"type": "mrkdwn", "text": "h"}})), "invalid_blocks"),
        (with(section(&"s".repeat(3001))), "invalid_blocks"),
        (with(section("")), "invalid_blocks"),
        (with(json!({"type": "section"})), "invalid_blocks"),
        (with(json!({"type": "section", "fields": fields})), "invalid_blocks"),
        (
            with(json!({"type": "section", "fields": [{"type": "mrkdwn", "text": "f".repeat(2001)}]})),
            "invalid_blocks",
        ),
        (with(json!({"type": "context", "elements": context})), "invalid_blocks"),
        (with(json!({"type": "markdown", "text": "m".repeat(12_001)})), "invalid_blocks"),
        (with(json!({"type": "divider", "colour": "red"})), "invalid_blocks"),
        (with(json!({"type": "divider", "block_id": "b".repeat(256)})), "invalid_blocks"),
        (
            json!({"text": "t", "blocks": [{"type": "divider", "block_id": "b"}, {"type": "divider",
                "block_id": "b"}]}),
            "invalid_blocks",
        ),
        (button(json!({"text": {"type": "plain_text", "text": "b".repeat(76)}})), "invalid_blocks"),
        (button(json!({"url": "u".repeat(3001)})), "invalid_blocks"),
        (button(json!({"value": "v".repeat(2001)})), "invalid_blocks"),
        (button(json!({"action_id": "a".repeat(256)})), "invalid_blocks"),
        (button(json!({"style": "loud"})), "invalid_blocks"),
    ];
    for (body, code) in table {
        let answer = post(&all, &body).await;
        assert_eq!((answer.status, answer.text.as_str()), (400, code), "{:.200}", body.to_string());
    }
    assert!(all.slack.messages().is_empty());
    assert!(all.slack.posts().len() > 20);
}

#[tokio::test]
async fn the_address_and_the_form_must_be_right() {
    let all = start(&Hand::new()).await;
    let send = |path: &str, kind: &str, body: &str| {
        let request = http().post(format!("{}{path}", all.slack.url)).header("content-type", kind);
        let request = request.body(body.to_owned());
        async { Answer::of(request.send().await.unwrap()).await }
    };
    let good = r#"{"text":"t"}"#;
    let table = [
        ("/services/T000/B000/other", "application/json", good, 403, "invalid_token"),
        ("/services/T1/B1/x", "application/json", good, 404, "no_service"),
        (WEBHOOK_PATH, "text/plain", good, 400, "invalid_payload"),
        (WEBHOOK_PATH, "application/json", "{'text':'t'}", 400, "invalid_payload"),
        (WEBHOOK_PATH, "application/json", good, 200, "ok"),
    ];
    for (path, kind, body, status, text) in table {
        let answer = send(path, kind, body).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{path} {kind} {body}");
    }
}

#[tokio::test]
async fn faults_speak_slack() {
    let all = start(&Hand::new()).await;
    all.slack.next(Matcher::any(), Fault::Status429 { policy: String::new() });
    all.slack.next(Matcher::any(), Fault::Status(410));
    all.slack.next(Matcher::any(), Fault::Status(500));
    let body = json!({"text": "t"});
    let answer = post(&all, &body).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    let answer = post(&all, &body).await;
    assert_eq!((answer.status, answer.text.as_str()), (410, "channel_is_archived"));
    let answer = post(&all, &body).await;
    assert_eq!((answer.status, answer.text.as_str()), (500, "rollup_error"));
    assert_eq!(
        all.slack.posts().iter().map(|post| post.status.unwrap()).collect::<Vec<_>>(),
        [429, 410, 500]
    );
    assert!(all.slack.messages().is_empty());
}
