//! Text on its way into the CRM or into an error: without control and bidi characters, bounded, escaped.
//! Must never cut inside a character, an entity or a tag.

/// Turns text around, or hides in it: bidi controls, the byte order mark, and the invisible tag characters.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// The same text with plain line ends and no other control, bidi or invisible tag character.
pub(crate) fn clean_lines(text: &str) -> String {
    let text =
        text.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}', '\u{B}', '\u{C}'], "\n");
    text.chars()
        .map(|c| if c == '\t' { ' ' } else { c })
        .filter(|&c| c == '\n' || !(c.is_control() || is_deceptive(c)))
        .collect()
}

/// One line of at most `chars_max` characters.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    clean_lines(text).replace('\n', " ").chars().take(chars_max).collect()
}

/// What is written where the text had to be cut.
const CUT: &str = "…";

/// HTML for a note or task body: the text escaped, its lines as `<br>`, then `tail` on a line of its own. The
/// whole has at most `bytes_max` bytes (a byte bound holds in every way of counting characters); the text is
/// cut for it, never the tail.
pub(crate) fn html_body(text: &str, tail: &str, bytes_max: usize) -> String {
    let tail = format!("<br>{tail}");
    let room = bytes_max.saturating_sub(tail.len());
    let cleaned = clean_lines(text);
    let mut html = String::with_capacity(cleaned.len().min(room));
    let mut fits = 0;
    for c in cleaned.trim().chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '\n' => html.push_str("<br>"),
            other => html.push(other),
        }
        if html.len() > room {
            html.truncate(fits);
            html.push_str(CUT);
            break;
        }
        if html.len().saturating_add(CUT.len()) <= room {
            fits = html.len();
        }
    }
    html.push_str(&tail);
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_and_line_ends_are_made_harmless() {
        let html = html_body("a <b>&\r\nc\u{202E}d\u{0}\u{1b}[31m\te", "[agent i-1]", 200);
        assert_eq!(html, "a &lt;b&gt;&amp;<br>cd[31m e<br>[agent i-1]");
    }

    #[test]
    fn the_tail_survives_every_length_and_nothing_is_cut_in_the_middle() {
        for text in ["&".repeat(80), "é".repeat(80), "\n🚀".repeat(80), "a".repeat(80)] {
            for bytes_max in 20..120 {
                let html = html_body(&text, "[agent i-1]", bytes_max);
                assert!(html.len() <= bytes_max, "{} > {bytes_max}", html.len());
                assert!(html.ends_with("<br>[agent i-1]"), "{html}");
                let body = html.replace("&amp;", "").replace("<br>", "");
                assert!(!body.contains(['&', '<', ';']), "cut inside an entity or tag: {html}");
            }
        }
    }

    #[test]
    fn text_that_just_fits_is_not_cut() {
        let tail_bytes = "<br>[agent i-1]".len();
        assert_eq!(html_body("abcdef", "[agent i-1]", tail_bytes + 6), "abcdef<br>[agent i-1]");
        assert_eq!(html_body("abcdef", "[agent i-1]", tail_bytes + 5), "ab…<br>[agent i-1]");
    }

    #[test]
    fn a_message_becomes_one_bounded_line() {
        assert_eq!(one_line("a\nb\u{2066}c\u{7f}", 3), "a b");
    }
}
