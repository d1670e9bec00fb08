//! The rules of strict decoding, checked before a run starts. Must never change a schema.
use serde_json::Value;

/// What counts against the limits of one request.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) optional: usize,
    pub(crate) unions: usize,
}

/// Keywords that strict decoding refuses; `minItems` is looked at by value.
const REFUSED: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
];
/// Deeper than any tool of ours; also what stops a hostile schema.
const DEPTH_MAX: usize = 16;

/// Checks one tool's input schema and adds to the counts.
pub(crate) fn check(schema: &Value, counts: &mut Counts) -> Result<(), String> {
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err("the input schema is not of type object".into());
    }
    node(schema, counts, DEPTH_MAX)
}

fn node(schema: &Value, counts: &mut Counts, depth: usize) -> Result<(), String> {
    let Some(depth) = depth.checked_sub(1) else { return Err("the schema is too deep".into()) };
    let Some(map) = schema.as_object() else { return Err("a schema must be an object".into()) };
    if let Some(word) = REFUSED.iter().find(|word| map.contains_key(**word)) {
        return Err(format!("keyword `{word}` is not allowed; check the bound in the tool"));
    }
    if map.get("minItems").is_some_and(|n| !matches!(n.as_u64(), Some(0 | 1))) {
        return Err("`minItems` may only be 0 or 1".into());
    }
    if map.get("$ref").is_some_and(|r| !r.as_str().is_some_and(|r| r.starts_with("#/"))) {
        return Err("`$ref` may only point into the same schema".into());
    }
    if map.contains_key("anyOf") || map.get("type").is_some_and(Value::is_array) {
        counts.unions = counts.unions.saturating_add(1);
    }
    if is_object(map.get("type")) || map.contains_key("properties") {
        object(map, counts, depth)?;
    }
    for word in ["items", "not"] {
        map.get(word).map_or(Ok(()), |inner| node(inner, counts, depth))?;
    }
    for word in ["anyOf", "allOf", "oneOf"] {
        for inner in map.get(word).and_then(Value::as_array).into_iter().flatten() {
            node(inner, counts, depth)?;
        }
    }
    for word in ["$defs", "definitions"] {
        for inner in map.get(word).and_then(Value::as_object).into_iter().flat_map(|defs| defs.values()) {
            node(inner, counts, depth)?;
        }
    }
    Ok(())
}

fn is_object(kind: Option<&Value>) -> bool {
    match kind {
        Some(Value::String(one)) => one == "object",
        Some(Value::Array(many)) => many.iter().any(|one| one == "object"),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    }
}

fn object(map: &serde_json::Map<String, Value>, counts: &mut Counts, depth: usize) -> Result<(), String> {
    if map.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err("every object needs `additionalProperties: false`".into());
    }
    let required = map.get("required").and_then(Value::as_array);
    for (name, inner) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if !required.is_some_and(|all| all.iter().any(|one| one == name)) {
            counts.optional = counts.optional.saturating_add(1);
        }
        node(inner, counts, depth)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_strict_decoding_refuses_is_refused_here() {
        let with = |inner: Value| {
            json!({"type":"object","additionalProperties":false,"required":["a"],
                "properties":{"a":inner}})
        };
        let mut counts = Counts::default();
        let good = json!({"type":"object","additionalProperties":false,"required":["minimum"],
            "properties":{"minimum":{"type":"string","enum":["x"]},"b":{"type":["string","null"]}}});
        assert_eq!(check(&good, &mut counts), Ok(()), "a property may be called like a keyword");
        assert_eq!(counts, Counts { optional: 1, unions: 1 });
        let bad = [
            json!({"type":"string"}),
            json!({"type":"object","properties":{}}),
            json!({"type":"object","properties":{},"additionalProperties":true}),
            with(json!({"type":"integer","minimum":1})),
            with(json!({"type":"string","maxLength":5})),
            with(json!({"type":"array","items":{"type":"string","minLength":1}})),
            with(json!({"type":"array","minItems":2,"items":{"type":"string"}})),
            with(json!({"type":"object","properties":{}})),
            with(json!({"anyOf":[{"type":"object"},{"type":"null"}]})),
            with(json!({"$ref":"https://example.com/x"})),
        ];
        for schema in bad {
            assert!(check(&schema, &mut Counts::default()).is_err(), "{schema} must be refused");
        }
    }
}
