//! Pages over function URLs: requests, answers, keys, forms and the state panel. Must never know a store.

mod encoding;
mod error;
mod fields;
mod lang;
mod link;
mod page;
pub mod panel;
mod pin;
mod request;
mod response;
mod session;
mod text;
mod time;

pub use error::WebError;
pub use fields::{Fields, FormRefused, decode_component, encode_component};
pub use lang::{Lang, Piece, incomplete_words, phrase};
pub use link::{
    INVITE_SECONDS, KeyId, Link, LinkKind, LinkSigner, LinkVerifier, SLACK_LINK_SECONDS, SignedLink,
};
pub use page::Page;
pub use pin::{PIN_TRIES_PER_WINDOW, PIN_WRONG_BEFORE_RESET, Pin, PinHash, PinTries, PinVerdict};
pub use request::{Method, Request, SentFrom};
pub use response::Response;
pub use session::{FORM_TOKEN_SECONDS, SESSION_SECONDS, Session, Sessions, Transport};
pub use text::plain_text;
pub use time::Zone;
pub use types::{csv_field, visible, visible_line};
