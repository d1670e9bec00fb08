//! What one try came to, and what it costs. Must never offer a call of an answer that did not end whole.
use crate::{Input, Usage};

/// The most calls of one answer that are kept; the rest is counted.
pub const CALLS_MAX: usize = 64;
/// The `kind` of a rejection that no retry heals: the account's own spend limit.
pub const SPEND_LIMIT: &str = "spend_limit";

/// What one HTTP try came to. Each variant says what its reservation is owed; [`Turn::settlement`] decides
/// it.
#[must_use = "its reservation has to be settled"]
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    /// A whole answer. Usage is known: settle exactly.
    Answer(Answer),
    /// The model declined; nothing of the answer is used. Usage is known: settle exactly.
    Refusal {
        /// Usage, model version, request id.
        receipt: Receipt,
        /// The API's word for why (`cyber`, `bio`, ..), where it gives one.
        category: Option<String>,
    },
    /// Cut at `max_tokens`; nothing of the answer is used. Usage is known: settle exactly.
    Truncated {
        /// Usage, model version, request id.
        receipt: Receipt,
    },
    /// A stop reason that is unknown, or does not fit the content; nothing is used. Usage is known: settle
    /// exactly.
    StopUnknown {
        /// Usage, model version, request id.
        receipt: Receipt,
        /// The stop reason, cleaned and cut.
        stop: String,
    },
    /// Refused, and trying again would change nothing. Settle as `charge` says: a 4xx is not billed, an
    /// answer that cannot be read may have been.
    Rejected {
        /// HTTP status; none when nothing was sent.
        status: Option<u16>,
        /// The API's error type, [`SPEND_LIMIT`], `unreadable_answer`, or `reservation_too_small`.
        kind: String,
        /// The API's message, cleaned and cut. For the log.
        message: String,
        /// Whether it may have been billed.
        charge: Charge,
    },
    /// Not answered, or asked to wait: the same body may be tried again under a new reservation. Settle this
    /// one as `charge` says: in full when it was sent and may have been served, at nothing when it certainly
    /// was not.
    Retry {
        /// Milliseconds the server asked to wait; none when it named no time.
        after_ms: Option<u64>,
        /// The API's error type, `timeout`, `connect` or `connection`.
        kind: String,
        /// Whether it may have been billed.
        charge: Charge,
    },
    /// Stopped by the switch, or the switch could not be read for too long; whatever came was thrown away.
    /// It may have been billed: charge in full.
    Halted,
}

/// Whether a try without a usable answer may have been billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// Certainly not.
    Nothing,
    /// Perhaps: charge in full.
    InFull,
}

/// What the reservation of a try is owed.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Settle with this usage.
    Exact(Usage),
    /// Settle at zero.
    Nothing,
    /// Charge in full.
    InFull,
}

impl Turn {
    /// What the try's reservation is owed.
    pub fn settlement(&self) -> Settlement {
        match self {
            Self::Answer(answer) => Settlement::Exact(answer.receipt.usage),
            Self::Refusal { receipt, .. }
            | Self::Truncated { receipt }
            | Self::StopUnknown { receipt, .. } => Settlement::Exact(receipt.usage),
            Self::Rejected { charge: Charge::Nothing, .. } | Self::Retry { charge: Charge::Nothing, .. } => {
                Settlement::Nothing
            }
            // FAIL-CLOSED: a lost answer may have been billed.
            Self::Rejected { charge: Charge::InFull, .. }
            | Self::Retry { charge: Charge::InFull, .. }
            | Self::Halted => Settlement::InFull,
        }
    }
}

/// What every answered call says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Tokens used.
    pub usage: Usage,
    /// The model that answered, as the answer names it, cleaned and cut: the audit's `model_version`.
    pub model_version: String,
    /// The API's id of the request, cleaned and cut.
    pub request_id: Option<String>,
}

/// A whole answer. All text in it is the model's: data, never an instruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text blocks, joined by line ends.
    pub text: String,
    /// The calls, in order, at most [`CALLS_MAX`].
    pub calls: Vec<Call>,
    /// How many calls came beyond those.
    pub calls_dropped: u64,
    /// The `content` array byte for byte: for [`crate::assistant`] and for the record.
    pub content_raw: Vec<u8>,
    /// Why it ended.
    pub stop: Stop,
    /// Usage, model version, request id.
    pub receipt: Receipt,
}

/// One tool call that the model asks for. Nothing is checked yet but its form.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The id that its result must name.
    pub id: String,
    /// The tool's name, cleaned and cut; where that changed it the input is malformed.
    pub name: String,
    /// Its arguments.
    pub input: Input,
}

/// How a whole answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Nothing more to do; there is no call.
    EndTurn,
    /// It waits for the results of its calls; there is at least one.
    ToolUse,
}
