//! One row of the log as the pages show it. Must never hold markup: texts stay as they came until a page
//! escapes them.
use audit_log::{Judgement, Row};
use interlock::People;
use serde_json::Value;
use types::{EntryState, Mode, Tier, Timestamp};

/// What a row says was, or would be, done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct What {
    /// The words before the change: `Set stage`, or the whole sentence.
    pub(crate) words: String,
    /// What was there, where the change has two sides.
    pub(crate) before: Option<String>,
    /// What is there after.
    pub(crate) after: Option<String>,
}

/// One row, ready to be put on a page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RowView {
    pub(crate) seq: i64,
    pub(crate) at: Timestamp,
    /// `agent`, a person's name, or a part of the product.
    pub(crate) actor: String,
    pub(crate) verb: String,
    /// `deal 4411`.
    pub(crate) target: String,
    pub(crate) deal_id: Option<String>,
    pub(crate) deal_name: Option<String>,
    pub(crate) customer: Option<String>,
    pub(crate) what: What,
    pub(crate) because: Option<String>,
    pub(crate) set_off_by: Option<String>,
    pub(crate) state: EntryState,
    pub(crate) mode: Option<Mode>,
    pub(crate) tier: Option<Tier>,
    pub(crate) reason: Option<String>,
    pub(crate) run_id: Option<String>,
    pub(crate) prompt_hash: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) config_version: Option<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) judgement: Option<Judgement>,
    pub(crate) erased_on: Option<String>,
    pub(crate) row: Row,
}

impl RowView {
    pub(crate) fn of(row: Row, people: Option<&People>) -> Self {
        let (kind, id) = target_of(&row);
        let deal_id = (kind == "deal").then(|| id.clone());
        Self {
            seq: row.seq,
            at: row.occurred_at,
            actor: sight::name_of(&row.actor, people),
            verb: row.verb.clone(),
            target: if id.is_empty() { kind } else { format!("{kind} {id}") },
            deal_id,
            deal_name: detail_text(&row, "deal"),
            customer: detail_text(&row, "customer").or_else(|| row.customer_id.clone()),
            what: what_of(&row),
            because: row.because.clone().filter(|text| !text.trim().is_empty()),
            set_off_by: detail_text(&row, "event").map(|event| event_word(&event)),
            state: row.decision,
            mode: row.mode,
            tier: row.tier,
            reason: row.reason.clone(),
            run_id: row.run_id.clone(),
            prompt_hash: row.prompt_hash.clone(),
            model: row.model_version.clone(),
            config_version: row.config_version.clone(),
            warnings: warnings_of(&row),
            judgement: row.judgement.clone(),
            erased_on: row.erased_on_request.clone(),
            row,
        }
    }

    /// The first eight characters of the prompt's hash.
    pub(crate) fn prompt_short(&self) -> Option<&str> {
        self.prompt_hash.as_deref().and_then(|hash| hash.get(..8))
    }

    /// What became of it, in one or two words.
    pub(crate) fn result(&self) -> &'static str {
        match (self.state, self.tier) {
            (EntryState::Applied, None) if self.verb == "run" => "Ended",
            (EntryState::Applied, Some(Tier::Read)) => "Read",
            (EntryState::Applied, Some(Tier::Ask)) => "Asked",
            (EntryState::Applied, _) => "Did",
            (EntryState::WouldHave, _) => "Would have",
            (EntryState::Drafted, _) => "Draft",
            (EntryState::Refused, _) => "Refused",
            (EntryState::Failed, _) => "Not done",
            (EntryState::Halted, _) => "Halted",
            (EntryState::Opened, _) => "Under way",
            (EntryState::Unknown, _) => "No answer",
        }
    }
}

fn target_of(row: &Row) -> (String, String) {
    let target = row.target_id.clone().unwrap_or_else(|| "erased".to_owned());
    match target.split_once(':') {
        Some((kind, id)) => (kind.to_owned(), id.to_owned()),
        None => (target, String::new()),
    }
}

pub(crate) fn detail_text(row: &Row, field: &str) -> Option<String> {
    let text = row.detail.as_ref()?.get(field)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn warnings_of(row: &Row) -> Vec<String> {
    let warnings = row.detail.as_ref().and_then(|detail| detail.get("warnings")).and_then(Value::as_array);
    warnings.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The label of one side of a change, else its id, else a short text.
fn side(value: Option<&Value>) -> Option<String> {
    let value = value?;
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    let text = field("label").or_else(|| field("stage")).or_else(|| value.as_str());
    text.map(str::to_owned)
}

fn what_of(row: &Row) -> What {
    let (before, after) = (side(row.before.as_ref()), side(row.after.as_ref()));
    let (_, id) = target_of(row);
    match row.verb.as_str() {
        "set_stage" if after.is_some() => What { words: "Set stage".to_owned(), before, after },
        "set_caps" | "set_role" | "set_surprise_limit" | "set_stages" => {
            What { words: capital(&sentence(&row.verb, &id)), before, after }
        }
        "flip" => What { words: format!("Writes for {id}"), before, after },
        "halt" => What { words: format!("Halted {id}"), before: None, after: None },
        "resume" => What { words: format!("Resumed {id}"), before: None, after: None },
        verb => {
            let words = detail_text(row, "what").unwrap_or_else(|| sentence(verb, &id));
            What { words: capital(&words), before: None, after: None }
        }
    }
}

fn sentence(verb: &str, id: &str) -> String {
    match verb {
        "trip" => format!("a cap was reached: halted {id}"),
        "init" => "install: all tools in dry-run".to_owned(),
        "run" => format!("the run about {id} ended"),
        "set_stages" => "changed the list of stages".to_owned(),
        "set_caps" => "changed a cap".to_owned(),
        "draft_sent" => "sent the draft by hand".to_owned(),
        "draft_discarded" => "threw the draft away".to_owned(),
        "start_held" => "started a waiting event".to_owned(),
        "discard_held" => "discarded a waiting event".to_owned(),
        "judge" => "said what was expected".to_owned(),
        "invite" => format!("made an invitation for {id}"),
        "enrol" => format!("{id} added a phone"),
        "set_role" => format!("changed the role of {id}"),
        "set_surprise_limit" => "changed the limit of surprises".to_owned(),
        "revoke" => format!("revoked a key of {id}"),
        other => other.replace('_', " "),
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}", characters.as_str())
}

fn event_word(event: &str) -> String {
    let kind = event.split(' ').next().unwrap_or_default();
    match kind {
        "email_created" => "Reply".to_owned(),
        "deal_changed" => "Deal changed".to_owned(),
        "deal_created" => "New deal".to_owned(),
        _ => event.to_owned(),
    }
}
