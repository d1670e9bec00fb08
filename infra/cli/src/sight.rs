//! From the switches' answers to what may be said. Must never fill a silence with a guess.
use crate::install::Install;
use budget::DayView;
use interlock::{Control, HaltedBy, HeldPermit, InterlockError, People, Recent};
use types::{Actor, Cap, CustomerId, Scope, Timestamp};
use web::panel::{self, By, Flags, HaltedCustomer, Seen, Write};

/// The tools that can write. What the control item does not name is in dry-run.
const WRITING_TOOLS: [&str; 3] = ["append_note", "set_stage", "schedule_follow_up"];

/// What one look at the switches gave.
pub(crate) struct Sight {
    /// For the panel.
    pub(crate) seen: Seen,
    /// The control item, or why there is none.
    pub(crate) control: Result<Control, InterlockError>,
    /// The flags, if they could be read.
    pub(crate) flags: Option<kill_switch::Flags>,
    /// Today's budget: `None` when it did not answer, `Some(None)` before the very first day.
    pub(crate) day: Option<Option<DayView>>,
}

impl Sight {
    /// Looks at both switches and the budget, side by side.
    pub(crate) async fn of(install: &Install, customers: &[String]) -> Self {
        let zone = install.zone().await;
        let (control, flags, people, day) = tokio::join!(
            install.interlock.control(),
            install.interlock.switch().read(customers),
            install.interlock.people(),
            install.budget.day(zone.name()),
        );
        // Names are an extra, and the page's own short deadline is good enough for them.
        let recent = install.interlock.view().await.recent;
        let at_ms = install.clock.now_ms();
        let day = day.ok();
        let mut seen = Seen::nothing(moment(at_ms), zone);
        seen.life = last_life(day.as_ref(), &recent);
        // FAIL-CLOSED: an item that is not there or cannot be read is no answer.
        seen.flags = flags_of(flags.as_ref(), control.as_ref().ok());
        if let Ok(control) = &control {
            let people = people.unwrap_or_default();
            Names { people: &people, recent: &recent }.fill(&mut seen, control, at_ms);
        }
        Self { seen, control, flags, day }
    }

    /// Whether the daily budget halted the agent and would do so again at once. `None`: the budget is silent.
    pub(crate) fn cap_holds(&self) -> Option<bool> {
        let panel::Control::Halted { by: By::Cap(Cap::UsdPerDay), at } = &self.seen.control else {
            return Some(false);
        };
        let Some(day) = self.day.as_ref()? else { return Some(false) };
        let same_day = day.date == self.seen.zone.date(*at);
        // A cap trips before it is used up to the last cent; a raise worth the name lifts what is left above
        // this.
        let little = types::UsdNanos(day.cap.0.saturating_div(20)).min(types::UsdNanos::from_cents(50));
        Some(same_day && day.left < little)
    }
}

/// Milliseconds since 1970 as a timestamp.
pub(crate) fn moment(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Text of a piece of a page, without its tags.
pub(crate) fn plain(html: &str) -> String {
    let text: String =
        html.split('<').map(|part| part.split_once('>').map_or(part, |(_, rest)| rest)).collect();
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// The last reservation or the last act, whichever is later. Unknown when the budget did not answer.
fn last_life(day: Option<&Option<DayView>>, recent: &Recent) -> Option<Timestamp> {
    let reserved_ms = day?.as_ref()?.last_ms;
    let acted_ms = recent.last_act.as_ref().map(|act| act.at_ms);
    reserved_ms.into_iter().chain(acted_ms).max().map(moment)
}

fn flags_of(flags: Option<&kill_switch::Flags>, control: Option<&Control>) -> Flags {
    let Some(flags) = flags else { return Flags::Silent };
    match (flags.halted_global, flags.armed, control) {
        (true, _, _) => Flags::Halted,
        (false, None, _) => Flags::Disarmed,
        (false, Some(armed), Some(control)) if armed != control.epoch.0 => Flags::OtherEpoch,
        (false, Some(_), _) => Flags::Clear,
    }
}

/// Who is who.
struct Names<'a> {
    people: &'a People,
    recent: &'a Recent,
}

impl Names<'_> {
    fn fill(&self, seen: &mut Seen, control: &Control, at_ms: i64) {
        seen.control = match &control.halted_by {
            None => panel::Control::Armed,
            Some(by) if by.reason == "not_yet_armed" => panel::Control::NotYetArmed,
            Some(by) => panel::Control::Halted { by: self.by(by), at: moment(by.at_ms) },
        };
        let others = control.modes.keys().map(String::as_str).filter(|tool| !WRITING_TOOLS.contains(tool));
        let mode = |tool: &str| (tool.to_owned(), control.modes.get(tool).copied().unwrap_or_default());
        seen.modes = WRITING_TOOLS.into_iter().chain(others).map(mode).collect();
        let (live, unknown) = control.writes(&Scope::Global, at_ms);
        seen.in_flight = live.into_iter().map(|held| self.write(held)).collect();
        seen.unknown = unknown.into_iter().map(|held| self.write(held)).collect();
        let halted = control.halted_customers.iter();
        seen.customers = halted
            .map(|(id, by)| HaltedCustomer {
                id: id.clone(),
                name: self.customer(id),
                by: self.by(by),
                at: moment(by.at_ms),
            })
            .collect();
    }

    fn customer(&self, id: &CustomerId) -> Option<String> {
        let known = self.recent.customers.iter().find(|customer| customer.customer_id == *id)?;
        Some(known.name.clone()).filter(|name| !name.trim().is_empty())
    }

    fn write(&self, held: &HeldPermit) -> Write {
        Write { customer: self.customer(&held.customer_id), ..write_of(held) }
    }

    fn by(&self, by: &HaltedBy) -> By {
        if let Some(cap) = Cap::from_code(&by.reason) {
            return By::Cap(cap);
        }
        if by.by == Actor::System("flag".to_owned()).to_string() {
            return By::Flag;
        }
        By::Name(name_of(&by.by, self.people))
    }
}

/// A permit as a write for people, its customer by number.
pub(crate) fn write_of(held: &HeldPermit) -> Write {
    Write {
        tool: held.tool.clone(),
        deal: held.target.strip_prefix("deal:").unwrap_or(&held.target).to_owned(),
        customer: None,
        customer_id: held.customer_id.clone(),
        until: moment(held.deadline_ms),
    }
}

/// A person's name, `agent`, or the part's name, from the audit's text of an actor.
pub(crate) fn name_of(actor: &str, people: &People) -> String {
    match actor.split_once(':') {
        Some(("agent", _)) => "the agent".to_owned(),
        Some(("person", id)) => {
            let known = people.people.iter().find(|(person, _)| person.as_str() == id);
            known.map_or_else(|| id.to_owned(), |(_, person)| person.name.clone())
        }
        Some((_, part)) => part.replace('_', " "),
        None => actor.to_owned(),
    }
}
