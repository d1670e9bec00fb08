//! What the model asked for, read strictly. Must never pass on an argument that was not checked here, nor
//! repeat a foreign deal's id.
use crate::text::{clean_line, clean_lines, one_line};
use gate::{Context, Refusal};
use serde::de::DeserializeOwned;
use serde_json::Value;
use types::Reason;

/// Characters of a parser's complaint that the model is shown.
const COMPLAINT_CHARS_MAX: usize = 200;

/// Characters of the agent's own line.
const BECAUSE_CHARS_MAX: usize = 300;

/// The arguments as the tool's own type.
// INVARIANT (I18): constrained decoding is not trusted; what does not fit the type is refused here.
pub(crate) fn read<T: DeserializeOwned>(arguments: &Value) -> Result<T, Refusal> {
    // A list of the right length would be read as the fields in order, without their names.
    if !arguments.is_object() {
        return Err(malformed("the arguments must be one JSON object"));
    }
    T::deserialize(arguments).map_err(|error| {
        let complaint = one_line(&error.to_string(), COMPLAINT_CHARS_MAX);
        malformed(&format!("the arguments do not fit: {complaint}"))
    })
}

/// The deal must be the run's own.
// INVARIANT (I18): a tool acts on the run's deal and on no other, whatever the model says.
pub(crate) fn own_deal(context: &Context, deal_id: &str) -> Result<(), Refusal> {
    let named = deal_id.trim();
    let digits = !named.is_empty() && named.bytes().all(|b| b.is_ascii_digit());
    if digits && named == context.deal_id.as_str() {
        return Ok(());
    }
    let tell = "this run works on one deal only, and that is another; use the deal_id you were given";
    Err(Refusal::new(Reason::ForeignDeal, tell))
}

/// A text of several lines with 1 to `chars_max` characters, cleaned.
pub(crate) fn lines(name: &str, text: &str, chars_max: usize) -> Result<String, Refusal> {
    bounded(name, clean_lines(text), chars_max)
}

/// One line with 1 to `chars_max` characters, cleaned.
pub(crate) fn line(name: &str, text: &str, chars_max: usize) -> Result<String, Refusal> {
    bounded(name, clean_line(text), chars_max)
}

/// The agent's own line.
pub(crate) fn because(text: &str) -> Result<String, Refusal> {
    line("because", text, BECAUSE_CHARS_MAX)
}

// WHY NOT: cut a text that is too long. The model would not know what was lost, and people would read half of
// it.
fn bounded(name: &str, text: String, chars_max: usize) -> Result<String, Refusal> {
    match text.chars().count() {
        0 => Err(malformed(&format!("{name} is empty"))),
        count if count > chars_max => {
            Err(malformed(&format!("{name} has {count} characters; at most {chars_max} are allowed")))
        }
        _ => Ok(text),
    }
}

pub(crate) fn malformed(tell: &str) -> Refusal {
    Refusal::new(Reason::MalformedArguments, tell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::context;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Two {
        #[expect(dead_code, reason = "only its shape matters")]
        deal_id: String,
        #[expect(dead_code, reason = "only its shape matters")]
        text: String,
    }

    #[test]
    fn only_the_exact_shape_is_read() {
        assert!(read::<Two>(&json!({"deal_id": "1", "text": "a"})).is_ok());
        for bad in [
            json!(null),
            json!("x"),
            json!([]),
            json!(["1", "a"]),
            json!({}),
            json!({"deal_id": "1"}),
            json!({"deal_id": 1, "text": "a"}),
            json!({"deal_id": 1e300, "text": "a"}),
            json!({"deal_id": null, "text": "a"}),
            json!({"deal_id": ["1"], "text": "a"}),
            json!({"deal_id": "1", "text": "a", "force": true}),
        ] {
            let refusal = read::<Two>(&bad).expect_err("refused");
            assert_eq!(refusal.reason, Reason::MalformedArguments, "{bad}");
        }
    }

    #[test]
    fn a_complaint_is_one_bounded_clean_line() {
        let name = format!("a\u{202E}\n\u{1b}[31m{}", "x".repeat(10_000));
        let tell = read::<Two>(&json!({ name: 1 })).expect_err("refused").tell;
        assert!(tell.chars().count() <= COMPLAINT_CHARS_MAX + 40, "{}", tell.len());
        assert!(!tell.contains(['\u{202E}', '\n', '\u{1b}']), "{tell}");
    }

    #[test]
    fn only_the_runs_own_deal_passes_and_a_refusal_names_no_deal() {
        let context = context("4411");
        for good in ["4411", " 4411\n"] {
            assert!(own_deal(&context, good).is_ok(), "{good:?}");
        }
        for bad in ["4412", "", " ", "04411", "+4411", "44 11", "4411.0", "٤٤١١", "deal:4411", "4411/../4412"]
        {
            let refusal = own_deal(&context, bad).expect_err("refused");
            assert_eq!(refusal.reason, Reason::ForeignDeal, "{bad:?}");
            assert!(!refusal.tell.contains("441"), "{}", refusal.tell);
        }
    }

    #[test]
    fn the_bounds_are_counted_in_characters_after_cleaning() {
        assert_eq!(lines("text", &"é".repeat(5), 5).as_deref(), Ok("ééééé"));
        assert_eq!(lines("text", " a\nb\u{200B} ", 3).as_deref(), Ok("a\nb"));
        assert_eq!(line("text", "a\nb", 3).as_deref(), Ok("a b"));
        for bad in ["", "  \n ", "\u{202E}\u{0}", "éééééé"] {
            assert_eq!(lines("text", bad, 5).expect_err("refused").reason, Reason::MalformedArguments);
        }
        assert!(because(&"a".repeat(300)).is_ok() && because(&"a".repeat(301)).is_err());
    }
}
