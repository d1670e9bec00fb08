//! HubSpot: one narrow port per verb, the webhook's signature and its events. Must never know a tool or the
//! gate, nor send anything but a GET without a permit.

mod client;
mod error;
#[cfg(test)]
mod loopback;
mod read_back;
mod readers;
mod record_id;
mod records;
mod requests;
mod secret;
mod sent;
mod text;
pub mod webhook;
mod wire;
mod writers;

pub use client::{HubSpot, HubSpotConfig};
pub use error::{BodyError, ConfigError, CrmError, EventError, Retry};
pub use read_back::{Kind, Marker, ReadBack};
pub use readers::{
    CompanyReader, ContactReader, DealReader, EmailReader, NoteReader, OwnerReader, PipelineReader,
    TaskReader, TokenReader,
};
pub use record_id::{BadId, RecordId};
pub use records::{
    Company, Contact, Deal, DealCompany, Email, Note, Owner, Pipeline, Stage, StageChange, Task, TokenInfo,
};
pub use requests::{
    ApiVersion, NewNote, NewTask, PlannedRequest, marker_of, request_of_create_note, request_of_create_task,
    request_of_set_stage,
};
pub use secret::Secret;
pub use sent::Sent;
pub use writers::{NoteWriter, StageWriter, TaskWriter};
