//! The state panel of halt page and console: from what was seen to what may be said. Must never say more
//! than was seen.

mod look;
mod seen;
mod state;
mod words;

pub use look::STYLE;
pub use seen::{By, Control, Flags, HaltedCustomer, Seen, Write};
pub use state::State;
pub use words::Word;

use crate::{Lang, Piece, phrase};
use maud::{Markup, html};
use types::{Cap, Mode, Timestamp};

/// How many customers the panel names before it counts.
const NAMES_MAX: usize = 3;

/// What the panel says, in one language.
pub struct Panel {
    /// Which row of the table of states.
    pub state: State,
    /// The word in capitals.
    pub word: &'static str,
    /// The line under it: with the word it answers "is it running?" and "what do I do?".
    pub bold: Markup,
    /// Further lines.
    pub lines: Vec<Markup>,
    /// "Checked 02:14:07, Amsterdam (UTC+2)".
    pub checked: Markup,
}

/// Builds the lines of one panel.
struct Speaker<'a> {
    seen: &'a Seen,
    lang: Lang,
}

impl Panel {
    /// What may be said about what was seen.
    #[must_use]
    pub fn of(seen: &Seen, lang: Lang) -> Self {
        let state = State::of(seen);
        let speak = Speaker { seen, lang };
        let mut lines = speak.lines(state);
        lines.extend(speak.closing_line(state));
        Self { state, word: state.word(lang), bold: speak.bold(state), lines, checked: speak.checked() }
    }

    /// The panel of a press that no switch confirmed.
    #[must_use]
    pub fn not_confirmed(seen: &Seen, lang: Lang) -> Self {
        let speak = Speaker { seen, lang };
        Self {
            state: State::NotConfirmed,
            word: State::NotConfirmed.word(lang),
            bold: speak.say(Word::MayStillRunBold),
            lines: vec![speak.say(Word::NotConfirmedText)],
            checked: speak.checked(),
        }
    }

    /// The panels that only the page's script shows (sending, no reply, no contact). It fills the gaps by
    /// class: `n` the number of tries, `t` the time and `w` the word of the last answer.
    #[must_use]
    pub fn for_script(state: State, seen: &Seen, lang: Lang) -> Self {
        let speak = Speaker { seen, lang };
        let gap = |class: &str| Piece::Html(html! { span class=(class) {} });
        let lines = match state {
            State::NotConfirmed => vec![phrase(Word::NoSignal.text(lang), &[("n", gap("n"))])],
            State::Sending
            | State::NoContact
            | State::NotStarted
            | State::RunningWrites
            | State::RunningDry
            | State::RunningExcept
            | State::Halting
            | State::Halted
            | State::HaltedByCap
            | State::HaltedUnknown
            | State::Stopped
            | State::Unknown
            | State::Emptied
            | State::StoppingByHand
            | State::StoppingOneSwitch => speak.lines(state),
        };
        let checked = phrase(Word::LastContact.text(lang), &[("time", gap("t")), ("state", gap("w"))]);
        Self { state, word: state.word(lang), bold: speak.bold(state), lines, checked }
    }
}

impl Speaker<'_> {
    fn say(&self, word: Word) -> Markup {
        phrase(word.text(self.lang), &[])
    }

    fn count(&self, word: Word, n: usize) -> Markup {
        phrase(word.text(self.lang), &[("n", Piece::Number(n))])
    }

    fn at(&self, word: Word, time: Timestamp) -> Markup {
        phrase(word.text(self.lang), &[("time", Piece::Html(self.stamp(time)))])
    }

    fn stamp(&self, time: Timestamp) -> Markup {
        self.seen.zone.stamp(time, self.seen.now, self.lang)
    }

    fn checked(&self) -> Markup {
        let (zone, now) = (&self.seen.zone, self.seen.now);
        phrase(
            Word::Checked.text(self.lang),
            &[
                ("time", Piece::Html(self.stamp(now))),
                ("city", Piece::Text(&zone.city())),
                ("offset", Piece::Text(&zone.offset(now))),
            ],
        )
    }

    fn bold(&self, state: State) -> Markup {
        match state {
            State::NotStarted => self.say(Word::NotStartedBold),
            State::RunningWrites => self.say(Word::WritesBold),
            State::RunningDry => self.say(Word::DryBold),
            State::RunningExcept => match self.seen.customers.len() {
                1 => self.say(Word::ExceptOneBold),
                n => self.count(Word::ExceptManyBold, n),
            },
            State::Halting => self.in_flight(),
            State::Halted | State::HaltedByCap => self.say(Word::NothingInFlight),
            State::HaltedUnknown => match self.seen.deals_to_check() {
                1 => self.say(Word::CheckOneDealBold),
                n => self.count(Word::CheckManyDealsBold, n),
            },
            State::Stopped => self.say(Word::SilentBold),
            State::Unknown => self.say(Word::TreatAsRunningBold),
            State::Emptied => self.say(Word::EmptiedBold),
            State::StoppingByHand => self.say(Word::ByHandBold),
            State::StoppingOneSwitch => self.say(Word::OneSwitchBold),
            State::Sending | State::NotConfirmed => self.say(Word::MayStillRunBold),
            State::NoContact => self.say(Word::MayRunBold),
        }
    }

    fn lines(&self, state: State) -> Vec<Markup> {
        match state {
            State::NotStarted => vec![self.say(Word::NotStarted)],
            State::RunningWrites | State::RunningDry => self.modes(),
            // One line of modes: the panel must not grow, or HALT moves.
            State::RunningExcept => {
                std::iter::once(self.halted_customers()).chain(self.modes().into_iter().take(1)).collect()
            }
            State::Halting => vec![self.say(match &self.seen.control {
                Control::Halted { by: By::You, .. } => Word::ConfirmedYours,
                Control::Halted { .. } | Control::Armed | Control::NotYetArmed | Control::Silent => {
                    Word::Confirmed
                }
            })],
            State::Halted | State::HaltedByCap => vec![self.say(Word::ForEveryCustomer), self.halted_by()],
            State::HaltedUnknown => vec![self.never_answered(), self.halted_by()],
            State::Stopped => self.seen.life.map(|life| self.at(Word::NoneSince, life)).into_iter().collect(),
            State::Unknown => vec![self.why_unknown()],
            State::Emptied => vec![self.say(Word::UntilResumed)],
            State::StoppingByHand => vec![self.say(Word::ByHand)],
            State::StoppingOneSwitch => vec![self.say(Word::OneSwitch)],
            State::Sending => vec![self.say(Word::SendingWait)],
            State::NotConfirmed => vec![self.say(Word::NotConfirmedText)],
            State::NoContact => vec![self.say(Word::LostConnection)],
        }
    }

    /// What is known of writes in flight where the state itself does not say it, and of a switch that is
    /// late.
    fn closing_line(&self, state: State) -> Option<Markup> {
        if self.seen.control == Control::Silent {
            return Some(self.say(Word::WritesUnknown));
        }
        match state {
            State::Halting | State::Halted | State::HaltedByCap | State::HaltedUnknown => {
                let late = matches!(self.seen.flags, Flags::Clear | Flags::Silent);
                late.then(|| self.say(Word::OtherSwitchPending))
            }
            State::Unknown | State::Emptied | State::StoppingByHand => {
                (!self.seen.in_flight.is_empty()).then(|| self.in_flight())
            }
            State::NotStarted
            | State::RunningWrites
            | State::RunningDry
            | State::RunningExcept
            | State::Stopped
            | State::StoppingOneSwitch
            | State::Sending
            | State::NotConfirmed
            | State::NoContact => None,
        }
    }

    fn in_flight(&self) -> Markup {
        match self.seen.in_flight.len() {
            1 => self.say(Word::OneInFlight),
            n => self.count(Word::ManyInFlight, n),
        }
    }

    fn modes(&self) -> Vec<Markup> {
        let of = |wanted: Mode, word: Word| {
            let tools = self.seen.modes.iter().filter(|(_, mode)| *mode == wanted);
            let tools: Vec<String> = tools.map(|(tool, _)| tools_word(tool, self.lang)).collect();
            let text = || phrase(word.text(self.lang), &[("tools", Piece::Text(&tools.join(", ")))]);
            (!tools.is_empty()).then(text)
        };
        [of(Mode::Live, Word::WritesOn), of(Mode::DryRun, Word::DryRun)].into_iter().flatten().collect()
    }

    fn halted_customers(&self) -> Markup {
        let names: Vec<&str> =
            self.seen.customers.iter().take(NAMES_MAX).map(HaltedCustomer::shown).collect();
        let names = names.join(", ");
        match self.seen.customers.len().saturating_sub(NAMES_MAX) {
            0 => phrase(Word::HaltedCustomers.text(self.lang), &[("names", Piece::Text(&names))]),
            more => phrase(
                Word::HaltedCustomersMore.text(self.lang),
                &[("names", Piece::Text(&names)), ("n", Piece::Number(more))],
            ),
        }
    }

    fn halted_by(&self) -> Markup {
        match &self.seen.control {
            Control::Halted { by, at } => self.by(by, *at),
            Control::Silent | Control::NotYetArmed | Control::Armed => html! {},
        }
    }

    fn by(&self, by: &By, at: Timestamp) -> Markup {
        match by {
            By::You => self.at(Word::HaltedByYou, at),
            By::Name(who) => phrase(
                Word::HaltedByName.text(self.lang),
                &[("who", Piece::Text(who)), ("time", Piece::Html(self.stamp(at)))],
            ),
            By::Cap(Cap::UsdPerDay) => self.at(Word::HaltedByDayCap, at),
            By::Cap(Cap::TokensPerRun | Cap::ToolCallsPerRun) => self.at(Word::HaltedByRunCap, at),
            By::Flag => self.at(Word::HaltedByFlag, at),
        }
    }

    fn never_answered(&self) -> Markup {
        match self.seen.unknown.as_slice() {
            [write] => phrase(
                Word::NeverAnsweredOne.text(self.lang),
                &[("what", Piece::Text(&write.within_a_sentence(self.lang)))],
            ),
            many => self.count(Word::NeverAnsweredMany, many.len()),
        }
    }

    fn why_unknown(&self) -> Markup {
        let both = self.seen.control == Control::Silent && self.seen.flags == Flags::Silent;
        match (both, self.seen.life_seconds()) {
            (true, _) => self.say(Word::BothSilent),
            (false, Some(1)) => self.say(Word::SilentButAliveOne),
            (false, Some(n)) if n <= state::LIFE_SECONDS => {
                self.count(Word::SilentButAlive, usize::try_from(n).unwrap_or_default())
            }
            (false, Some(_)) => self.say(Word::SilentButWriting),
            (false, None) => self.say(Word::SilentNoSign),
        }
    }
}

/// "notes" for the tool that appends them; an unknown tool keeps its name.
#[must_use]
pub fn tools_word(tool: &str, lang: Lang) -> String {
    match tool {
        "append_note" => Word::Notes.text(lang).to_owned(),
        "set_stage" => Word::Stages.text(lang).to_owned(),
        "schedule_follow_up" => Word::FollowUps.text(lang).to_owned(),
        other => other.to_owned(),
    }
}

impl Write {
    /// "Stage of deal 4302, Bakker Transport", for a list.
    #[must_use]
    pub fn for_a_list(&self, lang: Lang) -> String {
        let words = match self.tool.as_str() {
            "append_note" => Word::NoteOf,
            "set_stage" => Word::StageOf,
            "schedule_follow_up" => Word::FollowUpOf,
            _ => Word::ToolOf,
        };
        let text = self.filled(words.text(lang));
        let mut characters = text.chars();
        let first = characters.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
        format!("{first}{}", characters.as_str())
    }

    /// "the stage of deal 4302, Bakker Transport", within a sentence.
    #[must_use]
    pub fn within_a_sentence(&self, lang: Lang) -> String {
        let words = match self.tool.as_str() {
            "append_note" => Word::TheNoteOf,
            "set_stage" => Word::TheStageOf,
            "schedule_follow_up" => Word::TheFollowUpOf,
            _ => Word::ToolOf,
        };
        self.filled(words.text(lang))
    }

    fn filled(&self, words: &str) -> String {
        let text = words.replace("{deal}", &self.deal).replace("{tool}", &self.tool);
        match &self.customer {
            Some(customer) => format!("{text}, {customer}"),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests;
