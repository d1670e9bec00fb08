//! Real servers paused, killed, emptied, failed over, filled, restored: the agent is closed, and what the
//! halt says is true. Must never take a server's absence for a yes.
mod flags;
mod tables;

use crate::scene::{Scene, says, says_nothing_more, url_event};
use crate::terminal::holdfast;
use interlock::{PermitAnswer, PermitAsk, Standing};
use ledger::RunStatus;
use serde_json::json;
use step::{Next, StepInput};
use types::{IntentId, Reason, RunId};

const FLAG: &str = "agent:halted:global";
const ARMED: &str = "agent:armed";
/// Whose deal 4411 is.
const VAN_DIJK: &str = "1234";

/// A run that wants to write one note, standing before its first model call, the tool live.
async fn about_to_write(scene: &mut Scene) -> StepInput {
    scene.go_live("append_note").await;
    let note = json!({"deal_id": "4411", "text": "They chose another.", "because": "They wrote so."});
    scene.standins.anthropic.script(vec![says(&[("append_note", note)]), says_nothing_more()]);
    let mut input = scene.begin("reply_4411").await;
    scene.step_to(&mut input, 1).await;
    input
}

/// The run waits, and nothing reached the model or the CRM.
async fn parked(scene: &mut Scene, input: &mut StepInput) {
    let (sent, calls) = (scene.sent().len(), scene.standins.anthropic.calls().len());
    let output = scene.step_on(input).await;
    assert_eq!((output.next, output.n), (Next::Wait, 1));
    assert!(scene.run(&input.run_id).await.parked_since_ms.is_some(), "parked");
    assert_eq!((scene.sent().len(), scene.standins.anthropic.calls().len()), (sent, calls));
}

/// The run ends, halted or held, and nothing reached the CRM.
async fn stopped(scene: &mut Scene, input: &mut StepInput, reason: Reason) {
    assert_eq!(scene.step_on(input).await.next, Next::Halted);
    let ended = scene.run(&input.run_id).await;
    assert!(matches!(ended.status, RunStatus::Halted | RunStatus::Held), "{:?}", ended.status);
    assert_eq!(ended.reason, Some(reason));
    assert_eq!(scene.sent(), []);
}

async fn standing(scene: &Scene) -> Standing {
    scene.house.step.interlock.check(None, Some(&Scene::customer(VAN_DIJK))).await
}

/// What asking for a permit says, on the word of an earlier look.
async fn permit(scene: &Scene, go: &interlock::Go) -> PermitAnswer {
    let ask = PermitAsk {
        run_id: &RunId::new("r-00000000000000000000").expect("an id"),
        intent_id: &IntentId::new("i-00000000000000000000").expect("an id"),
        tool: "append_note",
        target: "deal:4411",
        customer_id: &Scene::customer(VAN_DIJK),
        invocation_deadline_ms: scene.clock.now_ms() + 60_000,
        request_ms_max: 10_000,
    };
    scene.house.step.interlock.permit(go, &ask).await.expect("an answer")
}

/// The halt page, looked at or posted to: its words.
async fn page(scene: &Scene, method: &str, rest: &str) -> String {
    let path = format!("{}{rest}", scene.secrets.halt_path.as_deref().expect("a halt page"));
    let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
    let event = url_event(method, &path, &headers, b"");
    let answer = halt::handle(&scene.house.halt, event).await.expect("an answer");
    answer["body"].as_str().unwrap_or_default().to_owned()
}

/// What `holdfast doctor` finds of the switch store.
async fn doctor_of_the_flags(scene: &Scene) -> (cli::Status, String) {
    let report = holdfast(scene, &["doctor"]).await;
    let found = report.lines.iter().find_map(|line| match line {
        cli::Line::Item { status, about, text, .. } if about == "switch store" => {
            Some((*status, text.clone()))
        }
        _ => None,
    });
    found.expect("a line about the switch store")
}

/// The control item as it is stored, for one who keeps and restores it.
async fn stored_control(
    scene: &Scene,
) -> std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue> {
    let key = aws_sdk_dynamodb::types::AttributeValue::S("control".to_owned());
    let table = format!("{}control", scene.prefix);
    let read = Scene::dynamo().get_item().table_name(table).key("pk", key).consistent_read(true).send().await;
    read.expect("an answer").item.expect("the control item")
}
