//! Every text of the state panel, in each language. Must never say more than what was seen.

crate::words! {
    /// The texts of the state panel.
    pub enum Word {
        Running: "RUNNING", "DRAAIT";
        Halting: "HALTING", "STOPT";
        Halted: "HALTED", "GESTOPT";
        Stopped: "STOPPED", "GESTOPT";
        Stopping: "STOPPING", "STOPT";
        Unknown: "UNKNOWN", "ONBEKEND";
        Sending: "SENDING", "BEZIG MET VERSTUREN";
        NotConfirmed: "NOT CONFIRMED", "NIET BEVESTIGD";
        NoContact: "NO CONTACT", "GEEN CONTACT";

        NotStartedBold: "Not started yet.", "Nog niet gestart.";
        NotStarted: "Nobody has started the agent. It starts in dry-run: it reads deals and changes nothing.",
            "Niemand heeft de agent gestart. Hij begint op proef: hij leest deals en wijzigt niets.";
        WritesBold: "The agent can change deals in HubSpot.", "De agent kan deals in HubSpot wijzigen.";
        DryBold: "In dry-run: it reads deals and changes nothing.",
            "Proefstand: hij leest deals en wijzigt niets.";
        WritesOn: "Writes on: {tools}.", "Schrijft: {tools}.";
        DryRun: "Dry-run: {tools}.", "Proefstand: {tools}.";
        ExceptOneBold: "For everyone except 1 customer.", "Voor iedereen behalve 1 klant.";
        ExceptManyBold: "For everyone except {n} customers.", "Voor iedereen behalve {n} klanten.";
        HaltedCustomers: "Halted: {names}.", "Gestopt: {names}.";
        HaltedCustomersMore: "Halted: {names} and {n} more.", "Gestopt: {names} en nog {n}.";
        OneInFlight: "1 write in flight.", "1 wijziging onderweg.";
        ManyInFlight: "{n} writes in flight.", "{n} wijzigingen onderweg.";
        ConfirmedYours: "Your halt is confirmed. Nothing new will start.",
            "Je stop is bevestigd. Er begint niets nieuws.";
        Confirmed: "The halt is confirmed. Nothing new will start.",
            "De stop is bevestigd. Er begint niets nieuws.";
        NothingInFlight: "Nothing in flight.", "Niets meer onderweg.";
        ForEveryCustomer: "The agent is stopped for every customer.",
            "De agent is gestopt voor alle klanten.";
        HaltedByYou: "Halted by you at {time}.", "Gestopt door jou om {time}.";
        HaltedByName: "Halted by {who} at {time}.", "Gestopt door {who} om {time}.";
        HaltedByDayCap: "Halted by the daily budget at {time}.", "Gestopt door het dagbudget om {time}.";
        HaltedByRunCap: "Halted by a limit of one run at {time}.",
            "Gestopt door een limiet per run om {time}.";
        HaltedByFlag: "Set directly in the switch store, seen at {time}.",
            "Rechtstreeks in de schakelaar gezet, gezien om {time}.";
        CheckOneDealBold: "Nothing is being sent. Check 1 deal.",
            "Er wordt niets verstuurd. Controleer 1 deal.";
        CheckManyDealsBold: "Nothing is being sent. Check {n} deals.",
            "Er wordt niets verstuurd. Controleer {n} deals.";
        NeverAnsweredOne: "HubSpot never answered for {what}.", "HubSpot gaf geen antwoord over {what}.";
        NeverAnsweredMany: "HubSpot never answered for {n} writes.",
            "HubSpot gaf geen antwoord over {n} wijzigingen.";
        OtherSwitchPending: "One switch confirmed. The other is tried again.",
            "Eén schakelaar heeft bevestigd. De andere wordt opnieuw geprobeerd.";
        SilentBold: "Cannot reach one of the two switches.", "Eén schakelaar geeft geen antwoord.";
        NoneSince: "The agent asks both before every step. No answer: no step. None has run since {time}.",
            "De agent vraagt beide voor elke stap. Geen antwoord: geen stap. Geen stap sinds {time}.";
        TreatAsRunningBold: "Treat it as RUNNING.", "Ga ervan uit dat hij draait.";
        SilentButAliveOne: "Cannot reach one of the two switches, but the agent did something 1 second ago.",
            "Eén schakelaar geeft geen antwoord, maar de agent deed 1 seconde geleden iets.";
        SilentButAlive: "Cannot reach one of the two switches, but the agent did something {n} seconds ago.",
            "Eén schakelaar geeft geen antwoord, maar de agent deed {n} seconden geleden iets.";
        SilentButWriting: "Cannot reach one of the two switches, but the agent may be writing.",
            "Eén schakelaar geeft geen antwoord, maar de agent kan aan het schrijven zijn.";
        SilentNoSign: "Cannot reach one of the two switches, and nothing else can tell us.",
            "Eén schakelaar geeft geen antwoord, en niets anders kan het ons vertellen.";
        BothSilent: "Neither switch answers.", "Geen van beide schakelaars geeft antwoord.";
        EmptiedBold: "The switch store was emptied.", "De schakelaar is leeggemaakt.";
        UntilResumed: "The agent is stopped until a person resumes it.",
            "De agent staat stil tot iemand hem hervat.";
        ByHandBold: "Set directly in the switch store.", "Rechtstreeks in de schakelaar gezet.";
        ByHand: "The agent stops when it next checks that switch. Press HALT to make it last.",
            "De agent stopt zodra hij die schakelaar weer leest. Druk op HALT om het vast te leggen.";
        OneSwitchBold: "One switch confirmed.", "Eén schakelaar heeft bevestigd.";
        OneSwitch: "The agent stops when it next checks that switch. Wait for HALTED. The other switch is \
         tried again.",
            "De agent stopt zodra hij die schakelaar weer leest. Wacht op GESTOPT. De andere wordt opnieuw \
             geprobeerd.";
        WritesUnknown: "Writes in flight: unknown, finished in 65 seconds at the latest.",
            "Wijzigingen onderweg: onbekend, klaar over uiterlijk 65 seconden.";
        MayStillRunBold: "The agent may still be running.", "De agent draait misschien nog.";
        SendingWait: "Wait for HALTING or HALTED.", "Wacht op STOPT of GESTOPT.";
        NotConfirmedText: "Neither switch confirmed. Press HALT again. Keep this page open.",
            "Geen van beide schakelaars heeft bevestigd. Druk nog eens op HALT. Houd deze pagina open.";
        NoSignal: "No signal. Your HALT is sent again every 2 seconds. Try {n}. Keep this page open.",
            "Geen verbinding. Je HALT wordt elke 2 seconden opnieuw verstuurd. Poging {n}. Houd deze pagina \
             open.";
        MayRunBold: "The agent may be running.", "De agent draait misschien.";
        LostConnection:
            "This page lost its connection. You can press HALT: it is sent as soon as there is signal.",
            "Deze pagina heeft geen verbinding. Je kunt op HALT drukken: het wordt verstuurd zodra er \
             verbinding is.";
        LastContact: "Last contact {time}: {state}", "Laatste contact {time}: {state}";
        Checked: "Checked {time}, {city} ({offset})", "Stand van {time}, {city} ({offset})";
        StopsEveryone: "Stops the agent for every customer", "Stopt de agent voor alle klanten";

        Notes: "notes", "notities";
        Stages: "stages", "fases";
        FollowUps: "follow-ups", "opvolging";
        NoteOf: "note on deal {deal}", "notitie bij deal {deal}";
        StageOf: "stage of deal {deal}", "fase van deal {deal}";
        FollowUpOf: "follow-up on deal {deal}", "opvolging bij deal {deal}";
        ToolOf: "{tool} on deal {deal}", "{tool} bij deal {deal}";
        TheNoteOf: "the note on deal {deal}", "de notitie bij deal {deal}";
        TheStageOf: "the stage of deal {deal}", "de fase van deal {deal}";
        TheFollowUpOf: "the follow-up on deal {deal}", "de opvolging bij deal {deal}";
    }
}
