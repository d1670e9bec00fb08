//! One port per kind of record that may be read. Must never send anything but a GET (token info excepted).
use crate::{
    Company, Contact, CrmError, Deal, Email, HubSpot, Note, Owner, Pipeline, RecordId, Task, TokenInfo,
    client::Client, records::WirePipelines, wire,
};
use std::sync::Arc;
use types::DealId;

/// What is read of a deal.
const DEAL_QUERY: &str = "properties=dealname,dealstage,pipeline,amount,closedate,hubspot_owner_id,\
    hs_lastmodifieddate&propertiesWithHistory=dealstage&associations=contacts,companies,emails,notes,tasks";

macro_rules! ports {
    ($($(#[$doc:meta])* $name:ident by $method:ident),+ $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            pub struct $name(Arc<Client>);
        )+
        impl HubSpot {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $method(&self) -> $name {
                    $name(self.client())
                }
            )+
        }
    };
}

ports! {
    /// Reads deals.
    DealReader by deal_reader,
    /// Reads logged mails.
    EmailReader by email_reader,
    /// Reads contacts.
    ContactReader by contact_reader,
    /// Reads companies.
    CompanyReader by company_reader,
    /// Reads the notes of a deal.
    NoteReader by note_reader,
    /// Reads the tasks of a deal.
    TaskReader by task_reader,
    /// Reads the deal pipelines and their stages.
    PipelineReader by pipeline_reader,
    /// Reads owners.
    OwnerReader by owner_reader,
    /// Asks what the token may do.
    TokenReader by token_reader,
}

impl DealReader {
    /// The deal with everything linked to it and the history of its stage.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used, or answered about another deal.
    pub async fn get_deal(&self, deal_id: &DealId) -> Result<Deal, CrmError> {
        let call = "get deal";
        Deal::from_wire(call, &deal_record(&self.0, call, deal_id, DEAL_QUERY).await?)
    }
}

impl EmailReader {
    /// The mail with the deals and contacts linked to it.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used.
    pub async fn get_email(&self, email_id: RecordId) -> Result<Email, CrmError> {
        let query = "properties=hs_email_direction,hs_email_subject,hs_email_text,hs_timestamp,\
            hs_email_from_email&associations=deals,contacts";
        object(&self.0, "get email", "emails", email_id, query).await.map(|record| Email::from_wire(&record))
    }
}

impl ContactReader {
    /// The contact.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used.
    pub async fn get_contact(&self, contact_id: RecordId) -> Result<Contact, CrmError> {
        let query = "properties=firstname,lastname,email";
        object(&self.0, "get contact", "contacts", contact_id, query)
            .await
            .map(|record| Contact::from_wire(&record))
    }
}

impl CompanyReader {
    /// The company.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used.
    pub async fn get_company(&self, company_id: RecordId) -> Result<Company, CrmError> {
        let query = "properties=name,domain";
        object(&self.0, "get company", "companies", company_id, query)
            .await
            .map(|record| Company::from_wire(&record))
    }
}

impl NoteReader {
    /// The ids of the deal's notes, the lowest first.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used, or only a part of the list.
    pub async fn note_ids(&self, deal_id: &DealId) -> Result<Vec<RecordId>, CrmError> {
        linked_ids(&self.0, "list notes", deal_id, "notes").await
    }

    /// The note.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used.
    pub async fn get_note(&self, note_id: RecordId) -> Result<Note, CrmError> {
        get_note(&self.0, note_id).await
    }
}

impl TaskReader {
    /// The ids of the deal's tasks, the lowest first.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used, or only a part of the list.
    pub async fn task_ids(&self, deal_id: &DealId) -> Result<Vec<RecordId>, CrmError> {
        linked_ids(&self.0, "list tasks", deal_id, "tasks").await
    }

    /// The task.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used.
    pub async fn get_task(&self, task_id: RecordId) -> Result<Task, CrmError> {
        get_task(&self.0, task_id).await
    }
}

impl PipelineReader {
    /// The deal pipelines with their stages; archived ones are left out.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used.
    pub async fn deal_pipelines(&self) -> Result<Vec<Pipeline>, CrmError> {
        let path = format!("/crm/pipelines/{}/deals", self.0.api_version);
        self.0.get("list pipelines", &path).await.map(WirePipelines::into_pipelines)
    }
}

impl OwnerReader {
    /// The owner with this owner id.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used.
    pub async fn get_owner(&self, owner_id: RecordId) -> Result<Owner, CrmError> {
        let path = format!("/crm/owners/{}/{owner_id}", self.0.api_version);
        self.0.get("get owner", &path).await
    }
}

impl TokenReader {
    /// The token's account, app and scopes. The one POST without a permit: it changes nothing.
    ///
    /// # Errors
    /// [`CrmError`] when HubSpot gave no answer that can be used.
    pub async fn token_info(&self) -> Result<TokenInfo, CrmError> {
        self.0.post_token_info().await
    }
}

/// One record of a kind. The kind and the query are ours, the id is a number.
async fn object(
    client: &Client,
    call: &'static str,
    kind: &'static str,
    id: RecordId,
    query: &'static str,
) -> Result<wire::Record, CrmError> {
    client.get(call, &format!("/crm/objects/{}/{kind}/{id}?{query}", client.api_version)).await
}

pub(crate) async fn deal_record(
    client: &Client,
    call: &'static str,
    deal_id: &DealId,
    query: &'static str,
) -> Result<wire::Record, CrmError> {
    let id = RecordId::try_from(deal_id).map_err(|_not_a_number| CrmError::BadId { call })?;
    // FAIL-CLOSED: a merged deal is answered under another id. The run's deal is the one it began with.
    object(client, call, "deals", id, query).await?.about(call, id)
}

pub(crate) async fn get_note(client: &Client, note_id: RecordId) -> Result<Note, CrmError> {
    let query = "properties=hs_note_body,hs_timestamp,hs_object_source_id";
    object(client, "get note", "notes", note_id, query).await.map(|record| Note::from_wire(&record))
}

pub(crate) async fn get_task(client: &Client, task_id: RecordId) -> Result<Task, CrmError> {
    let query = "properties=hs_task_subject,hs_task_body,hs_task_status,hs_timestamp,hs_object_source_id";
    object(client, "get task", "tasks", task_id, query).await.map(|record| Task::from_wire(&record))
}

/// Every id of that kind linked to the deal, or an error where HubSpot lists only a part.
async fn linked_ids(
    client: &Client,
    call: &'static str,
    deal_id: &DealId,
    kind: &'static str,
) -> Result<Vec<RecordId>, CrmError> {
    let record = deal_record(client, call, deal_id, "associations=notes,tasks").await?;
    if record.links(kind).is_some_and(wire::Links::is_partial) {
        return Err(CrmError::Incomplete { call, what: kind });
    }
    Ok(record.linked(kind))
}

#[cfg(test)]
mod tests;
