//! Each state of the halt page has its exact words, in both languages, in a product that really is in it.
//! Must never compare a page with words that the product made.
use super::*;
use std::collections::BTreeSet;
use web::panel::State;
use web::{Lang, Zone};

/// A state, and what its page says in English and in Dutch: the panel, and what stands where HALT stands.
/// `{now}` is the time of the page with its zone.
struct Row {
    state: State,
    panel: [&'static str; 2],
    below: [&'static str; 2],
}

const HALT: [&str; 2] = ["HALT Stops the agent for every customer", "HALT Stopt de agent voor alle klanten"];
const PUT_DOWN: [&str; 2] = [
    "You can put the phone down. It stays halted until a person resumes it. Midnight, an update or a restart does \
     not.",
    "Je kunt de telefoon wegleggen. Hij blijft gestopt tot iemand hem hervat. Middernacht, een update of een \
     herstart doet dat niet.",
];

const NOT_STARTED: Row = Row {
    state: State::NotStarted,
    panel: [
        "HALTED Not started yet. Nobody has started the agent. It starts in dry-run: it reads deals and changes \
         nothing. Checked {now}",
        "GESTOPT Nog niet gestart. Niemand heeft de agent gestart. Hij begint op proef: hij leest deals en \
         wijzigt niets. Stand van {now}",
    ],
    below: ["Starting asks for a reason and your PIN.", "Starten vraagt een reden en je pincode."],
};
const WRITES: Row = Row {
    state: State::RunningWrites,
    panel: [
        "RUNNING The agent can change deals in HubSpot. Writes on: notes, stages. Dry-run: follow-ups. Checked \
         {now}",
        "DRAAIT De agent kan deals in HubSpot wijzigen. Schrijft: notities, fases. Proefstand: opvolging. Stand \
         van {now}",
    ],
    below: HALT,
};
const DRY: Row = Row {
    state: State::RunningDry,
    panel: [
        "RUNNING In dry-run: it reads deals and changes nothing. Dry-run: notes, stages, follow-ups. Checked \
         {now}",
        "DRAAIT Proefstand: hij leest deals en wijzigt niets. Proefstand: notities, fases, opvolging. Stand van \
         {now}",
    ],
    below: HALT,
};
const EXCEPT: Row = Row {
    state: State::RunningExcept,
    panel: [
        "RUNNING For everyone except 1 customer. Halted: Van Dijk Logistics. Writes on: notes, stages. Checked \
         {now}",
        "DRAAIT Voor iedereen behalve 1 klant. Gestopt: Van Dijk Logistics. Schrijft: notities, fases. Stand van \
         {now}",
    ],
    below: HALT,
};
const HALTING: Row = Row {
    state: State::Halting,
    panel: [
        "HALTING 2 writes in flight. Your halt is confirmed. Nothing new will start. Checked {now}",
        "STOPT 2 wijzigingen onderweg. Je stop is bevestigd. Er begint niets nieuws. Stand van {now}",
    ],
    below: [
        "You are done. Just wait. These were already sent to HubSpot: Note on deal 4411, Van Dijk Logistics Stage \
         of deal 4411, Van Dijk Logistics Finished in 65 seconds at the latest. Check now",
        "Je bent klaar. Even wachten. Deze waren al naar HubSpot verstuurd: Notitie bij deal 4411, Van Dijk \
         Logistics Fase van deal 4411, Van Dijk Logistics Klaar over uiterlijk 65 seconden. Nu controleren",
    ],
};
const HALTED: Row = Row {
    state: State::Halted,
    panel: [
        "HALTED Nothing in flight. The agent is stopped for every customer. Halted by you at 10:00:00. Checked \
         {now}",
        "GESTOPT Niets meer onderweg. De agent is gestopt voor alle klanten. Gestopt door jou om 10:00:00. Stand \
         van {now}",
    ],
    below: PUT_DOWN,
};
const BY_CAP: Row = Row {
    state: State::HaltedByCap,
    panel: [
        "HALTED Nothing in flight. The agent is stopped for every customer. Halted by the daily budget at {at}. \
         Checked {now}",
        "GESTOPT Niets meer onderweg. De agent is gestopt voor alle klanten. Gestopt door het dagbudget om {at}. \
         Stand van {now}",
    ],
    below: [
        "{spent} of {cap} spent today. The next model call could have cost more than was left, so it was not \
         made. A new budget day starts 00:00 Amsterdam. The agent stays halted.",
        "{spent} van {cap} uitgegeven vandaag. De volgende modelaanroep kon meer kosten dan er over was, dus \
         die is niet gedaan. Een nieuwe budgetdag begint om 00:00 Amsterdam. De agent blijft gestopt.",
    ],
};
const UNANSWERED: Row = Row {
    state: State::HaltedUnknown,
    panel: [
        "HALTED Nothing is being sent. Check 1 deal. HubSpot never answered for the stage of deal 4411. Halted by you at {at}. Checked {now}",
        "GESTOPT Er wordt niets verstuurd. Controleer 1 deal. HubSpot gaf geen antwoord over de fase van deal \
         4411. Gestopt door jou om {at}. Stand van {now}",
    ],
    below: [
        "Look in HubSpot yourself: Stage of deal 4411. It shows “Closed Lost” if the write \
         arrived, “Negotiation” if not. Note in the console what you found. Nothing is sent again by itself. Open \
         deal 4411 in HubSpot",
        "Kijk zelf in HubSpot: Fase van deal 4411. Er staat “Closed Lost” als de wijziging is \
         aangekomen, “Negotiation” als dat niet zo is. Noteer in de console wat je vond. Niets wordt vanzelf \
         opnieuw verstuurd. Deal 4411 openen in HubSpot",
    ],
};
const STOPPED: Row = Row {
    state: State::Stopped,
    panel: [
        "STOPPED Cannot reach one of the two switches. The agent asks both before every step. No answer: no step. \
         None has run since {at}. Checked {now}",
        "GESTOPT Eén schakelaar geeft geen antwoord. De agent vraagt beide voor elke stap. Geen antwoord: geen \
         stap. Geen stap sinds {at}. Stand van {now}",
    ],
    below: [
        "HALT Stops the agent for every customer Do this: press HALT. Otherwise the agent may start again when \
         the switch comes back. Check again",
        "HALT Stopt de agent voor alle klanten Doe dit: druk op HALT. Anders kan de agent weer starten als de \
         schakelaar terugkomt. Opnieuw controleren",
    ],
};
const DOUBT: [&str; 2] = [
    "HALT Stops the agent for every customer Check again",
    "HALT Stopt de agent voor alle klanten Opnieuw controleren",
];
const ALIVE: Row = Row {
    state: State::Unknown,
    panel: [
        "UNKNOWN Treat it as RUNNING. Cannot reach one of the two switches, but the agent did something 9 seconds \
         ago. Checked {now}",
        "ONBEKEND Ga ervan uit dat hij draait. Eén schakelaar geeft geen antwoord, maar de agent deed 9 seconden \
         geleden iets. Stand van {now}",
    ],
    below: DOUBT,
};
const NO_SIGN: Row = Row {
    state: State::Unknown,
    panel: [
        "UNKNOWN Treat it as RUNNING. Cannot reach one of the two switches, and nothing else can tell us. Writes \
         in flight: unknown, finished in 65 seconds at the latest. Checked {now}",
        "ONBEKEND Ga ervan uit dat hij draait. Eén schakelaar geeft geen antwoord, en niets anders kan het ons \
         vertellen. Wijzigingen onderweg: onbekend, klaar over uiterlijk 65 seconden. Stand van {now}",
    ],
    below: DOUBT,
};
const NEITHER: Row = Row {
    state: State::Unknown,
    panel: [
        "UNKNOWN Treat it as RUNNING. Neither switch answers. Writes in flight: unknown, finished in 65 seconds at \
         the latest. Checked {now}",
        "ONBEKEND Ga ervan uit dat hij draait. Geen van beide schakelaars geeft antwoord. Wijzigingen onderweg: \
         onbekend, klaar over uiterlijk 65 seconden. Stand van {now}",
    ],
    below: DOUBT,
};
const EMPTIED: Row = Row {
    state: State::Emptied,
    panel: [
        "HALTED The switch store was emptied. The agent is stopped until a person resumes it. Checked {now}",
        "GESTOPT De schakelaar is leeggemaakt. De agent staat stil tot iemand hem hervat. Stand van {now}",
    ],
    below: [
        "Resuming sets both switches again, after a reason and your PIN.",
        "Hervatten zet beide schakelaars opnieuw, na een reden en je pincode.",
    ],
};
const BY_HAND: Row = Row {
    state: State::StoppingByHand,
    panel: [
        "STOPPING Set directly in the switch store. The agent stops when it next checks that switch. Press HALT to \
         make it last. Checked {now}",
        "STOPT Rechtstreeks in de schakelaar gezet. De agent stopt zodra hij die schakelaar weer leest. Druk op \
         HALT om het vast te leggen. Stand van {now}",
    ],
    below: HALT,
};
const ONE_SWITCH: Row = Row {
    state: State::StoppingOneSwitch,
    panel: [
        "STOPPING One switch confirmed. The agent stops when it next checks that switch. Wait for HALTED. The \
         other switch is tried again. Writes in flight: unknown, finished in 65 seconds at the latest. Checked \
         {now}",
        "STOPT Eén schakelaar heeft bevestigd. De agent stopt zodra hij die schakelaar weer leest. Wacht op \
         GESTOPT. De andere wordt opnieuw geprobeerd. Wijzigingen onderweg: onbekend, klaar over uiterlijk 65 \
         seconden. Stand van {now}",
    ],
    below: [
        "Your HALT is in one switch. This page looks again by itself. Check now",
        "Je HALT staat in één schakelaar. Deze pagina kijkt vanzelf opnieuw. Nu controleren",
    ],
};
const NOT_CONFIRMED: Row = Row {
    state: State::NotConfirmed,
    panel: [
        "NOT CONFIRMED The agent may still be running. Neither switch confirmed. Press HALT again. Keep this page \
         open. Checked {now}",
        "NIET BEVESTIGD De agent draait misschien nog. Geen van beide schakelaars heeft bevestigd. Druk nog eens \
         op HALT. Houd deze pagina open. Stand van {now}",
    ],
    below: [
        "HALT Stops the agent for every customer NOT confirmed by either switch. Press HALT again. If it fails \
         again, use one of these: Call Joris, who has a halt page too: 06 1234 5678 Press HALT at the top of the \
         console: {console} In a terminal: holdfast halt In the AWS console: set the reserved concurrency of the \
         step function to 0. In HubSpot: revoke the app’s access token. Nothing can be written without it.",
        "HALT Stopt de agent voor alle klanten NIET bevestigd door de schakelaars. Druk nog eens op HALT. Lukt het \
         weer niet, gebruik een van deze: Bel Joris, die ook een stoppagina heeft: 06 1234 5678 Druk op HALT \
         bovenaan in de console: {console} In een terminal: holdfast halt In de AWS-console: zet de reserved \
         concurrency van de functie step op 0. In HubSpot: trek het toegangstoken van de app in. Zonder dat kan \
         niets geschreven worden.",
    ],
};

/// What the page's script shows, with gaps where it puts the number of the try, and the time and the word of
/// the last answer.
const BY_SCRIPT: [(State, &str, [&str; 2]); 3] = [
    (
        State::Sending,
        "x11",
        [
            "SENDING The agent may still be running. Wait for HALTING or HALTED. Last contact : ",
            "BEZIG MET VERSTUREN De agent draait misschien nog. Wacht op STOPT of GESTOPT. Laatste contact : ",
        ],
    ),
    (
        State::NotConfirmed,
        "x12",
        [
            "NOT CONFIRMED The agent may still be running. No signal. Your HALT is sent again every 2 seconds. Try \
             . Keep this page open. Last contact : No signal for long? Call Joris: 06 1234 5678",
            "NIET BEVESTIGD De agent draait misschien nog. Geen verbinding. Je HALT wordt elke 2 seconden opnieuw \
             verstuurd. Poging . Houd deze pagina open. Laatste contact : Lang geen verbinding? Bel Joris: 06 1234 \
             5678",
        ],
    ),
    (
        State::NoContact,
        "x13",
        [
            "NO CONTACT The agent may be running. This page lost its connection. You can press HALT: it is sent as \
             soon as there is signal. Last contact : ",
            "GEEN CONTACT De agent draait misschien. Deze pagina heeft geen verbinding. Je kunt op HALT drukken: \
             het wordt verstuurd zodra er verbinding is. Laatste contact : ",
        ],
    ),
];

impl Page {
    /// The words between two marks of the page.
    fn words_between(&self, from: &str, to: &str) -> String {
        let (_, rest) = self.html.split_once(from).unwrap_or_else(|| panic!("no {from} in {}", self.html));
        let (html, _) = rest.split_once(to).unwrap_or_else(|| panic!("no {to} in {}", self.html));
        Self { status: self.status, location: String::new(), html: html.to_owned() }.words()
    }

    /// Exactly these words in the panel, and below it.
    #[track_caller]
    fn is(&self, row: &Row, lang: usize, fills: &[(&str, &str)]) {
        let fill =
            |text: &str| fills.iter().fold(text.to_owned(), |text, (gap, with)| text.replace(gap, with));
        assert_eq!(self.words_between("id=\"pan\">", "<div id=\"act\""), fill(row.panel[lang]));
        assert_eq!(self.words_between("id=\"act\">", "<div id=\"facts\""), fill(row.below[lang]));
    }
}

impl Site {
    /// The page says exactly the row's words, in both languages.
    async fn is(&self, row: &Row, fills: &[(&str, &str)]) {
        let now = format!("{}, Amsterdam (UTC+1)", self.clock(self.scene.clock.now_ms()));
        let fills: Vec<_> = fills.iter().copied().chain([("{now}", now.as_str())]).collect();
        for (lang, query) in ["?l=en", "?l=nl"].into_iter().enumerate() {
            let page = self.halt_get(query).await;
            page.is(row, lang, &fills);
            for (_, id, words) in &BY_SCRIPT {
                let shown = page.words_between(&format!("<template id=\"{id}\">"), "</template>");
                assert_eq!(shown, words[lang].trim_end(), "{id}");
            }
        }
    }

    fn clock(&self, at_ms: i64) -> String {
        let at = types::Timestamp::from_millisecond(at_ms).expect("a time");
        Zone::new("Europe/Amsterdam").expect("a zone").clock(at)
    }

    /// When the agent last gave a sign of life (ms since 1970).
    async fn life_ms(&self) -> i64 {
        let halt = &self.scene.house.halt;
        let day = halt.budget.day("Europe/Amsterdam").await.expect("the budget").expect("a day");
        let act = halt.interlock.view().await.recent.last_act.map(|act| act.at_ms);
        day.last_ms.into_iter().chain(act).max().expect("a sign of life")
    }

    /// A write of a stage that HubSpot never answered, and that nobody can read back.
    async fn leave_a_stage_unanswered(&mut self) {
        let stage = json!({"deal_id": "4411", "stage": "closedlost", "because": "They chose another."});
        self.scene.standins.anthropic.script(vec![says(&[("set_stage", stage)]), says_nothing_more()]);
        let hubspot = &self.scene.standins.hubspot;
        hubspot.next(Matcher::any().method("PATCH").path("/deals/4411"), Fault::LateApply);
        let mut input = self.scene.begin("reply_4411").await;
        for _ in 0..6 {
            if self.scene.sent().iter().any(|sent| sent.method == "PATCH") {
                return;
            }
            Box::pin(self.scene.step_on(&mut input)).await;
        }
        panic!("no stage was written: {:?}", self.scene.sent());
    }
}

#[test]
fn every_state_has_its_row() {
    let rows = [
        &NOT_STARTED,
        &WRITES,
        &DRY,
        &EXCEPT,
        &HALTING,
        &HALTED,
        &BY_CAP,
        &UNANSWERED,
        &STOPPED,
        &ALIVE,
        &NO_SIGN,
        &NEITHER,
        &EMPTIED,
        &BY_HAND,
        &ONE_SWITCH,
        &NOT_CONFIRMED,
    ];
    let states = rows.iter().map(|row| row.state).chain(BY_SCRIPT.iter().map(|(state, _, _)| *state));
    assert_eq!(
        states.collect::<BTreeSet<_>>(),
        State::ALL.into_iter().collect(),
        "a state without its words"
    );
}

#[test]
fn a_product_that_nobody_started_says_exactly_its_words() {
    drive(async {
        let site = Site::unarmed().await;
        site.is(&NOT_STARTED, &[]).await;
    });
}

#[test]
fn running_and_halting_say_exactly_their_words() {
    drive(async {
        let mut site = Site::new().await;
        Box::pin(site.work("reply_4411")).await;
        site.is(&DRY, &[]).await;
        for tool in ["append_note", "set_stage"] {
            site.scene.go_live(tool).await;
        }
        site.is(&WRITES, &[]).await;
        let van_dijk = Scope::Customer(Scene::customer(VAN_DIJK));
        site.scene.press_halt(&van_dijk).await;
        site.is(&EXCEPT, &[]).await;
        assert!(matches!(site.scene.resume(van_dijk).await, interlock::Rearmed::Done { .. }));
        for (nth, tool) in ["append_note", "set_stage"].into_iter().enumerate() {
            site.scene.clock.advance_ms(1);
            site.permit(nth, tool).await;
        }
        site.scene.press_halt(&Scope::Global).await;
        site.is(&HALTING, &[]).await;
    });
}

#[test]
fn a_halt_by_a_person_says_exactly_its_words() {
    drive(async {
        let site = Site::new().await;
        site.scene.press_halt(&Scope::Global).await;
        site.is(&HALTED, &[]).await;
    });
}

#[test]
fn a_halt_by_the_daily_budget_says_exactly_its_words() {
    drive(async {
        let mut site = Site::new().await;
        Box::pin(site.work("reply_4377")).await;
        site.cap_a_day(UsdNanos(1_000)).await;
        Box::pin(site.scene.sweep_effects()).await;
        Box::pin(site.work("reply_4411")).await;
        let halt = &site.scene.house.halt;
        let day = halt.budget.day("Europe/Amsterdam").await.expect("a budget").expect("a day");
        let at = site.clock(site.scene.control().await.halted_by.expect("by whom").at_ms);
        let now = format!("{}, Amsterdam (UTC+1)", site.clock(site.scene.clock.now_ms()));
        for (lang, query) in ["?l=en", "?l=nl"].into_iter().enumerate() {
            let [spent, cap] = [day.spent, day.cap].map(|amount| Lang::ALL[lang].usd(amount));
            let fills = [("{spent}", spent.as_str()), ("{cap}", &cap), ("{at}", &at), ("{now}", &now)];
            site.halt_get(query).await.is(&BY_CAP, lang, &fills);
        }
    });
}

#[test]
fn a_write_that_nobody_answered_says_exactly_its_words_and_leads_to_the_deal() {
    drive(async {
        let mut site = Site::new().await;
        site.scene.go_live("set_stage").await;
        Box::pin(site.leave_a_stage_unanswered()).await;
        site.scene.press_halt(&Scope::Global).await;
        let pressed = site.clock(site.scene.clock.now_ms());
        site.scene.clock.advance_ms(70_000);
        Box::pin(site.scene.sweep_effects()).await;
        site.is(&UNANSWERED, &[("{at}", &pressed)]).await;
        let page = site.halt_get("").await;
        let link = "href=\"https://app.hubspot.com/contacts/891472211/record/0-3/4411\"";
        assert!(page.html.contains(link), "{}", page.html);
    });
}

#[test]
fn each_state_of_a_silent_or_emptied_store_says_exactly_its_words() {
    const NAME: &str = "pages::states::each_state_of_a_silent_or_emptied_store_says_exactly_its_words";
    drive(async {
        let Some(redis) = RealRedis::start(NAME).await else { return };
        let door = Door::to(&Scene::tables_endpoint()).await;
        let mut site = Site::over_servers(Some(&redis), &door).await;
        Box::pin(site.work("reply_4411")).await;
        let life_ms = site.life_ms().await;
        let life = site.clock(life_ms);
        let now_ms = site.scene.clock.now_ms();
        assert!(now_ms <= life_ms + 9_000, "{now_ms} {life_ms}");
        site.scene.clock.advance_ms(life_ms + 9_000 - now_ms);

        // The flags are there and do not answer.
        redis.signal("-STOP");
        site.is(&ALIVE, &[]).await;
        site.scene.clock.advance_ms(52_000);
        site.is(&STOPPED, &[("{at}", &life)]).await;
        // And the tables are gone too.
        door.shut();
        site.is(&NEITHER, &[]).await;
        let now = format!("{}, Amsterdam (UTC+1)", site.clock(site.scene.clock.now_ms()));
        let fills = [("{now}", now.as_str()), ("{console}", &site.console)];
        for (lang, code) in ["en", "nl"].into_iter().enumerate() {
            let page = site.halt_post(&format!("/halt?l={code}"), &BTreeMap::new()).await;
            assert_eq!(page.status, 503);
            page.is(&NOT_CONFIRMED, lang, &fills);
        }
        redis.signal("-CONT");
        // The press that nobody confirmed may have reached the paused server: as before it, then.
        redis.typed::<()>(&["DEL", "agent:halted:global"]).await.expect("typed");
        site.is(&NO_SIGN, &[]).await;
        let page = site.halt_get("").await;
        assert_eq!(site.pressed(&page, "/halt", &[]).await.status, 303);
        site.is(&ONE_SWITCH, &[]).await;

        door.open();
        redis.typed::<()>(&["DEL", "agent:halted:global"]).await.expect("typed");
        redis.typed::<()>(&["SET", "agent:halted:global", "1"]).await.expect("typed");
        site.is(&BY_HAND, &[]).await;
        redis.typed::<()>(&["FLUSHALL"]).await.expect("typed");
        site.is(&EMPTIED, &[]).await;
    });
}
