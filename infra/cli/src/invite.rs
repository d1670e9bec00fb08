//! `holdfast invite`: a link that adds a phone, once, within 15 minutes. Must never give a key by itself.
use crate::arguments::Invite;
use crate::error::CliError;
use crate::install::Install;
use crate::people;
use crate::report::{Line, Report, Status, Three};
use interlock::{Person, Role};
use serde_json::json;
use types::{Actor, PersonId};
use web::LinkKind;

/// What was found under the name.
#[derive(Debug, Clone)]
struct Invited {
    id: PersonId,
    name: String,
    new: bool,
    has_pin: bool,
}

/// Makes the invitation. Its row is written first: an invitation that nobody could trace must not exist.
pub(crate) async fn run(install: &Install, arguments: &Invite, actor: Actor) -> Result<Report, CliError> {
    let declined = |why: &str, next: &str| Ok(Report::failed(Three::usage("nobody was invited", why, next)));
    if !types::is_name(&arguments.name) {
        return declined("a name is one line of 1 to 80 visible characters", "holdfast invite --name NAME");
    }
    let Some(signer) = install.signer().await? else {
        return declined(
            "LINK_SIGNING_KEY is not set",
            "set it, or its parameter's name: holdfast init printed both",
        );
    };
    let name = arguments.name.trim();
    let invited = people::update(install, |people| {
        if let Some(id) = people.find(name) {
            let Some(person) = people.people.get_mut(&id) else { return Ok(Err(())) };
            if arguments.new_pin {
                person.forget_pin();
            }
            let has_pin = person.pin_hash.is_some();
            return Ok(Ok(Invited { id, name: person.name.clone(), new: false, has_pin }));
        }
        let Some(id) = people.fresh_id(name) else { return Ok(Err(())) };
        people.people.insert(id.clone(), Person::new(name, Role::from(arguments.role)));
        Ok(Ok(Invited { id, name: name.to_owned(), new: true, has_pin: false }))
    })
    .await?;
    let Ok(invited) = invited else {
        return declined("no id is left for this name", "use another name");
    };
    let link = signer.sign(LinkKind::Invite, &invited.id, install.clock.now()).map_err(CliError::Key)?;
    let key_id = &link.link.key_id;
    let detail = json!({
        "key_id": key_id, "new": invited.new, "new_pin": arguments.new_pin, "source": "cli",
    });
    people::log(install, link.link.key_id.as_str(), &actor, ("invite", &invited.id), detail).await?;
    Ok(report(install, &invited, &install.halt_address(&link.path())))
}

fn report(install: &Install, invited: &Invited, address: &str) -> Report {
    let who = format!("{}, id {}", invited.name, invited.id);
    let known = if invited.new { "added" } else { "another phone" };
    let pin = if invited.has_pin { "she types the PIN she has" } else { "she chooses her PIN" };
    let mut lines = vec![
        Line::item(Status::Did, known, who),
        Line::text(format!("Send her this address. It works once, for 15 minutes; {pin}:")),
        Line::Copy(address.to_owned()),
    ];
    if install.settings.public_halt_url.is_none() {
        lines.push(Line::text("(behind the address of the halt function: PUBLIC_HALT_URL is not set)"));
    }
    let json = json!({
        "person_id": invited.id, "new": invited.new, "invitation": address,
        "valid_seconds": web::INVITE_SECONDS,
    });
    Report::done(lines, json)
}
