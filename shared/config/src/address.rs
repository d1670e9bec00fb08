//! Which addresses we may be pointed at: https, or http on this machine. Must never guess at an odd host.
use std::net::{Ipv4Addr, Ipv6Addr};

/// `https://host..`, or `http://` with a loopback host; printable, and without a name or password before the
/// host.
pub(crate) fn is_https_or_loopback(url: &str) -> bool {
    match url.split_once("://") {
        Some(("https", rest)) => host(rest).is_some(),
        Some(("http", rest)) => host(rest).is_some_and(is_loopback),
        Some(_) | None => false,
    }
}

/// Is this `http://` address on this machine?
pub(crate) fn is_loopback_http(url: &str) -> bool {
    matches!(url.split_once("://"), Some(("http", rest)) if host(rest).is_some_and(is_loopback))
}

/// The host of what follows `://`.
// FAIL-CLOSED: a name, a password or a backslash before the path makes readers of URLs disagree on the host.
// Such an address has none here.
fn host(rest: &str) -> Option<&str> {
    if rest.bytes().any(|b| !b.is_ascii_graphic()) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, after) = v6.split_once(']')?;
            (host, after.strip_prefix(':').or(after.is_empty().then_some("0")))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("0")),
        },
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'_');
    (!host.is_empty() && host.bytes().all(plain) && port?.parse::<u16>().is_ok()).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_accepted() {
        let good = [
            "https://api.hubapi.com",
            "https://eu.example:8443/path?q=1",
            "http://127.0.0.1:8786",
            "http://127.9.9.9",
            "http://localhost:1/x",
            "http://[::1]:8000/",
        ];
        for url in good {
            assert!(is_https_or_loopback(url), "{url} must be accepted");
        }
        let bad = [
            "http://api.hubapi.com",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "http://evil.example#127.0.0.1",
            "http://evil.example\\@127.0.0.1",
            "http://0x7f000001",
            "http://2130706433",
            "https://user:pass@api.hubapi.com",
            "https://",
            "https:///path",
            "https://a b",
            "https://a:99999",
            "ftp://127.0.0.1",
            "127.0.0.1:80",
            "",
        ];
        for url in bad {
            assert!(!is_https_or_loopback(url), "{url} must be refused");
        }
    }
}
