//! Form bodies and queries, bounded and strict. Must never guess at bytes that are not UTF-8.

/// The largest form body that is read, in bytes.
const FORM_BYTES_MAX: usize = 65_536;
/// The most fields that are read.
const FIELDS_MAX: usize = 512;

/// The fields of a form or a query, in order. The first of several with one name wins.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

/// Why a form was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormRefused {
    /// Another content type than `application/x-www-form-urlencoded`.
    ContentType,
    /// More than 64 KiB, or more than 512 fields.
    TooLarge,
    /// A broken escape, or bytes that are not UTF-8.
    Malformed,
}

impl std::fmt::Debug for Fields {
    /// Names only: a value may be a PIN.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Fields {
    /// Reads `a=b&c=d`.
    ///
    /// # Errors
    /// [`FormRefused`] when it is too large or malformed; nothing of it is used then.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormRefused> {
        if bytes.len() > FORM_BYTES_MAX {
            return Err(FormRefused::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| FormRefused::Malformed)?;
        let mut fields = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if fields.len() == FIELDS_MAX {
                return Err(FormRefused::TooLarge);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |part: &str| decode_component(&part.replace('+', " ")).ok_or(FormRefused::Malformed);
            fields.push((decode(name)?, decode(value)?));
        }
        Ok(Self(fields))
    }

    /// The first value with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every field in order, repeats included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Undoes percent encoding (`%2F`); a plus stays a plus. `None` for a broken escape or bytes that are not
/// UTF-8.
#[must_use]
pub fn decode_component(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Percent-encodes everything but letters, digits and `-._~`: safe in a path segment, a query and a form.
#[must_use]
pub fn encode_component(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_and_the_first_of_two_wins() {
        let fields = Fields::parse(b"scope=global&scope=1234&why=It+is%20fine+%2B+safe&empty=&flag").unwrap();
        assert_eq!(fields.get("scope"), Some("global"));
        assert_eq!(fields.get("why"), Some("It is fine + safe"));
        assert_eq!(fields.get("empty"), Some(""));
        assert_eq!(fields.get("flag"), Some(""));
        assert_eq!(fields.get("other"), None);
        assert_eq!(fields.iter().count(), 5);
    }

    #[test]
    fn broken_escapes_and_bytes_are_refused_whole() {
        for bad in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%ff", b"a=\xff", b"a=%+1", b"%c3=1"] {
            assert_eq!(Fields::parse(bad), Err(FormRefused::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_form_is_bounded_in_bytes_and_in_fields() {
        assert_eq!(Fields::parse(&vec![b'a'; FORM_BYTES_MAX + 1]), Err(FormRefused::TooLarge));
        assert!(Fields::parse("a=1&".repeat(FIELDS_MAX).as_bytes()).is_ok());
        assert_eq!(Fields::parse("a=1&".repeat(FIELDS_MAX + 1).as_bytes()), Err(FormRefused::TooLarge));
    }

    #[test]
    fn debug_output_never_shows_a_value() {
        let shown = format!("{:?}", Fields::parse(b"pin=424242").unwrap());
        assert!(shown.contains("pin") && !shown.contains("424242"), "{shown}");
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        for text in ["", "a b+c/d?e&f=g%", "Café \u{202e} \u{0}", "日本"] {
            let encoded = encode_component(text);
            assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)), "{encoded}");
            assert_eq!(decode_component(&encoded).as_deref(), Some(text));
        }
    }
}
