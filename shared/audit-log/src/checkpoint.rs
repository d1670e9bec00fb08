//! Signed checkpoints of the log: what somebody outside the database keeps. Must never believe a note before
//! its signature.
//!
//! A checkpoint is a signed note (<https://c2sp.org/signed-note>) whose text is origin, size and root hash
//! (<https://c2sp.org/tlog-checkpoint>). The root is that of the RFC 6962 tree whose leaves are the entries'
//! hashes, so any tool that reads such notes can check the signature, and an old checkpoint binds every row
//! up to its size.
use crate::canonical::{digest_from_hex, hex, sha256};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::fmt;

/// The note format's byte for Ed25519.
const ED25519: u8 = 1;
/// A note of ours has some 250 bytes; witnesses may add signatures.
const NOTE_BYTES_MAX: usize = 64 * 1024;
/// What begins a signature line.
const DASH: &str = "\u{2014} ";

/// Where the log stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Entries up to and with this one.
    pub size: i64,
    /// The root of the tree over their hashes, hex.
    pub root: String,
}

/// Why a text is no checkpoint of this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// Not a signed note at all.
    #[error("it is no signed note")]
    NotANote,
    /// Nobody whose key is known signed it.
    #[error("no known key signed it")]
    UnknownKey,
    /// It names a known key, and the signature is not by that key.
    #[error("its signature is false: it was changed, or another key made it")]
    FalseSignature,
    /// Signed, and not a checkpoint.
    #[error("it is signed, but no checkpoint")]
    NotACheckpoint,
    /// A checkpoint of another log.
    #[error("it is a checkpoint of another log")]
    OtherLog,
    /// A key's text that cannot be read.
    #[error("the key is not `name+hash+base64`, 64 hex digits, or no key at all")]
    NotAKey,
}

/// Signs checkpoints. `Debug` shows the origin alone.
pub struct CheckpointSigner {
    key: SigningKey,
    origin: String,
}

impl fmt::Debug for CheckpointSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointSigner").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl CheckpointSigner {
    /// From an Ed25519 secret key of 64 hex digits.
    ///
    /// # Errors
    /// [`NoteFault::NotAKey`]; the text is not repeated.
    pub fn from_secret_hex(secret: &str, origin: &str) -> Result<Self, NoteFault> {
        let bytes = digest_from_hex(secret.trim()).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let key = SigningKey::from_bytes(&bytes.ok_or(NoteFault::NotAKey)?);
        Ok(Self { key, origin: checked_name(origin)?.to_owned() })
    }

    /// Who can check it.
    #[must_use]
    pub fn public(&self) -> CheckpointKey {
        CheckpointKey { key: self.key.verifying_key(), name: self.origin.clone() }
    }

    /// The signed note of the log at that size.
    #[must_use]
    pub fn sign(&self, size: i64, root: &str) -> String {
        let root = STANDARD.encode(digest_from_hex(root).unwrap_or_default());
        let text = format!("{}\n{size}\n{root}\n", self.origin);
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        let id = self.public().id();
        let signed = STANDARD.encode([id.as_slice(), &signature].concat());
        format!("{text}\n{DASH}{} {signed}\n", self.origin)
    }
}

/// A public key that checkpoints are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointKey {
    key: VerifyingKey,
    name: String,
}

impl fmt::Display for CheckpointKey {
    /// `name+hash+base64`, as tools for signed notes take it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = STANDARD.encode([&[ED25519], self.key.as_bytes().as_slice()].concat());
        write!(f, "{}+{}+{encoded}", self.name, hex(&self.id()))
    }
}

impl CheckpointKey {
    /// A key's 32 bytes under the log's name.
    ///
    /// # Errors
    /// [`NoteFault::NotAKey`].
    pub fn from_bytes(bytes: &[u8; 32], origin: &str) -> Result<Self, NoteFault> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| NoteFault::NotAKey)?;
        Ok(Self { key, name: checked_name(origin)?.to_owned() })
    }

    /// `name+hash+base64`, or the key's 64 hex digits under the name `origin`.
    ///
    /// # Errors
    /// [`NoteFault::NotAKey`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, NoteFault> {
        let wrong = NoteFault::NotAKey;
        let text = text.trim();
        if let Some(bytes) = digest_from_hex(text).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            return Self::from_bytes(&bytes, origin);
        }
        // The encoded part may itself hold a `+`.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong);
        };
        let bytes = STANDARD.decode(encoded).map_err(|_| wrong)?;
        let Some((&ED25519, key)) = bytes.split_first() else { return Err(wrong) };
        let key = Self::from_bytes(&<[u8; 32]>::try_from(key).map_err(|_| wrong)?, name)?;
        if hex(&key.id()) == id { Ok(key) } else { Err(wrong) }
    }

    /// The first four bytes of a hash over name and key: says which key signed, and proves nothing.
    fn id(&self) -> [u8; 4] {
        let image = [self.name.as_bytes(), b"\n", &[ED25519], self.key.as_bytes()].concat();
        let mut id = [0; 4];
        id.iter_mut().zip(sha256(&image)).for_each(|(to, from)| *to = from);
        id
    }
}

fn checked_name(name: &str) -> Result<&str, NoteFault> {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    if !name.is_empty() && name.chars().all(plain) { Ok(name) } else { Err(NoteFault::NotAKey) }
}

/// The text of a note that one of the keys signed.
fn signed_text<'a>(note: &'a str, keys: &[CheckpointKey]) -> Result<&'a str, NoteFault> {
    if note.len() > NOTE_BYTES_MAX || note.chars().any(|c| c.is_ascii_control() && c != '\n') {
        return Err(NoteFault::NotANote);
    }
    let end = note.rfind("\n\n").ok_or(NoteFault::NotANote)?.saturating_add(1);
    let (text, lines) = note.split_at_checked(end).ok_or(NoteFault::NotANote)?;
    let lines = lines.strip_prefix('\n').filter(|lines| lines.ends_with('\n')).ok_or(NoteFault::NotANote)?;
    let mut is_signed = false;
    for line in lines.lines() {
        let (name, encoded) =
            line.strip_prefix(DASH).and_then(|line| line.split_once(' ')).ok_or(NoteFault::NotANote)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| NoteFault::NotANote)?;
        let (id, signature) = bytes.split_at_checked(4).ok_or(NoteFault::NotANote)?;
        let Some(key) = keys.iter().find(|key| key.name == name && key.id() == id) else { continue };
        // FAIL-CLOSED: one false signature under a known key makes the whole note worthless.
        let signature = Signature::from_slice(signature).map_err(|_| NoteFault::FalseSignature)?;
        key.key.verify_strict(text.as_bytes(), &signature).map_err(|_| NoteFault::FalseSignature)?;
        is_signed = true;
    }
    if is_signed { Ok(text) } else { Err(NoteFault::UnknownKey) }
}

/// Reads a checkpoint that one of the keys signed for the log `origin`.
///
/// # Errors
/// [`NoteFault`]: nothing of the text may be believed then.
pub fn open_checkpoint(note: &str, keys: &[CheckpointKey], origin: &str) -> Result<Checkpoint, NoteFault> {
    let text = signed_text(note, keys)?;
    let wrong = NoteFault::NotACheckpoint;
    let mut lines = text.lines();
    let (Some(first), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return Err(wrong);
    };
    if first != origin {
        return Err(NoteFault::OtherLog);
    }
    let number: i64 = size.parse().map_err(|_| wrong)?;
    let root = STANDARD.decode(root).ok().filter(|root| root.len() == 32).ok_or(wrong)?;
    if number < 0 || number.to_string() != size || lines.any(str::is_empty) {
        return Err(wrong);
    }
    Ok(Checkpoint { origin: first.to_owned(), size: number, root: hex(&root) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "holdfast/test";
    /// The pair of the note format's own public example.
    const EXAMPLE_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const EXAMPLE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signer(byte: u8) -> CheckpointSigner {
        CheckpointSigner::from_secret_hex(&format!("{byte:02x}").repeat(32), ORIGIN).unwrap()
    }

    #[test]
    fn another_implementations_key_and_note_are_read() {
        let key = CheckpointKey::parse(EXAMPLE_KEY, ORIGIN).unwrap();
        assert_eq!(key.to_string(), EXAMPLE_KEY);
        assert!(signed_text(EXAMPLE, std::slice::from_ref(&key)).unwrap().ends_with("problem is.\n"));
        let changed = EXAMPLE.replace("answer", "anwser");
        assert_eq!(signed_text(&changed, &[key]), Err(NoteFault::FalseSignature));
    }

    #[test]
    fn what_is_signed_is_read_back_and_no_byte_of_it_can_be_another() {
        let signer = signer(7);
        let root = "ab".repeat(32);
        let note = signer.sign(17, &root);
        let keys = [CheckpointKey::parse(&signer.public().to_string(), "other").unwrap()];
        let read = open_checkpoint(&note, &keys, ORIGIN).unwrap();
        assert_eq!(read, Checkpoint { origin: ORIGIN.into(), size: 17, root });
        for at in 0..note.len() {
            for change in [1_u8, 0x20, 0x80] {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= change;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(open_checkpoint(&changed, &keys, ORIGIN).is_err(), "byte {at}: {changed:?}");
            }
        }
        assert_eq!(open_checkpoint(&note, &keys, "holdfast/other"), Err(NoteFault::OtherLog));
    }

    #[test]
    fn a_stranger_signs_nothing_and_may_stand_beside_a_known_key() {
        let (ours, theirs) = (signer(7), signer(8));
        let note = theirs.sign(17, &"ab".repeat(32));
        assert_eq!(open_checkpoint(&note, &[ours.public()], ORIGIN), Err(NoteFault::UnknownKey));
        let line = ours.sign(17, &"ab".repeat(32));
        let both = format!("{note}{}\n", line.lines().last().unwrap());
        assert_eq!(open_checkpoint(&both, &[ours.public()], ORIGIN).unwrap().size, 17);
        for text in ["", "\n\n", "a\n\nb", "a\n\n\u{2014} b\n", &note.replace("\n\n", "\n")] {
            assert_eq!(
                open_checkpoint(text, &[theirs.public()], ORIGIN),
                Err(NoteFault::NotANote),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_key_that_cannot_be_read_is_refused_and_never_repeated() {
        for bad in ["", "canary", "a+b+c", &EXAMPLE_KEY.replace("c74f", "c74e"), &"zz".repeat(32)] {
            assert_eq!(CheckpointKey::parse(bad, ORIGIN), Err(NoteFault::NotAKey), "{bad}");
        }
        assert!(CheckpointSigner::from_secret_hex("canary", ORIGIN).is_err());
        assert!(CheckpointSigner::from_secret_hex(&"07".repeat(32), "a b").is_err());
        assert!(!format!("{:?}", signer(0xca)).contains("caca"));
    }
}
