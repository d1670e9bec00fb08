//! `status` and `resume` by the halt function, where the switch store cannot be reached from a terminal (a
//! cache inside a VPC). Must never hold credentials: the AWS command line tool has them.
use crate::arguments::{LookThrough, Resume};
use crate::console::Ask;
use crate::error::CliError;
use crate::report::{Line, Report, Status, Three};
use crate::resume;
use interlock::Rearmed;
use serde_json::{Value, json};
use std::io;
use std::process::Stdio;
use tokio::process::Command;
use types::{Actor, Epoch, Scope};

/// The AWS command line tool.
pub(crate) const AWS: &str = "aws";

/// What the halt page would say, from the function.
pub(crate) async fn status(arguments: &LookThrough) -> Result<Report, CliError> {
    let function = arguments.through.as_deref().unwrap_or_default();
    let said = invoke(AWS, function, &json!({"op": "status"})).await?;
    Ok(status_report(&said))
}

fn status_report(said: &Value) -> Report {
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    let lines: Vec<&str> =
        said.get("lines").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let status = if text("state").starts_with("running") { Status::Ok } else { Status::Halt };
    let shown = vec![Line::item(status, text("word"), lines.join(" ")), Line::text(text("checked"))];
    Report::done(shown, said.clone())
}

/// Reads through the function, asks, resumes through the function.
pub(crate) async fn resume(arguments: &Resume, actor: Actor, ask: &mut dyn Ask) -> Result<Report, CliError> {
    let function = arguments.through.as_deref().unwrap_or_default();
    let said = invoke(AWS, function, &json!({"op": "status", "customer": arguments.customer})).await?;
    let Some(order) = order(&said, arguments, &actor) else {
        return Ok(Report::failed(Three::new(
            "nothing was resumed: the agent stays as it is",
            "one of the two switches does not answer the function either",
            "try again: holdfast status --through FUNCTION",
        )));
    };
    let now = status_report(&said);
    for line in &now.lines {
        if let Line::Item { about, text, .. } = line {
            ask.progress(&format!("{about}: {text}"));
        }
    }
    let shown = |field: &str| order.get(field).map(ToString::to_string).unwrap_or_default();
    ask.progress(&format!("epoch {}, press counter {}", shown("epoch"), shown("seq")));
    if let Err(three) = resume::agreed(arguments.yes, ask) {
        return Ok(Report::failed(three));
    }
    let answer = invoke(AWS, function, &order).await?;
    let scope = arguments.customer.clone().map_or(Scope::Global, Scope::Customer);
    let Some(rearmed) = rearmed(&answer) else {
        return Err(CliError::FunctionSaid {
            function: function.to_owned(),
            said: first_words(&answer.to_string()),
        });
    };
    Ok(resume::report(&scope, &rearmed, None))
}

/// The order with everything that was shown. `None`: something of it could not be read.
fn order(said: &Value, arguments: &Resume, actor: &Actor) -> Option<Value> {
    let epoch = said.get("epoch")?.as_u64()?;
    let person = match actor {
        Actor::Person(person) => Some(person),
        Actor::Agent(_) | Actor::System(_) => None,
    };
    let (scope, seq, generation) = match &arguments.customer {
        None => ("global".to_owned(), said.get("seq")?.as_str()?, 0),
        Some(id) => {
            let generation = said.get("halted_customers")?.get(id.as_str()).and_then(Value::as_u64);
            (format!("customer:{id}"), said.get("customer_seq")?.as_str()?, generation.unwrap_or_default())
        }
    };
    Some(json!({
        "op": "resume", "scope": scope, "person": person, "because": arguments.because, "epoch": epoch,
        "generation": generation, "seq": seq, "as_before": arguments.as_before,
    }))
}

fn rearmed(answer: &Value) -> Option<Rearmed> {
    if answer.get("resumed")?.as_bool()? {
        return Some(Rearmed::Done { epoch: Epoch(answer.get("epoch")?.as_u64()?) });
    }
    match answer.get("why")?.as_str()? {
        "pressed_again" => Some(Rearmed::PressedAgain),
        "not_halted" => Some(Rearmed::NotHalted),
        "flags_silent" => Some(Rearmed::FlagsSilent),
        _ => None,
    }
}

/// Invokes a function and reads its answer; a function that failed is no answer.
pub(crate) async fn invoke(program: &str, function: &str, payload: &Value) -> Result<Value, CliError> {
    let failed = |source| CliError::Function { function: function.to_owned(), source };
    let mut command = Command::new(program);
    command
        .args(["lambda", "invoke", "--function-name", function, "--cli-binary-format", "raw-in-base64-out"])
        .args([
            "--payload",
            &payload.to_string(),
            "--query",
            "FunctionError",
            "--output",
            "text",
            "/dev/stdout",
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.map_err(failed)?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(failed(io::Error::other(first_words(&err))));
    }
    // The answer first, then the word of the tool: `None`, or how the function failed.
    let mut values = serde_json::Deserializer::from_str(&out).into_iter::<Value>();
    let answer = values.next().and_then(Result::ok);
    let rest = out.get(values.byte_offset()..).unwrap_or_default().trim();
    match answer {
        Some(answer) if rest == "None" => Ok(answer),
        Some(_) | None => {
            Err(CliError::FunctionSaid { function: function.to_owned(), said: first_words(&out) })
        }
    }
}

fn first_words(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    web::visible_line(&line.chars().take(160).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use types::CustomerId;

    fn asked(customer: Option<&str>) -> Resume {
        Resume {
            customer: customer.map(|id| CustomerId::new(id).unwrap()),
            because: "the cause is fixed".into(),
            as_before: false,
            yes: true,
            through: Some("halt".into()),
        }
    }

    #[test]
    fn a_resume_carries_what_was_shown_or_is_not_sent() {
        let said = json!({"epoch": 4, "seq": "abc", "halted_customers": {"1234": 2}, "customer_seq": "def"});
        let system = Actor::System("cli".into());
        let all = order(&said, &asked(None), &system).unwrap();
        assert_eq!((&all["scope"], &all["epoch"], &all["seq"]), (&json!("global"), &json!(4), &json!("abc")));
        let one = order(&said, &asked(Some("1234")), &system).unwrap();
        assert_eq!((&one["scope"], &one["generation"]), (&json!("customer:1234"), &json!(2)));
        for silent in [json!({"epoch": null, "seq": "a"}), json!({"epoch": 4, "seq": null}), json!({})] {
            assert_eq!(order(&silent, &asked(None), &system), None, "{silent}");
        }
    }

    #[test]
    fn only_a_clear_yes_is_a_resume() {
        assert_eq!(rearmed(&json!({"resumed": true, "epoch": 5})), Some(Rearmed::Done { epoch: Epoch(5) }));
        assert_eq!(rearmed(&json!({"resumed": false, "why": "not_halted"})), Some(Rearmed::NotHalted));
        for odd in
            [json!({}), json!({"resumed": "true"}), json!({"resumed": true}), json!({"resumed": false})]
        {
            assert_eq!(rearmed(&odd), None, "{odd}");
        }
    }

    #[tokio::test]
    async fn the_tools_answer_is_read_and_a_failed_function_is_no_answer() {
        let folder = std::env::temp_dir().join(format!("holdfast-cli-aws-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let tool = |name: &str, body: &str| {
            let path = folder.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
            path.display().to_string()
        };
        let good = tool("good", "printf '{\"state\":\"halted\",\"word\":\"HALTED\"}None\\n'");
        let said = invoke(&good, "halt", &json!({"op": "status"})).await.unwrap();
        assert_eq!(said["word"], "HALTED");
        let echo = tool("echo", "printf '\"%s\"None' \"$5\"");
        assert_eq!(invoke(&echo, "my-halt", &json!({})).await.unwrap(), json!("--cli-binary-format"));
        let unhandled = tool("unhandled", "printf '{\"errorType\":\"BadEvent\"}Unhandled\\n'");
        assert!(matches!(invoke(&unhandled, "halt", &json!({})).await, Err(CliError::FunctionSaid { .. })));
        let refused = tool("refused", "echo 'An error occurred (AccessDenied)' >&2; exit 254");
        let error = invoke(&refused, "halt", &json!({})).await.unwrap_err();
        assert!(error.three().why.contains("AccessDenied"), "{:?}", error.three());
        assert!(matches!(invoke("/nowhere/aws", "halt", &json!({})).await, Err(CliError::Function { .. })));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
