//! The state machine that AWS runs, held against the step function's answers and the local loop. Must never
//! know an answer that the step does not give, nor miss one that it does.
use crate::scene::repository;
use serde_json::{Value, json};
use step::{Next, StepInput, StepOutput};

fn definition() -> Value {
    let text = std::fs::read_to_string(repository().join("infra/aws/state-machine.asl.json"))
        .expect("the definition");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn every_answer_of_a_step_leads_somewhere_and_an_unknown_one_fails() {
    let states = &definition()["States"];
    let decide = &states["Decide"];
    for next in [Next::Continue, Next::Wait, Next::Halted, Next::Done] {
        // Whoever adds an answer must say here where it leads.
        let leads_to = match next {
            Next::Continue => "Step",
            Next::Wait => "Pause",
            Next::Halted => "Halted",
            Next::Done => "Done",
        };
        let code = serde_json::to_value(next).expect("a code");
        let condition = format!("{{% $states.input.next = '{}' %}}", code.as_str().expect("text"));
        let choices = decide["Choices"].as_array().expect("choices");
        let choice = choices.iter().find(|choice| choice["Condition"] == condition);
        assert_eq!(choice.unwrap_or_else(|| panic!("no choice for {condition}"))["Next"], leads_to);
    }
    assert_eq!(decide["Choices"].as_array().map(Vec::len), Some(4));
    assert_eq!(states[decide["Default"].as_str().expect("a default")]["Type"], "Fail");
    assert_eq!(states["Pause"]["Next"], "Step");
}

#[test]
fn a_steps_answer_is_the_next_steps_input() {
    let output = StepOutput {
        run_id: types::RunId::new("r-1").expect("an id"),
        n: 3,
        customer_id: Some(types::CustomerId::new("1234").expect("an id")),
        next: Next::Wait,
        wait_seconds: 5,
    };
    let handed_on = serde_json::to_value(&output).expect("JSON");
    assert_eq!(handed_on["wait_seconds"], 5, "`Pause` reads it by this name");
    let input: StepInput = serde_json::from_value(handed_on).expect("the next input");
    assert_eq!((input.run_id, input.n, input.customer_id), (output.run_id, output.n, output.customer_id));
}

#[test]
fn the_task_outlives_the_function_and_its_payload_holds_ids_only() {
    let step = &definition()["States"]["Step"];
    let function_s = demo::driver::STEP_TIMEOUT.as_secs();
    assert_eq!(step["TimeoutSeconds"].as_u64(), Some(function_s + 10));
    assert_eq!(step["Arguments"]["Payload"], "{% $states.input %}");
    let start = json!({"run_id": "r-1", "n": 0});
    assert!(serde_json::from_value::<StepInput>(start).is_ok(), "what a start hands over is a step's input");
}
