//! From the switches' answers to what the strip may say. Must never fill a silence with a guess.
use crate::Deps;
use budget::DayView;
use interlock::{Control, HaltedBy, HeldPermit, People, Recent, View};
use std::time::Duration;
use types::{Cap, CustomerId, PersonId, Scope, Timestamp};
use web::panel::{self, By, Flags, HaltedCustomer, Seen, Write};

/// How long a page waits for today's budget.
const BUDGET_TIMEOUT: Duration = Duration::from_millis(400);

/// What one look at the switches gave.
pub(crate) struct Sight {
    /// For the strip.
    pub(crate) seen: Seen,
    /// The control item, if it could be read.
    pub(crate) control: Option<Control>,
    /// The flags, if they could be read.
    pub(crate) flags: Option<kill_switch::Flags>,
    /// People and keys, if they could be read.
    pub(crate) people: Option<People>,
    /// Today's budget: `None` when it did not answer, `Some(None)` before the very first day.
    pub(crate) day: Option<Option<DayView>>,
}

impl Sight {
    /// Looks at both switches and at the budget, side by side.
    pub(crate) async fn of(deps: &Deps, viewer: Option<&PersonId>) -> Self {
        let zone = deps.zone();
        let day = async { tokio::time::timeout(BUDGET_TIMEOUT, deps.budget.day(zone.name())).await };
        let (view, day) = tokio::join!(deps.interlock.view(), day);
        Self::from_view(deps, view, day.ok().and_then(Result::ok), viewer, zone.clone())
    }

    fn from_view(
        deps: &Deps,
        view: View,
        day: Option<Option<DayView>>,
        viewer: Option<&PersonId>,
        zone: web::Zone,
    ) -> Self {
        let View { at_ms, control, flags, people, recent } = view;
        let control = match control {
            Some(Ok(control)) => Some(control),
            // FAIL-CLOSED: an item that is not there or cannot be read is no answer.
            Some(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the control item cannot be used");
                None
            }
            None => None,
        };
        let mut seen = Seen::nothing(moment(at_ms), zone);
        seen.life = last_life(day.as_ref(), &recent);
        seen.flags = flags_of(flags.as_ref(), control.as_ref());
        if let Some(control) = &control {
            Names { people: people.as_ref(), recent: &recent, viewer }.fill(&mut seen, deps, control, at_ms);
        }
        Self { seen, control, flags, people, day }
    }
}

/// Milliseconds since 1970 as a timestamp.
pub(crate) fn moment(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH)
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

/// Who is who on this page.
struct Names<'a> {
    people: Option<&'a People>,
    recent: &'a Recent,
    viewer: Option<&'a PersonId>,
}

impl Names<'_> {
    fn fill(&self, seen: &mut Seen, deps: &Deps, control: &Control, at_ms: i64) {
        seen.control = match &control.halted_by {
            None => panel::Control::Armed,
            Some(by) if by.reason == "not_yet_armed" => panel::Control::NotYetArmed,
            Some(by) => panel::Control::Halted { by: self.by(by), at: moment(by.at_ms) },
        };
        let known: Vec<&str> = deps.acting().map(|tool| tool.name.as_str()).collect();
        let others = control.modes.keys().map(String::as_str).filter(|tool| !known.contains(tool));
        let mode = |tool: &str| (tool.to_owned(), control.modes.get(tool).copied().unwrap_or_default());
        seen.modes = known.iter().copied().chain(others).map(mode).collect();
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
        let deal = held.target.strip_prefix("deal:").unwrap_or(&held.target);
        Write {
            tool: held.tool.clone(),
            deal: deal.to_owned(),
            customer: self.customer(&held.customer_id),
            customer_id: held.customer_id.clone(),
            until: moment(held.deadline_ms),
        }
    }

    fn by(&self, by: &HaltedBy) -> By {
        if let Some(cap) = Cap::from_code(&by.reason) {
            return By::Cap(cap);
        }
        if by.by == "system:flag" {
            return By::Flag;
        }
        let person = by.by.strip_prefix("person:");
        if person.is_some_and(|id| self.viewer.is_some_and(|viewer| viewer.as_str() == id)) {
            return By::You;
        }
        By::Name(crate::view::actor_of(&by.by, self.people))
    }
}
