//! `holdfast revoke`: takes keys back, at once. Must never be refused because its row could not be written.
use crate::arguments::Revoke;
use crate::error::CliError;
use crate::install::Install;
use crate::people;
use crate::report::{Line, Report, Status, Three};
use interlock::Person;
use serde_json::json;
use types::Actor;

enum Declined {
    NoPerson,
    NoKey,
}

/// What was taken back.
struct Taken {
    name: String,
    keys: Vec<String>,
    nobody_left: bool,
}

/// Takes back one key, or the person and all her keys.
pub(crate) async fn run(install: &Install, arguments: &Revoke, actor: Actor) -> Result<Report, CliError> {
    let now_ms = install.clock.now_ms();
    let id = &arguments.person;
    let taken = people::update(install, |people| {
        let Some(person) = people.people.get_mut(id) else { return Ok(Err(Declined::NoPerson)) };
        let wanted = |key: &str| {
            arguments.key.as_deref().is_none_or(|start| !start.is_empty() && key.starts_with(start))
        };
        let mut keys = Vec::new();
        for (key_id, key) in person.keys.iter_mut().filter(|(key_id, _)| wanted(key_id)) {
            key.revoked_ms = key.revoked_ms.or(Some(now_ms));
            keys.push(key_id.clone());
        }
        match &arguments.key {
            Some(_) if keys.is_empty() => return Ok(Err(Declined::NoKey)),
            Some(_) => {}
            None => person.revoked_ms = person.revoked_ms.or(Some(now_ms)),
        }
        let name = person.name.clone();
        let nobody_left = !people.people.values().any(Person::can_resume);
        Ok(Ok(Taken { name, keys, nobody_left }))
    })
    .await?;
    let taken = match taken {
        Ok(taken) => taken,
        Err(Declined::NoPerson) => return Ok(nothing(&format!("there is no person `{id}`"))),
        Err(Declined::NoKey) => return Ok(nothing(&format!("`{id}` has no key that begins so"))),
    };
    let detail = json!({"key_ids": taken.keys, "person": arguments.key.is_none(), "source": "cli"});
    let logged = people::log(install, &people::row_id(), &actor, ("revoke", id), detail).await;
    let report = report(arguments, &taken);
    Ok(match logged {
        Ok(()) => report,
        Err(error) => {
            let three = error.three();
            report.but(Three { what: format!("it was taken back, but: {}", three.what), ..three })
        }
    })
}

fn report(arguments: &Revoke, taken: &Taken) -> Report {
    let what = if arguments.key.is_some() {
        format!("of {}: {}", taken.name, taken.keys.join(", "))
    } else {
        format!("{} ({}) and her keys: {}", taken.name, arguments.person, taken.keys.len())
    };
    let mut lines = vec![Line::item(Status::Did, "taken back", what)];
    lines.push(Line::text(
        "While the store of people is silent, an old link can still halt; it can do nothing else.",
    ));
    if taken.nobody_left {
        lines.push(Line::Item {
            status: Status::Warn,
            about: "nobody left".to_owned(),
            text: "nobody with the ops role, a PIN and a key can resume on a page".to_owned(),
            todo: Some("holdfast invite --name NAME --role ops".to_owned()),
        });
    }
    let json = json!({"person_id": arguments.person, "key_ids": taken.keys, "person": arguments.key.is_none(),
                      "anybody_can_resume": !taken.nobody_left});
    Report::done(lines, json)
}

fn nothing(why: &str) -> Report {
    Report::failed(Three::new("nothing was taken back", why, "the console's page People lists ids and keys"))
}
