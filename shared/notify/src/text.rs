//! Text on its way to Slack. Must never let a CRM- or model-made string become a mention, a link or a line of
//! its own.

/// Turns text around, or hides in it: bidi controls, the byte order mark, and the invisible tag characters.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// Takes no room and keeps Slack from reading what stands on both sides as one address.
const WORD_JOINER: char = '\u{2060}';

/// One line of at most `chars_max` characters, escaped for Slack. The count is taken after escaping, and an
/// entity is never cut. `&`, `<` and `>` would make mentions and disguised links, `://` an address that can
/// be clicked.
pub(crate) fn escape(text: &str, chars_max: usize) -> String {
    let mut escaped = String::new();
    let mut chars = 0_usize;
    let mut cleaned = text.chars().filter_map(clean).peekable();
    while let Some(c) = cleaned.next() {
        let piece = match (c, cleaned.peek()) {
            ('&', _) => "&amp;".to_owned(),
            ('<', _) => "&lt;".to_owned(),
            ('>', _) => "&gt;".to_owned(),
            (':', Some('/')) => [c, WORD_JOINER].iter().collect(),
            (c, _) => c.to_string(),
        };
        let length = piece.chars().count();
        // Room is kept for the sign of a cut while there is more to come.
        let needed = length.saturating_add(usize::from(cleaned.peek().is_some()));
        if chars.saturating_add(needed) > chars_max {
            escaped.push('…');
            break;
        }
        escaped.push_str(&piece);
        chars = chars.saturating_add(length);
    }
    escaped
}

/// Line ends and tabs as spaces; other control characters and those that turn text around are dropped.
fn clean(c: char) -> Option<char> {
    match c {
        '\n' | '\r' | '\t' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        c if c.is_control() || is_deceptive(c) => None,
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_can_act() {
        assert_eq!(escape("<!channel> & <@U1>", 200), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
        assert!(!escape("see https://evil.example/x", 200).contains("://"));
        assert_eq!(escape("a\nb\r\n\u{202E}c\u{0}\u{1b}[31m", 200), "a b  c[31m");
        // Removing a hidden character must not put an address together again.
        assert!(!escape("https:\u{202E}//evil.example", 200).contains("://"));
    }

    #[test]
    fn a_text_is_cut_after_escaping_and_never_inside_an_entity() {
        for chars_max in 1..40 {
            let escaped = escape(&"&".repeat(20), chars_max);
            assert!(escaped.chars().count() <= chars_max, "{escaped}");
            assert_eq!(escaped.replace("&amp;", "").replace('…', ""), "", "{escaped}");
        }
        assert_eq!(escape("abc", 3), "abc");
        assert_eq!(escape("abcd", 3), "ab…");
    }
}
