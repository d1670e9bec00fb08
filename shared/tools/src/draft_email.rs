//! `draft_email`: a mail to a contact of the run's deal, put before a person. Must never be sent from here:
//! there is no way to.
use crate::links::{self, Expected};
use crate::outcome::{deal_of, if_shown, plan_of, refused};
use crate::text::{clean_line, one_line};
use crate::{Ports, arguments, get_deal, schema::schema_of};
use async_trait::async_trait;
use crm::{CompanyReader, Contact, ContactReader, CrmError, Deal, DealReader, RecordId};
use gate::{Context, Draft, Kind, Plan, Refusal, Tool};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

const NAME: &str = "draft_email";

/// Characters of a subject.
const SUBJECT_CHARS_MAX: usize = 200;

/// Characters of a body.
const BODY_CHARS_MAX: usize = 10_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The id of the deal this run is about.
    deal_id: String,
    /// The id of a contact on the deal, from get_deal.
    to_contact_id: String,
    /// The subject, one line, 1 to 200 characters.
    subject: String,
    /// The text, plain, 1 to 10,000 characters.
    body: String,
    /// Why, in one sentence for the person who decides whether to send it, 1 to 300 characters.
    because: String,
}

pub(crate) fn tool(ports: &Ports) -> Tool {
    let draft_email = DraftEmail {
        deals: ports.deals.clone(),
        contacts: ports.contacts.clone(),
        companies: ports.companies.clone(),
    };
    Tool {
        name: NAME,
        description: "Write a mail to a contact of the deal as a draft. You cannot send it: a \
            colleague reads it and sends it or throws it away. Use it when the customer \
            waits for an answer that you can give from the deal. Promise no price, date or \
            discount that the deal does not show.",
        schema: schema_of::<Arguments>(),
        noun: "emails",
        kind: Kind::Draft(Box::new(draft_email)),
    }
}

struct DraftEmail {
    deals: DealReader,
    contacts: ContactReader,
    companies: CompanyReader,
}

/// Who the draft is for.
struct Recipient {
    id: RecordId,
    name: String,
    email: String,
}

// INVARIANT (I20): nothing in this file holds a port that writes.
#[async_trait]
impl Draft for DraftEmail {
    async fn plan(&self, context: &Context, arguments: &Value) -> Result<Plan, Refusal> {
        let given: Arguments = arguments::read(arguments)?;
        arguments::own_deal(context, &given.deal_id)?;
        let subject = arguments::line("subject", &given.subject, SUBJECT_CHARS_MAX)?;
        let body = arguments::lines("body", &given.body, BODY_CHARS_MAX)?;
        let because = arguments::because(&given.because)?;
        let deal = deal_of(&self.deals, context).await?;
        let to = self.recipient(&deal, given.to_contact_id.trim()).await?;
        let expected =
            Expected { address: Some(to.email.clone()), company_domain: self.company_domain(&deal).await? };
        let shown = if to.name.is_empty() { &to.email } else { &to.name };
        let what = format!("draft an email to {}: {}", one_line(shown, 120), one_line(&subject, 120));
        let mut plan = plan_of(context, NAME, what);
        plan.warnings = links::warnings(&[&subject, &body], &expected);
        plan.warnings.extend(links::hidden(&[&given.subject, &given.body, &given.because]));
        let contact_id = to.id.to_string();
        if !context.contact_ids.contains(&contact_id) {
            plan.warnings.push("the recipient was put on the deal after this run began".to_owned());
        }
        plan.subjects = vec![contact_id, to.email.clone()];
        plan.after = Some(json!({
            "to": { "contact_id": to.id, "name": to.name, "email": to.email },
            "subject": subject,
            "body": body,
        }));
        plan.because = Some(because);
        Ok(plan)
    }
}

impl DraftEmail {
    /// The contact, if it is on the deal now and has an address.
    async fn recipient(&self, deal: &Deal, contact_id: &str) -> Result<Recipient, Refusal> {
        let on_deal = RecordId::parse(contact_id).ok().filter(|id| deal.contact_ids.contains(id));
        let id = on_deal.ok_or_else(not_on_deal)?;
        let contact = self.contacts.get_contact(id).await.map_err(|error| match error {
            CrmError::NotFound { .. } => not_on_deal(),
            other @ (CrmError::Refused { .. }
            | CrmError::RateLimited { .. }
            | CrmError::Unavailable { .. }
            | CrmError::Malformed { .. }
            | CrmError::TooLarge { .. }
            | CrmError::Incomplete { .. }
            | CrmError::BadId { .. }) => refused(&other),
        })?;
        recipient_of(deal, id, &contact)
    }

    async fn company_domain(&self, deal: &Deal) -> Result<Option<String>, Refusal> {
        match get_deal::main_company(deal) {
            Some(id) => {
                Ok(if_shown(self.companies.get_company(id).await)?.and_then(|company| company.domain))
            }
            None => Ok(None),
        }
    }
}

fn not_on_deal() -> Refusal {
    arguments::malformed("to_contact_id is not a contact of this deal; take one from get_deal")
}

/// The contact as a recipient, if the CRM answered about somebody on the deal who has an address.
fn recipient_of(deal: &Deal, asked: RecordId, contact: &Contact) -> Result<Recipient, Refusal> {
    // FAIL-CLOSED: a merged contact may be somebody who has nothing to do with this deal.
    if contact.id != asked && !deal.contact_ids.contains(&contact.id) {
        return Err(not_on_deal());
    }
    let email = address_of(contact).ok_or_else(|| {
        arguments::malformed("that contact has no usable mail address; take another, or use ask_human")
    })?;
    Ok(Recipient { id: contact.id, name: get_deal::name_of(contact), email })
}

/// The contact's one address. A list of addresses, or a text around one, is not one: it would add recipients.
fn address_of(contact: &Contact) -> Option<String> {
    let email = clean_line(contact.email.as_deref()?);
    let plain = |c: char| !c.is_whitespace() && !",;<>()[]\"\\:".contains(c);
    let (user, host) = email.split_once('@')?;
    let one = !user.is_empty() && host.contains('.') && !host.contains('@') && email.len() <= 254;
    (one && email.chars().all(plain)).then_some(email)
}

#[cfg(test)]
mod tests;
