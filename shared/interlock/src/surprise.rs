//! How many surprises send a tool back to dry-run, in one item beside the control item. Must never raise
//! itself.
use crate::Interlock;
use crate::error::InterlockError;
use crate::update::STORE_TIMEOUT;
use serde::{Deserialize, Serialize};

/// How many of the last judged rows of a tool decide whether it may go on writing.
pub const SURPRISE_WINDOW: u32 = 50;
/// The limit where nobody set one: a tenth of the window.
const MOST: u32 = SURPRISE_WINDOW / 10;

/// The most surprises among a tool's last [`SURPRISE_WINDOW`] judged rows; one more puts it back in dry-run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurpriseLimit {
    /// Counts changes.
    pub version: u64,
    /// So many are borne; [`SURPRISE_WINDOW`] is never passed.
    pub most: u32,
}

impl Default for SurpriseLimit {
    fn default() -> Self {
        Self { version: 0, most: MOST }
    }
}

impl Interlock {
    /// The limit, read consistently.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    pub async fn surprise_limit(&self) -> Result<SurpriseLimit, InterlockError> {
        let Some(item) = self.get("surprise_limit", STORE_TIMEOUT).await? else {
            return Ok(SurpriseLimit::default());
        };
        let text = item.get("body").and_then(|body| body.as_s().ok());
        let version = item.get("version").and_then(|version| version.as_n().ok()?.parse().ok()).unwrap_or(0);
        // FAIL-CLOSED: a limit that cannot be understood bears no surprise at all.
        let strictest = SurpriseLimit { version, most: 0 };
        Ok(text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(strictest))
    }

    /// Stores a limit, if nobody else did since `seen` was read. False when somebody did.
    ///
    /// # Errors
    /// [`InterlockError`] when the store gave no answer.
    pub async fn put_surprise_limit(&self, seen: SurpriseLimit, most: u32) -> Result<bool, InterlockError> {
        let next = SurpriseLimit { version: seen.version.saturating_add(1), most };
        self.put_beside("surprise_limit", "change the limit of surprises beside", seen.version, &next).await
    }
}
