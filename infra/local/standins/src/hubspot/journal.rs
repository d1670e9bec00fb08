//! The file that keeps every write before it is answered, one JSON line each. Must never drop a line that is
//! whole.
use super::log::Seen;
use super::records::Change;
use crate::Error;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// The first one: the moment to which the seed's days are relative.
    Seeded { at_ms: i64 },
    /// A write over the API, with the request that made it.
    Wrote { seen: Box<Seen>, change: Change },
    /// A change that did not come over the API.
    Edited { change: Change },
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    /// Opens the file and reads what it holds. A last line without its end is a write that was never
    /// answered: it is cut.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Line>), Error> {
        let name = || path.display().to_string();
        let opened = |source| Error::JournalOpen { path: name(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(opened)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(opened)?;
        let whole = text.rfind('\n').map_or(0, |end| end.saturating_add(1));
        let mut lines = Vec::new();
        for (index, line) in text.get(..whole).unwrap_or_default().lines().enumerate() {
            let parsed = serde_json::from_str(line).map_err(|source| Error::JournalLine {
                path: name(),
                line: index.saturating_add(1),
                source,
            })?;
            lines.push(parsed);
        }
        let end = u64::try_from(whole).unwrap_or(u64::MAX);
        file.set_len(end).map_err(opened)?;
        file.seek(SeekFrom::Start(end)).map_err(opened)?;
        Ok((Self(file), lines))
    }

    /// Writes one line and waits until the system has it on disk.
    pub(crate) fn append(&mut self, line: &Line) -> Result<(), Error> {
        let mut bytes = serde_json::to_vec(line).map_err(|source| Error::JournalAppend(source.into()))?;
        bytes.push(b'\n');
        self.0.write_all(&bytes).map_err(Error::JournalAppend)?;
        self.0.sync_data().map_err(Error::JournalAppend)
    }
}
