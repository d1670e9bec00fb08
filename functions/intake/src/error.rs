//! What "we do not know" means in intake. Must never stand for a forged or malformed request: those are
//! answers.

/// The request could not be judged at all.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The platform's event is not a request.
    #[error("the event is not a request")]
    Event(#[source] web::WebError),
}
