//! Pressing HALT on the halt page, with a personal link. Must never follow a redirect with the link, nor keep
//! it.
use reqwest::{Client, redirect::Policy};
use std::time::Duration;
use types::Scope;

/// The page answers a press within 3.5 s; the rest is the way there.
const WITHIN: Duration = Duration::from_secs(6);

/// The page took the press: at least one switch confirmed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// What the page says now, `HALTED. Nothing in flight.`; `None` when it could not be read afterwards.
    pub(crate) says: Option<String>,
}

/// Presses. The error is a text without any address: the link is a key.
pub(crate) async fn press(base: Option<&str>, link: &str, scope: &Scope) -> Result<Taken, String> {
    let address = address(base, link)?;
    let mut builder =
        Client::builder().timeout(WITHIN).redirect(Policy::none()).retry(reqwest::retry::never());
    if address.starts_with("http://") {
        // Nothing on loopback speaks TLS, so no certificates are loaded.
        builder = builder.tls_certs_only([]);
    }
    let client = builder.build().map_err(|error| error.without_url().to_string())?;
    let form = match scope {
        Scope::Global => "scope=global".to_owned(),
        Scope::Customer(id) => format!("scope=customer&customer={}", web::encode_component(id.as_str())),
    };
    let request = client
        .post(format!("{address}/halt"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let answer = request.send().await.map_err(|error| said(&error))?;
    match answer.status().as_u16() {
        303 => Ok(Taken { says: look(&client, &address).await }),
        404 => Err("this link does not work (any more)".to_owned()),
        503 => Err("no switch confirmed it there".to_owned()),
        status => Err(format!("it answered with status {status}")),
    }
}

/// The page's sentence for those who listen: state word and the line under it.
async fn look(client: &Client, address: &str) -> Option<String> {
    let answer = client.get(format!("{address}?l=en")).send().await.ok()?;
    if answer.status().as_u16() != 200 {
        return None;
    }
    sentence(&answer.text().await.ok()?)
}

fn sentence(html: &str) -> Option<String> {
    let (_, rest) = html.split_once("data-s=\"")?;
    let (text, _) = rest.split_once('"')?;
    Some(web::plain_text(text)).filter(|text| !text.is_empty())
}

fn said(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "it did not answer in time".to_owned()
    } else if error.is_connect() {
        "it cannot be reached".to_owned()
    } else {
        "the connection broke".to_owned()
    }
}

/// Where to press: the link's path below the page's own address, else the link's own address.
fn address(base: Option<&str>, link: &str) -> Result<String, String> {
    let wrong = || "HOLDFAST_HALT_LINK is no halt link".to_owned();
    let link = link.trim().split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let at = link.find("/s/").or_else(|| link.find("/p/")).ok_or_else(wrong)?;
    let (origin, path) = link.split_at_checked(at).ok_or_else(wrong)?;
    let token = path.get(3..).unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if token.is_empty() || !token.bytes().all(plain) {
        return Err(wrong());
    }
    let base = base.unwrap_or(origin).trim_end_matches('/');
    // The link is a key: it crosses a network by TLS alone.
    let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let after_host = |rest: &str| rest.is_empty() || rest.starts_with(':') || rest.starts_with('/');
    let loopback = local.iter().any(|host| base.strip_prefix(host).is_some_and(after_host));
    if base.starts_with("https://") || loopback { Ok(format!("{base}{path}")) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_goes_to_the_page_and_nowhere_else() {
        let own = |link: &str| address(None, link);
        assert_eq!(own("https://halt.example/s/abc-_1?l=nl").unwrap(), "https://halt.example/s/abc-_1");
        assert_eq!(own("http://127.0.0.1:8787/s/abc/").unwrap(), "http://127.0.0.1:8787/s/abc");
        let based = |link: &str| address(Some("https://halt.example/"), link);
        assert_eq!(based("/s/abc").unwrap(), "https://halt.example/s/abc");
        assert_eq!(based("https://old.example/p/abc").unwrap(), "https://halt.example/p/abc");
        for bad in [
            "",
            "abc",
            "/s/",
            "/s/a b",
            "/s/a/halt",
            "http://halt.example/s/abc",
            "http://127.0.0.1.evil.example/s/abc",
            "ftp://halt.example/s/abc",
            "/s/abc",
        ] {
            assert!(own(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_pages_own_sentence_is_repeated() {
        let html = "<div id=\"live\" data-w=\"HALTED\" data-s=\"HALTED. Bakker &amp; Co.\">";
        assert_eq!(sentence(html).as_deref(), Some("HALTED. Bakker & Co."));
        assert_eq!(sentence("<html></html>"), None);
    }
}
