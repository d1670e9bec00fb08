//! What stays the same in every request of a run: model, system, tools. Must never change inside a run.
use crate::schema::{self, Counts};
use crate::{ModelError, text};
use serde::Serialize;
use serde_json::Value;

/// One tool as the model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// `[a-zA-Z0-9_-]{1,64}`.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON schema of its arguments, within the rules of strict decoding.
    pub input_schema: Value,
}

/// How a model is asked to think as little as it can: thinking counts inside `max_tokens` and is billed as
/// output.
struct Row {
    model: &'static str,
    /// Members of the request, each with its comma; empty where the model has it off unless asked for.
    thinking: &'static str,
}

/// FAIL-CLOSED: a model without a row is refused. Each refuses other settings with a 400, or thinks unasked.
const ROWS: &[Row] = &[
    Row { model: "claude-haiku-5-5", thinking: r#","thinking":{"type":"disabled"}"# },
    Row { model: "claude-haiku-4-5", thinking: "" },
    Row { model: "claude-sonnet-5-5", thinking: r#","thinking":{"type":"between_tools"}"# },
    // It always thinks, so the effort is all that can be lowered.
    Row { model: "claude-opus-5-5", thinking: r#","output_config":{"effort":"low"}"# },
];

/// WHY NOT: `tool_choice` any, so that the model must call: a 400 on half of the models, and "nothing to do"
/// is an answer.
const TOOL_CHOICE: &str = r#","tool_choice":{"type":"auto","disable_parallel_tool_use":true}"#;
const MESSAGES: &[u8] = br#","messages":["#;

const TOOLS_MAX: usize = 20;
const OPTIONAL_MAX: usize = 24;
const UNIONS_MAX: usize = 16;
/// The API allows 128; a shorter bound keeps pages and audit rows readable.
pub(crate) const NAME_BYTES_MAX: usize = 64;

#[derive(Serialize)]
struct SystemBlock<'a> {
    r#type: &'static str,
    text: &'a str,
    cache_control: CacheControl,
}

#[derive(Serialize)]
struct CacheControl {
    r#type: &'static str,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    strict: bool,
    input_schema: &'a Value,
}

/// The frozen part of a request, up to and with `"messages":[`. The cache of a run hangs on these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    model: String,
    bytes: Vec<u8>,
}

impl Frozen {
    /// Writes the frozen part for a new run.
    ///
    /// # Errors
    /// [`ModelError::ModelUnknown`] for a model without a row of rules, [`ModelError::Tool`] or
    /// [`ModelError::Tools`] for tools that strict decoding refuses.
    pub fn new(model: &str, system: &str, tools: &[ToolSpec]) -> Result<Self, ModelError> {
        let row = row(model)?;
        check_tools(tools)?;
        let system = [SystemBlock {
            r#type: "text",
            text: system,
            cache_control: CacheControl { r#type: "ephemeral" },
        }];
        let tools: Vec<Tool<'_>> = tools
            .iter()
            .map(|tool| Tool {
                name: &tool.name,
                description: &tool.description,
                strict: true,
                input_schema: &tool.input_schema,
            })
            .collect();
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&opening(row.model)?);
        bytes.extend_from_slice(br#","system":"#);
        serde_json::to_writer(&mut bytes, &system).map_err(ModelError::Json)?;
        bytes.extend_from_slice(br#","tools":"#);
        serde_json::to_writer(&mut bytes, &tools).map_err(ModelError::Json)?;
        bytes.extend_from_slice(TOOL_CHOICE.as_bytes());
        bytes.extend_from_slice(row.thinking.as_bytes());
        bytes.extend_from_slice(MESSAGES);
        Ok(Self { model: row.model.to_owned(), bytes })
    }

    /// Takes the stored bytes of a run that is picked up again. They are sent as they are.
    ///
    /// # Errors
    /// [`ModelError::ModelUnknown`], or [`ModelError::Frozen`] when the bytes are not such a part for that
    /// model.
    pub fn from_bytes(bytes: Vec<u8>, model: &str) -> Result<Self, ModelError> {
        let row = row(model)?;
        let bad = |why| ModelError::Frozen { model: row.model.to_owned(), why };
        if !bytes.starts_with(&opening(row.model)?) {
            return Err(bad("they do not open with the model"));
        }
        if !bytes.ends_with(MESSAGES) {
            return Err(bad("they do not end where the messages begin"));
        }
        let whole = [bytes.as_slice(), b"]}"].concat();
        serde_json::from_slice::<serde::de::IgnoredAny>(&whole).map_err(|_| bad("they are not json"))?;
        Ok(Self { model: row.model.to_owned(), bytes })
    }

    /// The model's id.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The exact bytes, for [`crate::Body::assemble`] and for the run's storage.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes, hex.
    #[must_use]
    pub fn hash(&self) -> String {
        text::sha256_hex(&self.bytes)
    }
}

fn row(model: &str) -> Result<&'static Row, ModelError> {
    ROWS.iter().find(|row| row.model == model).ok_or_else(|| ModelError::ModelUnknown {
        model: text::line(model, NAME_BYTES_MAX),
        known: ROWS.iter().map(|row| row.model).collect::<Vec<_>>().join(", "),
    })
}

fn opening(model: &str) -> Result<Vec<u8>, ModelError> {
    let mut bytes = br#"{"model":"#.to_vec();
    serde_json::to_writer(&mut bytes, model).map_err(ModelError::Json)?;
    Ok(bytes)
}

/// Is it a name that the API accepts, of our shorter length?
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain)
}

fn check_tools(tools: &[ToolSpec]) -> Result<(), ModelError> {
    let mut counts = Counts::default();
    for (at, tool) in tools.iter().enumerate() {
        let bad = |why: String| ModelError::Tool { tool: text::line(&tool.name, NAME_BYTES_MAX), why };
        if !is_name(&tool.name) {
            return Err(bad("its name must be 1 to 64 of a-z A-Z 0-9 _ -".into()));
        }
        if tools.iter().take(at).any(|other| other.name == tool.name) {
            return Err(bad("its name is used twice".into()));
        }
        schema::check(&tool.input_schema, &mut counts).map_err(bad)?;
    }
    let limits = [
        (tools.len(), TOOLS_MAX, "tools"),
        (counts.optional, OPTIONAL_MAX, "optional parameters"),
        (counts.unions, UNIONS_MAX, "union-typed parameters"),
    ];
    if tools.is_empty() {
        return Err(ModelError::Tools { why: "there is none".into() });
    }
    match limits.into_iter().find(|(n, max, _)| n > max) {
        Some((n, max, what)) => Err(ModelError::Tools { why: format!("{n} {what}, at most {max}") }),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn get_deal() -> ToolSpec {
        ToolSpec {
            name: "get_deal".into(),
            description: "Read one deal.".into(),
            input_schema: json!({"type":"object","properties":{"deal_id":{"type":"string"}},
                "required":["deal_id"],"additionalProperties":false}),
        }
    }

    fn frozen(model: &str) -> Frozen {
        Frozen::new(model, "You \"triage\".", &[get_deal()]).expect("a frozen part")
    }

    #[test]
    fn the_frozen_part_is_written_as_the_api_documents_it() {
        let bytes = frozen("claude-haiku-5-5").bytes().to_vec();
        let expected = concat!(
            r#"{"model":"claude-haiku-5-5","#,
            r#""system":[{"type":"text","text":"You \"triage\".","cache_control":{"type":"ephemeral"}}],"#,
            r#""tools":[{"name":"get_deal","description":"Read one deal.","strict":true,"input_schema":"#,
            r#"{"additionalProperties":false,"properties":{"deal_id":{"type":"string"}},"#,
            r#""required":["deal_id"],"type":"object"}}],"#,
            r#""tool_choice":{"type":"auto","disable_parallel_tool_use":true},"#,
            r#""thinking":{"type":"disabled"},"messages":["#,
        );
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn each_model_gets_its_own_thinking_and_an_unknown_one_is_refused() {
        let whole = |model: &str| -> Value {
            serde_json::from_slice(&[frozen(model).bytes(), b"]}"].concat()).expect("json")
        };
        assert_eq!(whole("claude-haiku-5-5")["thinking"], json!({"type":"disabled"}));
        assert_eq!(whole("claude-sonnet-5-5")["thinking"], json!({"type":"between_tools"}));
        assert!(whole("claude-haiku-4-5").get("thinking").is_none());
        assert!(whole("claude-opus-5-5").get("thinking").is_none());
        for unknown in ["claude-haiku-9", "", "claude-haiku-5-5 ", "CLAUDE-HAIKU-5-5"] {
            let refused = Frozen::new(unknown, "s", &[get_deal()]);
            assert!(matches!(refused, Err(ModelError::ModelUnknown { .. })), "{unknown:?}");
        }
    }

    #[test]
    fn every_priced_model_has_rules() {
        for model in types::Prices::default().0.keys() {
            assert!(row(model).is_ok(), "{model} has a price but no rules");
        }
    }

    #[test]
    fn tools_that_strict_decoding_refuses_stop_the_run_before_it_starts() {
        let named = |name: &str| ToolSpec { name: name.into(), ..get_deal() };
        let sets = [
            vec![],
            vec![named("a b")],
            vec![named(&"a".repeat(65))],
            vec![get_deal(), get_deal()],
            (0..21).map(|n| named(&format!("t{n}"))).collect(),
            vec![ToolSpec { input_schema: json!({"type":"object"}), ..get_deal() }],
        ];
        for tools in sets {
            assert!(Frozen::new("claude-haiku-5-5", "s", &tools).is_err(), "{tools:?}");
        }
    }

    #[test]
    fn stored_bytes_are_taken_as_they_are_or_not_at_all() {
        let made = frozen("claude-haiku-5-5");
        let again = Frozen::from_bytes(made.bytes().to_vec(), "claude-haiku-5-5").expect("the same");
        assert_eq!((again.bytes(), again.hash()), (made.bytes(), made.hash()));
        assert!(Frozen::from_bytes(made.bytes().to_vec(), "claude-haiku-4-5").is_err(), "other model");
        let cut = made.bytes().get(..made.bytes().len() - 1).unwrap().to_vec();
        assert!(Frozen::from_bytes(cut, "claude-haiku-5-5").is_err());
        let elsewhere = br#"{"model":"claude-haiku-5-5","tools":["#.to_vec();
        assert!(Frozen::from_bytes(elsewhere, "claude-haiku-5-5").is_err(), "messages would become tools");
        let broken = br#"{"model":"claude-haiku-5-5","system":[,"messages":["#.to_vec();
        assert!(Frozen::from_bytes(broken, "claude-haiku-5-5").is_err());
    }
}
