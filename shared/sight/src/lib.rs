//! From what the stores answered to what a person may be shown. Must never fill a silence with a guess.
//!
//! The halt page, the console and the terminal say the same of the same answers, because they all ask here.
use budget::{Budget, DayView};
use interlock::{Control, HaltedBy, HeldPermit, Interlock, InterlockError, People, Recent, View};
use kill_switch::Flags;
use std::time::Duration;
use types::{Actor, Cap, CustomerId, PersonId, Scope, Timestamp, UsdNanos};
use web::panel::{self, By, HaltedCustomer, Seen, Write};

/// The tools that can write. What the control item does not name is in dry-run.
pub const WRITING_TOOLS: [&str; 3] = ["append_note", "set_stage", "schedule_follow_up"];

/// What one look at the stores gave.
#[derive(Debug)]
pub struct Sight {
    /// For the state panel.
    pub seen: Seen,
    /// The control item, if it could be read and understood.
    pub control: Option<Control>,
    /// Why the control item that answered cannot be used.
    pub trouble: Option<InterlockError>,
    /// The flags, if they could be read.
    pub flags: Option<Flags>,
    /// People and keys, if they could be read.
    pub people: Option<People>,
    /// Last act and last customers.
    pub recent: Recent,
    /// Today's budget: `None` when it did not answer, `Some(None)` before the very first day.
    pub day: Option<Option<DayView>>,
}

/// Whom a look is for.
#[derive(Debug, Clone)]
pub struct Viewer<'a> {
    /// The person who looks: what she did herself is "you".
    pub person: Option<&'a PersonId>,
    /// The zone of what is shown.
    pub zone: web::Zone,
}

impl Sight {
    /// Looks at both switches and at the budget, side by side. A budget that is silent for `budget_within` is
    /// left out: it is only a line on a page.
    pub async fn of(
        interlock: &Interlock,
        budget: &Budget,
        budget_within: Duration,
        viewer: &Viewer<'_>,
    ) -> Self {
        let day = async { tokio::time::timeout(budget_within, budget.day(viewer.zone.name())).await };
        let (view, day) = tokio::join!(interlock.view(), day);
        Self::from_view(view, day.ok().and_then(Result::ok), viewer)
    }

    /// Nothing was looked at.
    #[must_use]
    pub fn blind(now: Timestamp, zone: web::Zone) -> Self {
        Self {
            seen: Seen::nothing(now, zone),
            control: None,
            trouble: None,
            flags: None,
            people: None,
            recent: Recent::default(),
            day: None,
        }
    }

    /// What these answers mean.
    #[must_use]
    pub fn from_view(view: View, day: Option<Option<DayView>>, viewer: &Viewer<'_>) -> Self {
        let View { at_ms, control, flags, people, recent } = view;
        let (control, trouble) = match control {
            Some(Ok(control)) => (Some(control), None),
            // FAIL-CLOSED: an item that is not there or cannot be read is no answer.
            Some(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the control item cannot be used");
                (None, Some(error))
            }
            None => (None, None),
        };
        let mut seen = Seen::nothing(moment(at_ms), viewer.zone.clone());
        seen.life = last_life(day.as_ref(), &recent);
        seen.flags = flags_of(flags.as_ref(), control.as_ref());
        if let Some(control) = &control {
            let names = Names { people: people.as_ref(), recent: &recent, viewer: viewer.person };
            names.fill(&mut seen, control, at_ms);
        }
        Self { seen, control, trouble, flags, people, recent, day }
    }

    /// Writes of one customer that are in flight or unknown.
    #[must_use]
    pub fn writes_of(&self, customer: &CustomerId) -> (usize, usize) {
        let of = |writes: &[Write]| writes.iter().filter(|write| write.customer_id == *customer).count();
        (of(&self.seen.in_flight), of(&self.seen.unknown))
    }

    /// Whether the daily budget halted the agent and would do so again at once. `None`: the budget is silent.
    #[must_use]
    pub fn cap_holds(&self) -> Option<bool> {
        let panel::Control::Halted { by: By::Cap(_), at } = &self.seen.control else { return Some(false) };
        let Some(day) = self.day.as_ref()? else { return Some(false) };
        let same_day = day.date == self.seen.zone.date(*at);
        // A cap trips before it is used up to the last cent. What is left then stays below a twentieth of it
        // (at most 50 cents); a raise worth the name lifts it above.
        let little = UsdNanos(day.cap.0.saturating_div(20)).min(UsdNanos::from_cents(50));
        Some(same_day && day.left < little)
    }
}

/// Milliseconds since 1970 as a timestamp.
#[must_use]
pub fn moment(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A person's name, `the agent`, or the part's name, from the audit's text of an actor.
#[must_use]
pub fn name_of(actor: &str, people: Option<&People>) -> String {
    match actor.split_once(':') {
        Some(("agent", _)) => "the agent".to_owned(),
        Some(("person", id)) => {
            let known = people.and_then(|all| all.people.iter().find(|(person, _)| person.as_str() == id));
            known.map_or_else(|| id.to_owned(), |(_, person)| person.name.clone())
        }
        Some((_, part)) => part.replace('_', " "),
        None => actor.to_owned(),
    }
}

/// A permit as a write for people, its customer by number.
#[must_use]
pub fn write_of(held: &HeldPermit) -> Write {
    Write {
        tool: held.tool.clone(),
        deal: held.target.strip_prefix("deal:").unwrap_or(&held.target).to_owned(),
        customer: None,
        customer_id: held.customer_id.clone(),
        until: moment(held.deadline_ms),
    }
}

/// The last reservation or the last act, whichever is later. Unknown when the budget did not answer.
fn last_life(day: Option<&Option<DayView>>, recent: &Recent) -> Option<Timestamp> {
    let reserved_ms = day?.as_ref().and_then(|day| day.last_ms);
    let acted_ms = recent.last_act.as_ref().map(|act| act.at_ms);
    reserved_ms.into_iter().chain(acted_ms).max().map(moment)
}

fn flags_of(flags: Option<&Flags>, control: Option<&Control>) -> panel::Flags {
    let Some(flags) = flags else { return panel::Flags::Silent };
    match (flags.halted_global, flags.armed, control) {
        (true, _, _) => panel::Flags::Halted,
        (false, None, _) => panel::Flags::Disarmed,
        (false, Some(armed), Some(control)) if armed != control.epoch.0 => panel::Flags::OtherEpoch,
        (false, Some(_), _) => panel::Flags::Clear,
    }
}

/// Who is who.
struct Names<'a> {
    people: Option<&'a People>,
    recent: &'a Recent,
    viewer: Option<&'a PersonId>,
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
        let person = by.by.strip_prefix("person:");
        if person.is_some_and(|id| self.viewer.is_some_and(|viewer| viewer.as_str() == id)) {
            return By::You;
        }
        By::Name(name_of(&by.by, self.people))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(halted_global: bool, armed: Option<u64>) -> Flags {
        Flags { halted_global, armed, ..Flags::default() }
    }

    fn seen(control: Option<Result<Control, InterlockError>>, flags: Option<Flags>) -> Sight {
        let view = View { at_ms: 1_000, control, flags, people: None, recent: Recent::default() };
        Sight::from_view(view, None, &Viewer { person: None, zone: web::Zone::utc() })
    }

    #[test]
    fn a_silent_store_stays_silent() {
        let sight = seen(None, None);
        assert_eq!(sight.seen.control, panel::Control::Silent);
        assert_eq!(sight.seen.flags, panel::Flags::Silent);
        assert!(sight.seen.life.is_none() && sight.seen.modes.is_empty());
        assert!(sight.control.is_none() && sight.trouble.is_none());
    }

    #[test]
    fn a_control_item_that_cannot_be_used_is_no_answer_and_says_why() {
        let sight = seen(Some(Err(InterlockError::Absent)), Some(flags(false, Some(3))));
        assert_eq!(sight.seen.control, panel::Control::Silent);
        assert!(matches!(sight.trouble, Some(InterlockError::Absent)));
    }

    #[test]
    fn a_flag_halts_whatever_else_is_said_and_an_absent_one_alone_allows_nothing() {
        assert_eq!(flags_of(Some(&flags(true, Some(3))), None), panel::Flags::Halted);
        assert_eq!(flags_of(Some(&flags(false, None)), None), panel::Flags::Disarmed);
        assert_eq!(flags_of(Some(&flags(false, Some(3))), None), panel::Flags::Clear);
        assert_eq!(flags_of(None, None), panel::Flags::Silent);
    }

    #[test]
    fn an_actor_nobody_knows_keeps_the_text_that_was_stored() {
        assert_eq!(name_of("agent:r-1", None), "the agent");
        assert_eq!(name_of("person:p-9", None), "p-9");
        assert_eq!(name_of("system:not_yet", None), "not yet");
        assert_eq!(name_of("somebody", None), "somebody");
    }
}
