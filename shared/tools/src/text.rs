//! Text from the CRM or the model, on its way to a model, a page or the CRM: without control, bidi and
//! invisible characters, bounded. Must never be skipped for text that somebody outside may have written.
use serde_json::Value;

/// What is written where a text had to be cut.
const CUT: char = '…';

/// Turns text around, or hides in it: bidi controls, zero-width characters without a use in writing, the
/// invisible tag characters. The two joiners stay: emoji and several scripts need them.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// The same text with plain line ends, trimmed, and without any other control or deceptive character.
pub(crate) fn clean_lines(text: &str) -> String {
    let text =
        text.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}', '\u{B}', '\u{C}'], "\n");
    let kept: String = text
        .chars()
        .map(|c| if c == '\t' { ' ' } else { c })
        .filter(|&c| c == '\n' || !(c.is_control() || is_deceptive(c)))
        .collect();
    kept.trim().to_owned()
}

/// The text as one clean line, not cut.
pub(crate) fn clean_line(text: &str) -> String {
    clean_lines(text).replace('\n', " ")
}

/// One clean line of at most `chars_max` characters; a cut is shown.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    cut(&clean_line(text), chars_max)
}

fn cut(text: &str, chars_max: usize) -> String {
    let mut short: String = text.chars().take(chars_max).collect();
    if short.len() < text.len() {
        short.pop();
        short.push(CUT);
    }
    short
}

/// Does the text hold characters that [`clean_lines`] drops because they deceive?
pub(crate) fn hides_something(text: &str) -> bool {
    text.chars().any(|c| is_deceptive(c) || (c.is_control() && !matches!(c, '\n' | '\r' | '\t')))
}

/// The same JSON with every text in it as one clean line of at most `chars_max` characters.
pub(crate) fn shortened(value: &Value, chars_max: usize) -> Value {
    match value {
        Value::String(text) => one_line(text, chars_max).into(),
        Value::Array(items) => items.iter().map(|item| shortened(item, chars_max)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, item)| (name.clone(), shortened(item, chars_max))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_hides_or_turns_text_around_stays() {
        assert_eq!(clean_lines(" a\r\nb\u{202E}c\u{0}\u{1b}[31m\td\u{200B}\u{E0041} "), "a\nbc[31m d");
        assert_eq!(one_line("a\nb\u{2066}", 9), "a b");
        assert_eq!(clean_line("👩\u{200D}🚀"), "👩\u{200D}🚀", "a joined emoji stays whole");
        assert!(hides_something("a\u{202E}b") && hides_something("a\u{0}b") && hides_something("a\u{200B}b"));
        assert!(!hides_something("a\r\n\tb é 👩\u{200D}🚀"));
    }

    #[test]
    fn a_cut_is_shown_and_never_longer_than_asked() {
        assert_eq!((one_line("abc", 3).as_str(), one_line("abcd", 3).as_str()), ("abc", "ab…"));
        let long = serde_json::json!({"note": "é".repeat(20), "list": ["b\nb"], "n": 7});
        assert_eq!(shortened(&long, 4), serde_json::json!({"note": "ééé…", "list": ["b b"], "n": 7}),);
    }
}
