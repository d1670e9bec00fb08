//! Making foreign text harmless to logs, pages and prompts. Must never add or reorder anything.

/// Characters that show nothing, or change how others are shown: they can hide text from a person who reads
/// it.
pub(crate) fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// Every kind of line end.
pub(crate) fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{000B}' | '\u{000C}' | '\u{0085}' | '\u{2028}' | '\u{2029}')
}

/// One printable line of at most `bytes_max` bytes: line ends and tabs become spaces, control and hidden go.
pub(crate) fn line(text: &str, bytes_max: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = if is_line_end(c) || c == '\t' { ' ' } else { c };
        if c.is_control() || is_hidden(c) {
            continue;
        }
        if out.len().saturating_add(c.len_utf8()) > bytes_max {
            break;
        }
        out.push(c);
    }
    out
}

/// The longest start of `text` of at most `bytes_max` bytes that does not cut a character in two.
pub(crate) fn start(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or("")
}

/// SHA-256 as 64 lowercase hex digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_all_that_it_holds() {
        let hostile = "a\u{1b}[31m\u{0}b\r\nc\u{202e}d\u{200b}e\u{e0041}\u{9b}f\tg";
        assert_eq!(line(hostile, 100), "a[31mb  cdef g");
        assert_eq!(line("ééé", 3), "é", "a character is never cut in two");
        assert_eq!(start("ééé", 3), "é");
        assert_eq!(start("abc", 10), "abc");
    }

    #[test]
    fn the_hash_is_sha256_in_hex() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
