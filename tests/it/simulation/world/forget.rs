//! A person of a world: what the CRM and the model say of her, and that she is forgotten when she asked to
//! be. Must never look only where the erasure looks.
use super::super::script::{DEALS, SECRETS};
use super::{Job, World};
use serde_json::{Value, json};
use standins::hubspot::{Kind, NewEmail};
use std::collections::BTreeSet;

/// Her deal, her contact.
pub(super) const HER_DEAL: u64 = DEALS[0].0;
const HER: u64 = 704_411;
/// Every text about her holds this word, in some case.
const CANARY: &str = "canary";
const FIRST: &str = "Zo\u{eb} \"Q\\";
const LAST: &str = "Canary\u{202e}vlinder";
const MAIL: &str = "canary.vlinder@canary-mail.example";

/// How it stands with her.
#[derive(Debug)]
pub(super) struct Her {
    pub(super) email: u64,
    /// Somebody asked that she be forgotten.
    pub(super) asked: bool,
}

impl World<'_> {
    /// She is in the CRM, and has written.
    pub(super) fn she_writes(&mut self) {
        let edit = |kind, id, name: &str, value: &str| {
            self.crm.edit_by_person(kind, id, name, value).expect("edited");
        };
        edit(Kind::Contact, HER, "firstname", FIRST);
        edit(Kind::Contact, HER, "lastname", LAST);
        edit(Kind::Contact, HER, "email", MAIL);
        edit(Kind::Deal, HER_DEAL, "dealname", "CANARYDEAL rollout");
        let text = format!("CANARYTEXT: we chose another. Greetings, {FIRST} {LAST}");
        let email = NewEmail { deal_id: HER_DEAL, contact_id: HER, subject: "Re: CANARYDEAL".into(), text };
        let email = self.crm.arrive_email(&email).expect("a mail");
        // Her event comes when the schedule says so, like every other.
        drop(self.crm.pending_events());
        self.her = Some(Her { email, asked: false });
    }

    /// The mail that an event about this deal names; none once she is not to be known any more.
    pub(super) fn mail_of(&self, deal: u64) -> Option<u64> {
        match &self.her {
            Some(her) if deal == HER_DEAL => (!her.asked).then_some(her.email),
            Some(_) | None => Some(900_000 + deal),
        }
    }

    /// The event of her mail comes.
    pub(super) fn her_event(&mut self) {
        let Some(email) = self.mail_of(HER_DEAL) else { return };
        let event = self.crm.email_event(email);
        self.events.push(event.clone());
        self.open_events.push(event.clone());
        self.deliver(vec![event]);
    }

    /// What somebody types when she presses: her name, as long as rows can tell whose it is.
    pub(super) fn reason(&self) -> String {
        let (deal, truth) = (HER_DEAL.to_string(), self.truth());
        // A record that was read says whose name it is; in a mail or a note it is only text.
        let known = truth.intents.values().any(|call| {
            let of = truth.runs.get(&call.run).and_then(|run| run.deal.as_deref());
            call.tool == "get_deal" && call.outcome == "applied" && of == Some(deal.as_str())
        });
        match &self.her {
            Some(her) if !her.asked && known => format!("{FIRST} {LAST} called"),
            Some(_) | None => "pressed".to_owned(),
        }
    }

    /// The model repeats what it was told.
    pub(super) fn repeats(&self, answer: Value, request: &str) -> Value {
        if self.her.is_none() || !holds(request) {
            return answer;
        }
        let text = answer
            .to_string()
            .replace("They chose another.", &escaped(&format!("CANARYNOTE: {FIRST} {LAST} chose another.")))
            .replace("They wrote so.", "CANARYBECAUSE.")
            .replace("\"Shall I?\"", "\"CANARYQUESTION?\"")
            .replace("\"to_contact_id\":\"1\"", &format!("\"to_contact_id\":\"{HER}\""))
            .replace("\"body\":\"b\"", "\"body\":\"CANARYDRAFT\"");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Somebody asks that she be forgotten: a person, or HubSpot. The CRM, which is the controller's, has let
    /// go of her by then; what a step has read before is in its hands.
    pub(super) fn ask_to_forget(&mut self) -> bool {
        if self.her.as_ref().is_none_or(|her| her.asked) {
            return false;
        }
        if self.chance.of_1000(500) {
            let event = json!({
                "eventId": 77, "subscriptionId": 1, "portalId": 891_472_211, "appId": 1,
                "occurredAt": self.rig.clock.now_ms(), "attemptNumber": 0,
                "subscriptionType": "contact.privacyDeletion", "objectId": HER, "changeFlag": "DELETED",
            });
            self.open_events.push(event.clone());
            self.deliver(vec![event]);
        } else {
            if !self.a_person_asks() {
                return false;
            }
        }
        self.note("somebody asks that she be forgotten");
        let edit = |kind, id, name: &str| {
            self.crm.edit_by_person(kind, id, name, "gone").expect("edited");
        };
        edit(Kind::Contact, HER, "firstname");
        edit(Kind::Contact, HER, "lastname");
        edit(Kind::Deal, HER_DEAL, "dealname");
        self.crm.edit_by_person(Kind::Contact, HER, "email", "gone@gone.example").expect("edited");
        let places = self.places().into_iter().filter(|(_, text)| holds(text)).count() as u64;
        self.totals.canaries += places;
        let Some(her) = &mut self.her else { return false };
        her.asked = true;
        for name in ["hs_email_text", "hs_email_subject", "hs_email_from_email"] {
            self.crm.edit_by_person(Kind::Email, her.email, name, "gone").expect("edited");
        }
        true
    }

    fn a_person_asks(&mut self) -> bool {
        let ask = json!({"erase": {"subject": {"contacts": [HER.to_string()]}, "person": "demo",
                                   "because": "she asked by letter"}});
        self.ask_audit(Job::Forget, ask)
    }

    /// She asks in the end, if she has not; a person whose command died asks again.
    pub(super) fn she_asks_in_the_end(&mut self) -> bool {
        let in_vain = self.her.as_ref().is_some_and(|her| her.asked)
            && self.requests().iter().all(|request| request["kind"] != "erase");
        self.ask_to_forget() || in_vain && self.a_person_asks()
    }

    /// A copy of what is held of her, while everything goes on.
    pub(super) fn ask_for_a_copy(&mut self) -> bool {
        let ask = json!({"export": {"subject": {"contacts": [HER.to_string()]}, "person": "demo"}});
        self.her.is_some() && self.ask_audit(Job::Copy, ask)
    }

    /// The requests that are stored.
    fn requests(&self) -> Vec<Value> {
        let rows = self.scan("sim-runs");
        let rows = rows.iter().filter(|row| row["pk"]["S"] == "requests");
        rows.filter_map(|row| serde_json::from_str(row["body"]["S"].as_str()?).ok()).collect()
    }

    pub(super) fn all_are_forgotten(&self) -> bool {
        self.her.is_none() || self.requests().iter().all(|request| request["stage"] == "done")
    }

    /// Every stored row as text, by the place it lies in.
    fn places(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for table in ["sim-control", "sim-budget", "sim-runs", "sim-outbox"] {
            for row in self.scan(table) {
                let key = |name: &str| row[name]["S"].as_str().unwrap_or_default().to_owned();
                all.push((format!("{table} {} {}", key("pk"), key("sk")), row.to_string()));
            }
        }
        for name in self.flags.names() {
            let value = self.flags.get(&name).unwrap_or_default();
            all.push((format!("flag {name}"), format!("{name} {value}")));
        }
        let Some(log) = &self.rig.log else { return all };
        for (table, columns) in [
            ("entry", "entry_id || stream || actor || verb || coalesce(reason, '') || coalesce(run_id, '')"),
            ("payload", "concat(encode(bytes, 'escape'), target_id, customer_id, to_stage)"),
            ("subject", "person"),
            ("subject_key", "target_id"),
            ("prompt_part", "encode(bytes, 'escape')"),
            ("erasure", "request"),
            ("parked", "concat(entry_id, encode(bytes, 'escape'), why, persons)"),
            ("judgement", "concat(person, note)"),
        ] {
            let rows = log.ask(&format!("SELECT {columns} FROM audit.{table}"));
            all.extend(
                rows.into_iter().enumerate().map(|(n, row)| (format!("log {table} {n}"), row.concat())),
            );
        }
        all
    }

    // INVARIANT (I28, I29): nothing of her is left, each request is on the record, no secret is in any row.
    pub(super) fn she_is_forgotten(&mut self, wrong: &mut Vec<String>) {
        if self.rig.log.is_none() {
            return;
        }
        let places = self.places();
        for (place, text) in &places {
            if SECRETS.iter().any(|secret| text.contains(secret)) {
                wrong.push(format!("I29: a secret is in {place}"));
            }
        }
        let Some(her) = &self.her else { return };
        if her.asked {
            let left: Vec<&String> =
                places.iter().filter(|(_, text)| holds(text)).map(|(place, _)| place).collect();
            if !left.is_empty() {
                wrong.push(format!("I28: she asked to be forgotten and is in {left:?}"));
            }
        }
        let requests = self.requests();
        let done = |request: &&Value| request["stage"] == "done";
        self.totals.forgotten += requests.iter().filter(done).count() as u64;
        let truth = self.truth();
        let verbs: BTreeSet<(&str, &str)> =
            truth.entries.iter().map(|(id, entry)| (id.as_str(), entry.verb.as_str())).collect();
        let erasures = self.rig.log.as_ref().map(|log| log.ask("SELECT request FROM audit.erasure"));
        let erasures = erasures.unwrap_or_default();
        for request in &requests {
            let id = request["request_id"].as_str().unwrap_or_default();
            let verb = if request["kind"] == "erase" { "open_erase" } else { "export_subject" };
            if !verbs.iter().any(|(entry, of)| entry.contains(id) && *of == verb) {
                wrong.push(format!("I25: {id} has no entry {verb}"));
            }
            let count = erasures.iter().filter(|row| row[0] == id).count();
            if request["stage"] != "done" {
                wrong.push(format!("I32: {id} is still {}", request["stage"]));
            } else if request["kind"] == "erase" && count != 1 {
                wrong.push(format!("I25: {id} has {count} erasures in the log"));
            }
        }
        if her.asked && requests.iter().all(|request| request["kind"] != "erase") {
            wrong.push("I32: she asked to be forgotten and no request says so".to_owned());
        }
    }
}

fn holds(text: &str) -> bool {
    text.to_lowercase().contains(CANARY)
}

/// As it stands within a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
