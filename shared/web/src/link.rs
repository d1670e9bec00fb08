//! Personal links: signed keys in a path. Must never need a store to be verified, nor let a link lead away
//! from safe.
use crate::{
    WebError,
    encoding::{base64url, from_base64url, from_hex_32, hex, random},
    session::keyed,
};
use ed25519_dalek::{SIGNATURE_LENGTH, Signature, Signer as _, SigningKey, VerifyingKey};
use hmac::Mac as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use types::{PersonId, Timestamp};

/// How long a link in a Slack ping works, in seconds.
pub const SLACK_LINK_SECONDS: i64 = 24 * 3_600;
/// How long an invitation can be used, in seconds.
pub const INVITE_SECONDS: i64 = 15 * 60;

/// Signed with every link, so that no other signature of this key can pass as one.
const DOMAIN: &[u8] = b"holdfast link\0";
const FORMAT: u8 = 1;
/// Format, kind, key id, end (seconds since 1970, 0 = no end).
const HEAD_BYTES: usize = 1 + 1 + 16 + 8;
/// No honest link is longer: a longer one is refused before any work.
const TOKEN_CHARACTERS_MAX: usize = 400;

/// The public name of one link: 128 random bits as hex. It may be logged; it opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// 32 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// A person's own halt page: see and halt; with her PIN also resume.
    Person,
    /// A deputy's own page, the same rights under her own name.
    Deputy,
    /// In a Slack ping: see and halt only, for a day.
    Slack,
    /// Adds a phone: opens one form, once, within fifteen minutes.
    Invite,
}

impl LinkKind {
    const ALL: [Self; 4] = [Self::Person, Self::Deputy, Self::Slack, Self::Invite];

    const fn byte(self) -> u8 {
        match self {
            Self::Person => b'p',
            Self::Deputy => b'd',
            Self::Slack => b's',
            Self::Invite => b'i',
        }
    }

    /// How long it lives, in seconds; `None` for the links that end by being revoked.
    const fn seconds(self) -> Option<i64> {
        match self {
            Self::Person | Self::Deputy => None,
            Self::Slack => Some(SLACK_LINK_SECONDS),
            Self::Invite => Some(INVITE_SECONDS),
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Person | Self::Deputy => "/s/",
            Self::Slack => "/p/",
            Self::Invite => "/a/",
        }
    }
}

/// A link whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its public name, by which it is revoked.
    pub key_id: KeyId,
    /// Whose it is.
    pub person: PersonId,
    /// What it is for.
    pub kind: LinkKind,
    /// When it ends; `None` for one that ends by being revoked.
    pub until: Option<Timestamp>,
}

/// A fresh link. The token is the secret: it is shown or sent once; only the key id is kept.
#[derive(Clone)]
pub struct SignedLink {
    /// What the token says.
    pub link: Link,
    /// The secret text.
    pub token: String,
}

impl SignedLink {
    /// The path to append to the halt page's address: `/s/<token>`, `/p/<token>` or `/a/<token>`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}{}", self.link.kind.path(), self.token)
    }
}

impl fmt::Debug for SignedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedLink").field("key_id", &self.link.key_id).finish_non_exhaustive()
    }
}

/// Makes links. Holds the private key: console, command line and whoever sends pings; never the halt
/// function.
pub struct LinkSigner(SigningKey);

impl fmt::Debug for LinkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSigner")
    }
}

impl LinkSigner {
    /// A new private key.
    ///
    /// # Errors
    /// [`WebError::Random`] when the operating system gives no random bytes.
    pub fn generate() -> Result<Self, WebError> {
        Ok(Self(SigningKey::from_bytes(&random()?)))
    }

    /// The private key from its text.
    ///
    /// # Errors
    /// [`WebError::KeyText`] when it is not 64 hex digits.
    pub fn from_secret_hex(text: &str) -> Result<Self, WebError> {
        let bytes = from_hex_32(text).ok_or(WebError::KeyText { key: "link signing key" })?;
        Ok(Self(SigningKey::from_bytes(&bytes)))
    }

    /// The private key as 64 hex digits, for the one place that keeps it.
    #[must_use]
    pub fn secret_hex(&self) -> String {
        hex(&self.0.to_bytes())
    }

    /// The half that checks.
    #[must_use]
    pub fn verifier(&self) -> LinkVerifier {
        LinkVerifier(self.0.verifying_key())
    }

    /// A key for another purpose that only the holder of this one can work out.
    pub(crate) fn derived_key(&self, purpose: &str) -> [u8; 32] {
        let mut mac = keyed(&self.0.to_bytes());
        mac.update(b"holdfast derived key\0");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// A new link of that kind for that person.
    ///
    /// # Errors
    /// [`WebError::Random`] when the operating system gives no random bytes.
    pub fn sign(&self, kind: LinkKind, person: &PersonId, now: Timestamp) -> Result<SignedLink, WebError> {
        let id: [u8; 16] = random()?;
        let until_seconds = kind.seconds().map_or(0, |seconds| now.as_second().saturating_add(seconds));
        let mut bytes = vec![FORMAT, kind.byte()];
        bytes.extend_from_slice(&id);
        bytes.extend_from_slice(&until_seconds.to_be_bytes());
        bytes.extend_from_slice(person.as_str().as_bytes());
        let signature = self.0.sign(&signed_bytes(&bytes));
        bytes.extend_from_slice(&signature.to_bytes());
        let until = kind.seconds().and_then(|_| Timestamp::from_second(until_seconds).ok());
        let link = Link { key_id: KeyId(hex(&id)), person: person.clone(), kind, until };
        Ok(SignedLink { link, token: base64url(&bytes) })
    }
}

/// Checks links with the public key alone.
#[derive(Debug, Clone)]
pub struct LinkVerifier(VerifyingKey);

impl LinkVerifier {
    /// With that public key.
    ///
    /// # Errors
    /// [`WebError::KeyText`] when it is not a usable Ed25519 key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, WebError> {
        let key = VerifyingKey::from_bytes(bytes).ok();
        // FAIL-CLOSED: a weak key would let anybody sign.
        let strong = key.filter(|key| !key.is_weak());
        strong.map(Self).ok_or(WebError::KeyText { key: "link verifying key" })
    }

    /// The public key as 64 hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex(self.0.as_bytes())
    }

    /// The link, when our key signed it and it has not ended. Whether it was revoked only the store knows.
    #[must_use]
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<Link> {
        if token.len() > TOKEN_CHARACTERS_MAX {
            return None;
        }
        let bytes = from_base64url(token)?;
        let (payload, signature) = bytes.split_last_chunk::<SIGNATURE_LENGTH>()?;
        let signature = Signature::from_bytes(signature);
        let signed = signed_bytes(payload);
        // Strict: one signature per link, so that no second text opens the same page.
        self.0.verify_strict(&signed, &signature).ok()?;
        read_payload(payload, now)
    }
}

fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    [DOMAIN, payload].concat()
}

fn read_payload(payload: &[u8], now: Timestamp) -> Option<Link> {
    let (head, person) = payload.split_first_chunk::<HEAD_BYTES>()?;
    let ([format, kind], rest) = head.split_first_chunk::<2>()?;
    let (id, until_seconds) = rest.split_first_chunk::<16>()?;
    let until_seconds = i64::from_be_bytes(until_seconds.try_into().ok()?);
    if *format != FORMAT {
        return None;
    }
    let kind = LinkKind::ALL.into_iter().find(|known| known.byte() == *kind)?;
    // FAIL-CLOSED: a kind that must end and says no end (or the other way round) is no link of ours.
    let until = match (kind.seconds(), until_seconds) {
        (None, 0) => None,
        (Some(_), seconds) if seconds > now.as_second() => Some(Timestamp::from_second(seconds).ok()?),
        (None | Some(_), _) => return None,
    };
    let person = PersonId::new(std::str::from_utf8(person).ok()?).ok()?;
    Some(Link { key_id: KeyId(hex(id)), person, kind, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn marieke() -> PersonId {
        PersonId::new("marieke").unwrap()
    }

    #[test]
    fn a_link_is_verified_by_the_public_key_alone() {
        let signer = LinkSigner::generate().unwrap();
        let verifier = LinkVerifier::from_bytes(&from_hex_32(&signer.verifier().to_hex()).unwrap()).unwrap();
        for kind in LinkKind::ALL {
            let signed = signer.sign(kind, &marieke(), at(1_000)).unwrap();
            assert_eq!(verifier.verify(&signed.token, at(1_001)), Some(signed.link.clone()), "{kind:?}");
            assert_eq!(signed.link.key_id.as_str().len(), 32);
            assert!(signed.path().starts_with(kind.path()));
        }
    }

    #[test]
    fn two_links_are_never_alike() {
        let signer = LinkSigner::generate().unwrap();
        let one = signer.sign(LinkKind::Person, &marieke(), at(0)).unwrap();
        let two = signer.sign(LinkKind::Person, &marieke(), at(0)).unwrap();
        assert_ne!(one.token, two.token);
        assert_ne!(one.link.key_id, two.link.key_id);
    }

    #[test]
    fn a_link_in_a_ping_and_an_invitation_end_and_a_personal_one_does_not() {
        let signer = LinkSigner::generate().unwrap();
        let verifier = signer.verifier();
        for (kind, seconds) in [(LinkKind::Slack, SLACK_LINK_SECONDS), (LinkKind::Invite, INVITE_SECONDS)] {
            let signed = signer.sign(kind, &marieke(), at(1_000)).unwrap();
            assert!(verifier.verify(&signed.token, at(999 + seconds)).is_some(), "{kind:?}");
            assert_eq!(verifier.verify(&signed.token, at(1_000 + seconds)), None, "{kind:?}");
        }
        let signed = signer.sign(LinkKind::Person, &marieke(), at(1_000)).unwrap();
        assert!(verifier.verify(&signed.token, at(4_000_000_000)).is_some());
    }

    #[test]
    fn any_changed_bit_and_any_foreign_key_is_refused() {
        let signer = LinkSigner::generate().unwrap();
        let verifier = signer.verifier();
        let signed = signer.sign(LinkKind::Slack, &marieke(), at(1_000)).unwrap();
        let bytes = from_base64url(&signed.token).unwrap();
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1 << (position % 8);
            let token = base64url(&changed);
            assert_eq!(verifier.verify(&token, at(1_001)), None, "byte {position}");
        }
        let foreign = LinkSigner::generate().unwrap().sign(LinkKind::Slack, &marieke(), at(1_000)).unwrap();
        assert_eq!(verifier.verify(&foreign.token, at(1_001)), None);
        for odd in
            ["", "demo", "=", "AAAA", &signed.token[1..], &format!("{}=", signed.token), &"A".repeat(5_000)]
        {
            assert_eq!(verifier.verify(odd, at(1_001)), None, "{odd:?}");
        }
    }

    #[test]
    fn a_signed_payload_that_breaks_our_own_rules_is_refused() {
        let signer = LinkSigner::generate().unwrap();
        let forge = |format: u8, kind: u8, until: i64, person: &[u8]| {
            let mut bytes = [&[format, kind][..], &[7; 16], &until.to_be_bytes(), person].concat();
            let signature = signer.0.sign(&signed_bytes(&bytes)).to_bytes();
            bytes.extend_from_slice(&signature);
            signer.verifier().verify(&base64url(&bytes), at(1_000))
        };
        assert!(forge(FORMAT, b'p', 0, b"marieke").is_some(), "the forge itself works");
        assert!(forge(FORMAT, b's', 2_000, b"marieke").is_some(), "the forge itself works");
        assert_eq!(forge(2, b'p', 0, b"marieke"), None);
        assert_eq!(forge(FORMAT, b'x', 0, b"marieke"), None);
        assert_eq!(forge(FORMAT, b's', 0, b"marieke"), None, "a ping link without an end");
        assert_eq!(forge(FORMAT, b'p', 2_000, b"marieke"), None);
        assert_eq!(forge(FORMAT, b'p', 0, b""), None);
        assert_eq!(forge(FORMAT, b'p', 0, b"mar\xffieke"), None);
        assert_eq!(forge(FORMAT, b'p', 0, b"a person"), None);
    }

    #[test]
    fn a_signature_made_for_something_else_is_no_link() {
        let signer = LinkSigner::generate().unwrap();
        let payload = [&[FORMAT, b'p'][..], &[7; 16], &[0; 8], b"marieke"].concat();
        let signature = signer.0.sign(&payload).to_bytes();
        let token = base64url(&[&payload[..], &signature].concat());
        assert_eq!(signer.verifier().verify(&token, at(0)), None);
    }

    #[test]
    fn a_key_survives_as_text_and_is_never_shown_by_debug() {
        let signer = LinkSigner::generate().unwrap();
        let again = LinkSigner::from_secret_hex(&signer.secret_hex()).unwrap();
        let token = again.sign(LinkKind::Person, &marieke(), at(0)).unwrap().token;
        assert!(signer.verifier().verify(&token, at(0)).is_some());
        assert!(!format!("{again:?}").contains(&signer.secret_hex()));
        for bad in ["", "00", &"g".repeat(64), &"0".repeat(65)] {
            assert!(LinkSigner::from_secret_hex(bad).is_err(), "{bad}");
        }
        assert!(LinkVerifier::from_bytes(&[0; 32]).is_err(), "a weak key verifies anything");
    }
}
