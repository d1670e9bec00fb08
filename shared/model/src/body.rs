//! A whole request body, its parts and its bounds. Must never be changed between hashing and sending.
use crate::text;
use std::ops::Range;

/// `max_tokens` where enough is left: a call and a sentence need a few hundred.
pub const MAX_TOKENS_USUAL: u32 = 1_024;
/// Below this an answer is likely to be cut, and a cut answer is money for nothing.
pub const MAX_TOKENS_USEFUL: u32 = 256;

/// Tokens of the prompt that the API itself puts in front of tools, which no byte of ours covers. The
/// documented sum for one small tool (403) is below it, and every byte of our tool list is counted besides.
const TOOL_PROMPT_TOKENS: u64 = 1_024;
/// Tokens that frame a message (role, block and turn marks), for the two messages that a turn adds, and
/// slack.
const TURN_TOKENS: u64 = 64;
/// How much shorter the tail can get (`1024` to one digit): not a sign of changed history.
const TAIL_BYTES_SLACK: u64 = 16;

/// One part of a body, kept once by its hash however many bodies share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// SHA-256 of the bytes, hex.
    pub sha256: &'a str,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// The exact bytes of one request. The prompt hash of the audit is [`Body::sha256`].
///
/// Parts, in order: the frozen part; each message, every one but the first with a leading comma; the tail
/// `],"max_tokens":n}`. So a message is the same part in every later body of its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    bytes: Vec<u8>,
    sha256: String,
    parts: Vec<(String, Range<usize>)>,
    max_tokens: u32,
}

impl Body {
    /// Joins the frozen part, the messages and the tail.
    #[must_use]
    pub fn assemble(frozen: &[u8], messages: &[Vec<u8>], max_tokens: u32) -> Self {
        let mut bytes = Vec::new();
        let mut parts = Vec::new();
        let mut push = |comma: &[u8], piece: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(comma);
            bytes.extend_from_slice(piece);
            parts.push((text::sha256_hex(bytes.get(start..).unwrap_or_default()), start..bytes.len()));
        };
        push(b"", frozen);
        for (at, message) in messages.iter().enumerate() {
            push(if at == 0 { b"" } else { b"," }, message);
        }
        push(b"", format!(r#"],"max_tokens":{max_tokens}}}"#).as_bytes());
        Self { sha256: text::sha256_hex(&bytes), bytes, parts, max_tokens }
    }

    /// The bytes that are sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of all bytes, hex: the prompt hash.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The most tokens that the answer may have, thinking included.
    #[must_use]
    pub fn max_tokens(&self) -> u32 {
        self.max_tokens
    }

    /// The parts, whose bytes joined are [`Body::bytes`].
    pub fn parts(&self) -> impl ExactSizeIterator<Item = Part<'_>> {
        self.parts
            .iter()
            .map(|(sha256, at)| Part { sha256, bytes: self.bytes.get(at.clone()).unwrap_or_default() })
    }
}

/// The last answered turn of the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// [`crate::Usage::total`] of that turn: input, cached or not, and output.
    pub tokens: u64,
    /// Bytes of the body that was sent then.
    pub body_bytes: usize,
}

/// An upper bound on the input tokens of a body.
///
/// Every text token covers at least one byte. So the first turn counts one token per byte of the whole body,
/// plus the API's own tool prompt; a later one counts what the last turn really used, plus one per byte added
/// since.
#[must_use]
pub fn upper_bound(previous: Option<Previous>, body_bytes: usize) -> u64 {
    let bytes = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let whole = bytes(body_bytes).saturating_add(TOOL_PROMPT_TOKENS);
    let Some(previous) = previous else { return whole };
    let before = bytes(previous.body_bytes);
    // FAIL-CLOSED: a body that got shorter is not the same run with more added, so the last usage says
    // nothing.
    if bytes(body_bytes).saturating_add(TAIL_BYTES_SLACK) < before {
        return whole.max(previous.tokens);
    }
    let added = bytes(body_bytes).saturating_add(TAIL_BYTES_SLACK).saturating_sub(before);
    previous.tokens.saturating_add(added).saturating_add(TURN_TOKENS)
}

/// The `max_tokens` that fits into what the run has left after its input; none when too little is left to be
/// useful.
#[must_use]
pub fn fit_max_tokens(tokens_left: u64, input_bound: u64, usual: u32, useful_min: u32) -> Option<u32> {
    let room = u32::try_from(tokens_left.checked_sub(input_bound)?).unwrap_or(u32::MAX);
    let fit = room.min(usual);
    (fit >= useful_min && fit > 0).then_some(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(messages: &[&str], max_tokens: u32) -> Body {
        let messages: Vec<Vec<u8>> = messages.iter().map(|m| m.as_bytes().to_vec()).collect();
        Body::assemble(br#"{"messages":["#, &messages, max_tokens)
    }

    #[test]
    fn a_body_is_its_parts_in_order_and_nothing_else() {
        let body = body(&["{}", "[1]"], 1024);
        assert_eq!(body.bytes(), br#"{"messages":[{},[1]],"max_tokens":1024}"#);
        let parts: Vec<&[u8]> = body.parts().map(|p| p.bytes).collect();
        assert_eq!(parts, [&br#"{"messages":["#[..], b"{}", b",[1]", br#"],"max_tokens":1024}"#]);
        assert_eq!(parts.concat(), body.bytes());
        assert_eq!(body.sha256(), text::sha256_hex(body.bytes()));
        for part in body.parts() {
            assert_eq!(part.sha256, text::sha256_hex(part.bytes));
        }
    }

    #[test]
    fn a_longer_body_of_the_run_shares_all_parts_but_the_tail() {
        let (first, second) = (body(&["{}"], 1024), body(&["{}", "[1]", "{}"], 512));
        let shas = |b: &Body| b.parts().map(|p| p.sha256.to_owned()).collect::<Vec<_>>();
        assert_eq!(shas(&first).get(..2), shas(&second).get(..2));
        assert_ne!(first.sha256(), second.sha256());
    }

    #[test]
    fn the_first_bound_counts_every_byte_and_the_tool_prompt() {
        assert_eq!(upper_bound(None, 9_000), 9_000 + TOOL_PROMPT_TOKENS);
    }

    #[test]
    fn a_later_bound_counts_real_usage_and_every_byte_added() {
        let previous = Previous { tokens: 3_000, body_bytes: 9_000 };
        let bound = upper_bound(Some(previous), 9_700);
        assert!((3_700..=3_828).contains(&bound), "{bound}");
        // The tail may lose digits while messages are added: the bytes added are then more than the
        // difference.
        assert!(upper_bound(Some(previous), 9_000) >= 3_000 + TAIL_BYTES_SLACK);
        assert_eq!(upper_bound(Some(previous), 100), 3_000, "never below what is known");
        assert_eq!(upper_bound(Some(previous), 5_000), 5_000 + TOOL_PROMPT_TOKENS, "history was cut");
        assert_eq!(upper_bound(Some(Previous { tokens: u64::MAX, body_bytes: 0 }), usize::MAX), u64::MAX);
    }

    #[test]
    fn max_tokens_shrinks_to_what_is_left_down_to_the_useful_minimum() {
        let fit = |left, bound| fit_max_tokens(left, bound, 1_024, 256);
        assert_eq!(fit(40_000, 9_000), Some(1_024));
        assert_eq!(fit(10_024, 9_000), Some(1_024));
        assert_eq!(fit(10_023, 9_000), Some(1_023));
        assert_eq!(fit(9_256, 9_000), Some(256));
        assert_eq!(fit(9_255, 9_000), None);
        assert_eq!(fit(8_999, 9_000), None);
        assert_eq!(fit(u64::MAX, 0), Some(1_024));
        assert_eq!(fit_max_tokens(10, 10, 1_024, 0), None, "zero only warms a cache");
    }
}
