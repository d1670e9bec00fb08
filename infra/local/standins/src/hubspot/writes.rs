//! The three writes that are taken: a deal's properties, a note, a task. Must never apply a part of a bad
//! request.
use super::journal::Line;
use super::reads::{parse_id, whole};
use super::records::{Change, Kind, Link, Source, link_type};
use super::refusals::{self, Fault};
use super::{Inner, State, properties, seed};
use crate::serve::{Received, Reply};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The longest note that HubSpot takes, in characters.
const NOTE_CHARS_MAX: usize = 65_536;

/// `PATCH .../{kind}/{id}`.
pub(super) fn patch(
    inner: &Inner,
    state: &mut State,
    request: &Received,
    place: usize,
    (kind, id): (Kind, &str),
    correlation_id: &str,
) -> Reply {
    let body = match parse(&request.body, &["properties", "objectWriteTraceId"]) {
        Ok(body) => body,
        Err(message) => return refusals::invalid(&message, correlation_id),
    };
    let Some(id) = parse_id(id) else {
        return refusals::invalid("the record ID is not valid", correlation_id);
    };
    let Some(record) = state.records.get(kind, id) else { return refusals::not_found(correlation_id) };
    let (values, mut faults) = values(kind, &body);
    if values.is_empty() && faults.is_empty() {
        return refusals::invalid(
            "No properties found to update, please provide at least one.",
            correlation_id,
        );
    }
    let mut after = record.properties.clone();
    after.extend(values.clone());
    faults.extend(stage_faults(state, &values, &after));
    if !faults.is_empty() {
        return refusals::invalid_properties(&faults, correlation_id);
    }
    let at_ms = (inner.now_ms)();
    let source = Source::app(inner.settings.app_id);
    let change = Change::Update { kind, id, properties: values, source, at_ms };
    commit(inner, state, place, change, (kind, id, 200), correlation_id)
}

/// `POST .../notes` and `POST .../tasks`.
pub(super) fn create(
    inner: &Inner,
    state: &mut State,
    request: &Received,
    place: usize,
    kind: Kind,
    correlation_id: &str,
) -> Reply {
    let body = match parse(&request.body, &["properties", "associations", "objectWriteTraceId"]) {
        Ok(body) => body,
        Err(message) => return refusals::invalid(&message, correlation_id),
    };
    let (values, mut faults) = values(kind, &body);
    if values.get("hs_timestamp").is_none_or(String::is_empty)
        && !faults.iter().any(|fault| fault.property.as_deref() == Some("hs_timestamp"))
    {
        faults.push(Fault::of("hs_timestamp", "MISSING_REQUIRED_PROPERTY", "hs_timestamp is required"));
    }
    if !faults.is_empty() {
        return refusals::invalid_properties(&faults, correlation_id);
    }
    let links = match links(state, kind, &body) {
        Ok(links) => links,
        Err(Refused::Invalid(message)) => return refusals::invalid(&message, correlation_id),
        Err(Refused::NotFound) => return refusals::not_found(correlation_id),
    };
    let at_ms = (inner.now_ms)();
    let id = state.records.next_id();
    let source = Source::app(inner.settings.app_id);
    let change = Change::Create { kind, id, properties: values, links, source, at_ms };
    commit(inner, state, place, change, (kind, id, 201), correlation_id)
}

/// Keeps the write on disk, applies it, notes it in the log, and only then answers.
fn commit(
    inner: &Inner,
    state: &mut State,
    place: usize,
    change: Change,
    (kind, id, status): (Kind, u64, u16),
    correlation_id: &str,
) -> Reply {
    let Some(seen) = state.log.get(place) else { return refusals::broken(500, correlation_id) };
    let mut seen = seen.clone();
    seen.write = true;
    seen.applied_ms = Some((inner.now_ms)());
    seen.target = Some(format!("{}/{id}", kind.plural()));
    let line = Line::Wrote { seen: Box::new(seen.clone()), change };
    if state.commit(&inner.settings, &line).is_err() {
        return refusals::broken(500, correlation_id);
    }
    if let Some(entry) = state.log.get_mut(place) {
        *entry = seen;
    }
    match state.records.get(kind, id) {
        Some(record) => Reply::json(status, &whole(kind, id, record)),
        None => refusals::broken(500, correlation_id),
    }
}

fn parse(body: &[u8], known: &[&str]) -> Result<Map<String, Value>, String> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| format!("Invalid input JSON on line {}, column {}", error.line(), error.column()))?;
    let Value::Object(body) = body else { return Err("Invalid input JSON: an object is needed".to_owned()) };
    if let Some(name) = body.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("Invalid input JSON: Unrecognized field \"{name}\""));
    }
    match body.get("properties") {
        Some(Value::Object(_)) => Ok(body),
        Some(_) => Err("Invalid input JSON: properties must be an object".to_owned()),
        None => Err("Some required fields were not set: [properties]".to_owned()),
    }
}

/// The property values, and what is wrong with them.
fn values(kind: Kind, body: &Map<String, Value>) -> (BTreeMap<String, String>, Vec<Fault>) {
    let mut good = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, value) in body.get("properties").and_then(Value::as_object).into_iter().flatten() {
        match value_fault(kind, name, value) {
            Err(fault) => faults.push(fault),
            Ok(value) => {
                good.insert(name.clone(), value);
            }
        }
    }
    (good, faults)
}

fn value_fault(kind: Kind, name: &str, value: &Value) -> Result<String, Fault> {
    if !properties::exists(kind, name) {
        let message = format!("Property \"{name}\" does not exist");
        return Err(Fault::of(name, "PROPERTY_DOESNT_EXIST", message));
    }
    if properties::is_read_only(name) {
        let message = format!("\"{name}\" is a read only property; its value cannot be set");
        return Err(Fault::of(name, "READ_ONLY_VALUE", message));
    }
    let Some(text) = value.as_str() else {
        let message = format!("the value of \"{name}\" must be a string");
        return Err(Fault::of(name, "INVALID_TYPE", message));
    };
    if let Some(options) = properties::options(name)
        && !options.contains(&text)
    {
        let message = format!("{text} was not one of the allowed options: {options:?}");
        return Err(Fault::of(name, "INVALID_OPTION", message));
    }
    if !properties::has_form(name, text) {
        let message = format!("{text} was not of the form that \"{name}\" needs");
        return Err(Fault::of(name, "INVALID_VALUE", message));
    }
    if name == "hs_note_body" && text.chars().count() > NOTE_CHARS_MAX {
        let message = format!("the note body is longer than {NOTE_CHARS_MAX} characters");
        return Err(Fault::of(name, "TOO_LONG", message));
    }
    if name == "hubspot_owner_id" && !text.is_empty() && !seed::owner_exists(text) {
        return Err(Fault::of(name, "INVALID_OWNER_ID", format!("owner {text} does not exist")));
    }
    Ok(text.to_owned())
}

/// A stage must be one of the pipeline that the deal is in afterwards, and the admin's rules must hold.
fn stage_faults(
    state: &State,
    values: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !values.contains_key("dealstage") && !values.contains_key("pipeline") {
        return faults;
    }
    let empty = String::new();
    let pipeline = after.get("pipeline").unwrap_or(&empty);
    let stage = after.get("dealstage").unwrap_or(&empty);
    let Some(stages) = seed::stage_ids(pipeline) else {
        let message = format!("{pipeline} was not one of the allowed options: pipelines of deals");
        faults.push(Fault::of("pipeline", "INVALID_OPTION", message));
        return faults;
    };
    if !stages.contains(stage) {
        let message = format!("{stage} was not one of the allowed options: {stages:?}");
        faults.push(Fault::of("dealstage", "INVALID_OPTION", message));
    }
    let missing = state
        .required_for_stage
        .iter()
        .filter(|(of, property)| of == stage && after.get(property).is_none_or(String::is_empty));
    for (_, property) in missing {
        let message = format!("\"{property}\" is required to move a deal to this stage");
        faults.push(Fault::of(property, "MISSING_REQUIRED_PROPERTY", message));
    }
    faults
}

enum Refused {
    Invalid(String),
    NotFound,
}

fn refused(message: &str) -> Refused {
    Refused::Invalid(format!("Invalid input JSON: {message}"))
}

/// The links that the body asks for, all of them good.
fn links(state: &State, kind: Kind, body: &Map<String, Value>) -> Result<Vec<Link>, Refused> {
    let Some(asked) = body.get("associations") else {
        return Err(Refused::Invalid("Some required fields were not set: [associations]".to_owned()));
    };
    let asked = asked.as_array().ok_or_else(|| refused("associations must be a list"))?;
    let mut links = Vec::new();
    for one in asked {
        let id =
            one.pointer("/to/id").and_then(Value::as_str).ok_or_else(|| refused("to.id must be a string"))?;
        let id = parse_id(id).ok_or_else(|| refused("to.id must be a record ID"))?;
        let types =
            one.get("types").and_then(Value::as_array).ok_or_else(|| refused("types must be a list"))?;
        if types.is_empty() {
            return Err(refused("types must not be empty"));
        }
        for one in types {
            links.push(typed_link(state, kind, id, one)?);
        }
    }
    Ok(links)
}

fn typed_link(state: &State, kind: Kind, id: u64, asked: &Value) -> Result<Link, Refused> {
    if asked.get("associationCategory").and_then(Value::as_str) != Some("HUBSPOT_DEFINED") {
        return Err(refused("associationCategory must be HUBSPOT_DEFINED"));
    }
    let type_id =
        asked.get("associationTypeId").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    let type_id = type_id.ok_or_else(|| refused("associationTypeId must be a number"))?;
    let Some(link) = link_type(kind, type_id) else {
        let message = format!("association type {type_id} does not start at {}", kind.plural());
        return Err(Refused::Invalid(message));
    };
    if state.records.get(link.to, id).is_some() {
        return Ok(Link { to: link.to, id, type_id });
    }
    if Kind::ALL.into_iter().any(|other| other != link.to && state.records.get(other, id).is_some()) {
        let message = format!("association type {type_id} does not lead to the object {id}");
        return Err(Refused::Invalid(message));
    }
    Err(Refused::NotFound)
}
