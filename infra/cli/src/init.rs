//! `holdfast init`: the control item, halted, and the first person. Must never arm anything, nor show a link
//! twice.
use crate::arguments::{Init, RoleName};
use crate::console::Ask;
use crate::error::CliError;
use crate::install::Install;
use crate::people;
use crate::report::{Line, Report, Status, Three};
use interlock::{People, Person, PersonKey};
use serde_json::json;
use types::{Actor, PersonId};
use web::{LinkKind, LinkSigner, Pin, PinHash, SignedLink};

/// The signing key, and whether it was made now.
struct Key {
    signer: LinkSigner,
    fresh: bool,
}

/// A PIN, and its text when it was made here and must be told.
struct Chosen {
    hash: PinHash,
    told: Option<String>,
}

/// Somebody is there already, or the keys do not fit.
enum Declined {
    PersonThere,
    NoId,
}

/// Sets the install up. Each part that is there already is left as it is, so a second try goes on where the
/// first ended.
pub(crate) async fn run(install: &Install, arguments: &Init, ask: &mut dyn Ask) -> Result<Report, CliError> {
    if !types::is_name(&arguments.name) {
        return Ok(Report::failed(Three::usage(
            "nothing was set up",
            "a name is one line of 1 to 80 visible characters",
            "holdfast init --name NAME",
        )));
    }
    let there = people::read(install).await?;
    if there.people.values().any(|person| person.revoked_ms.is_none()) {
        return Ok(person_there());
    }
    let key = match key(install).await? {
        Ok(key) => key,
        Err(three) => return Ok(Report::failed(three)),
    };
    let pin = match arguments.role {
        RoleName::Reader => None,
        RoleName::Ops => match pin(arguments, ask)? {
            Ok(pin) => Some(pin),
            Err(three) => return Ok(Report::failed(three)),
        },
    };
    let actor = Actor::System("cli".to_owned());
    let put = install.interlock.init(&actor).await;
    let put = put.map_err(|source| CliError::Control { operation: "put the control item", source })?;
    let name = arguments.name.trim();
    let role = interlock::Role::from(arguments.role);
    let hash = pin.as_ref().map(|pin| pin.hash.as_phc().to_owned());
    let added = people::update(install, |people| {
        if people.people.values().any(|person| person.revoked_ms.is_none()) {
            return Ok(Err(Declined::PersonThere));
        }
        let Some(id) = people.fresh_id(name) else { return Ok(Err(Declined::NoId)) };
        let link = key.signer.sign(LinkKind::Person, &id, install.clock.now()).map_err(CliError::Key)?;
        add(people, &id, name, role, hash.clone(), &link, install.clock.now_ms());
        Ok(Ok((id, link)))
    })
    .await?;
    let (id, link) = match added {
        Ok(added) => added,
        Err(Declined::PersonThere) => return Ok(person_there()),
        Err(Declined::NoId) => return Ok(no_id()),
    };
    let detail = json!({"key_id": link.link.key_id, "source": "cli"});
    // The link is shown even if its row was not written: it exists, and nobody could ever show it again.
    let logged = people::log(install, link.link.key_id.as_str(), &actor, ("enrol", &id), detail).await;
    let report = report(install, &key, put, (&id, name, &link), pin.and_then(|pin| pin.told));
    Ok(match logged {
        Ok(()) => report,
        Err(error) => report.but(error.three()),
    })
}

fn add(
    people: &mut People,
    id: &PersonId,
    name: &str,
    role: interlock::Role,
    pin_hash: Option<String>,
    link: &SignedLink,
    now_ms: i64,
) {
    let mut person = Person::new(name, role);
    person.pin_hash = pin_hash;
    let added_by = Actor::System("cli".to_owned()).to_string();
    let key = PersonKey { kind: "phone".to_owned(), added_ms: now_ms, added_by, revoked_ms: None };
    person.keys.insert(link.link.key_id.to_string(), key);
    people.people.insert(id.clone(), person);
}

/// The signing key that is set, or a new one.
async fn key(install: &Install) -> Result<Result<Key, Three>, CliError> {
    let (signer, fresh) = match install.signer().await? {
        Some(signer) => (signer, false),
        None => (LinkSigner::generate().map_err(CliError::Key)?, true),
    };
    let wanted =
        install.settings.link_public_key.map(|bytes| web::LinkVerifier::from_bytes(&bytes)).transpose();
    let wanted = wanted.map_err(CliError::Key)?.map(|verifier| verifier.to_hex());
    let fits = wanted.as_ref().is_none_or(|hex| *hex == signer.verifier().to_hex());
    if fits {
        return Ok(Ok(Key { signer, fresh }));
    }
    let why =
        if fresh { "LINK_PUBLIC_KEY is set and LINK_SIGNING_KEY is not" } else { "the two are not one pair" };
    Ok(Err(Three::new(
        "nothing was set up: no page would accept the link",
        format!("LINK_PUBLIC_KEY must be the public half of LINK_SIGNING_KEY: {why}"),
        "set LINK_SIGNING_KEY, or unset both: holdfast init --name NAME makes a new pair",
    )))
}

/// The PIN: from standard input, typed twice, or made here where she leaves it empty.
fn pin(arguments: &Init, ask: &mut dyn Ask) -> Result<Result<Chosen, Three>, CliError> {
    let six = || Three::usage("nothing was set up", "a PIN has 6 digits", "holdfast init --name NAME");
    let chosen = |text: &str, told: bool| -> Result<Result<Chosen, Three>, CliError> {
        let Some(pin) = Pin::parse(text) else { return Ok(Err(six())) };
        let hash = PinHash::of(&pin).map_err(CliError::Key)?;
        Ok(Ok(Chosen { hash, told: told.then(|| text.to_owned()) }))
    };
    if arguments.pin_stdin {
        return chosen(&ask.read_line().unwrap_or_default(), false);
    }
    let Some(typed) = ask.ask_hidden("her PIN, 6 digits (empty: one is made for her)") else {
        return Ok(Err(Three::usage(
            "nothing was set up",
            "nobody is at a terminal to choose a PIN",
            "holdfast init --name NAME --pin-stdin < FILE",
        )));
    };
    if typed.is_empty() {
        let random = uuid::Uuid::new_v4().as_u128();
        return chosen(&format!("{:06}", random % 1_000_000), true);
    }
    if ask.ask_hidden("once more").as_deref() != Some(typed.as_str()) {
        return Ok(Err(Three::usage("nothing was set up", "the two PINs differ", "try again")));
    }
    chosen(&typed, false)
}

fn report(
    install: &Install,
    key: &Key,
    put: bool,
    (id, name, link): (&PersonId, &str, &SignedLink),
    told_pin: Option<String>,
) -> Report {
    let address = install.halt_address(&link.path());
    let public = key.signer.verifier().to_hex();
    let item = if put { "put: halted, everything in dry-run" } else { "was there already; left as it is" };
    let mut lines = vec![
        Line::item(Status::Did, "control item", item),
        Line::item(Status::Did, "person", format!("{name}, id {id}")),
        Line::text("Her halt page. Whoever has this address can halt; it is shown this once:"),
        Line::Copy(address.clone()),
    ];
    if install.settings.public_halt_url.is_none() {
        lines.push(Line::text("(behind the address of the halt function: PUBLIC_HALT_URL is not set yet)"));
    }
    if let Some(pin) = &told_pin {
        lines.push(Line::text(format!("Her PIN, needed to resume; it is shown this once: {pin}")));
    }
    let made = key.fresh.then(|| key.signer.secret_hex());
    if let Some(secret) = &made {
        lines.extend(store_it(install, secret, &public));
    }
    lines.push(Line::text(
        "Next: she opens her page and starts the agent in dry-run, or: holdfast resume --because TEXT",
    ));
    let json = json!({
        "control_item": if put { "put" } else { "there" }, "person_id": id, "key_id": link.link.key_id,
        "halt_page": address, "pin": told_pin, "link_signing_key": made, "link_public_key": public,
    });
    Report::done(lines, json)
}

/// How to keep a key that was made now.
fn store_it(install: &Install, secret: &str, public: &str) -> Vec<Line> {
    let name = format!("{}secret/link_signing_key", install.settings.parameter_path());
    vec![
        Line::text("A signing key was made. Store it now, it is shown this once. In AWS:"),
        Line::Copy(format!("aws ssm put-parameter --type SecureString --name {name} --value {secret}")),
        Line::text("and set, for the functions and for this command:"),
        Line::Copy(format!("LINK_SIGNING_KEY_PARAMETER={name}")),
        Line::Copy(format!("LINK_PUBLIC_KEY={public}")),
        Line::text("Elsewhere, in the place of the parameter's name:"),
        Line::Copy(format!("LINK_SIGNING_KEY={secret}")),
    ]
}

fn person_there() -> Report {
    Report::failed(Three::new(
        "nothing was changed",
        "this install has its first person already",
        "add others with: holdfast invite --name NAME",
    ))
}

fn no_id() -> Report {
    Report::failed(Three::new("nobody was added", "no id is left for this name", "use another name"))
}
