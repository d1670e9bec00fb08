//! The JSON bytes of one message, as they are sent and hashed. Must never rewrite what the model said.
use crate::ModelError;
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
struct Message<'a, C: Serialize + ?Sized> {
    role: &'static str,
    content: &'a C,
}

#[derive(Serialize)]
struct ResultBlock<'a> {
    r#type: &'static str,
    tool_use_id: &'a str,
    content: &'a str,
    is_error: bool,
}

/// The result of one call, as the model will read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolResult<'a> {
    /// The call's id, as the model gave it.
    pub tool_use_id: &'a str,
    /// What the tool says.
    pub content: &'a str,
    /// Refused, failed or halted.
    pub is_error: bool,
}

/// A user turn of plain text. An empty text is a 400, so callers send some.
///
/// # Errors
/// [`ModelError::Json`], which plain text never causes.
pub fn user_text(text: &str) -> Result<Vec<u8>, ModelError> {
    serde_json::to_vec(&Message { role: "user", content: text }).map_err(ModelError::Json)
}

/// A user turn that answers the one call of the turn before.
///
/// # Errors
/// [`ModelError::Json`], which plain text never causes.
pub fn tool_result(tool_use_id: &str, content: &str, is_error: bool) -> Result<Vec<u8>, ModelError> {
    tool_results(&[ToolResult { tool_use_id, content, is_error }])
}

/// A user turn that answers every call of the turn before, in one message: the API refuses an unanswered
/// call.
///
/// # Errors
/// [`ModelError::Json`], which plain text never causes.
pub fn tool_results(results: &[ToolResult<'_>]) -> Result<Vec<u8>, ModelError> {
    let block = |r: &ToolResult<'_>| -> Result<Box<RawValue>, serde_json::Error> {
        serde_json::value::to_raw_value(&ResultBlock {
            r#type: "tool_result",
            tool_use_id: r.tool_use_id,
            content: r.content,
            is_error: r.is_error,
        })
    };
    let blocks = results.iter().map(block).collect::<Result<Vec<_>, _>>().map_err(ModelError::Json)?;
    serde_json::to_vec(&Message { role: "user", content: &blocks }).map_err(ModelError::Json)
}

/// The assistant's turn, its `content` byte for byte as it came: thinking is tied to an unchanged prefix.
///
/// # Errors
/// [`ModelError::Json`] when the bytes are not one JSON value.
pub fn assistant(content_raw: &[u8]) -> Result<Vec<u8>, ModelError> {
    let content: &RawValue = serde_json::from_slice(content_raw).map_err(ModelError::Json)?;
    serde_json::to_vec(&Message { role: "assistant", content }).map_err(ModelError::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_bytes_that_the_api_documents() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!(
            text(user_text("Deal 17 \"replied\".").unwrap()),
            r#"{"role":"user","content":"Deal 17 \"replied\"."}"#
        );
        assert_eq!(
            text(tool_result("toolu_01A", "{\"stage\":1}", true).unwrap()),
            concat!(
                r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_01A","#,
                r#""content":"{\"stage\":1}","is_error":true}]}"#
            )
        );
    }

    #[test]
    fn the_assistants_content_is_kept_byte_for_byte() {
        let odd = r#"[ {"type":"thinking","signature":"a\u002fb=="}, {"n":1.0e2 , "x":"é\ud83d\ude00"} ]"#;
        let sent = String::from_utf8(assistant(odd.as_bytes()).unwrap()).unwrap();
        assert_eq!(sent, format!(r#"{{"role":"assistant","content":{odd}}}"#));
        assert!(assistant(b"[1").is_err());
        assert!(assistant(b"[1],2").is_err(), "content cannot smuggle a second member");
    }
}
