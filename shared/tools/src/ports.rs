//! Everything the tools may reach, as narrow views. Must never hold a client that could do more than they
//! need.
use crm::{
    ApiVersion, CompanyReader, ContactReader, DealReader, NoteWriter, ReadBack, StageWriter, TaskWriter,
};

/// What the tools are built from. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Ports {
    /// The version in HubSpot's paths: part of every planned request.
    pub api_version: ApiVersion,
    /// Our own app at HubSpot, by which its stage history names us. Without it no unanswered stage write can
    /// be told from a person's.
    pub app_id: Option<u64>,
    /// Reads deals.
    pub deals: DealReader,
    /// Reads contacts.
    pub contacts: ContactReader,
    /// Reads companies.
    pub companies: CompanyReader,
    /// Makes notes.
    pub notes: NoteWriter,
    /// Moves deals between stages.
    pub stages: StageWriter,
    /// Makes tasks.
    pub tasks: TaskWriter,
    /// Reads what became of a write.
    pub read_back: ReadBack,
    /// Slack; without it questions wait in the console alone.
    pub slack: Option<notify::Slack>,
}

impl Ports {
    /// The narrow views of these clients.
    #[must_use]
    pub fn new(hubspot: &crm::HubSpot, app_id: Option<u64>, slack: Option<notify::Slack>) -> Self {
        Self {
            api_version: hubspot.api_version().clone(),
            app_id,
            deals: hubspot.deal_reader(),
            contacts: hubspot.contact_reader(),
            companies: hubspot.company_reader(),
            notes: hubspot.note_writer(),
            stages: hubspot.stage_writer(),
            tasks: hubspot.task_writer(),
            read_back: hubspot.read_back(),
            slack,
        }
    }
}
