//! Blacking out what concerns others in one person's rows. Must never let another person's name or address
//! through that the same records make known.
use serde_json::Value;
use std::collections::BTreeSet;
use types::subject::{address_places, json_in, known_of};
use types::{Finder, Known, Subject};

/// What stands where something was taken out.
pub(crate) const BLACK: &str = "\u{25a0}\u{25a0}\u{25a0}";
/// Levels of JSON inside JSON strings that are followed; below, the text is searched as it is.
const NESTED_MAX: u32 = 6;
/// Fields that list the people of a row.
const LISTS: [&str; 2] = ["subjects", "contact_ids"];

/// One thing that was taken out: where, and what kind of thing. Never the thing itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Blacked {
    pub(crate) place: String,
    pub(crate) what: &'static str,
}

/// Whom to leave, and whom to take out.
pub(crate) struct BlackOut {
    subject: Subject,
    /// Names of others that the same records make known.
    others: Finder,
}

impl BlackOut {
    pub(crate) fn new(subject: &Subject, known: &BTreeSet<Known>) -> Self {
        let others = known.iter().filter(|known| !subject.is_known(known));
        // A namesake's name is hers too.
        let hers = Finder::new(&subject.names);
        let names = others.filter_map(|known| known.name.as_ref()).filter(|name| !hers.is_in(name));
        Self { subject: subject.clone(), others: Finder::new(names) }
    }

    /// The value without others, and what was taken out of it.
    pub(crate) fn value(&self, value: &Value, place: &str) -> (Value, BTreeSet<Blacked>) {
        let mut blacked = BTreeSet::new();
        let value = self.walk(value, place, NESTED_MAX, &mut blacked);
        (value, blacked)
    }

    fn walk(&self, value: &Value, place: &str, depth: u32, blacked: &mut BTreeSet<Blacked>) -> Value {
        match value {
            Value::Object(fields) => {
                let known = known_of(value);
                let of_another = known.contact.is_some()
                    && (known.name.is_some() || known.email.is_some())
                    && !self.subject.is_known(&known);
                let field = |(name, field): (&String, &Value)| {
                    let place = format!("{place}.{name}");
                    let names_another = of_another
                        && matches!(name.as_str(), "id" | "contact_id" | "name" | "email")
                        && !field.is_null();
                    let out = if names_another {
                        take(blacked, &place, "a record of somebody else")
                    } else if LISTS.contains(&name.as_str()) {
                        self.list(field, &place, blacked)
                    } else if name == "person" && field.is_string() {
                        take(blacked, &place, "who of the company did it")
                    } else {
                        self.walk(field, &place, depth, blacked)
                    };
                    (name.clone(), out)
                };
                Value::Object(fields.iter().map(field).collect())
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(n, item)| self.walk(item, &format!("{place}[{n}]"), depth, blacked))
                .collect(),
            Value::String(text) => self.text(text, place, depth, blacked),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn list(&self, list: &Value, place: &str, blacked: &mut BTreeSet<Blacked>) -> Value {
        let one = |item: &Value| match item.as_str() {
            Some(person) if !self.subject.is(person) => {
                take(blacked, place, "an id or address of somebody else")
            }
            Some(_) | None => item.clone(),
        };
        list.as_array().into_iter().flatten().map(one).collect()
    }

    fn text(&self, text: &str, place: &str, depth: u32, blacked: &mut BTreeSet<Blacked>) -> Value {
        if text.starts_with("person:") {
            return take(blacked, place, "who of the company did it");
        }
        if let (Some(deeper), Some(inner)) = (depth.checked_sub(1), json_in(text)) {
            let comma = if text.trim_start().starts_with(',') { "," } else { "" };
            return Value::from(format!("{comma}{}", self.walk(&inner, place, deeper, blacked)));
        }
        Value::from(self.plain(text, place, blacked))
    }

    /// A text that is no JSON: names of others and every address but hers.
    pub(crate) fn plain(&self, text: &str, place: &str, blacked: &mut BTreeSet<Blacked>) -> String {
        let mut cuts: Vec<(std::ops::Range<usize>, &'static str)> = Vec::new();
        for at in address_places(text) {
            if !text.get(at.clone()).is_some_and(|address| self.subject.is(address)) {
                cuts.push((at, "an address of somebody else"));
            }
        }
        for at in self.others.places(text) {
            if cuts.iter().all(|(cut, _)| at.end <= cut.start || cut.end <= at.start) {
                cuts.push((at, "a name of somebody else"));
            }
        }
        cuts.sort_by_key(|(at, _)| at.start);
        let (mut out, mut from) = (String::with_capacity(text.len()), 0_usize);
        for (at, what) in cuts {
            out.push_str(text.get(from..at.start).unwrap_or_default());
            out.push_str(BLACK);
            from = at.end;
            blacked.insert(Blacked { place: place.to_owned(), what });
        }
        out.push_str(text.get(from..).unwrap_or_default());
        out
    }
}

fn take(blacked: &mut BTreeSet<Blacked>, place: &str, what: &'static str) -> Value {
    blacked.insert(Blacked { place: place.to_owned(), what });
    Value::from(BLACK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use types::subject::people_in;

    #[test]
    fn others_go_at_any_depth_and_she_stays() {
        let record = json!({"contacts": [{"id": 501, "name": "Ana Maria", "email": "ana@x.example"},
            {"id": 502, "name": "Bo Berg", "email": "bo@x.example"}], "amount": 502});
        let message = format!(",{}", json!({"role": "user", "content": [{"content": record.to_string()}]}));
        let row = json!({"actor": {"person": "marieke"}, "stream": "person:marieke", "prompt": message,
            "because": "Bo\u{200b} berg and Ana Maria wrote, Cc <cc@y.example>, from ana@x.example",
            "subjects": ["501", "502", "bo@x.example"]});
        let subject = Subject {
            contacts: ["501".to_owned()].into(),
            emails: ["ana@x.example".to_owned()].into(),
            names: ["Ana Maria".to_owned()].into(),
            ..Subject::default()
        };
        let (out, blacked) = BlackOut::new(&subject, &people_in(&row.to_string())).value(&row, "row 1");
        let text = out.to_string();
        for gone in ["Bo", "berg", "bo@", "cc@", "marieke"] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        assert_eq!(text.matches("Ana Maria").count(), 2, "{text}");
        assert_eq!(out["subjects"], json!(["501", BLACK, BLACK]));
        // Her record keeps its id, his loses it; a number that happens to be the same is no person.
        let bare = text.replace('\\', "");
        assert!(bare.contains("\"id\":501") && !bare.contains("\"id\":502"), "{bare}");
        assert!(bare.contains("\"amount\":502"), "{bare}");
        assert!(
            blacked.iter().any(|one| one.what == "a name of somebody else" && one.place == "row 1.because")
        );
        let listed = format!("{blacked:?}");
        assert!(!listed.contains("Bo") && !listed.contains("@"), "the list never repeats it: {listed}");
    }
}
