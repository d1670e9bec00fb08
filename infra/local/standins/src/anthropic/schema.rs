//! What a strict tool's schema may hold. Must never pass a bound that constrained decoding cannot keep.
use super::check::{Bad, bad};
use serde_json::{Map, Value};

const STRICT_TOOLS_MAX: usize = 20;
const OPTIONAL_MAX: usize = 24;
const UNIONS_MAX: usize = 16;

const KEYWORDS: [&str; 17] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
    "allOf",
    "description",
    "title",
    "default",
    "format",
    "pattern",
    "minItems",
    "$ref",
    "$defs",
];
const FORMATS: [&str; 9] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "uuid"];

/// What is limited over all strict tools of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    tools: usize,
    optional: usize,
    unions: usize,
}

impl Count {
    /// Adds the counts of one tool.
    pub(super) fn add(&mut self, other: Self) {
        self.tools = self.tools.saturating_add(other.tools);
        self.optional = self.optional.saturating_add(other.optional);
        self.unions = self.unions.saturating_add(other.unions);
    }

    /// Compares the sums with the limits.
    pub(super) fn check(self) -> Result<(), Bad> {
        let too_many = |what: &str, found: usize, max: usize| {
            Err(bad(format!("tools: strict tools hold {found} {what}, at most {max} are permitted")))
        };
        if self.tools > STRICT_TOOLS_MAX {
            return too_many("tools", self.tools, STRICT_TOOLS_MAX);
        }
        if self.optional > OPTIONAL_MAX {
            return too_many("optional parameters", self.optional, OPTIONAL_MAX);
        }
        if self.unions > UNIONS_MAX {
            return too_many("parameters with a union type", self.unions, UNIONS_MAX);
        }
        Ok(())
    }
}

/// Checks one strict schema and counts what is limited over all of them.
pub(super) fn strict(schema: &Value, at: &str) -> Result<Count, Bad> {
    let mut count = Count { tools: 1, ..Count::default() };
    walk(schema, schema, at, &mut Vec::new(), &mut count)?;
    Ok(count)
}

fn walk<'a>(
    root: &'a Value,
    schema: &'a Value,
    at: &str,
    inside: &mut Vec<&'a str>,
    count: &mut Count,
) -> Result<(), Bad> {
    let object = schema.as_object().ok_or_else(|| bad(format!("{at}: a schema must be an object")))?;
    if let Some(keyword) = object.keys().find(|keyword| !KEYWORDS.contains(&keyword.as_str())) {
        return Err(bad(format!("{at}: the keyword '{keyword}' is not supported in a strict schema")));
    }
    values(object, at)?;
    if let Some(reference) = object.get("$ref") {
        return follow(root, reference, at, inside, count);
    }
    let types = object.get("type");
    if object.contains_key("anyOf") || types.is_some_and(Value::is_array) {
        count.unions = count.unions.saturating_add(1);
    }
    let is_object = types.and_then(Value::as_str) == Some("object")
        || types.and_then(Value::as_array).is_some_and(|types| types.iter().any(|one| one == "object"))
        || object.contains_key("properties");
    if is_object {
        members(root, object, at, inside, count)?;
    }
    if let Some(items) = object.get("items") {
        walk(root, items, &format!("{at}.items"), inside, count)?;
    }
    for name in ["anyOf", "allOf"] {
        for (place, one) in object.get(name).and_then(Value::as_array).into_iter().flatten().enumerate() {
            walk(root, one, &format!("{at}.{name}.{place}"), inside, count)?;
        }
    }
    Ok(())
}

fn values(object: &Map<String, Value>, at: &str) -> Result<(), Bad> {
    if let Some(format) = object.get("format")
        && !format.as_str().is_some_and(|format| FORMATS.contains(&format))
    {
        return Err(bad(format!("{at}.format: {format} is not supported in a strict schema")));
    }
    if object.get("minItems").is_some_and(|count| !matches!(count.as_u64(), Some(0 | 1))) {
        return Err(bad(format!("{at}.minItems: only 0 and 1 are supported in a strict schema")));
    }
    if object.get("enum").is_some_and(|all| all.as_array().is_none_or(Vec::is_empty)) {
        return Err(bad(format!("{at}.enum: a list with at least one value is needed")));
    }
    Ok(())
}

fn members<'a>(
    root: &'a Value,
    object: &'a Map<String, Value>,
    at: &str,
    inside: &mut Vec<&'a str>,
    count: &mut Count,
) -> Result<(), Bad> {
    if object.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err(bad(format!(
            "{at}: for 'object' type, 'additionalProperties' must be explicitly set to false"
        )));
    }
    let required: Vec<&str> = object
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = object.get("properties").and_then(Value::as_object);
    if let Some(name) = required.iter().find(|name| !properties.is_some_and(|all| all.contains_key(**name))) {
        return Err(bad(format!("{at}.required: '{name}' is not among the properties")));
    }
    for (name, one) in properties.into_iter().flatten() {
        if !required.contains(&name.as_str()) {
            count.optional = count.optional.saturating_add(1);
        }
        walk(root, one, &format!("{at}.properties.{name}"), inside, count)?;
    }
    Ok(())
}

fn follow<'a>(
    root: &'a Value,
    reference: &'a Value,
    at: &str,
    inside: &mut Vec<&'a str>,
    count: &mut Count,
) -> Result<(), Bad> {
    let name = reference.as_str().and_then(|path| path.strip_prefix("#/$defs/"));
    let name = name.ok_or_else(|| bad(format!("{at}.$ref: only references to '#/$defs/' are supported")))?;
    if inside.contains(&name) {
        return Err(bad(format!("{at}.$ref: recursive schemas are not supported")));
    }
    let target = root.get("$defs").and_then(|defs| defs.get(name));
    let target = target.ok_or_else(|| bad(format!("{at}.$ref: '{name}' is not defined")))?;
    inside.push(name);
    walk(root, target, at, inside, count)?;
    inside.pop();
    Ok(())
}
