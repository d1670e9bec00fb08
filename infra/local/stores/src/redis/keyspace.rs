//! The stand-in's keys, and the log on disk that keeps them. Must never answer a write before it is on disk,
//! nor go on after one that could not be written.

use crate::{
    data_dir::set_mode,
    error::{Result, StoresError, file},
};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// First bytes of the log.
const MAGIC: &[u8] = b"holdfast flags 1\n";
/// Bytes before a record's payload: its length and its checksum.
const HEAD: usize = 8;

/// One change of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Set(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Clear,
}

/// Keys and values, with what WATCH needs to know.
#[derive(Debug)]
pub(super) struct Keyspace {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The write that last touched a key. Absent: untouched since the start.
    touched: HashMap<Vec<u8>, u64>,
    writes: u64,
    pending: Vec<Change>,
    log: File,
    broken: bool,
}

impl Keyspace {
    /// Opens the log and replays it. A last record that was cut short by a crash was never answered, so it is
    /// dropped; any other damage is an error.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) if bytes.len() >= MAGIC.len() => bytes,
            // Nothing was ever answered from a log without its first line.
            Ok(_) => create(path)?,
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => create(path)?,
            Err(problem) => return Err(file("read", path)(problem)),
        };
        let damaged = |at| StoresError::Damaged { path: path.to_owned(), at };
        let mut records = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged(0))?;
        let mut values = BTreeMap::new();
        while !records.is_empty() {
            let at = bytes.len() - records.len();
            match record(records) {
                Record::Whole(changes, rest) => {
                    changes.into_iter().for_each(|change| apply(&mut values, change));
                    records = rest;
                }
                Record::Torn => break,
                Record::Bad => return Err(damaged(at)),
            }
        }
        let log = File::options().append(true).open(path).map_err(file("open", path))?;
        if !records.is_empty() {
            let good = u64::try_from(bytes.len() - records.len()).unwrap_or_default();
            log.set_len(good).and_then(|()| log.sync_all()).map_err(file("shorten", path))?;
        }
        Ok(Self { values, touched: HashMap::new(), writes: 0, pending: Vec::new(), log, broken: false })
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Vec<u8>> {
        self.values.get(key)
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Sets a key, whatever it was. Not on disk before [`Keyspace::commit`].
    pub(super) fn set(&mut self, key: &[u8], value: &[u8]) {
        self.change(Change::Set(key.to_vec(), value.to_vec()));
    }

    /// Removes a key and says whether it was there. Not on disk before [`Keyspace::commit`].
    pub(super) fn delete(&mut self, key: &[u8]) -> bool {
        let there = self.values.contains_key(key);
        if there {
            self.change(Change::Delete(key.to_vec()));
        }
        there
    }

    /// Removes every key. Not on disk before [`Keyspace::commit`].
    pub(super) fn clear(&mut self) {
        if !self.values.is_empty() {
            self.change(Change::Clear);
        }
    }

    /// The write that last touched `key`, for WATCH; 0 is none since the start.
    pub(super) fn touched(&self, key: &[u8]) -> u64 {
        self.touched.get(key).copied().unwrap_or_default()
    }

    /// Puts everything since the last commit on disk as one record: all of it survives a crash, or none.
    ///
    /// # Errors
    /// The disk refused. Memory and disk differ from then on, so every later commit fails too.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        // FAIL-CLOSED: after a write that is not on disk we answer nothing any more, not even reads.
        if self.broken {
            return Err(io::Error::other("an earlier write could not be kept"));
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let record = encode(&std::mem::take(&mut self.pending));
        let kept = self.log.write_all(&record).and_then(|()| self.log.sync_data());
        self.broken = kept.is_err();
        kept
    }

    fn change(&mut self, change: Change) {
        self.writes += 1;
        match &change {
            Change::Set(key, _) | Change::Delete(key) => {
                self.touched.insert(key.clone(), self.writes);
            }
            Change::Clear => {
                self.touched.extend(self.values.keys().map(|key| (key.clone(), self.writes)));
            }
        }
        self.pending.push(change.clone());
        apply(&mut self.values, change);
    }
}

fn apply(values: &mut BTreeMap<Vec<u8>, Vec<u8>>, change: Change) {
    match change {
        Change::Set(key, value) => {
            values.insert(key, value);
        }
        Change::Delete(key) => {
            values.remove(&key);
        }
        Change::Clear => values.clear(),
    }
}

/// Writes the log's first line, durably, together with the name in its folder.
fn create(path: &Path) -> Result<Vec<u8>> {
    let make = || {
        let mut log = File::create(path)?;
        log.write_all(MAGIC)?;
        log.sync_all()?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    make().map_err(file("create", path))?;
    set_mode(path, 0o600)?;
    Ok(MAGIC.to_vec())
}

fn encode(changes: &[Change]) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut part = |bytes: &[u8]| {
        // A part is far below 4 GB (resp.rs bounds it).
        payload.extend(u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes());
        payload.extend(bytes);
    };
    for change in changes {
        match change {
            Change::Set(key, value) => {
                part(b"S");
                part(key);
                part(value);
            }
            Change::Delete(key) => {
                part(b"D");
                part(key);
            }
            Change::Clear => part(b"C"),
        }
    }
    let mut record = Vec::with_capacity(HEAD + payload.len());
    record.extend(u32::try_from(payload.len()).unwrap_or_default().to_le_bytes());
    record.extend(checksum(&payload).to_le_bytes());
    record.extend(payload);
    record
}

enum Record<'a> {
    Whole(Vec<Change>, &'a [u8]),
    /// The end of the log, cut short.
    Torn,
    Bad,
}

fn record(bytes: &[u8]) -> Record<'_> {
    // A crash may also leave zeros where the machine had grown the file but not written it.
    if bytes.iter().all(|byte| *byte == 0) {
        return Record::Torn;
    }
    let Some((length, rest)) = number(bytes) else { return Record::Torn };
    let Some((sum, rest)) = number(rest) else { return Record::Torn };
    let Some((payload, rest)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length))
    else {
        return Record::Torn;
    };
    if checksum(payload) != sum {
        return if rest.is_empty() { Record::Torn } else { Record::Bad };
    }
    decode(payload).map_or(Record::Bad, |changes| Record::Whole(changes, rest))
}

fn decode(mut payload: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !payload.is_empty() {
        let mut part = || {
            let (length, rest) = number(payload)?;
            let (part, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            payload = rest;
            Some(part)
        };
        changes.push(match part()? {
            b"S" => Change::Set(part()?.to_vec(), part()?.to_vec()),
            b"D" => Change::Delete(part()?.to_vec()),
            b"C" => Change::Clear,
            _ => return None,
        });
    }
    Some(changes)
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// FNV-1a: enough to tell a torn record from a whole one.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::scratch;

    #[test]
    fn a_log_cut_anywhere_loses_only_the_write_that_was_cut() {
        let folder = scratch("torn");
        let path = folder.join("flags.log");
        let mut ends = vec![MAGIC.len()];
        let mut keys = Keyspace::open(&path).unwrap();
        for key in [b"a", b"b"] {
            keys.set(key, b"1");
            keys.commit().unwrap();
            ends.push(fs::read(&path).unwrap().len());
        }
        // One transaction: both or none.
        keys.delete(b"a");
        keys.set(b"c", b"2");
        keys.commit().unwrap();
        let whole = fs::read(&path).unwrap();
        ends.push(whole.len());
        drop(keys);
        for cut in MAGIC.len()..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut keys = Keyspace::open(&path).unwrap();
            let kept = ends.iter().filter(|end| **end <= cut).count() - 1;
            let have: String =
                ["a", "b", "c"].into_iter().filter(|key| keys.get(key.as_bytes()).is_some()).collect();
            assert_eq!(have, ["", "a", "ab", "bc"][kept], "cut at {cut}");
            // And the log can be written on after it.
            keys.set(b"d", b"3");
            keys.commit().unwrap();
            assert!(Keyspace::open(&path).unwrap().get(b"d").is_some(), "cut at {cut}");
        }
    }

    #[test]
    fn a_tail_of_zeros_is_a_torn_tail() {
        let folder = scratch("zeros");
        let path = folder.join("flags.log");
        let mut keys = Keyspace::open(&path).unwrap();
        keys.set(b"a", b"1");
        keys.commit().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend([0; 64]);
        fs::write(&path, bytes).unwrap();
        assert!(Keyspace::open(&path).unwrap().get(b"a").is_some());
    }

    #[test]
    fn damage_before_the_last_record_is_an_error() {
        let folder = scratch("damaged");
        let path = folder.join("flags.log");
        let mut keys = Keyspace::open(&path).unwrap();
        for key in [b"a", b"b"] {
            keys.set(key, b"1");
            keys.commit().unwrap();
        }
        let mut bytes = fs::read(&path).unwrap();
        bytes[MAGIC.len() + HEAD + 1] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Keyspace::open(&path), Err(StoresError::Damaged { at: 17, .. })));
    }

    #[test]
    fn after_a_write_that_the_disk_refused_nothing_is_answered() {
        let folder = scratch("refused");
        let path = folder.join("flags.log");
        let mut keys = Keyspace::open(&path).unwrap();
        keys.log = File::open(&path).unwrap();
        keys.set(b"a", b"1");
        assert!(keys.commit().is_err());
        assert!(keys.commit().is_err());
    }
}
