//! A text that must never be seen: it prints as stars and is read only where a request is signed or sent.
use std::fmt;

/// A token or client secret. `Debug` shows stars; there is no `Display`, no `Serialize` and no public reader.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text, without the white space around it (a trailing newline is a common slip in a parameter
    /// store).
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// Nothing was configured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new(" pat-canary\n");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(***) Some(Secret(***))");
        assert_eq!(secret.expose(), "pat-canary");
        assert!(Secret::new(" \n").is_empty());
    }
}
