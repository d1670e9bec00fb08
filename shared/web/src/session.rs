//! The console's session cookie and form tokens, both sealed by one key. Must never trust what it did not
//! seal.
use crate::{
    KeyId, LinkSigner, Request, WebError,
    encoding::{base64url, from_base64url, hex, random, same_bytes},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use types::{PersonId, Timestamp};

/// How long a session lives, in seconds.
pub const SESSION_SECONDS: i64 = 12 * 3_600;
/// How long a form can be sent after it was shown, in seconds.
pub const FORM_TOKEN_SECONDS: i64 = 4 * 3_600;

const SEAL_BYTES: usize = 32;

/// How the console is reached; decides the cookie's name and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Over TLS: `__Host-c`, which browsers take from this very host only, over TLS only.
    Https,
    /// Over plain HTTP on loopback, where browsers refuse `__Host-`: `c`.
    LoopbackHttp,
}

/// Somebody signed in with her link and her PIN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Names this session; binds its forms to it.
    pub session_id: String,
    /// Who.
    pub person: PersonId,
    /// The link she signed in with: revoking it ends the session.
    pub key_id: KeyId,
    /// Until when, seconds since 1970.
    pub until_s: i64,
}

/// Seals and opens sessions and form tokens.
pub struct Sessions {
    key: [u8; 32],
    transport: Transport,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl Sessions {
    /// With a key of its own that follows from the signing key: no further secret to keep.
    #[must_use]
    pub fn derived_from(signer: &LinkSigner, transport: Transport) -> Self {
        Self { key: signer.derived_key("console session"), transport }
    }

    /// Begins a session; the second value is the `Set-Cookie` text.
    ///
    /// # Errors
    /// [`WebError::Random`] when the operating system gives no random bytes.
    pub fn begin(
        &self,
        person: &PersonId,
        key_id: &KeyId,
        now: Timestamp,
    ) -> Result<(Session, String), WebError> {
        let session = Session {
            session_id: hex(&random::<16>()?),
            person: person.clone(),
            key_id: key_id.clone(),
            until_s: now.as_second().saturating_add(SESSION_SECONDS),
        };
        let bytes = serde_json::to_vec(&session).unwrap_or_default();
        let value = base64url(&[&bytes[..], &self.seal("session", &bytes)].concat());
        Ok((session, self.cookie(&value, SESSION_SECONDS)))
    }

    /// The session of this request, when we sealed it and it has not ended.
    #[must_use]
    pub fn of(&self, request: &Request, now: Timestamp) -> Option<Session> {
        let bytes = from_base64url(request.cookie(self.cookie_name())?)?;
        let (body, seal) = bytes.split_last_chunk::<SEAL_BYTES>()?;
        if !same_bytes(seal, &self.seal("session", body)) {
            return None;
        }
        let session: Session = serde_json::from_slice(body).ok()?;
        (session.until_s > now.as_second()).then_some(session)
    }

    /// The `Set-Cookie` text that ends a session in the browser.
    #[must_use]
    pub fn end_cookie(&self) -> String {
        self.cookie("", 0)
    }

    /// A token for a form of this session.
    #[must_use]
    pub fn form_token(&self, session: &Session, now: Timestamp) -> String {
        let until_s = now.as_second().saturating_add(FORM_TOKEN_SECONDS).to_be_bytes();
        base64url(&[&until_s[..], &self.form_seal(session, &until_s)].concat())
    }

    /// Whether this token was made for this session and has not ended.
    #[must_use]
    pub fn form_token_holds(&self, session: &Session, token: &str, now: Timestamp) -> bool {
        let Some(bytes) = from_base64url(token) else { return false };
        let Some((until_s, seal)) = bytes.split_first_chunk::<8>() else { return false };
        same_bytes(seal, &self.form_seal(session, until_s)) && i64::from_be_bytes(*until_s) > now.as_second()
    }

    fn form_seal(&self, session: &Session, until_s: &[u8]) -> [u8; SEAL_BYTES] {
        self.seal("form", &[until_s, session.session_id.as_bytes()].concat())
    }

    /// The purpose is sealed too, so that no cookie passes as a form token.
    fn seal(&self, purpose: &str, bytes: &[u8]) -> [u8; SEAL_BYTES] {
        let mut mac = keyed(&self.key);
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    const fn cookie_name(&self) -> &'static str {
        match self.transport {
            Transport::Https => "__Host-c",
            Transport::LoopbackHttp => "c",
        }
    }

    fn cookie(&self, value: &str, seconds: i64) -> String {
        let secure = match self.transport {
            Transport::Https => "; Secure",
            Transport::LoopbackHttp => "",
        };
        // WHY NOT SameSite=Strict: it would drop people who come from a Slack message.
        let name = self.cookie_name();
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }
}

/// HMAC takes a block of 64 bytes; a shorter key is followed by zeros, as the standard says.
pub(crate) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0_u8; 64];
    for (slot, byte) in block.iter_mut().zip(key) {
        *slot = *byte;
    }
    Hmac::<Sha256>::new(&block.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkKind;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn sessions(transport: Transport) -> Sessions {
        Sessions::derived_from(&LinkSigner::generate().unwrap(), transport)
    }

    fn begin(sessions: &Sessions) -> (Session, String) {
        let person = PersonId::new("marieke").unwrap();
        let signer = LinkSigner::generate().unwrap();
        let link = signer.sign(LinkKind::Person, &person, at(0)).unwrap().link;
        sessions.begin(&person, &link.key_id, at(1_000)).unwrap()
    }

    fn with_cookie(cookie: &str) -> Request {
        Request::new("GET", "/").with_header("cookie", cookie.split(';').next().unwrap())
    }

    #[test]
    fn a_session_is_read_from_its_cookie_until_it_ends() {
        for transport in [Transport::Https, Transport::LoopbackHttp] {
            let sessions = sessions(transport);
            let (session, cookie) = begin(&sessions);
            assert_eq!(sessions.of(&with_cookie(&cookie), at(1_001)), Some(session));
            assert_eq!(sessions.of(&with_cookie(&cookie), at(1_000 + SESSION_SECONDS)), None);
            assert_eq!(sessions.of(&Request::new("GET", "/"), at(1_001)), None);
        }
    }

    #[test]
    fn the_cookie_is_bound_to_host_and_tls_except_on_loopback() {
        let (_, https) = begin(&sessions(Transport::Https));
        assert!(https.starts_with("__Host-c="), "{https}");
        for flag in ["Path=/", "HttpOnly", "SameSite=Lax", "Secure", "Max-Age=43200"] {
            assert!(https.contains(flag), "{flag} in {https}");
        }
        let (_, local) = begin(&sessions(Transport::LoopbackHttp));
        assert!(local.starts_with("c=") && !local.contains("Secure"), "{local}");
        assert!(sessions(Transport::Https).end_cookie().contains("Max-Age=0"));
    }

    #[test]
    fn a_changed_or_foreign_cookie_is_no_session() {
        let sessions = sessions(Transport::Https);
        let (_, cookie) = begin(&sessions);
        let value = cookie.split(['=', ';']).nth(1).unwrap();
        let bytes = from_base64url(value).unwrap();
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            let cookie = format!("__Host-c={}", base64url(&changed));
            assert_eq!(sessions.of(&with_cookie(&cookie), at(1_001)), None, "byte {position}");
        }
        let (_, foreign) = begin(&self::sessions(Transport::Https));
        assert_eq!(sessions.of(&with_cookie(&foreign), at(1_001)), None);
    }

    #[test]
    fn a_form_token_belongs_to_one_session_and_ends() {
        let sessions = sessions(Transport::Https);
        let ((mine, cookie), (other, _)) = (begin(&sessions), begin(&sessions));
        let token = sessions.form_token(&mine, at(1_000));
        assert!(sessions.form_token_holds(&mine, &token, at(1_001)));
        assert!(!sessions.form_token_holds(&other, &token, at(1_001)));
        assert!(!sessions.form_token_holds(&mine, &token, at(1_000 + FORM_TOKEN_SECONDS)));
        for bad in ["", "x", &token[1..], cookie.split(['=', ';']).nth(1).unwrap()] {
            assert!(!sessions.form_token_holds(&mine, bad, at(1_001)), "{bad}");
        }
    }
}
