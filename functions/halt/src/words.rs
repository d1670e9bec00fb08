//! Every text of the halt page outside the state panel, in each language. Must never blame the reader.

web::words! {
    /// The texts of the halt page.
    pub enum HaltWord {
        Agent: "CRM agent", "CRM-agent";
        HaltButton: "HALT", "HALT";
        CheckNow: "Check now", "Nu controleren";
        CheckAgain: "Check again", "Opnieuw controleren";

        JustWaitBold: "You are done. Just wait.", "Je bent klaar. Even wachten.";
        AlreadySent: "These were already sent to HubSpot:", "Deze waren al naar HubSpot verstuurd:";
        FinishedOne: "Finished in 1 second at the latest.", "Klaar over uiterlijk 1 seconde.";
        FinishedIn: "Finished in {n} seconds at the latest.", "Klaar over uiterlijk {n} seconden.";
        PutDownBold: "You can put the phone down.", "Je kunt de telefoon wegleggen.";
        PutDown: "It stays halted until a person resumes it. Midnight, an update or a restart does not.",
            "Hij blijft gestopt tot iemand hem hervat. Middernacht, een update of een herstart doet dat \
             niet.";
        SpentBold: "{spent} of {cap} spent today.", "{spent} van {cap} uitgegeven vandaag.";
        NextCall: "The next model call could have cost more than was left, so it was not made.",
            "De volgende modelaanroep kon meer kosten dan er over was, dus die is niet gedaan.";
        NewDay: "A new budget day starts 00:00 {city}. The agent stays halted.",
            "Een nieuwe budgetdag begint om 00:00 {city}. De agent blijft gestopt.";
        LookBold: "Look in HubSpot yourself:", "Kijk zelf in HubSpot:";
        LookText: "Note in the console what you found. Nothing is sent again by itself.",
            "Noteer in de console wat je vond. Niets wordt vanzelf opnieuw verstuurd.";
        ShowsStage: "It shows “{after}” if the write arrived, “{before}” if not.",
            "Er staat “{after}” als de wijziging is aangekomen, “{before}” als dat niet zo is.";
        ShowsOther: "It is there if the write arrived, and missing if not.",
            "Het staat er als de wijziging is aangekomen, en ontbreekt als dat niet zo is.";
        OpenDeal: "Open deal {deal} in HubSpot", "Deal {deal} openen in HubSpot";
        DoThisBold: "Do this: press HALT.", "Doe dit: druk op HALT.";
        DoThis: "Otherwise the agent may start again when the switch comes back.",
            "Anders kan de agent weer starten als de schakelaar terugkomt.";
        EmptiedBox: "Resuming sets both switches again, after a reason and your PIN.",
            "Hervatten zet beide schakelaars opnieuw, na een reden en je pincode.";
        NotStartedBox: "Starting asks for a reason and your PIN.", "Starten vraagt een reden en je pincode.";
        OneSwitchBox: "Your HALT is in one switch. This page looks again by itself.",
            "Je HALT staat in één schakelaar. Deze pagina kijkt vanzelf opnieuw.";

        CustomerHalted: "HALTED: {name} ({id})", "GESTOPT: {name} ({id})";
        CustomerQuiet: "Nothing in flight.", "Niets meer onderweg.";
        CustomerWriting: "Writes in flight: {n}.", "Wijzigingen onderweg: {n}.";
        CustomerUnknown: "Results unknown: {n}.", "Uitkomst onbekend: {n}.";
        ByYou: "By you at {time}.", "Door jou om {time}.";
        ByName: "By {who} at {time}.", "Door {who} om {time}.";
        ByCap: "By a cap at {time}.", "Door een limiet om {time}.";
        ByFlag: "Set directly in the switch store, seen at {time}.",
            "Rechtstreeks in de schakelaar gezet, gezien om {time}.";
        ResumeCustomer: "Resume this customer…", "Deze klant hervatten…";
        MoreCustomers: "{n} more customers are halted; the console lists them.",
            "Nog {n} klanten zijn gestopt; de console toont ze.";

        LastDid: "Last thing it did", "Laatste actie";
        LastWould: "Last thing it would have done", "Laatste actie op proef";
        SpentToday: "Spent today", "Vandaag uitgegeven";
        SpentLine: "{spent} of {cap}", "{spent} van {cap}";

        OneCustomer: "Halt one customer only", "Alleen één klant stoppen";
        Number: "No. {id}", "Nr. {id}";
        HaltThis: "Halt", "Stop";
        FindLabel: "Or its HubSpot company number or name", "Of het HubSpot-bedrijfsnummer of de naam";
        FindButton: "Halt this customer", "Deze klant stoppen";

        ResumeLink: "Resume the agent… (asks why, and your PIN)", "Hervatten… (vraagt waarom, en je pincode)";
        StartLink: "Start in dry-run… (asks why, and your PIN)",
            "Starten op proef… (vraagt waarom, en je pincode)";
        NoteLink: "Add a note…", "Notitie toevoegen…";
        NoteTitle: "Add a note", "Notitie toevoegen";
        NoteLabel: "What happened?", "Wat is er gebeurd?";
        NoteButton: "Add the note", "De notitie toevoegen";
        NoteEmpty: "The note is empty. Nothing was added.", "De notitie is leeg. Er is niets toegevoegd.";
        NoteLost: "The note could not be kept. The halt stands. Try again.",
            "De notitie kon niet bewaard worden. De stop blijft. Probeer het opnieuw.";
        Noted: "Your note is in the log.", "Je notitie staat in het logboek.";
        OwnKey: "This is {name}’s key. It can halt, never resume without a PIN.",
            "Dit is de sleutel van {name}. Stoppen kan altijd, hervatten alleen met pincode.";
        PlainKey: "This key can halt, never resume without a PIN.",
            "Deze sleutel kan stoppen, hervatten alleen met pincode.";
        SlackKey: "This is a Slack link. It can halt for 24 hours, and never resume.",
            "Dit is een Slack-link. Die kan 24 uur stoppen, en nooit hervatten.";
        IfFails: "If this page fails", "Als deze pagina niet werkt";
        Welcome: "This is your halt page. Add it to your home screen, then open “If this page fails” and \
         take a screenshot.",
            "Dit is je stoppagina. Zet haar op je beginscherm, open dan “Als deze pagina niet werkt” en \
             maak een schermafdruk.";
        NoSignalLong: "No signal for long? Call {name}: {phone}", "Lang geen verbinding? Bel {name}: {phone}";

        NoSuchCustomer: "No customer has that number or name. Nothing was halted. HALT above stops everyone.",
            "Geen klant heeft dat nummer of die naam. Er is niets gestopt. HALT hierboven stopt iedereen.";
        NotConfirmedNotice: "NOT confirmed by either switch. Press HALT again. If it fails again, use one \
         of these:",
            "NIET bevestigd door de schakelaars. Druk nog eens op HALT. Lukt het weer niet, gebruik een van \
             deze:";
        SentNotConfirmed: "Sent, not confirmed. Press HALT again. If it stays so, use one of these:",
            "Verstuurd, niet bevestigd. Druk nog eens op HALT. Blijft het zo, gebruik een van deze:";

        LinkGone: "This link does not work any more.", "Deze link werkt niet meer.";
        OtherWays: "Other ways to halt:", "Andere manieren om te stoppen:";
        FailsTitle: "If this page fails", "Als deze pagina niet werkt";
        FailsIntro: "Any one of these stops the agent. Take a screenshot now.",
            "Elk hiervan stopt de agent. Maak nu een schermafdruk.";
        WayDeputy: "Call {name}, who has a halt page too: {phone}",
            "Bel {name}, die ook een stoppagina heeft: {phone}";
        WayAsk: "Ask another person with a halt page to press HALT.",
            "Vraag iemand anders met een stoppagina op HALT te drukken.";
        WayConsole: "Press HALT at the top of the console.", "Druk op HALT bovenaan in de console.";
        WayConsoleAt: "Press HALT at the top of the console: {url}",
            "Druk op HALT bovenaan in de console: {url}";
        WayTerminal: "In a terminal: holdfast halt", "In een terminal: holdfast halt";
        WayAws: "In the AWS console: set the reserved concurrency of the step function to 0.",
            "In de AWS-console: zet de reserved concurrency van de functie step op 0.";
        WayHubSpot: "In HubSpot: revoke the app’s access token. Nothing can be written without it.",
            "In HubSpot: trek het toegangstoken van de app in. Zonder dat kan niets geschreven worden.";
        Back: "Back to the halt page", "Terug naar de stoppagina";

        ResumeTitle: "Resume the agent", "De agent hervatten";
        ResumeCustomerTitle: "Resume {name}", "{name} hervatten";
        StartTitle: "Start the agent in dry-run", "De agent starten op proef";
        Since: "{word} since {time}, by {who}", "{word} sinds {time}, door {who}";
        You: "you", "jou";
        ACap: "a cap", "een limiet";
        TheSwitchStore: "the switch store", "de schakelaar";
        NoneWaiting: "No events are waiting.", "Er wachten geen gebeurtenissen.";
        OneWaiting: "1 event is waiting.", "1 gebeurtenis wacht.";
        ManyWaiting: "{n} events are waiting.", "{n} gebeurtenissen wachten.";
        WaitingHead: "What is waiting", "Wat er wacht";
        WaitingLeave: "Leave it in the console’s list, where each event is started or discarded",
            "In de lijst van de console laten, waar elke gebeurtenis gestart of weggegooid wordt";
        WaitingStart: "Start it all in dry-run", "Alles starten op proef";
        WaitingStarting: "What was waiting starts within a minute, in dry-run.",
            "Wat wachtte, start binnen een minuut, op proef.";
        WaitingLeft: "What was waiting could not be started. It is in the console’s list.",
            "Wat wachtte, kon niet gestart worden. Het staat in de lijst van de console.";
        NeverHalfWay: "Runs that were stopped stay stopped: they are never picked up half-way.",
            "Gestopte runs blijven gestopt: ze worden nooit halverwege opgepakt.";
        CustomersStay: "Halted customers stay halted: {n}.", "Gestopte klanten blijven gestopt: {n}.";
        StartIn: "Start in", "Starten in";
        StartDry: "Dry-run: reads, writes nothing", "Proefstand: leest, schrijft niets";
        StartAsBefore: "As before: writes on for {tools}", "Zoals eerst: schrijft {tools}";
        Why: "Why is it safe to resume?", "Waarom is hervatten veilig?";
        WhyStart: "Why is it safe to start?", "Waarom is starten veilig?";
        YourPin: "Your PIN", "Je pincode";
        ResumeButton: "Resume the agent", "De agent hervatten";
        ResumeCustomerButton: "Resume this customer", "Deze klant hervatten";
        StartButton: "Start in dry-run", "Starten op proef";
        KeepHalted: "Keep it halted", "Gestopt laten";

        CapFirst: "Raise the cap first, or wait for 00:00 {city}.",
            "Verhoog eerst de limiet, of wacht tot 00:00 {city}.";
        BudgetSilent: "The budget cannot be read, so it is not known whether the cap still holds. Try again.",
            "Het budget is niet te lezen, dus onbekend is of de limiet nog geldt. Probeer het opnieuw.";
        ReasonShort: "Say in at least 10 characters why it is safe.",
            "Zeg in minstens 10 tekens waarom het veilig is.";
        PinWrong: "That PIN is not right.", "Die pincode klopt niet.";
        PinWait: "Too many wrong PINs. Try again after {time}.",
            "Te veel foute pincodes. Probeer het na {time}.";
        PinLocked: "Too many wrong PINs. Another ops person sets a new one in the console.",
            "Te veel foute pincodes. Een andere ops-persoon zet een nieuwe in de console.";
        PinBusy: "Somebody changed the list of people at the same moment. Try again.",
            "Iemand wijzigde op hetzelfde moment de lijst van mensen. Probeer het opnieuw.";
        ReadingChanged: "Somebody pressed HALT, or resumed, after you opened this page. Look again before \
         you resume.",
            "Iemand drukte op HALT, of hervatte, nadat je deze pagina opende. Kijk opnieuw voor je hervat.";
        NotHalted: "It is not halted.", "Hij is niet gestopt.";
        SwitchSilent: "A switch does not answer. The agent stays halted. Try again.",
            "Een schakelaar geeft geen antwoord. De agent blijft gestopt. Probeer het opnieuw.";
        ResumeUnknown: "It is not known whether the resume arrived. Look at the halt page.",
            "Onbekend is of het hervatten is aangekomen. Kijk op de stoppagina.";
        FormForeign: "This form did not come from this page. Open the halt page and try again.",
            "Dit formulier kwam niet van deze pagina. Open de stoppagina en probeer het opnieuw.";
        MayNotResume: "This key cannot resume. A person with the ops role and a PIN can.",
            "Deze sleutel kan niet hervatten. Iemand met de ops-rol en een pincode kan dat.";

        AddTitle: "Add this phone for {name}", "Deze telefoon toevoegen voor {name}";
        AddIntro: "You get one page with one button. Pressing it halts the agent.",
            "Je krijgt één pagina met één knop. Erop drukken stopt de agent.";
        ChoosePin: "Choose a PIN of 6 digits (only needed to resume)",
            "Kies een pincode van 6 cijfers (alleen nodig om te hervatten)";
        AddButton: "Make my halt page", "Maak mijn stoppagina";
        AddUntil: "This link works once, until {time}. Opening it changes nothing; only the button does.",
            "Deze link werkt één keer, tot {time}. Openen verandert niets; alleen de knop doet iets.";
        PinSix: "A PIN has 6 digits.", "Een pincode heeft 6 cijfers.";
        AddSilent: "The list of people cannot be read or changed now. Nothing was done. Try again in a \
         minute.",
            "De lijst van mensen is nu niet te lezen of te wijzigen. Er is niets gedaan. Probeer het over \
             een minuut.";
    }
}
