//! What the triager understands of a conversation: the deal, the mails, the people, the calls so far. Must
//! never look at anything but the request it was sent.
use jiff::civil::Date;
use serde_json::{Map, Value};

/// One mail that a customer wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mail {
    pub(super) subject: Option<String>,
    pub(super) text: String,
    pub(super) date: Option<Date>,
}

/// One call of an earlier turn, with its result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Past {
    pub(super) name: String,
    pub(super) input: Value,
    pub(super) result: String,
    pub(super) is_error: bool,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) deal_id: Option<String>,
    pub(super) contact_id: Option<String>,
    pub(super) owner_id: Option<String>,
    /// Newest first, where their dates say so.
    pub(super) mails: Vec<Mail>,
    /// The day of the run, where the conversation names it.
    pub(super) today: Option<Date>,
    /// Stage ids with their labels.
    pub(super) stages: Vec<(String, String)>,
    pub(super) past: Vec<Past>,
    /// Texts without any structure, for conversations that carry none.
    plain: Vec<String>,
}

const MAIL_WORDS: [&str; 4] = ["mail", "reply", "repl", "message"];
const TEXT_KEYS: [&str; 7] = ["hs_email_text", "email_text", "mail_text", "text", "body", "reply", "message"];
const SUBJECT_KEYS: [&str; 2] = ["subject", "hs_email_subject"];
const TIME_KEYS: [&str; 9] =
    ["timestamp", "hs_timestamp", "sent_at", "received_at", "occurred_at", "at", "date", "when", "sent"];

/// Reads a whole request body.
pub(super) fn read(body: &Map<String, Value>) -> Reading {
    let mut reading = Reading::default();
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for message in messages {
        let content = message.get("content").unwrap_or(&Value::Null);
        let assistant = message.get("role").and_then(Value::as_str) == Some("assistant");
        if let Some(text) = content.as_str() {
            if !assistant {
                reading.take_text(text);
            }
            continue;
        }
        for block in content.as_array().into_iter().flatten() {
            reading.take_block(block, assistant);
        }
    }
    if reading.mails.is_empty() {
        let text = reading.plain.join("\n");
        let date = first_date(&text);
        reading.mails.push(Mail { subject: None, text, date });
    }
    reading.mails.sort_by_key(|mail| std::cmp::Reverse(mail.date));
    reading
}

impl Reading {
    fn take_block(&mut self, block: &Value, assistant: bool) {
        let field = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
        match field("type") {
            "text" if !assistant => self.take_text(field("text")),
            "tool_use" => self.past.push(Past {
                name: field("name").to_owned(),
                input: block.get("input").cloned().unwrap_or(Value::Null),
                result: field("id").to_owned(),
                is_error: false,
            }),
            "tool_result" => self.take_result(block),
            _ => {}
        }
    }

    fn take_result(&mut self, block: &Value) {
        let content = block.get("content").unwrap_or(&Value::Null);
        let parts = content.as_array().into_iter().flatten().filter_map(|part| part.get("text")?.as_str());
        let text: String = content.as_str().into_iter().chain(parts).collect::<Vec<_>>().join("\n");
        let is_error = block.get("is_error").and_then(Value::as_bool).unwrap_or(false);
        let id = block.get("tool_use_id").and_then(Value::as_str).unwrap_or_default();
        let mut reads = false;
        // Until its result comes, a call carries its id in place of it.
        if let Some(call) = self.past.iter_mut().find(|call| call.result == id) {
            call.result.clone_from(&text);
            call.is_error = is_error;
            reads = call.name.starts_with("get") || call.name.starts_with("read");
        }
        if !is_error && reads {
            self.take_text(&text);
        }
    }

    /// Takes the JSON that stands in a text, then what is left of it.
    fn take_text(&mut self, text: &str) {
        let (values, rest) = split_json(text);
        for value in &values {
            self.take_value(value, "");
        }
        self.take_marked(&rest, "");
        if self.today.is_none() {
            self.today = ["today", "current date", "now"].iter().find_map(|word| date_after(&rest, word));
        }
        if self.deal_id.is_none() {
            self.deal_id = digits_after(&rest, "deal");
        }
        if self.contact_id.is_none() {
            self.contact_id = digits_after(&rest, "contact");
        }
        self.plain.push(rest);
    }

    /// Sections of foreign text, fenced as `[untrusted <label> <tag>]` ... `[end <tag>]`.
    fn take_marked(&mut self, text: &str, key: &str) -> bool {
        let mut found = false;
        let mut rest = text;
        while let Some((before, section)) = rest.split_once("[untrusted ") {
            let Some((head, body)) = section.split_once(']') else { break };
            let words: Vec<&str> = head.split([' ', ',']).filter(|word| !word.is_empty()).collect();
            let tag = words.iter().rev().find(|word| body.contains(&format!("[end {word}]")));
            let Some((inner, after)) = tag.and_then(|tag| body.split_once(&format!("[end {tag}]"))) else {
                break;
            };
            found = true;
            let label = format!("{key} {head}").to_lowercase();
            if MAIL_WORDS.iter().any(|word| label.contains(word)) {
                let near: String = before.lines().rev().take(2).collect::<Vec<_>>().join(" ");
                let date = first_date(&near);
                self.add_mail(Mail { subject: None, text: inner.trim().to_owned(), date });
            }
            rest = after;
        }
        found
    }

    fn add_mail(&mut self, mail: Mail) {
        if !mail.text.is_empty() && !self.mails.iter().any(|known| known.text == mail.text) {
            self.mails.push(mail);
        }
    }

    fn take_value(&mut self, value: &Value, key: &str) {
        if let Some(list) = value.as_array() {
            for one in list {
                self.take_value(one, key);
            }
        } else if let Some(object) = value.as_object() {
            self.take_object(object, key);
        } else if let Some(text) = value.as_str() {
            self.take_marked(text, key);
        }
    }

    fn take_object(&mut self, object: &Map<String, Value>, key: &str) {
        self.take_ids(object, key);
        if let Some(mail) = as_mail(object, key) {
            if !self.take_section_of(&mail) {
                self.add_mail(mail);
            }
            return;
        }
        for (name, one) in object {
            self.take_value(one, name);
        }
    }

    /// A mail whose text is fenced: only what is inside the fence, with the date of the outside.
    fn take_section_of(&mut self, mail: &Mail) -> bool {
        let before = self.mails.len();
        let found = self.take_marked(&mail.text, "mail");
        for one in self.mails.iter_mut().skip(before) {
            one.date = one.date.or(mail.date);
            one.subject = one.subject.take().or_else(|| mail.subject.clone());
        }
        found
    }

    fn take_ids(&mut self, object: &Map<String, Value>, key: &str) {
        let id_of = |name: &str| object.get(name).and_then(as_id);
        if self.deal_id.is_none() {
            let own = if key.starts_with("deal") { id_of("id") } else { None };
            self.deal_id = id_of("deal_id").or(own);
        }
        if self.contact_id.is_none() {
            let own = if key.starts_with("contact") { id_of("id") } else { None };
            let listed = object.get("contact_ids").and_then(Value::as_array).and_then(|ids| ids.first());
            self.contact_id = id_of("contact_id").or(own).or_else(|| listed.and_then(as_id));
        }
        if self.owner_id.is_none() {
            let own = if key.starts_with("owner") { id_of("id") } else { None };
            self.owner_id = id_of("owner_id").or_else(|| id_of("hubspot_owner_id")).or(own);
        }
        if self.today.is_none() {
            self.today = ["today", "now", "current_date"].iter().find_map(|name| as_date(object.get(*name)?));
        }
        let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        if let (Some(id), Some(label)) = (text("stage_id").or_else(|| text("id")), text("label")) {
            self.stages.push((id, label));
        }
    }
}

fn as_mail(object: &Map<String, Value>, key: &str) -> Option<Mail> {
    let key = key.to_lowercase();
    let names_mail = |name: &str| {
        let name = name.to_lowercase();
        name.contains("direction") || name.contains("email_") || SUBJECT_KEYS.contains(&name.as_str())
    };
    let is_mail =
        MAIL_WORDS.iter().any(|word| key.contains(word)) || object.keys().any(|name| names_mail(name));
    let text = TEXT_KEYS.iter().find_map(|name| object.get(*name)?.as_str())?;
    if !is_mail {
        return None;
    }
    // What we sent ourselves is no reason to act.
    let direction = object.iter().find(|(name, _)| name.to_lowercase().contains("direction"));
    if direction
        .and_then(|(_, value)| value.as_str())
        .is_some_and(|value| !value.to_lowercase().contains("in"))
    {
        return Some(Mail { subject: None, text: String::new(), date: None });
    }
    let subject = SUBJECT_KEYS.iter().find_map(|name| object.get(*name)?.as_str()).map(str::to_owned);
    let date = TIME_KEYS.iter().find_map(|name| as_date(object.get(*name)?));
    Some(Mail { subject, text: text.trim().to_owned(), date })
}

fn as_id(value: &Value) -> Option<String> {
    let text = value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|id| id.to_string()))?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(text)
}

/// The day of an ISO text, or of milliseconds.
fn as_date(value: &Value) -> Option<Date> {
    if let Some(ms) =
        value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|ms| *ms > 100_000_000_000)
    {
        return Some(
            jiff::Timestamp::from_millisecond(ms).ok()?.to_zoned_datetime(jiff::tz::TimeZone::UTC).date(),
        );
    }
    first_date(value.as_str()?)
}

/// The first `YYYY-MM-DD` of a text.
pub(super) fn first_date(text: &str) -> Option<Date> {
    let starts = text.char_indices().filter(|(_, one)| one.is_ascii_digit()).map(|(start, _)| start);
    starts.into_iter().find_map(|start| text.get(start..start.checked_add(10)?)?.parse().ok())
}

fn date_after(text: &str, word: &str) -> Option<Date> {
    let lower = text.to_lowercase();
    let start = lower.find(word)?.saturating_add(word.len());
    let near: String = lower.get(start..)?.chars().take(30).collect();
    first_date(&near)
}

/// The first run of digits that stands close behind a word.
pub(super) fn digits_after(text: &str, word: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let mut rest = lower.as_str();
    while let Some((_, after)) = rest.split_once(word) {
        let near: String = after.chars().take(8).take_while(|one| *one != '\n').collect();
        if let Some(gap) = near.find(|one: char| one.is_ascii_digit()) {
            let from = after.get(gap..).unwrap_or_default();
            return Some(from.chars().take_while(char::is_ascii_digit).collect());
        }
        rest = after;
    }
    None
}

/// The JSON objects and lists of objects in a text, and the text around them.
fn split_json(text: &str) -> (Vec<Value>, String) {
    let mut values = Vec::new();
    let mut rest = String::new();
    let mut from = text;
    while let Some(start) = from.find(['{', '[']) {
        let (before, tail) = from.split_at(start);
        rest.push_str(before);
        let mut stream = serde_json::Deserializer::from_str(tail).into_iter::<Value>();
        let parsed = stream.next().and_then(Result::ok).filter(holds_object);
        let end = stream.byte_offset();
        if let Some(value) = parsed {
            values.push(value);
            rest.push('\n');
            from = tail.get(end..).unwrap_or_default();
        } else {
            rest.push_str(tail.get(..1).unwrap_or_default());
            from = tail.get(1..).unwrap_or_default();
        }
    }
    rest.push_str(from);
    (values, rest)
}

fn holds_object(value: &Value) -> bool {
    value.is_object() || value.as_array().is_some_and(|list| list.iter().any(Value::is_object))
}
