//! What can go wrong in this crate. Must never carry a key, a PIN, a cookie or a body.

/// Why something could not be built or read. Refusals that belong to normal life are values, not errors.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system; nothing was made")]
    Random,
    /// The text of a key is not 64 hex digits, or no usable key.
    #[error("the {key} must be 64 hex digits of a usable key")]
    KeyText {
        /// Which key, by its name.
        key: &'static str,
    },
    /// The invocation's payload is not a function-URL event.
    #[error("could not read the function-URL event")]
    ReadEvent(#[source] serde_json::Error),
    /// The event says that its body is base64, and it is not.
    #[error("could not decode the event's body")]
    DecodeBody,
    /// The password hash could not be computed.
    #[error("could not hash the PIN")]
    HashPin,
    /// No such time zone.
    #[error("`{name}` is not a time zone of the IANA database, such as `Europe/Amsterdam`")]
    UnknownZone {
        /// The name as it was given, made printable.
        name: String,
    },
}
