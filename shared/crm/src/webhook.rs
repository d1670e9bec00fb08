//! HubSpot's webhook: is it HubSpot's, is it fresh, and what does it say. Must never believe a body before
//! its signature.
mod event;
mod signature;

pub use event::{Event, EventKind, Limits, parse};
pub use signature::{Received, Verdict, verify};
