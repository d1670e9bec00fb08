//! What is said in Slack, made from typed parts. Must never hold personal contact data, a mention, or a link
//! that is not ours.
use crate::text::escape;
use serde::Serialize;
use serde_json::{Value, json};
use types::{Cap, DealId, RunId, Scope, UsdNanos};

/// Characters of a name.
const NAME_CHARS_MAX: usize = 120;

/// Characters of a question, a notice, a reason. Together with the rest they stay below a section's 3,000.
const TEXT_CHARS_MAX: usize = 2_000;
const BECAUSE_CHARS_MAX: usize = 500;

/// Characters of a link with its label; longer ones are left out rather than cut.
const LINK_CHARS_MAX: usize = 500;

/// One message, ready to be posted: fallback text and blocks, unfurling off.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    text: String,
    blocks: Vec<Value>,
    unfurl_links: bool,
    unfurl_media: bool,
}

impl Message {
    /// The sentence, escaped, without the links.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `text` is escaped already. `verbatim` keeps Slack from making links of it by itself.
    fn new(text: String, links: &[Link]) -> Self {
        let section = |text: &str| {
            let text = json!({"type": "mrkdwn", "text": text, "verbatim": true});
            json!({"type": "section", "text": text})
        };
        let mut blocks = vec![section(&text)];
        let shown: Vec<&str> = links.iter().map(|link| link.0.as_str()).take(4).collect();
        if !shown.is_empty() {
            blocks.push(section(&shown.join("  ")));
        }
        Self { text, blocks, unfurl_links: false, unfurl_media: false }
    }
}

/// A link to a page of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link(String);

impl Link {
    /// A link with this label, to an address that we made ourselves. None where the address is not https (or
    /// http on loopback), or has a character that could end the link early.
    #[must_use]
    pub fn new(label: &'static str, url: &str) -> Option<Self> {
        let address = reqwest::Url::parse(url).ok().filter(crate::slack::is_private)?;
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '|');
        let link = format!("<{}|{}>", address.as_str().replace('&', "&amp;"), escape(label, 80));
        (address.as_str().chars().all(plain) && link.chars().count() <= LINK_CHARS_MAX).then_some(Self(link))
    }
}

/// How far a cap was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// Dollars.
    Usd {
        /// Used, reservations included.
        used: UsdNanos,
        /// The cap.
        cap: UsdNanos,
    },
    /// Tokens or tool calls.
    Count {
        /// Used, reservations included.
        used: u64,
        /// The cap.
        cap: u64,
    },
}

/// The last tool call before a trip.
#[derive(Debug, Clone, Copy)]
pub struct LastCall<'a> {
    /// The tool's name, as the model wrote it.
    pub tool: &'a str,
    /// The deal.
    pub deal_id: &'a DealId,
    /// The company's name; never a person's.
    pub customer_name: Option<&'a str>,
    /// The time of day in the ops lead's zone (`02:13:58`).
    pub at: &'a str,
}

/// A cap that tripped.
#[derive(Debug, Clone, Copy)]
pub struct Trip<'a> {
    /// What was halted by it.
    pub scope: &'a Scope,
    /// Which cap.
    pub cap: Cap,
    /// How far it was used.
    pub spent: Spent,
    /// The last tool call, if there was one.
    pub last_call: Option<LastCall<'a>>,
    /// The run that met the cap.
    pub run_id: &'a RunId,
}

/// A question to people.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The deal it is about.
    pub deal_id: &'a DealId,
    /// The company's name; never a person's.
    pub customer_name: Option<&'a str>,
    /// The question, in the model's words.
    pub question: &'a str,
    /// Why it asks, in the model's words.
    pub because: Option<&'a str>,
    /// The run that asks.
    pub run_id: &'a RunId,
}

/// The one ping of a tripped cap. Its first words are the state; then limit, last call, run.
#[must_use]
pub fn trip_ping(trip: &Trip<'_>, links: &[Link]) -> Message {
    let halted = match trip.scope {
        Scope::Global => "Halted".to_owned(),
        Scope::Customer(id) => format!("Halted for customer {}", escape(id.as_str(), NAME_CHARS_MAX)),
    };
    let cap = match trip.cap {
        Cap::TokensPerRun => "tokens per run",
        Cap::ToolCallsPerRun => "tool calls per run",
        Cap::UsdPerDay => "dollars per day",
    };
    let spent = match trip.spent {
        Spent::Usd { used, cap } => format!("{used} of {cap}"),
        Spent::Count { used, cap } => format!("{used} of {cap}"),
    };
    let last_call = trip.last_call.map_or_else(
        || "none".to_owned(),
        |call| {
            let tool = escape(call.tool, NAME_CHARS_MAX);
            format!("{tool} {} {}", deal(call.deal_id, call.customer_name), escape(call.at, 20))
        },
    );
    let run = escape(trip.run_id.as_str(), NAME_CHARS_MAX);
    Message::new(format!("{halted}: {cap}, {spent}. Last call: {last_call}. Run {run}."), links)
}

/// A question that the agent puts to people. Its first word says what it is; the model's words come after
/// ours.
#[must_use]
pub fn question(question: &Question<'_>, links: &[Link]) -> Message {
    let about = deal(question.deal_id, question.customer_name);
    let asked = escape(question.question, TEXT_CHARS_MAX);
    let because = question
        .because
        .map(|text| format!(" Because: {}", escape(text, BECAUSE_CHARS_MAX)))
        .unwrap_or_default();
    let run = escape(question.run_id.as_str(), NAME_CHARS_MAX);
    Message::new(format!("Question about {about}: {asked}{because} Run {run}."), links)
}

/// A notice of the product itself.
#[must_use]
pub fn info(text: &str, links: &[Link]) -> Message {
    Message::new(escape(text, TEXT_CHARS_MAX), links)
}

/// A checkpoint of the audit log, to be kept as it is. The note is ours, and any line that could be markup
/// ends the attempt to show it.
#[must_use]
pub fn checkpoint(note: &str, links: &[Link]) -> Message {
    let plain = |c: char| c.is_alphanumeric() || "\n \u{2014}+/=._-".contains(c);
    let head =
        "Audit log checkpoint. Keep it: `holdfast verify --checkpoint FILE` finds rows cut off or changed.";
    if note.chars().count() > TEXT_CHARS_MAX || !note.chars().all(plain) {
        return Message::new(format!("{head} This one cannot be shown here."), links);
    }
    Message::new(format!("{head}\n```\n{note}```"), links)
}

fn deal(deal_id: &DealId, customer_name: Option<&str>) -> String {
    let id = escape(deal_id.as_str(), NAME_CHARS_MAX);
    match customer_name {
        Some(name) => format!("deal {id} ({})", escape(name, NAME_CHARS_MAX)),
        None => format!("deal {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::CustomerId;

    fn links() -> Vec<Link> {
        ["https://halt.example/p/1?a=1&b=2", "http://127.0.0.1:8788/runs/r-7f3a"]
            .into_iter()
            .zip(["Open halt page", "Open run"])
            .map(|(url, label)| Link::new(label, url).expect("a link"))
            .collect()
    }

    fn trip<'a>(scope: &'a Scope, deal_id: &'a DealId, run_id: &'a RunId, name: &'a str) -> Trip<'a> {
        let cap = UsdNanos::from_cents(2_500);
        let last = LastCall { tool: "set_stage", deal_id, customer_name: Some(name), at: "02:13:58" };
        let spent = Spent::Usd { used: UsdNanos::from_cents(2_487), cap };
        Trip { scope, cap: Cap::UsdPerDay, spent, last_call: Some(last), run_id }
    }

    fn ids() -> (DealId, RunId) {
        (DealId::new("4411").expect("an id"), RunId::new("r-7f3a").expect("an id"))
    }

    #[test]
    fn a_trip_says_state_limit_last_call_and_run_in_these_words() {
        let (deal_id, run_id) = ids();
        let message = trip_ping(&trip(&Scope::Global, &deal_id, &run_id, "Van Dijk Logistics"), &links());
        let text = "Halted: dollars per day, $24.87 of $25.00. Last call: set_stage deal 4411 \
                    (Van Dijk Logistics) 02:13:58. Run r-7f3a.";
        let section = |text: &str| {
            let text = json!({"type": "mrkdwn", "text": text, "verbatim": true});
            json!({"type": "section", "text": text})
        };
        let shown = "<https://halt.example/p/1?a=1&amp;b=2|Open halt page>  \
                     <http://127.0.0.1:8788/runs/r-7f3a|Open run>";
        assert_eq!(
            serde_json::to_value(&message).expect("json"),
            json!({"text": text, "blocks": [section(text), section(shown)],
                   "unfurl_links": false, "unfurl_media": false})
        );
    }

    #[test]
    fn a_customer_halt_does_not_read_like_a_global_one() {
        let (deal_id, run_id) = ids();
        let scope = Scope::Customer(CustomerId::new("1234").expect("an id"));
        let trip = Trip {
            cap: Cap::TokensPerRun,
            spent: Spent::Count { used: 40_000, cap: 40_000 },
            last_call: None,
            ..trip(&scope, &deal_id, &run_id, "")
        };
        let text = "Halted for customer 1234: tokens per run, 40000 of 40000. Last call: none. Run r-7f3a.";
        assert_eq!(trip_ping(&trip, &[]).text(), text);
        let calls = Trip { cap: Cap::ToolCallsPerRun, spent: Spent::Count { used: 30, cap: 30 }, ..trip };
        assert!(trip_ping(&calls, &[]).text().contains("tool calls per run, 30 of 30."));
    }

    #[test]
    fn no_word_of_crm_or_model_becomes_markup_and_every_length_is_bounded() {
        let (deal_id, run_id) = ids();
        let hostile = "<!channel> <https://evil.example|Open halt page> & \u{202E}\u{1b}[31m\n".repeat(500);
        let mut trip = trip(&Scope::Global, &deal_id, &run_id, &hostile);
        trip.last_call = trip.last_call.map(|call| LastCall { tool: &hostile, ..call });
        let asked = Question {
            deal_id: &deal_id,
            customer_name: Some(&hostile),
            question: &hostile,
            because: Some(&hostile),
            run_id: &run_id,
        };
        for message in [trip_ping(&trip, &[]), question(&asked, &[]), info(&hostile, &[])] {
            let text = message.text();
            assert!(!text.contains(['<', '>', '\n', '\u{202E}', '\u{1b}']), "{text}");
            assert!(!text.contains("://"), "{text}");
            assert!(text.chars().count() <= 3_000, "{}", text.chars().count());
        }
    }

    #[test]
    fn a_question_says_what_it_is_before_the_models_words() {
        let (deal_id, run_id) = ids();
        let asked = Question {
            deal_id: &deal_id,
            customer_name: None,
            question: "Halted: press resume?",
            because: Some("they want a signed copy"),
            run_id: &run_id,
        };
        let text =
            "Question about deal 4411: Halted: press resume? Because: they want a signed copy Run r-7f3a.";
        assert_eq!(question(&asked, &[]).text(), text);
    }

    #[test]
    fn a_checkpoint_is_shown_whole_or_not_at_all() {
        let note = "holdfast/x\n17\nq6ur+/8=\n\n\u{2014} holdfast/x AAAA+/==\n";
        assert!(checkpoint(note, &[]).text().ends_with(&format!("```\n{note}```")));
        for bad in ["<!channel>\n", "a```b", "https://evil.example", &"x".repeat(3_000)] {
            assert!(checkpoint(bad, &[]).text().ends_with("This one cannot be shown here."), "{bad}");
        }
    }

    #[test]
    fn a_link_leads_only_where_it_says() {
        for bad in [
            "",
            "javascript:alert(1)",
            "http://evil.example",
            "/relative",
            "https://a:b@halt.example/",
            "https://halt.example/x|y",
        ] {
            assert_eq!(Link::new("Open", bad), None, "{bad}");
        }
        assert_eq!(Link::new("Open", &format!("https://halt.example/{}", "x".repeat(600))), None);
        let broken_out = Link::new("Open", "https://halt.example/a>b<c d");
        assert!(broken_out.is_none_or(|link| link.0.matches(['<', '>']).count() == 2));
    }
}
