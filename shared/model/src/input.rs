//! The arguments of one call, read strictly. Must never pass on what another reader could read differently.
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// A call's arguments.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A JSON object, read whole and without doubt. Its values still have to pass the tool's own checks.
    Object(Map<String, Value>),
    /// Not to be used: refuse the call and say so. Its text is in [`crate::Answer::content_raw`].
    Malformed(Malformed),
}

/// Why a call cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Malformed {
    /// The tool's name has characters that no tool of ours has, or is too long.
    Name,
    /// The arguments have more than 64 KB.
    TooLarge,
    /// Nested deeper than 16.
    TooDeep,
    /// The same key twice in one object: readers disagree which one counts.
    DuplicateKey,
    /// A number that loses digits when it is read.
    HugeNumber,
    /// Missing, or no JSON object.
    NotAnObject,
    /// No value can be made of it (a lone surrogate, a number without bounds).
    Unreadable,
}

impl Malformed {
    /// A stable code for logs and for the answer to the model.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::DuplicateKey => "duplicate_key",
            Self::HugeNumber => "huge_number",
            Self::NotAnObject => "not_an_object",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The most bytes that arguments may have.
const BYTES_MAX: usize = 64 * 1024;
/// The most levels that arguments may have, their own object counted.
const DEPTH_MAX: usize = 16;
/// Up to here every whole number is itself as a double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

impl Input {
    /// Reads the raw text of the arguments.
    pub(crate) fn read(raw: &str) -> Self {
        if raw.len() > BYTES_MAX {
            return Self::Malformed(Malformed::TooLarge);
        }
        let why = Cell::new(None);
        let mut reader = serde_json::Deserializer::from_str(raw);
        let read = Strict { depth_left: DEPTH_MAX, why: &why }.deserialize(&mut reader);
        match read.and_then(|value| reader.end().map(|()| value)) {
            Ok(Value::Object(map)) => Self::Object(map),
            Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Self::Malformed(Malformed::NotAnObject)
            }
            // FAIL-CLOSED: whatever cannot be read is refused, known reason or not.
            Err(_) => Self::Malformed(why.get().unwrap_or(Malformed::Unreadable)),
        }
    }
}

/// Reads one value. WHY NOT: `Value` itself: it keeps the last of two equal keys and rounds long numbers
/// silently.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth_left: usize,
    why: &'a Cell<Option<Malformed>>,
}

impl Strict<'_> {
    fn stop<E: Error>(self, why: Malformed) -> E {
        self.why.set(Some(why));
        E::custom(why.code())
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left, ..self }),
            None => Err(self.stop(Malformed::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a json value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // A whole number beyond 64 bits arrives here too, already rounded.
        if value.abs() <= EXACT_MAX { Ok(value.into()) } else { Err(self.stop(Malformed::HugeNumber)) }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if values.contains_key(&key) {
                return Err(self.stop(Malformed::DuplicateKey));
            }
            let value = map.next_value_seed(inner)?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_object_is_read_as_it_is() {
        let raw = concat!(
            r#"{"deal_id":"17","n":[1,-2,1.5,true,null,9007199254740993,18446744073709551615],"#,
            r#""o":{"a":"é\n"}}"#
        );
        let Input::Object(map) = Input::read(raw) else { panic!("must be read") };
        assert_eq!(Value::Object(map), serde_json::from_str::<Value>(raw).unwrap());
    }

    #[test]
    fn what_readers_could_read_differently_is_malformed() {
        let deep = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
        let table = [
            (r#"{"deal_id":"17","deal_id":"18"}"#.to_owned(), Malformed::DuplicateKey),
            (r#"{"a":[{"x":1,"\u0078":2}]}"#.to_owned(), Malformed::DuplicateKey),
            (r#"{"n":18446744073709551616}"#.to_owned(), Malformed::HugeNumber),
            (r#"{"n":-9223372036854775809}"#.to_owned(), Malformed::HugeNumber),
            (r#"{"n":1e300}"#.to_owned(), Malformed::HugeNumber),
            (r#"{"n":1e999}"#.to_owned(), Malformed::Unreadable),
            (r#"{"s":"\ud800"}"#.to_owned(), Malformed::Unreadable),
            (deep(16), Malformed::TooDeep),
            (deep(30_000), Malformed::TooDeep),
            (format!("{{\"s\":\"{}\"}}", "x".repeat(BYTES_MAX)), Malformed::TooLarge),
            ("[]".to_owned(), Malformed::NotAnObject),
            ("\"{}\"".to_owned(), Malformed::NotAnObject),
            ("null".to_owned(), Malformed::NotAnObject),
            ("{} {}".to_owned(), Malformed::Unreadable),
        ];
        for (raw, why) in table {
            assert_eq!(Input::read(&raw), Input::Malformed(why), "{}", crate::text::start(&raw, 80));
        }
        assert!(matches!(Input::read(&deep(15)), Input::Object(_)), "16 levels are allowed");
    }
}
