//! A data subject: whom stored data is about, and how her traces are found in text. Must never match half a
//! word.
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Range;

/// Rounds of JSON inside JSON strings that are followed: a request body holds tool results that hold records.
const NESTED_MAX: u32 = 6;

/// Whom a data request is about: a person by contact ids, addresses and names; or everything of a deal or of
/// a customer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// HubSpot contact ids.
    #[serde(default)]
    pub contacts: BTreeSet<String>,
    /// Mail addresses, lower case.
    #[serde(default)]
    pub emails: BTreeSet<String>,
    /// Full names, for the search in text.
    #[serde(default)]
    pub names: BTreeSet<String>,
    /// Deals that belong to her as a whole.
    #[serde(default)]
    pub deals: BTreeSet<String>,
    /// Customers (company ids, or `deal-<id>`).
    #[serde(default)]
    pub customers: BTreeSet<String>,
}

/// A person as some stored record names her.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    /// Her contact id, where the record has one.
    pub contact: Option<String>,
    /// Her name.
    pub name: Option<String>,
    /// Her mail address, lower case.
    pub email: Option<String>,
}

impl Subject {
    /// Nobody at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.contacts, &self.emails, &self.names, &self.deals, &self.customers]
            .iter()
            .all(|set| set.is_empty())
    }

    /// Ids and addresses as rows name the people they are about.
    #[must_use]
    pub fn people(&self) -> Vec<String> {
        self.contacts.iter().chain(&self.emails).cloned().collect()
    }

    /// Is that id or address, as rows name people, hers?
    #[must_use]
    pub fn is(&self, person: &str) -> bool {
        let person = person.trim().to_lowercase();
        self.contacts.contains(&person) || self.emails.contains(&person)
    }

    /// Is the record about her?
    #[must_use]
    pub fn is_known(&self, known: &Known) -> bool {
        known.contact.as_deref().is_some_and(|id| self.is(id))
            || known.email.as_deref().is_some_and(|email| self.is(email))
    }

    /// Learns her addresses and names from records that carry one of her ids or addresses. True when there
    /// was something new.
    pub fn learn<'a>(&mut self, records: impl IntoIterator<Item = &'a Known>) -> bool {
        let mut grew = false;
        for known in records {
            if !self.is_known(known) {
                continue;
            }
            if let Some(email) = &known.email {
                grew |= self.emails.insert(email.clone());
            }
            if let Some(name) = known.name.as_deref().filter(|name| is_full_name(name)) {
                grew |= self.names.insert(name.to_owned());
            }
        }
        grew
    }

    /// What to look for in text: her addresses and full names. (An id alone is a number like many others.)
    #[must_use]
    pub fn finder(&self) -> Finder {
        Finder::new(self.emails.iter().chain(self.names.iter().filter(|name| is_full_name(name))))
    }
}

/// Two words at least: a first name alone would find every namesake.
#[must_use]
pub fn is_full_name(name: &str) -> bool {
    folded(name).iter().map(|c| c.0).collect::<String>().split(' ').filter(|word| !word.is_empty()).count()
        >= 2
}

/// Finds texts inside text, whatever case, white space, hidden characters or JSON escapes stand between.
#[derive(Debug, Clone, Default)]
pub struct Finder {
    wanted: Vec<Vec<char>>,
}

/// One character as it is compared, and the bytes it stands for.
type Folded = (char, usize, usize);

impl Finder {
    /// Looks for any of these.
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut wanted: Vec<Vec<char>> = Vec::new();
        for text in texts {
            let text = text.as_ref();
            // As it is, and as JSON would write a control character in it.
            let escaped = serde_json::to_string(text).unwrap_or_default();
            let escaped = escaped.get(1..escaped.len().saturating_sub(1)).unwrap_or_default();
            wanted.extend(
                [text, escaped].iter().map(|text| trimmed(&folded(text))).filter(|text| !text.is_empty()),
            );
        }
        // The longest first: a name inside an address does not cut it in two.
        wanted.sort_by_key(|text| std::cmp::Reverse(text.len()));
        wanted.dedup();
        Self { wanted }
    }

    /// Is there nothing to look for?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Is any of them in the text?
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        !self.is_empty() && !self.places(text).is_empty()
    }

    /// Where they are, in bytes, in order and apart from each other.
    #[must_use]
    pub fn places(&self, text: &str) -> Vec<Range<usize>> {
        let text = folded(text);
        let (mut found, mut at) = (Vec::new(), 0_usize);
        while at < text.len() {
            let hit = self.wanted.iter().find(|wanted| stands_at(&text, at, wanted));
            let Some(wanted) = hit else {
                at = at.saturating_add(1);
                continue;
            };
            let end = at.saturating_add(wanted.len());
            let last = text.get(end.saturating_sub(1)).map_or(0, |c| c.2);
            if let Some(first) = text.get(at) {
                found.push(first.1..last);
            }
            at = end;
        }
        found
    }
}

fn stands_at(text: &[Folded], at: usize, wanted: &[char]) -> bool {
    let end = at.saturating_add(wanted.len());
    let Some(here) = text.get(at..end) else { return false };
    if here.iter().map(|c| c.0).ne(wanted.iter().copied()) {
        return false;
    }
    let is_address = wanted.contains(&'@');
    let joins = |c: char| c.is_alphanumeric() || (is_address && matches!(c, '.' | '_' | '-' | '+'));
    let before = at.checked_sub(1).and_then(|at| text.get(at)).is_some_and(|c| joins(c.0));
    let after = text.get(end).is_some_and(|c| c.0.is_alphanumeric());
    !before && !after
}

fn trimmed(text: &[Folded]) -> Vec<char> {
    let text: String = text.iter().map(|c| c.0).collect();
    text.trim().chars().collect()
}

/// Lower case, one space for any white space, nothing hidden, escapes of JSON undone at any depth.
fn folded(text: &str) -> Vec<Folded> {
    let mut all: Vec<Folded> = Vec::with_capacity(text.len());
    let mut rest = text.char_indices().peekable();
    while let Some((start, c)) = rest.next() {
        let mut c = c;
        if c == '\\' {
            while rest.next_if(|next| next.1 == '\\').is_some() {}
            let Some((at, escaped)) = rest.next() else { break };
            c = match escaped {
                // WHY NOT `b` and `f`: a name may hold a backslash, and what follows it is its own.
                'n' | 'r' | 't' => ' ',
                'u' => match text.get(at.saturating_add(1)..at.saturating_add(5)).and_then(hex_char) {
                    Some(decoded) => {
                        for _ in 0..4 {
                            rest.next();
                        }
                        decoded
                    }
                    None => 'u',
                },
                other => other,
            };
        }
        let end = rest.peek().map_or(text.len(), |next| next.0);
        push(&mut all, c, start, end);
    }
    all
}

fn push(all: &mut Vec<Folded>, c: char, start: usize, end: usize) {
    if is_hidden(c) {
        return;
    }
    if c.is_whitespace() || c.is_control() {
        if all.last().is_none_or(|last| last.0 != ' ') {
            all.push((' ', start, end));
        }
        return;
    }
    for lower in c.to_lowercase() {
        all.push((lower, start, end));
    }
}

fn hex_char(digits: &str) -> Option<char> {
    let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)).flatten()
}

/// Characters that are not seen: soft hyphen, zero width, direction marks, joiners, variation selectors.
const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// The mail addresses in a text, lower case.
#[must_use]
pub fn addresses(text: &str) -> BTreeSet<String> {
    address_places(text).into_iter().filter_map(|place| text.get(place)).map(str::to_lowercase).collect()
}

/// Where the mail addresses of a text are, in bytes.
#[must_use]
pub fn address_places(text: &str) -> Vec<Range<usize>> {
    let local = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let domain = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('@') {
        let (before, after) =
            (text.get(..at).unwrap_or_default(), text.get(at.saturating_add(1)..).unwrap_or_default());
        let left = before.trim_end_matches(local).len();
        let right = after.len().saturating_sub(after.trim_start_matches(domain).len());
        let host = after.get(..right).unwrap_or_default().trim_end_matches(['.', '-']);
        // What an escape left behind is no part of an address.
        let left = match before.get(left..).unwrap_or_default() {
            name if name.starts_with('n') && before.get(..left).is_some_and(|b| b.ends_with('\\')) => {
                left.saturating_add(1)
            }
            _ => left,
        };
        let end = at.saturating_add(1).saturating_add(host.len());
        if left < at && host.contains('.') && found.last().is_none_or(|last| last.end <= left) {
            found.push(left..end);
        }
    }
    found
}

/// The people that records in a stored text name: objects with an id beside a name or an address, also where
/// the text is JSON inside JSON.
#[must_use]
pub fn people_in(text: &str) -> BTreeSet<Known> {
    let mut found = BTreeSet::new();
    if let Some(value) = json_in(text) {
        walk(&value, NESTED_MAX, &mut found);
    }
    found
}

/// A stored text as JSON: whole, or behind the comma that joins a message to the one before.
#[must_use]
pub fn json_in(text: &str) -> Option<Value> {
    let text = text.trim().trim_start_matches(',').trim();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str(text).ok()
}

fn walk(value: &Value, depth: u32, found: &mut BTreeSet<Known>) {
    let Some(deeper) = depth.checked_sub(1) else { return };
    match value {
        Value::Object(fields) => {
            let known = known_of(value);
            if known.contact.is_some() && (known.name.is_some() || known.email.is_some()) {
                found.insert(known);
            }
            // Only a text that was unpacked counts as deeper: records may lie far down in one.
            for field in fields.values() {
                walk(field, depth, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, depth, found)),
        Value::String(text) => {
            if let Some(inner) = json_in(text) {
                walk(&inner, deeper, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The person that an object names: `{"id", "name", "email"}` as the tools show a contact, `{"contact_id",
/// "email"}` as a draft names whom it is to.
#[must_use]
pub fn known_of(object: &Value) -> Known {
    let text = |field: &str| {
        object.get(field).and_then(|value| match value {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        })
    };
    let email = text("email").map(|email| email.to_lowercase()).filter(|email| email.contains('@'));
    let contact =
        text("contact_id").or_else(|| if object.get("email").is_some() { text("id") } else { None });
    let name = if object.get("email").is_some() { text("name") } else { None };
    Known { contact, name, email }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_through_case_hidden_characters_and_any_depth_of_json() {
        let finder = Finder::new(["Ana\u{200b}ïs \"Néa\" O\\Brien", "ana@x.example"]);
        let mut text = "Dear ANA\u{202e}ÏS\t\"néa\"  o\\brien, hello".to_owned();
        for _ in 0..4 {
            assert!(finder.is_in(&text), "{text}");
            text = serde_json::to_string(&text).unwrap();
        }
        assert!(Finder::new(["Ana\nBrien"]).is_in("{\"name\":\"Ana\\u000aBrien\"}"));
        for not in ["Anaïs \"Néa\" O\\Briens", "marana@x.example", "b.ana@x.example", "ana@x.examples", ""]
        {
            assert!(!finder.is_in(not), "{not}");
        }
        assert!(!Finder::default().is_in("anything"));
    }

    #[test]
    fn what_was_found_can_be_cut_out() {
        let text = "x A\u{200b}na Maria, and <ana maria>";
        let places = Finder::new(["Ana Maria"]).places(text);
        let cut: Vec<&str> = places.iter().map(|place| &text[place.clone()]).collect();
        assert_eq!(cut, ["A\u{200b}na Maria", "ana maria"]);
    }

    #[test]
    fn addresses_are_found_in_mails_and_in_json() {
        let text = "From: Jan <Jan.P+x@a-b.example>\\nnext@c.example. or none@ nor @d.example, e@localhost";
        let found: Vec<String> = addresses(text).into_iter().collect();
        assert_eq!(found, ["jan.p+x@a-b.example", "next@c.example"]);
    }

    #[test]
    fn records_teach_her_names_and_addresses_but_never_a_namesakes() {
        let inner = serde_json::json!({"contacts": [
            {"id": 501, "name": "Ana Maria", "email": "ANA@x.example"},
            {"id": 502, "name": "Bo Berg", "email": "bo@x.example"},
            {"id": 503, "name": "Cher", "email": null}]});
        let text =
            format!(",{}", serde_json::json!({"role": "user", "content": [{"content": inner.to_string()}]}));
        let people = people_in(&text);
        assert_eq!(people.len(), 3);
        let mut subject = Subject { contacts: ["501".to_owned()].into(), ..Subject::default() };
        assert!(subject.learn(&people));
        assert!(!subject.learn(&people), "nothing new the second time");
        assert_eq!(subject.emails, BTreeSet::from(["ana@x.example".to_owned()]));
        assert_eq!(subject.names, BTreeSet::from(["Ana Maria".to_owned()]));
        assert!(subject.finder().is_in("ana  maria"));
        let one_name = Subject {
            contacts: ["503".to_owned()].into(),
            names: ["Cher".to_owned()].into(),
            ..Subject::default()
        };
        assert!(one_name.finder().is_empty(), "a first name alone would find every namesake");
    }
}
