//! Fills a tool's input from its schema: names say what is meant, types say how it is written. Must never add
//! a property that the schema does not have.
use super::reading::Reading;
use jiff::civil::Date;
use serde_json::{Map, Value, json};

/// What is known to be said.
#[derive(Debug, Clone, Default)]
pub(super) struct Hints {
    pub(super) deal_id: Option<String>,
    pub(super) contact_id: Option<String>,
    pub(super) owner_id: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) text: Option<String>,
    pub(super) because: Option<String>,
    pub(super) due: Option<Date>,
    pub(super) subject: Option<String>,
    pub(super) question: Option<String>,
    /// An address that somebody wants a mail to go to.
    pub(super) to: Option<String>,
    pub(super) stages: Vec<(String, String)>,
}

impl Hints {
    /// What the conversation says by itself.
    pub(super) fn of(reading: &Reading) -> Self {
        Self {
            deal_id: reading.deal_id.clone(),
            contact_id: reading.contact_id.clone(),
            owner_id: reading.owner_id.clone(),
            stages: reading.stages.clone(),
            ..Self::default()
        }
    }

    /// The input for a tool whose schema is not known.
    pub(super) fn bare(&self) -> Value {
        json!({"deal_id": self.deal_id})
    }

    fn by_name(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        let has = |part: &str| name.contains(part);
        if name == "deal" || has("deal_id") {
            self.deal_id.clone()
        } else if has("stage") {
            self.stage.clone()
        } else if has("because") || has("reason") || has("why") || has("rationale") {
            self.because.clone()
        } else if has("due") || has("date") || name == "when" {
            self.due.map(|day| day.to_string())
        } else if has("subject") || has("title") {
            self.subject.clone()
        } else if has("question") {
            self.question.clone()
        } else if name.starts_with("to") || has("contact") || has("recipient") {
            // An address where an id is asked for: this is how an order from a mail gets in.
            self.to.clone().or_else(|| self.contact_id.clone())
        } else if has("owner") || has("assignee") {
            self.owner_id.clone()
        } else if has("text") || has("note") || has("body") || has("message") || has("content") {
            self.text.clone().or_else(|| self.question.clone())
        } else {
            None
        }
    }
}

fn enumerated(schema: &Value) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let constants = ["anyOf", "oneOf"].iter().filter_map(|name| schema.get(*name)?.as_array()).flatten();
    listed.chain(constants.filter_map(|one| one.get("const")?.as_str())).collect()
}

/// Follows one local reference.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let target = name.and_then(|name| root.get("$defs")?.get(name));
    target.unwrap_or(schema)
}

/// Is the wished stage on the schema's list, where it has one?
pub(super) fn has_stage(schema: &Value, hints: &Hints) -> bool {
    let properties = schema.get("properties").and_then(Value::as_object);
    let stage = properties.and_then(|all| all.iter().find(|(name, _)| name.to_lowercase().contains("stage")));
    let Some((_, stage)) = stage else { return false };
    let options = enumerated(resolve(schema, stage));
    options.is_empty() || pick(&options, hints.stage.as_deref().unwrap_or_default(), hints).is_some()
}

/// The option that means the wish: by id, by a label that the conversation gave, or by its main word.
fn pick<'a>(options: &[&'a str], wish: &str, hints: &Hints) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace([' ', '_', '-'], "");
    let wish = plain(wish);
    let word = wish.strip_prefix("closed").unwrap_or(&wish);
    let label =
        |option: &str| hints.stages.iter().find(|(id, _)| id == option).map(|(_, label)| plain(label));
    options
        .iter()
        .find(|option| plain(option) == wish)
        .or_else(|| options.iter().find(|option| plain(option).contains(word)))
        .or_else(|| options.iter().find(|option| label(option).is_some_and(|label| label.contains(word))))
        .copied()
}

/// An object of this schema.
pub(super) fn object(schema: &Value, hints: &Hints) -> Value {
    fill(schema, schema, hints)
}

fn fill(root: &Value, schema: &Value, hints: &Hints) -> Value {
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut filled = Map::new();
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let property = resolve(root, property);
        let known = hints.by_name(name);
        let needed = required.iter().any(|one| one.as_str() == Some(name));
        if known.is_some() || needed {
            filled.insert(name.clone(), value(root, name, property, known, hints));
        }
    }
    Value::Object(filled)
}

fn value(root: &Value, name: &str, schema: &Value, known: Option<String>, hints: &Hints) -> Value {
    let options = enumerated(schema);
    if let Some(first) = options.first() {
        let wished = known.as_deref().and_then(|wish| pick(&options, wish, hints));
        // An order for a stage that is not on the list is tried as it stands, in the gullible branch only.
        return json!(wished.or(known.as_deref()).unwrap_or(first));
    }
    match type_of(schema) {
        "integer" | "number" => number(name, known.as_deref(), hints),
        "boolean" => json!(false),
        "array" => json!([]),
        "object" => fill(root, schema, hints),
        "null" => Value::Null,
        _ => {
            let whole = schema.get("format").and_then(Value::as_str) == Some("date-time");
            let text = known.unwrap_or_else(|| "not said".to_owned());
            if whole && text.len() == 10 { json!(format!("{text}T09:00:00Z")) } else { json!(text) }
        }
    }
}

fn number(name: &str, known: Option<&str>, hints: &Hints) -> Value {
    if let Some(id) = known.and_then(|text| text.parse::<u64>().ok()) {
        return json!(id);
    }
    let day = hints.due.filter(|_| name.to_lowercase().contains("due"));
    let start = day.and_then(|day| jiff::tz::TimeZone::UTC.to_timestamp(day.at(9, 0, 0, 0)).ok());
    start.map_or_else(|| json!(0), |start| json!(start.as_millisecond()))
}

/// The type that is not null; text where nothing is said.
fn type_of(schema: &Value) -> &str {
    let types = schema.get("type");
    let listed = types.and_then(Value::as_array).into_iter().flatten();
    let named = types.into_iter().chain(listed).filter_map(Value::as_str).find(|one| *one != "null");
    if let Some(named) = named {
        return named;
    }
    let variants = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    variants.map(type_of).find(|one| *one != "null").unwrap_or("string")
}
