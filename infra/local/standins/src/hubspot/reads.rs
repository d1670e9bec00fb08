//! Answers to reads, GET and batch. Must never change a record.
use super::properties;
use super::records::{Kind, Record, link_type, plain_link};
use super::routes::Route;
use super::{Inner, State, refusals, seed};
use crate::serve::Reply;
use serde_json::{Map, Value, json};

/// HubSpot reads at most this many records in one batch.
const BATCH_MAX: usize = 100;

/// ISO 8601 in UTC with milliseconds, as HubSpot writes it.
pub(super) fn iso(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
        .unwrap_or_default()
}

/// An id of digits only, as HubSpot's are.
pub(super) fn parse_id(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// What a read asks to see.
#[derive(Debug, Default)]
struct Asked {
    properties: Vec<String>,
    with_history: Vec<String>,
    associations: Vec<String>,
    limit: Option<String>,
    after: Option<String>,
    email: Option<String>,
    id_property: Option<String>,
}

impl Asked {
    fn of(query: &str) -> Self {
        let mut asked = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value);
            let listed = || value.split(',').filter(|part| !part.is_empty()).map(str::to_owned);
            match decode(name).as_str() {
                "properties" => asked.properties.extend(listed()),
                "propertiesWithHistory" => asked.with_history.extend(listed()),
                "associations" => asked.associations.extend(listed()),
                "limit" => asked.limit = Some(value),
                "after" => asked.after = Some(value),
                "email" => asked.email = Some(value),
                "idProperty" => asked.id_property = Some(value),
                _ => {}
            }
        }
        asked
    }
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let decoded = match byte {
            b'+' => b' ',
            b'%' => {
                let mut ahead = bytes.clone();
                let code: Vec<u8> = ahead.by_ref().take(2).collect();
                let code = std::str::from_utf8(&code).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                match code {
                    Some(code) => {
                        bytes = ahead;
                        code
                    }
                    None => b'%',
                }
            }
            other => other,
        };
        out.push(decoded);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Answers a GET.
pub(super) fn get(state: &mut State, route: Route<'_>, query: &str, correlation_id: &str) -> Reply {
    let asked = Asked::of(query);
    match route {
        Route::Object(kind, id) => one(state, kind, id, &asked, correlation_id),
        Route::Objects(kind) => list(state, kind, &asked, correlation_id),
        Route::Linked(kind, id, to) => {
            let Some(id) = parse_id(id).filter(|id| state.records.get(kind, *id).is_some()) else {
                return refusals::not_found(correlation_id);
            };
            Reply::json(200, &json!({"results": labelled_links(state, (kind, id), to)}))
        }
        Route::Pipelines(pipeline, stages, stage) => pipelines(pipeline, stages, stage, correlation_id),
        Route::Owners(id) => owners(id, &asked, correlation_id),
        Route::BatchRead(_) | Route::BatchLinked(..) | Route::TokenInfo => {
            refusals::method_not_allowed(correlation_id)
        }
    }
}

fn one(state: &mut State, kind: Kind, id: &str, asked: &Asked, correlation_id: &str) -> Reply {
    if asked.id_property.is_some() {
        return refusals::invalid("idProperty is not a unique identifier property", correlation_id);
    }
    let Some(id) = parse_id(id) else {
        let message =
            format!("Invalid input: '{}' is not a valid ID", id.chars().take(60).collect::<String>());
        return refusals::invalid(&message, correlation_id);
    };
    let Some(record) = state.records.get(kind, id) else { return refusals::not_found(correlation_id) };
    let mut answer = view(kind, id, record, asked);
    let mut links = Map::new();
    for name in &asked.associations {
        let Some(to) = Kind::parse(name) else {
            let message = format!("One or more associations are not valid: {name}");
            return refusals::invalid(&message, correlation_id);
        };
        let results = named_links(state, (kind, id), to);
        if !results.is_empty() {
            links.insert(to.plural().to_owned(), json!({"results": results}));
        }
    }
    if !links.is_empty()
        && let Some(fields) = answer.as_object_mut()
    {
        fields.insert("associations".to_owned(), Value::Object(links));
    }
    if kind == Kind::Email
        && !asked.associations.is_empty()
        && let Some(left) = state.unlinked_reads.get_mut(&id)
    {
        *left = left.saturating_sub(1);
    }
    Reply::json(200, &answer)
}

/// The links as `associations=` shows them. A primary link appears under both of its names.
fn named_links(state: &State, from: (Kind, u64), to: Kind) -> Vec<Value> {
    let mut results = Vec::new();
    for (id, types) in visible_links(state, from, to) {
        let plain = plain_link(from.0, to);
        let base = format!("{}_to_{}", from.0.singular(), to.singular());
        for type_id in types {
            let unlabelled = Some(type_id) == plain && labels_primary(from.0, to);
            let name = if unlabelled { format!("{base}_unlabeled") } else { base.clone() };
            results.push(json!({"id": id.to_string(), "type": name}));
        }
    }
    results
}

/// Between these kinds one link can be the primary one.
fn labels_primary(from: Kind, to: Kind) -> bool {
    matches!(
        (from, to),
        (Kind::Deal | Kind::Contact, Kind::Company) | (Kind::Company, Kind::Deal | Kind::Contact)
    )
}

fn visible_links(state: &State, from: (Kind, u64), to: Kind) -> Vec<(u64, Vec<u32>)> {
    let hidden = |email: u64| state.unlinked_reads.get(&email).is_some_and(|left| *left > 0);
    if from.0 == Kind::Email && hidden(from.1) {
        return Vec::new();
    }
    let links = state.records.linked(from, to);
    links.into_iter().filter(|(id, _)| !(to == Kind::Email && hidden(*id))).collect()
}

/// The links as the association addresses show them.
fn labelled_links(state: &State, from: (Kind, u64), to: Kind) -> Vec<Value> {
    let links = visible_links(state, from, to).into_iter();
    links
        .map(|(id, types)| {
            let types: Vec<Value> = types
                .into_iter()
                .map(|type_id| {
                    let primary = link_type(from.0, type_id).is_some_and(|link| link.primary);
                    let label = if primary { json!("Primary") } else { Value::Null };
                    json!({"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": label})
                })
                .collect();
            json!({"toObjectId": id.to_string(), "associationTypes": types})
        })
        .collect()
}

fn list(state: &State, kind: Kind, asked: &Asked, correlation_id: &str) -> Reply {
    let limit = match asked.limit.as_deref().map(str::parse::<usize>) {
        None => 10,
        Some(Ok(limit)) if (1..=BATCH_MAX).contains(&limit) => limit,
        Some(_) => return refusals::invalid("limit must be between 1 and 100", correlation_id),
    };
    let after = match asked.after.as_deref() {
        None => 0,
        Some(text) => match parse_id(text) {
            Some(after) => after,
            None => return refusals::invalid("after is not a valid cursor", correlation_id),
        },
    };
    let all = state.records.all.iter();
    let mut rest =
        all.filter(|((of, id), _)| *of == kind && *id >= after).map(|((_, id), record)| (*id, record));
    let results: Vec<Value> =
        rest.by_ref().take(limit).map(|(id, record)| view(kind, id, record, asked)).collect();
    let mut answer = json!({"results": results});
    if let Some((next, _)) = rest.next()
        && let Some(fields) = answer.as_object_mut()
    {
        fields.insert("paging".to_owned(), json!({"next": {"after": next.to_string()}}));
    }
    Reply::json(200, &answer)
}

/// One record as HubSpot shows it.
fn view(kind: Kind, id: u64, record: &Record, asked: &Asked) -> Value {
    let mut shown = Map::new();
    let defaults = properties::shown_by_default(kind);
    let wanted: Vec<&str> = if asked.properties.is_empty() {
        defaults.to_vec()
    } else {
        asked.properties.iter().map(String::as_str).collect()
    };
    let always = ["hs_object_id", properties::created_property(kind), "hs_lastmodifieddate"];
    for name in wanted.into_iter().chain(always) {
        // A property that does not exist is left out; one without a value is null.
        if properties::exists(kind, name) {
            let value = value_of(kind, id, record, name);
            shown.insert(name.to_owned(), value.map_or(Value::Null, Value::from));
        }
    }
    let mut answer = json!({"id": id.to_string(), "properties": shown, "createdAt": iso(record.created_ms),
                            "updatedAt": iso(record.updated_ms), "archived": false});
    if !asked.with_history.is_empty()
        && let Some(fields) = answer.as_object_mut()
    {
        fields.insert("propertiesWithHistory".to_owned(), history(record, &asked.with_history));
    }
    answer
}

/// The versions of each property, newest first.
fn history(record: &Record, names: &[String]) -> Value {
    let mut all = Map::new();
    for name in names {
        let versions = record.history.iter().rev().filter(|version| version.property == *name);
        let versions: Vec<Value> = versions
            .map(|version| {
                json!({"value": version.value, "timestamp": iso(version.at_ms),
                       "sourceType": version.source_type, "sourceId": version.source_id})
            })
            .collect();
        all.insert(name.clone(), Value::from(versions));
    }
    Value::Object(all)
}

/// A record with all that it holds, as the answer to a write shows it.
pub(super) fn whole(kind: Kind, id: u64, record: &Record) -> Value {
    let mut properties: Vec<String> = record.properties.keys().cloned().collect();
    properties.extend(["hs_object_source", "hs_object_source_id"].map(str::to_owned));
    view(kind, id, record, &Asked { properties, ..Asked::default() })
}

fn value_of(kind: Kind, id: u64, record: &Record, name: &str) -> Option<String> {
    match name {
        "hs_object_id" => Some(id.to_string()),
        "createdate" | "hs_createdate" => Some(iso(record.created_ms)),
        "hs_lastmodifieddate" => Some(iso(record.updated_ms)),
        "lastmodifieddate" if kind == Kind::Contact => Some(iso(record.updated_ms)),
        "hs_object_source" | "hs_object_source_label" => Some(record.source.source_type.clone()),
        "hs_object_source_id" => Some(record.source.source_id.clone()),
        _ => record.properties.get(name).cloned(),
    }
}

/// The ids of a batch request, or what is wrong with it.
fn batch_ids(body: &Value) -> Result<Vec<String>, &'static str> {
    let inputs = body.get("inputs").and_then(Value::as_array).ok_or("inputs is required")?;
    if inputs.is_empty() || inputs.len() > BATCH_MAX {
        return Err("inputs must hold between 1 and 100 items");
    }
    let id = |input: &Value| input.get("id").and_then(Value::as_str).map(str::to_owned);
    inputs.iter().map(|input| id(input).ok_or("each input needs an id of type string")).collect()
}

fn names(body: &Value, field: &str) -> Result<Vec<String>, &'static str> {
    let Some(list) = body.get(field) else { return Ok(Vec::new()) };
    let list = list.as_array().ok_or("a list of property names is needed")?;
    let name = |one: &Value| one.as_str().map(str::to_owned).ok_or("property names are strings");
    list.iter().map(name).collect()
}

/// `POST .../{kind}/batch/read`.
pub(super) fn batch(inner: &Inner, state: &State, kind: Kind, body: &[u8], correlation_id: &str) -> Reply {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return refusals::invalid("Invalid input JSON", correlation_id);
    };
    let asked = batch_ids(&body).and_then(|ids| {
        let properties = names(&body, "properties")?;
        let with_history = names(&body, "propertiesWithHistory")?;
        Ok((ids, Asked { properties, with_history, ..Asked::default() }))
    });
    let (ids, asked) = match asked {
        Ok(asked) => asked,
        Err(message) => return refusals::invalid(message, correlation_id),
    };
    let mut results = Vec::new();
    let mut missing = Vec::new();
    for text in ids {
        match parse_id(&text).and_then(|id| Some((id, state.records.get(kind, id)?))) {
            Some((id, record)) => results.push(view(kind, id, record, &asked)),
            None => missing.push(text),
        }
    }
    finish_batch(inner, results, &missing)
}

/// `POST /crm/associations/2026-09/{from}/{to}/batch/read`.
pub(super) fn batch_linked(
    inner: &Inner,
    state: &State,
    (from, to): (Kind, Kind),
    body: &[u8],
    correlation_id: &str,
) -> Reply {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return refusals::invalid("Invalid input JSON", correlation_id);
    };
    let ids = match batch_ids(&body) {
        Ok(ids) => ids,
        Err(message) => return refusals::invalid(message, correlation_id),
    };
    let mut results = Vec::new();
    let mut missing = Vec::new();
    for text in ids {
        let links = parse_id(&text).map(|id| labelled_links(state, (from, id), to)).unwrap_or_default();
        if links.is_empty() {
            missing.push(text);
        } else {
            results.push(json!({"from": {"id": text}, "to": links}));
        }
    }
    finish_batch(inner, results, &missing)
}

fn finish_batch(inner: &Inner, results: Vec<Value>, missing: &[String]) -> Reply {
    let now = iso((inner.now_ms)());
    let mut answer = json!({"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now});
    if missing.is_empty() {
        return Reply::json(200, &answer);
    }
    if let Some(fields) = answer.as_object_mut() {
        let error = json!({"status": "error", "category": "OBJECT_NOT_FOUND",
                           "message": "Could not get some objects, they may be deleted or not exist.",
                           "context": {"ids": missing}});
        fields.insert("numErrors".to_owned(), json!(1));
        fields.insert("errors".to_owned(), json!([error]));
    }
    Reply::json(207, &answer)
}

fn pipelines(pipeline: Option<&str>, stages: bool, stage: Option<&str>, correlation_id: &str) -> Reply {
    let all = seed::pipelines();
    let Some(pipeline) = pipeline else { return Reply::json(200, &json!({"results": all})) };
    let has_id = |value: &&Value, id: &str| value.get("id").and_then(Value::as_str) == Some(id);
    let Some(found) = all.iter().find(|one| has_id(one, pipeline)) else {
        return refusals::not_found(correlation_id);
    };
    if !stages {
        return Reply::json(200, found);
    }
    let list = found.get("stages").and_then(Value::as_array).cloned().unwrap_or_default();
    match stage {
        None => Reply::json(200, &json!({"results": list})),
        Some(stage) => match list.iter().find(|one| has_id(one, stage)) {
            Some(one) => Reply::json(200, one),
            None => refusals::not_found(correlation_id),
        },
    }
}

fn owners(id: Option<&str>, asked: &Asked, correlation_id: &str) -> Reply {
    let all = seed::owners();
    let text = |owner: &Value, field: &str| owner.get(field).and_then(Value::as_str).map(str::to_owned);
    match id {
        Some(id) => match all.iter().find(|owner| text(owner, "id").as_deref() == Some(id)) {
            Some(owner) => Reply::json(200, owner),
            None => refusals::not_found(correlation_id),
        },
        None => {
            let fits = |owner: &&Value| asked.email.is_none() || text(owner, "email") == asked.email;
            Reply::json(200, &json!({"results": all.iter().filter(fits).collect::<Vec<_>>()}))
        }
    }
}
