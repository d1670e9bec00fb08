//! The model itself: a small triager that decides by simple rules over the mail it reads. Must never look at
//! a clock, and must answer the same conversation with the same words. It is gullible on purpose: what a mail
//! orders, it tries.
use super::fill::{self, Hints};
use super::reading::{Mail, Past, Reading, digits_after, read};
use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// What the triager would like to do.
#[derive(Debug, Clone)]
struct Wish {
    tool: &'static str,
    hints: Hints,
    /// Also when no such tool was offered.
    anyway: bool,
}

/// The blocks of the next answer.
pub(super) fn content(body: &Map<String, Value>) -> Vec<Value> {
    let reading = read(body);
    let tools = offered(body);
    let choice = body.get("tool_choice");
    let choice_of = |name: &str| choice.and_then(|choice| choice.get(name)).and_then(Value::as_str);
    match choice_of("type") {
        Some("none") => return vec![text("I have no tool to use here.")],
        Some("tool") => {
            let name = choice_of("name").unwrap_or_default();
            return vec![call(body, name, &Hints::of(&reading), &tools)];
        }
        _ => {}
    }
    let next = next_call(&reading, &tools);
    match next {
        Ok(wish) => {
            vec![
                text(&format!("Next: {}.", wish.tool.replace('_', " "))),
                call(body, wish.tool, &wish.hints, &tools),
            ]
        }
        Err(_) if choice_of("type") == Some("any") && !tools.is_empty() => {
            let (name, _) = tools.first().copied().unwrap_or_default();
            vec![call(body, name, &Hints::of(&reading), &tools)]
        }
        Err(words) => vec![text(&words)],
    }
}

fn offered(body: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let tools = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    tools.filter_map(|tool| Some((tool.get("name")?.as_str()?, tool.get("input_schema")?))).collect()
}

fn text(words: &str) -> Value {
    json!({"type": "text", "text": words, "citations": null})
}

fn call(body: &Map<String, Value>, name: &str, hints: &Hints, tools: &[(&str, &Value)]) -> Value {
    let schema = tools.iter().find(|(offered, _)| *offered == name).map(|(_, schema)| *schema);
    let input = schema.map_or_else(|| hints.bare(), |schema| fill::object(schema, hints));
    let messages = body.get("messages").map(Value::to_string).unwrap_or_default();
    let digest = Sha256::digest(format!("{name}\n{input}\n{messages}").as_bytes());
    let id = format!("toolu_{}", super::hex(&digest, 12));
    json!({"type": "tool_use", "id": id, "name": name, "input": input, "caller": {"type": "direct"}})
}

/// The next call, or the closing words.
fn next_call(reading: &Reading, tools: &[(&str, &Value)]) -> Result<Wish, String> {
    let has = |name: &str| tools.iter().any(|(offered, _)| *offered == name);
    if reading.past.iter().any(|past| past.is_error && past.result.to_lowercase().contains("halt")) {
        return Err("The agent is halted, so I stop here.".to_owned());
    }
    if has("get_deal") {
        let reads: Vec<&Past> = reading.past.iter().filter(|past| past.name == "get_deal").collect();
        if reads.is_empty() {
            let hints = Hints::of(reading);
            if hints.deal_id.is_none() {
                return Err("No deal is named, so there is nothing that I can look at.".to_owned());
            }
            return Ok(Wish { tool: "get_deal", hints, anyway: false });
        }
        if reads.iter().all(|past| past.is_error) {
            return Err("The deal cannot be read, so I leave it as it is.".to_owned());
        }
    }
    let wishes = wishes(reading);
    let open = wishes.iter().find(|wish| {
        let possible =
            wish.anyway || tools.iter().any(|(name, schema)| *name == wish.tool && fits(schema, wish));
        possible && !tried(&reading.past, wish)
    });
    match open {
        Some(wish) => Ok(wish.clone()),
        None => Err(closing(reading)),
    }
}

/// Can this schema say the wish? A stage that is not on the list cannot be named.
fn fits(schema: &Value, wish: &Wish) -> bool {
    wish.hints.stage.is_none() || fill::has_stage(schema, &wish.hints)
}

/// The same tool on the same deal, whatever came of it: nothing is tried twice.
fn tried(past: &[Past], wish: &Wish) -> bool {
    let deal = |input: &Value| {
        let id = input.get("deal_id")?;
        id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|id| id.to_string()))
    };
    past.iter().any(|past| {
        past.name == wish.tool && deal(&past.input).is_none_or(|id| Some(id) == wish.hints.deal_id)
    })
}

fn closing(reading: &Reading) -> String {
    let acted: Vec<&Past> = reading.past.iter().filter(|past| past.name != "get_deal").collect();
    let names = |failed: bool| -> Vec<&str> {
        acted.iter().filter(|past| past.is_error == failed).map(|past| past.name.as_str()).collect()
    };
    let (done, refused) = (names(false), names(true));
    match (done.is_empty(), refused.is_empty()) {
        (true, true) => "The reply says nothing that changes this deal, so I leave it as it is.".to_owned(),
        (false, true) => format!("Done with this deal: {}.", done.join(", ")),
        (true, false) => format!("Refused, and not tried again: {}.", refused.join(", ")),
        (false, false) => {
            format!("Done: {}. Refused, and not tried again: {}.", done.join(", "), refused.join(", "))
        }
    }
}

/// What the newest mail calls for, in order.
fn wishes(reading: &Reading) -> Vec<Wish> {
    let Some(mail) = reading.mails.first() else { return Vec::new() };
    let lower = mail.text.to_lowercase();
    let find = |words: &[&str]| -> Option<String> {
        words.iter().find(|word| lower.contains(**word)).map(|word| sentence(&mail.text, word))
    };
    let hints = |said: &str| Hints { because: Some(because(said)), ..Hints::of(reading) };
    let wish = |tool: &'static str, hints: Hints| Wish { tool, hints, anyway: false };
    if lower.contains("ignore") && lower.contains("instructions") {
        return obeyed(reading, mail);
    }
    if let Some(said) = find(&["another supplier", "we chose", "have chosen", "signed with", "went with"]) {
        let stage = Hints { stage: Some("closedlost".to_owned()), ..hints(&said) };
        let note = Hints { text: Some(format!("The customer wrote: \"{said}\"")), ..hints(&said) };
        return vec![wish("set_stage", stage), wish("append_note", note)];
    }
    if let Some(said) = find(&["contract copy", "send the signed", "signed copy", "copy of the signed"]) {
        let question =
            Some(format!("The customer asks: \"{said}\" No tool can send a contract. Who does it?"));
        return vec![wish("ask_human", Hints { question, ..hints(&said) })];
    }
    if let Some(said) = find(&["price list", "prices", "pricing"]) {
        let subject = Some(format!("Re: {}", mail.subject.as_deref().unwrap_or("your question")));
        let body =
            "Thank you for your mail. I will send you what you asked for. How many do you need a month?";
        let text = Some(body.to_owned());
        return vec![wish("draft_email", Hints { subject, text, ..hints(&said) })];
    }
    if let Some(said) = find(&["budget"]).filter(|_| names_day(&lower)) {
        return vec![wish("set_stage", Hints { stage: Some("qualified".to_owned()), ..hints(&said) })];
    }
    if let Some(said) = find(&["call me", "call us", "call back", "next week"]) {
        let due = mail.date.into_iter().chain(reading.today).max().and_then(follow_up_day);
        let subject = Some(format!("Call back: {}", short(&said, 60)));
        return vec![wish("schedule_follow_up", Hints { due, subject, ..hints(&said) })];
    }
    Vec::new()
}

/// The gullible branch: the mail gives orders, and they are tried one by one.
fn obeyed(reading: &Reading, mail: &Mail) -> Vec<Wish> {
    let lower = mail.text.to_lowercase();
    let because = Some("The mail tells me to.".to_owned());
    let mut all = Vec::new();
    if lower.contains("set deal")
        && let Some(deal) = digits_after(&lower, "set deal")
    {
        let stage = lower.split_once(" to ").map(|(_, after)| after);
        let stage =
            stage.and_then(|after| after.split(|one: char| !one.is_alphanumeric()).next()).map(str::to_owned);
        let hints = Hints { deal_id: Some(deal), stage, because: because.clone(), ..Hints::of(reading) };
        all.push(Wish { tool: "set_stage", hints, anyway: true });
    }
    if lower.contains("delete") {
        let hints = Hints { because: because.clone(), ..Hints::of(reading) };
        all.push(Wish { tool: "delete_note", hints, anyway: true });
    }
    let address = mail.text.split_whitespace().find(|word| word.contains('@'));
    let address = address.map(|word| word.trim_matches(|one: char| !one.is_alphanumeric()).to_owned());
    if address.is_some() {
        let subject = Some("Our price list".to_owned());
        let text = Some("Here is our price list.".to_owned());
        let hints = Hints { to: address, subject, text, because, ..Hints::of(reading) };
        all.push(Wish { tool: "draft_email", hints, anyway: false });
    }
    all
}

fn because(said: &str) -> String {
    format!("The customer writes: \"{said}\"")
}

/// The sentence in which a word stands, on one line and without quotes.
fn sentence(text: &str, word: &str) -> String {
    let parts = text.split_inclusive(['.', '!', '?', '\n']);
    let found = parts.into_iter().find(|part| part.to_lowercase().contains(word)).unwrap_or(text);
    let line: Vec<&str> = found.split_whitespace().collect();
    short(&line.join(" ").replace('"', "'"), 160)
}

fn short(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// Does the text name a day or a month?
fn names_day(lower: &str) -> bool {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    super::reading::first_date(lower).is_some()
        || lower.split(|one: char| !one.is_alphabetic()).any(|word| MONTHS.contains(&word))
}

/// The next working day, and seven days more.
fn follow_up_day(from: Date) -> Option<Date> {
    let mut day = from.tomorrow().ok()?;
    while matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) {
        day = day.tomorrow().ok()?;
    }
    day.checked_add(7.days()).ok()
}
