//! How the page looks in every state, in both languages. Must never grow past one flight of bytes.
use super::*;
use crate::{
    page,
    route::{Visit, Visitor},
    words::HaltWord,
};
use budget::DayView;
use interlock::{Recent, RecentAct, RecentCustomer};
use sight::Sight;
use types::{Cap, Mode, Timestamp, UsdNanos};
use web::{
    Lang,
    panel::{By, Control, Flags, HaltedCustomer, Panel, Seen, State, Write},
};

/// The most bytes of a page with its headers: one flight of a fresh connection.
const PAGE_BYTES_MAX: usize = 14_000;

fn at(ms_ago: i64) -> Timestamp {
    Timestamp::from_millisecond(NOW_MS - ms_ago).unwrap()
}

fn write(tool: &str, deal: &str, name: &str) -> Write {
    Write {
        tool: tool.into(),
        deal: deal.into(),
        customer: Some(name.into()),
        customer_id: customer("1234"),
        until: at(-27_000),
    }
}

fn act(name: &str, wrote: bool) -> RecentAct {
    RecentAct {
        at_ms: NOW_MS - 9_000,
        tool: "append_note".into(),
        deal_id: "4411".into(),
        what: "set stage Negotiation → Closed Lost".into(),
        wrote,
        customer_name: name.into(),
        run_id: "r-1".into(),
    }
}

fn sight(control: Control, flags: Flags) -> Sight {
    let live = [("append_note", Mode::Live), ("set_stage", Mode::Live), ("schedule_follow_up", Mode::DryRun)];
    let silent = control == Control::Silent;
    let names =
        ["Van Dijk Logistics", "Bakker Transport", "Jansen Cold Chain", "De Wit Opslag", "Smit & Zn. Vracht"];
    let customers = names.iter().zip(1234..).map(|(name, id)| RecentCustomer {
        customer_id: customer(&id.to_string()),
        name: (*name).into(),
        last_act: act(name, true),
    });
    Sight {
        seen: Seen {
            control,
            flags,
            modes: live.map(|(tool, mode)| (tool.to_owned(), mode)).to_vec(),
            ..Seen::nothing(at(0), Zone::new("Europe/Amsterdam").unwrap())
        },
        control: None,
        trouble: None,
        flags: None,
        people: None,
        recent: match silent {
            true => Recent::default(),
            false => {
                Recent { last_act: Some(act("Van Dijk Logistics", true)), customers: customers.collect() }
            }
        },
        day: (!silent).then(|| {
            Some(DayView {
                date: "2026-07-24".into(),
                cap: UsdNanos::from_cents(2_500),
                left: UsdNanos::from_cents(13),
                pending: UsdNanos::ZERO,
                spent: UsdNanos::from_cents(2_487),
                hours: BTreeMap::new(),
                last_ms: Some(NOW_MS - 9_000),
            })
        }),
    }
}

/// One picture of every state that the server can show.
fn states() -> Vec<(State, Sight)> {
    let halted = |by: By| Control::Halted { by, at: at(2_000) };
    let with = |mut sight: Sight, change: &dyn Fn(&mut Seen)| {
        change(&mut sight.seen);
        sight
    };
    let stopped = || sight(halted(By::You), Flags::Halted);
    let clear = || sight(Control::Armed, Flags::Clear);
    let silent = || sight(Control::Armed, Flags::Silent);
    let halted_customer = || HaltedCustomer {
        id: customer("1234"),
        name: Some("Van Dijk Logistics".into()),
        by: By::You,
        at: at(2_000),
    };
    let writes = || {
        vec![
            write("append_note", "4411", "Van Dijk Logistics"),
            write("set_stage", "4302", "Bakker Transport"),
        ]
    };
    vec![
        (State::NotStarted, sight(Control::NotYetArmed, Flags::Disarmed)),
        (State::RunningWrites, clear()),
        (
            State::RunningDry,
            with(clear(), &|seen| seen.modes.iter_mut().for_each(|(_, mode)| *mode = Mode::DryRun)),
        ),
        (State::RunningExcept, with(clear(), &|seen| seen.customers = vec![halted_customer(); 3])),
        (State::Halting, with(stopped(), &|seen| seen.in_flight = writes())),
        (State::Halted, stopped()),
        (State::HaltedByCap, sight(halted(By::Cap(Cap::UsdPerDay)), Flags::Halted)),
        (State::HaltedUnknown, with(stopped(), &|seen| seen.unknown = writes().split_off(1))),
        (State::Stopped, with(silent(), &|seen| seen.life = Some(at(61_000)))),
        (State::Unknown, with(silent(), &|seen| seen.life = Some(at(9_000)))),
        (State::Emptied, sight(Control::Armed, Flags::Disarmed)),
        (State::StoppingByHand, sight(Control::Armed, Flags::Halted)),
        (State::StoppingOneSwitch, sight(Control::Silent, Flags::Halted)),
    ]
}

fn html(response: &Response) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

/// Keeps a page for a person to look at, when the build says where.
fn keep(name: &str, response: &Response) {
    if let Some(folder) = option_env!("HOLDFAST_PAGES") {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(format!("{folder}/{name}.html"), response.body()).unwrap();
    }
}

#[tokio::test]
async fn every_state_fits_in_one_flight_and_offers_halt_only_where_it_belongs() {
    let (deps, signer) = blind_deps().await;
    let link = signer.sign(LinkKind::Person, &marieke(), at(0)).unwrap();
    for lang in Lang::ALL {
        let request = Request::new("GET", &format!("{}?l={}", link.path(), lang.code()));
        let visitor = Visitor::new(link.link.clone(), link.path());
        let visit = Visit::new(&deps, &request, visitor);
        for (state, sight) in states() {
            assert_eq!(State::of(&sight.seen), state);
            let panel = Panel::of(&sight.seen, lang);
            let response = page::render(&deps, &visit, &sight, &panel, &[], (200, None));
            let (html, name) = (html(&response), format!("{}-{}", state.code(), lang.code()));
            keep(&name, &response);
            assert!(response.wire_bytes() <= PAGE_BYTES_MAX, "{name}: {} bytes", response.wire_bytes());
            assert!(html.contains(&format!("<title>{} · ", panel.word)), "{name}");
            let shown = html.split("<template").next().unwrap();
            assert_eq!(shown.matches("<h1>").count(), 1, "{name}");
            assert_eq!(shown.contains("class=\"halt\""), state.offers_halt(), "{name}");
            assert_eq!(shown.contains("/resume?l="), state.offers_resume(), "{name}");
            assert!(html.contains(&format!("<html lang=\"{}\">", lang.code())));
            assert!(!shown.split("<body>").nth(1).unwrap().contains('{'), "{name}: an open gap");
            for outside in ["src=\"", "href=\"http", "url(", "@import", " style=\"", " onclick"] {
                assert!(!html.contains(outside), "{name}: {outside}");
            }
            let refreshes = matches!(state, State::Halting | State::StoppingOneSwitch);
            assert_eq!(html.contains("http-equiv=\"refresh\""), refreshes, "{name}");
        }
    }
}

#[tokio::test]
async fn where_halt_was_nothing_can_be_tapped() {
    let (deps, signer) = blind_deps().await;
    let link = signer.sign(LinkKind::Person, &marieke(), at(0)).unwrap();
    let request = Request::new("GET", &link.path());
    let visit = Visit::new(&deps, &request, Visitor::new(link.link.clone(), link.path()));
    for (state, sight) in states().into_iter().filter(|(state, _)| !state.offers_halt()) {
        let panel = Panel::of(&sight.seen, Lang::En);
        let html = html(&page::render(&deps, &visit, &sight, &panel, &[], (200, None)));
        let place = html.split("class=\"box still\"").nth(1).unwrap().split("</div>").next().unwrap();
        for tappable in ["<a", "<button", "<form", "<input", "<summary"] {
            assert!(!place.contains(tappable), "{state:?}: {place}");
        }
    }
}

#[tokio::test]
async fn the_first_thing_that_can_be_reached_is_halt() {
    let (deps, signer) = blind_deps().await;
    let link = signer.sign(LinkKind::Person, &marieke(), at(0)).unwrap();
    let request = Request::new("GET", &link.path());
    let visit = Visit::new(&deps, &request, Visitor::new(link.link.clone(), link.path()));
    for (state, sight) in states().into_iter().filter(|(state, _)| state.offers_halt()) {
        let panel = Panel::of(&sight.seen, Lang::En);
        let html = html(&page::render(&deps, &visit, &sight, &panel, &[], (200, None)));
        let before = html.split("<form class=\"halt\"").next().unwrap();
        for reachable in ["<a", "<button", "<input", "<summary", "tabindex"] {
            assert!(!before.contains(reachable), "{state:?}: {reachable}");
        }
    }
}

#[tokio::test]
async fn a_link_of_a_ping_offers_no_resume_and_says_what_it_is() {
    let (deps, signer) = blind_deps().await;
    let link = signer.sign(LinkKind::Slack, &marieke(), at(0)).unwrap();
    let request = Request::new("GET", &link.path());
    let visit = Visit::new(&deps, &request, Visitor::new(link.link.clone(), link.path()));
    for (state, sight) in states() {
        let panel = Panel::of(&sight.seen, Lang::En);
        let html = html(&page::render(&deps, &visit, &sight, &panel, &[], (200, None)));
        assert!(!html.contains("/resume"), "{state:?}");
        assert!(html.contains("This is a Slack link."), "{state:?}");
    }
}

#[tokio::test]
async fn what_others_wrote_is_escaped_and_made_visible() {
    let (deps, signer) = blind_deps().await;
    let link = signer.sign(LinkKind::Person, &marieke(), at(0)).unwrap();
    let request = Request::new("GET", &link.path());
    let visit = Visit::new(&deps, &request, Visitor::new(link.link.clone(), link.path()));
    let evil = "<script>alert(1)</script>\u{202e}\u{1b}[31m";
    let mut sight = sight(Control::Armed, Flags::Clear);
    sight.recent.last_act = Some(RecentAct { what: evil.into(), deal_id: evil.into(), ..act(evil, true) });
    sight.recent.customers.iter_mut().for_each(|known| known.name = evil.into());
    sight.seen.customers = vec![HaltedCustomer {
        id: customer("1"),
        name: Some(evil.into()),
        by: By::Name(evil.into()),
        at: at(0),
    }];
    let panel = Panel::of(&sight.seen, Lang::En);
    let html = html(&page::render(&deps, &visit, &sight, &panel, &[], (200, None)));
    assert!(!html.contains("<script>alert"), "{html}");
    assert!(!html.contains('\u{202e}') && !html.contains('\u{1b}'), "{html}");
    assert!(html.contains("[U+202E][U+001B]"), "{html}");
}

#[tokio::test]
async fn the_other_pages_fit_too_and_say_their_ways() {
    let rig = rig(Up::Both).await;
    let link = rig.link(LinkKind::Person).await;
    let fails = rig.get(&format!("{}/fails", link.path())).await;
    keep("fails", &fails);
    let words = text(&fails);
    for way in
        ["06 1234 5678", "https://console.example", "holdfast halt", "reserved concurrency", "access token"]
    {
        assert!(words.contains(way), "{way}: {words}");
    }
    rig.post(&format!("{}/halt", link.path()), "").await;
    let resume = rig.get(&format!("{}/resume", link.path())).await;
    keep("resume", &resume);
    let invite = rig.get(&rig.link(LinkKind::Invite).await.path()).await;
    keep("invite", &invite);
    for response in [fails, resume, invite] {
        assert_eq!(response.status(), 200);
        assert!(response.wire_bytes() <= PAGE_BYTES_MAX);
    }
}

#[tokio::test]
async fn a_press_without_confirmation_says_how_to_stop_it_by_hand() {
    let (deps, signer) = blind_deps().await;
    let link = signer.sign(LinkKind::Person, &marieke(), at(0)).unwrap();
    let response = answer(&deps, &post(&format!("{}/halt", link.path()), "scope=global")).await;
    keep("not_confirmed-en", &response);
    assert_eq!(response.status(), 503);
    assert!(response.wire_bytes() <= PAGE_BYTES_MAX, "{}", response.wire_bytes());
}

#[tokio::test]
async fn the_seconds_left_are_rounded_up_and_never_past_the_deadline() {
    let (deps, signer) = blind_deps().await;
    let link = signer.sign(LinkKind::Person, &marieke(), at(0)).unwrap();
    let request = Request::new("GET", &format!("{}?l=en", link.path()));
    for (left_ms, words) in [
        (65_000, "Finished in 65 seconds at the latest."),
        (64_001, "Finished in 65 seconds at the latest."),
        (28_000, "Finished in 28 seconds at the latest."),
        (1_001, "Finished in 2 seconds at the latest."),
        (1_000, "Finished in 1 second at the latest."),
        (1, "Finished in 1 second at the latest."),
    ] {
        let visit = Visit::new(&deps, &request, Visitor::new(link.link.clone(), link.path()));
        let mut seen = sight(Control::Halted { by: By::You, at: at(0) }, Flags::Halted);
        seen.seen.in_flight = vec![Write { until: at(-left_ms), ..write("set_stage", "4302", "Bakker") }];
        let panel = Panel::of(&seen.seen, Lang::En);
        let page = text(&page::render(&deps, &visit, &seen, &panel, &[], (200, None)));
        assert!(page.contains(words), "{left_ms}: {page}");
    }
}

#[test]
fn both_languages_are_complete() {
    let pairs = HaltWord::ALL.iter().map(|word| (word.text(Lang::En), word.text(Lang::Nl)));
    assert_eq!(web::incomplete_words(pairs), None);
}

#[test]
fn the_script_is_small_and_never_sends_a_resume() {
    assert!(crate::look::SCRIPT.len() <= 2_560, "{}", crate::look::SCRIPT.len());
    assert!(!crate::look::SCRIPT.contains("resume") && !crate::look::SCRIPT.contains("</"));
    for rule in crate::look::STYLE.split('}').filter(|rule| rule.contains("#b3001b")) {
        assert!(
            rule.contains(".halt button{") || rule.contains(".one button{"),
            "red is HALT's alone: {rule}"
        );
    }
}

#[test]
fn a_cap_holds_until_it_is_raised_or_the_day_is_new() {
    let tripped = || sight(Control::Halted { by: By::Cap(Cap::UsdPerDay), at: at(2_000) }, Flags::Halted);
    let on = |date: &str, cap_cents: i64, left_cents: i64| {
        let mut sight = tripped();
        let day = sight.day.as_mut().unwrap().as_mut().unwrap();
        day.date = date.into();
        (day.cap, day.left) = (UsdNanos::from_cents(cap_cents), UsdNanos::from_cents(left_cents));
        sight.cap_holds()
    };
    assert_eq!(on("2026-07-24", 2_500, 13), Some(true));
    assert_eq!(on("2026-07-24", 2_500, -40), Some(true));
    assert_eq!(on("2026-07-24", 2_600, 113), Some(false), "raised");
    assert_eq!(on("2026-07-25", 2_500, 2_500), Some(false), "a new day");
    assert_eq!(Sight { day: None, ..tripped() }.cap_holds(), None, "not known");
    let by_hand = sight(Control::Halted { by: By::You, at: at(2_000) }, Flags::Halted);
    assert_eq!(by_hand.cap_holds(), Some(false));
}
