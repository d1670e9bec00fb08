//! The table of states, row by row and combination by combination. Must never be softened to fit the code.
use super::*;
use crate::Zone;
use types::CustomerId;

const NOW: &str = "2026-07-24T00:14:07Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn seen(control: Control, flags: Flags) -> Seen {
    let modes =
        [("append_note", Mode::Live), ("set_stage", Mode::Live), ("schedule_follow_up", Mode::DryRun)];
    Seen {
        control,
        flags,
        modes: modes.map(|(tool, mode)| (tool.to_owned(), mode)).to_vec(),
        ..Seen::nothing(at(NOW), Zone::new("Europe/Amsterdam").unwrap())
    }
}

fn halted(by: By) -> Control {
    Control::Halted { by, at: at("2026-07-24T00:14:05Z") }
}

fn write(tool: &str, deal: &str, customer: &str) -> Write {
    Write {
        tool: tool.into(),
        deal: deal.into(),
        customer: Some(customer.into()),
        customer_id: CustomerId::new("1234").unwrap(),
        until: at("2026-07-24T00:14:35Z"),
    }
}

fn customer() -> HaltedCustomer {
    HaltedCustomer {
        id: CustomerId::new("1234").unwrap(),
        name: Some("Van Dijk Logistics".into()),
        by: By::You,
        at: at(NOW),
    }
}

/// The panel as a person reads it: word, bold line, further lines, without tags.
fn read(seen: &Seen, lang: Lang) -> String {
    let panel = Panel::of(seen, lang);
    let lines = std::iter::once(panel.bold.0).chain(panel.lines.into_iter().map(|line| line.0));
    let text = std::iter::once(panel.word.to_owned()).chain(lines).collect::<Vec<_>>().join(" | ");
    text.split('<').map(|part| part.split_once('>').map_or(part, |(_, rest)| rest)).collect()
}

/// The words of each row that the server can show, exactly.
fn check_words(rows: &[(State, Seen, &str)]) {
    for (state, seen, words) in rows {
        assert_eq!(State::of(seen), *state, "{words}");
        assert_eq!(read(seen, Lang::En), *words);
    }
}

fn clear() -> Seen {
    seen(Control::Armed, Flags::Clear)
}

fn stopped(by: By) -> Seen {
    seen(halted(by), Flags::Halted)
}

fn dry(mut seen: Seen) -> Seen {
    seen.modes.iter_mut().for_each(|(_, mode)| *mode = Mode::DryRun);
    seen
}

fn life(time: &str, seen: Seen) -> Seen {
    Seen { life: Some(at(time)), ..seen }
}

fn stage() -> Write {
    write("set_stage", "4302", "Bakker Transport")
}

fn note() -> Write {
    write("append_note", "4411", "Van Dijk Logistics")
}

#[test]
fn each_running_row_says_exactly_its_words() {
    check_words(&[
        (
            State::NotStarted,
            seen(Control::NotYetArmed, Flags::Disarmed),
            "HALTED | Not started yet. | Nobody has started the agent. It starts in dry-run: it reads \
             deals and changes nothing.",
        ),
        (
            State::RunningWrites,
            clear(),
            "RUNNING | The agent can change deals in HubSpot. | Writes on: notes, stages. | Dry-run: \
             follow-ups.",
        ),
        (
            State::RunningDry,
            dry(clear()),
            "RUNNING | In dry-run: it reads deals and changes nothing. | Dry-run: notes, stages, \
             follow-ups.",
        ),
        (
            State::RunningExcept,
            Seen { customers: vec![customer()], ..clear() },
            "RUNNING | For everyone except 1 customer. | Halted: Van Dijk Logistics. | \
             Writes on: notes, stages.",
        ),
        (
            State::RunningExcept,
            Seen { customers: vec![customer(); 5], ..dry(clear()) },
            "RUNNING | For everyone except 5 customers. | Halted: Van Dijk Logistics, Van Dijk \
             Logistics, Van Dijk Logistics and 2 more. | Dry-run: notes, stages, follow-ups.",
        ),
    ]);
}

#[test]
fn each_halted_row_says_exactly_its_words() {
    check_words(&[
        (
            State::Halting,
            Seen { in_flight: vec![note(), stage()], ..stopped(By::You) },
            "HALTING | 2 writes in flight. | Your halt is confirmed. Nothing new will start.",
        ),
        (
            State::Halting,
            Seen { in_flight: vec![note()], unknown: vec![stage()], ..stopped(By::Name("Joris".into())) },
            "HALTING | 1 write in flight. | The halt is confirmed. Nothing new will start.",
        ),
        (
            State::Halted,
            stopped(By::You),
            "HALTED | Nothing in flight. | The agent is stopped for every customer. | Halted by you at \
             02:14:05.",
        ),
        (
            State::Halted,
            stopped(By::Name("<Joris>".into())),
            "HALTED | Nothing in flight. | The agent is stopped for every customer. | Halted by \
             &lt;Joris&gt; at 02:14:05.",
        ),
        (
            State::Halted,
            stopped(By::Flag),
            "HALTED | Nothing in flight. | The agent is stopped for every customer. | Set directly in \
             the switch store, seen at 02:14:05.",
        ),
        (
            State::Halted,
            seen(halted(By::You), Flags::Silent),
            "HALTED | Nothing in flight. | The agent is stopped for every customer. | Halted by you at \
             02:14:05. | One switch confirmed. The other is tried again.",
        ),
        (
            State::HaltedByCap,
            stopped(By::Cap(Cap::UsdPerDay)),
            "HALTED | Nothing in flight. | The agent is stopped for every customer. | Halted by the \
             daily budget at 02:14:05.",
        ),
        (
            State::HaltedUnknown,
            Seen { unknown: vec![stage()], ..stopped(By::You) },
            "HALTED | Nothing is being sent. Check 1 deal. | HubSpot never answered for the stage of \
             deal 4302, Bakker Transport. | Halted by you at 02:14:05.",
        ),
        (
            State::HaltedUnknown,
            Seen { unknown: vec![stage(), stage(), note()], ..stopped(By::You) },
            "HALTED | Nothing is being sent. Check 2 deals. | HubSpot never answered for 3 writes. | \
             Halted by you at 02:14:05.",
        ),
    ]);
}

#[test]
fn each_doubtful_row_says_exactly_its_words() {
    check_words(&[
        (
            State::Stopped,
            life("2026-07-24T00:13:06Z", seen(Control::Armed, Flags::Silent)),
            "STOPPED | Cannot reach one of the two switches. | The agent asks both before every step. \
             No answer: no step. None has run since 02:13:06.",
        ),
        (
            State::Unknown,
            life("2026-07-24T00:13:58Z", seen(Control::Armed, Flags::Silent)),
            "UNKNOWN | Treat it as RUNNING. | Cannot reach one of the two switches, but the agent did \
             something 9 seconds ago.",
        ),
        (
            State::Unknown,
            Seen {
                in_flight: vec![note()],
                ..life("2026-07-23T00:00:00Z", seen(Control::Armed, Flags::Silent))
            },
            "UNKNOWN | Treat it as RUNNING. | Cannot reach one of the two switches, but the agent may \
             be writing. | 1 write in flight.",
        ),
        (
            State::Unknown,
            seen(Control::Silent, Flags::Clear),
            "UNKNOWN | Treat it as RUNNING. | Cannot reach one of the two switches, and nothing else \
             can tell us. | Writes in flight: unknown, finished in 65 seconds at the latest.",
        ),
        (
            State::Unknown,
            seen(Control::Silent, Flags::Silent),
            "UNKNOWN | Treat it as RUNNING. | Neither switch answers. | Writes in flight: unknown, \
             finished in 65 seconds at the latest.",
        ),
        (
            State::Emptied,
            seen(Control::Armed, Flags::Disarmed),
            "HALTED | The switch store was emptied. | The agent is stopped until a person resumes it.",
        ),
        (
            State::Emptied,
            Seen { in_flight: vec![note()], ..seen(Control::Armed, Flags::OtherEpoch) },
            "HALTED | The switch store was emptied. | The agent is stopped until a person resumes it. | \
             1 write in flight.",
        ),
        (
            State::StoppingByHand,
            seen(Control::Armed, Flags::Halted),
            "STOPPING | Set directly in the switch store. | The agent stops when it next checks that \
             switch. Press HALT to make it last.",
        ),
        (
            State::StoppingOneSwitch,
            seen(Control::Silent, Flags::Halted),
            "STOPPING | One switch confirmed. | The agent stops when it next checks that switch. Wait \
             for HALTED. The other switch is tried again. | Writes in flight: unknown, finished in 65 \
             seconds at the latest.",
        ),
    ]);
}

/// Control (rows) x flags (columns) x last sign of life (61 s ago / 60 s ago / not known), nothing in flight.
#[test]
fn every_combination_has_its_state() {
    let flags = [Flags::Silent, Flags::Clear, Flags::Halted, Flags::Disarmed, Flags::OtherEpoch];
    let lives = [("old", Some(61)), ("recent", Some(60)), ("unknown", None)];
    let controls = [
        ("silent", Control::Silent),
        ("not_yet_armed", Control::NotYetArmed),
        ("armed", Control::Armed),
        ("halted", halted(By::You)),
        ("by_cap", halted(By::Cap(Cap::UsdPerDay))),
    ];
    let mut table = String::new();
    for (name, control) in &controls {
        for (life, seconds) in lives {
            let life_at = seconds.map(|s: i64| Timestamp::from_second(at(NOW).as_second() - s).unwrap());
            let states = flags.map(|flags| {
                State::of(&Seen { life: life_at, ..seen(control.clone(), flags) }).code().to_owned()
            });
            table.push_str(&format!("{name:13} {life:7} | {}\n", states.join(" ")));
        }
    }
    let expected = "\
silent        old     | unknown stopped stopping_one_switch stopped stopped
silent        recent  | unknown unknown stopping_one_switch unknown unknown
silent        unknown | unknown unknown stopping_one_switch unknown unknown
not_yet_armed old     | not_started not_started not_started not_started not_started
not_yet_armed recent  | not_started not_started not_started not_started not_started
not_yet_armed unknown | not_started not_started not_started not_started not_started
armed         old     | stopped running_writes stopping_by_hand emptied emptied
armed         recent  | unknown running_writes stopping_by_hand emptied emptied
armed         unknown | unknown running_writes stopping_by_hand emptied emptied
halted        old     | halted halted halted halted halted
halted        recent  | halted halted halted halted halted
halted        unknown | halted halted halted halted halted
by_cap        old     | halted_by_cap halted_by_cap halted_by_cap halted_by_cap halted_by_cap
by_cap        recent  | halted_by_cap halted_by_cap halted_by_cap halted_by_cap halted_by_cap
by_cap        unknown | halted_by_cap halted_by_cap halted_by_cap halted_by_cap halted_by_cap
";
    assert_eq!(table, expected);
}

/// Over every combination: the claims that need evidence are made only with it.
#[test]
fn no_claim_without_its_evidence() {
    let controls = [
        Control::Silent,
        Control::NotYetArmed,
        Control::Armed,
        halted(By::You),
        halted(By::Cap(Cap::UsdPerDay)),
    ];
    let flags = [Flags::Silent, Flags::Clear, Flags::Halted, Flags::Disarmed, Flags::OtherEpoch];
    let writes = [vec![], vec![write("set_stage", "1", "A")]];
    let mut seen_count = 0;
    for (control, flags) in controls.iter().flat_map(|c| flags.iter().map(move |f| (c, *f))) {
        for (in_flight, unknown) in writes.iter().flat_map(|a| writes.iter().map(move |b| (a, b))) {
            for life in
                [None, Some(at(NOW)), Some(at("2026-07-23T00:00:00Z")), Some(at("2026-07-25T00:00:00Z"))]
            {
                let seen = Seen {
                    in_flight: in_flight.clone(),
                    unknown: unknown.clone(),
                    life,
                    ..seen(control.clone(), flags)
                };
                let (state, words) = (State::of(&seen), read(&seen, Lang::En));
                let latched = matches!(control, Control::Halted { .. } | Control::NotYetArmed);
                if words.contains("Nothing in flight") || words.contains("Nothing is being sent") {
                    assert!(latched && in_flight.is_empty(), "{words}");
                }
                if words.contains("Nothing in flight") {
                    assert!(unknown.is_empty(), "{words}");
                }
                if words.starts_with("RUNNING") {
                    assert!(*control == Control::Armed && flags == Flags::Clear, "{words}");
                }
                if words.starts_with("STOPPED") {
                    assert!(seen.life_seconds().unwrap() > 60 && in_flight.is_empty(), "{words}");
                }
                if !latched && state != State::Emptied && state != State::StoppingOneSwitch {
                    assert!(state.offers_halt(), "{words}");
                }
                assert!(!(state.offers_halt() && state.offers_resume()), "{words}");
                assert!(Panel::of(&seen, Lang::Nl).checked.0.contains("Amsterdam (UTC+2)"));
                seen_count += 1;
            }
        }
    }
    assert_eq!(seen_count, 5 * 5 * 4 * 4);
}

#[test]
fn both_languages_are_complete() {
    let pairs = Word::ALL.iter().map(|word| (word.text(Lang::En), word.text(Lang::Nl)));
    assert_eq!(crate::incomplete_words(pairs), None);
}

#[test]
fn no_gap_is_left_open_in_any_state() {
    for lang in Lang::ALL {
        for state in State::ALL {
            let seen = Seen {
                customers: vec![customer()],
                life: Some(at(NOW)),
                in_flight: vec![write("odd_tool", "1", "A")],
                unknown: vec![write("schedule_follow_up", "1", "A")],
                ..seen(halted(By::You), Flags::Halted)
            };
            let speak = Speaker { seen: &seen, lang };
            let text: String =
                speak.lines(state).into_iter().chain([speak.bold(state)]).map(|line| line.0).collect();
            assert!(!text.contains('{'), "{state:?}: {text}");
        }
    }
}

#[test]
fn two_frames_differ_in_shape_and_red_is_not_among_their_colours() {
    let panel = |seen: Seen| Panel::of(&seen, Lang::En).render().0;
    let running = panel(seen(Control::Armed, Flags::Clear));
    let halted_panel = panel(seen(halted(By::You), Flags::Halted));
    let doubt = panel(seen(Control::Silent, Flags::Silent));
    let shape = |html: &str| html.split("<path ").nth(1).unwrap().split('>').next().unwrap().to_owned();
    assert!(shape(&running) != shape(&halted_panel) && shape(&halted_panel) != shape(&doubt));
    assert!(!STYLE.contains("b3001b") && !STYLE.contains(":red") && !STYLE.contains("ffd400"));
    assert!(running.contains("<h1>") && running.contains("datetime=\"2026-07-24T00:14:07Z\""));
    assert!(!Panel::of(&seen(Control::Armed, Flags::Clear), Lang::En).render_strip().0.contains("<h1>"));
}
