//! One port per verb that changes HubSpot; each takes a permit. Must never send without one, nor send twice.
use crate::{
    BadId, HubSpot, NewNote, NewTask, PlannedRequest, RecordId, Sent, client::Client, request_of_create_note,
    request_of_create_task, request_of_set_stage, wire,
};
use interlock::Permit;
use serde_json::Value;
use std::sync::Arc;
use types::{DealId, IntentId, Reason};

/// Moves deals between stages.
#[derive(Debug, Clone)]
pub struct StageWriter(Arc<Client>);

/// Makes notes on deals.
#[derive(Debug, Clone)]
pub struct NoteWriter(Arc<Client>);

/// Makes tasks on deals.
#[derive(Debug, Clone)]
pub struct TaskWriter(Arc<Client>);

impl HubSpot {
    /// Moves deals between stages.
    #[must_use]
    pub fn stage_writer(&self) -> StageWriter {
        StageWriter(self.client())
    }

    /// Makes notes on deals.
    #[must_use]
    pub fn note_writer(&self) -> NoteWriter {
        NoteWriter(self.client())
    }

    /// Makes tasks on deals.
    #[must_use]
    pub fn task_writer(&self) -> TaskWriter {
        TaskWriter(self.client())
    }
}

impl StageWriter {
    /// Moves the deal to the stage: sends [`request_of_set_stage`] once.
    // INVARIANT (I4): no write without a permit; its intent id travels with the request.
    pub async fn set_stage(
        &self,
        permit: &Permit,
        deal_id: &DealId,
        pipeline_id: Option<&str>,
        stage_id: &str,
    ) -> Sent<()> {
        send_stage(&self.0, permit.intent_id(), deal_id, pipeline_id, stage_id).await
    }
}

impl NoteWriter {
    /// Makes the note: sends [`request_of_create_note`] once. The value is the new note's id.
    // INVARIANT (I4): no write without a permit; its intent id travels with the request.
    pub async fn create_note(&self, permit: &Permit, note: &NewNote) -> Sent<RecordId> {
        send_note(&self.0, permit.intent_id(), note).await
    }
}

impl TaskWriter {
    /// Makes the task: sends [`request_of_create_task`] once. The value is the new task's id.
    // INVARIANT (I4): no write without a permit; its intent id travels with the request.
    pub async fn create_task(&self, permit: &Permit, task: &NewTask) -> Sent<RecordId> {
        send_task(&self.0, permit.intent_id(), task).await
    }
}

async fn send_stage(
    client: &Client,
    intent_id: &IntentId,
    deal_id: &DealId,
    pipeline_id: Option<&str>,
    stage_id: &str,
) -> Sent<()> {
    let planned = match request_of_set_stage(&client.api_version, deal_id, pipeline_id, stage_id) {
        Ok(planned) => planned,
        Err(bad_id) => return not_planned(bad_id),
    };
    client.write(&planned, intent_id).await.and_then(|answer| {
        let stage = answer.pointer("/properties/dealstage").and_then(wire::text_of);
        match (id_in(&answer), stage) {
            (Some(id), _) if id.to_string() != deal_id.as_str() => {
                Err("the answer is about another deal".into())
            }
            (None, _) => Err("the answer names no deal".into()),
            (Some(_), Some(stage)) if stage != stage_id => Err("the answer shows another stage".into()),
            (Some(_), _) => Ok(()),
        }
    })
}

async fn send_note(client: &Client, intent_id: &IntentId, note: &NewNote) -> Sent<RecordId> {
    send_new(client, intent_id, &note.intent_id, request_of_create_note(&client.api_version, note)).await
}

async fn send_task(client: &Client, intent_id: &IntentId, task: &NewTask) -> Sent<RecordId> {
    send_new(client, intent_id, &task.intent_id, request_of_create_task(&client.api_version, task)).await
}

async fn send_new(
    client: &Client,
    permitted: &IntentId,
    marked: &IntentId,
    planned: Result<PlannedRequest, BadId>,
) -> Sent<RecordId> {
    // FAIL-CLOSED: a record that carries another call's marker could never be found again by its own.
    if permitted != marked {
        return not_sent("the permit is for another tool call; nothing was sent");
    }
    match planned {
        Ok(planned) => client
            .write(&planned, permitted)
            .await
            .and_then(|answer| id_in(&answer).ok_or_else(|| "the answer names no new record".to_owned())),
        Err(bad_id) => not_planned(bad_id),
    }
}

/// The id in an answer that is JSON but perhaps nothing like the documented one.
fn id_in(answer: &Value) -> Option<RecordId> {
    answer.get("id").and_then(wire::text_of).and_then(|text| RecordId::parse(&text).ok())
}

fn not_planned<T>(bad_id: BadId) -> Sent<T> {
    not_sent(&format!("{bad_id}; nothing was sent"))
}

fn not_sent<T>(message: &str) -> Sent<T> {
    Sent::NotApplied { reason: Reason::CrmRefused, wait_ms: None, message: message.to_owned() }
}

#[cfg(test)]
mod tests;
