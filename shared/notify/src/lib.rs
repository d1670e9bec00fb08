//! Slack, through an incoming webhook: pings, questions, notices. Must never block an act or a halt, nor
//! decide one.

mod error;
mod message;
mod slack;
mod text;

pub use error::ConfigError;
pub use message::{LastCall, Link, Message, Question, Spent, Trip, checkpoint, info, question, trip_ping};
pub use slack::{Posted, Slack, WebhookUrl};
