//! One HTTP request as the function URL hands it over. Must never expose the caller's address, nor rebuild
//! the body.
use crate::{Fields, FormRefused, WebError, decode_component, encoding::from_base64_standard};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// What the request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Look.
    Get,
    /// Look, without a body in the answer.
    Head,
    /// Change something.
    Post,
    /// Anything else: answered with 405 everywhere.
    Other,
}

/// Where a request says that it was sent from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentFrom {
    /// The browser says: from a page of this very origin.
    OurPage,
    /// The browser says: from another origin, or from one that it hides.
    Elsewhere,
    /// No header says anything (an old browser, a command line).
    Unstated,
}

/// A request: method, path (still percent-encoded), query text, headers, cookies, raw body.
#[derive(Clone)]
pub struct Request {
    method: Method,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    cookies: Vec<String>,
    body: Vec<u8>,
    host: String,
    request_id: String,
}

impl std::fmt::Debug for Request {
    /// Method and size only: the path holds a key, the headers a cookie, the body a PIN.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// `null` and a missing field both mean the default.
fn lenient<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

// The caller's address (`sourceIp`) is left out on purpose: no row and no log may hold it.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct UrlEvent {
    #[serde(deserialize_with = "lenient")]
    raw_path: String,
    #[serde(deserialize_with = "lenient")]
    raw_query_string: String,
    #[serde(deserialize_with = "lenient")]
    headers: BTreeMap<String, Option<String>>,
    #[serde(deserialize_with = "lenient")]
    cookies: Vec<String>,
    #[serde(deserialize_with = "lenient")]
    body: String,
    #[serde(deserialize_with = "lenient")]
    is_base64_encoded: bool,
    #[serde(deserialize_with = "lenient")]
    request_context: UrlContext,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct UrlContext {
    #[serde(deserialize_with = "lenient")]
    domain_name: String,
    #[serde(deserialize_with = "lenient")]
    request_id: String,
    #[serde(deserialize_with = "lenient")]
    http: UrlHttp,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct UrlHttp {
    #[serde(deserialize_with = "lenient")]
    method: String,
}

impl Method {
    fn of(text: &str) -> Self {
        match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            _ => Self::Other,
        }
    }
}

impl Request {
    /// Whether this payload came through a function URL. The platform writes `requestContext.http`; a direct
    /// invocation has none, and a caller from outside cannot leave it out.
    #[must_use]
    pub fn is_url_event(event: &serde_json::Value) -> bool {
        event.pointer("/requestContext/http").is_some()
    }

    /// Reads a function-URL event (payload version 2).
    ///
    /// # Errors
    /// [`WebError::ReadEvent`] when it is not such an event, [`WebError::DecodeBody`] when its base64 is
    /// broken.
    pub fn from_event(event: serde_json::Value) -> Result<Self, WebError> {
        let event: UrlEvent = serde_json::from_value(event).map_err(WebError::ReadEvent)?;
        let body = if event.is_base64_encoded {
            from_base64_standard(&event.body).ok_or(WebError::DecodeBody)?
        } else {
            event.body.into_bytes()
        };
        let mut request = Self {
            method: Method::of(&event.request_context.http.method),
            path: event.raw_path,
            query: event.raw_query_string,
            headers: BTreeMap::new(),
            cookies: event.cookies,
            body,
            host: event.request_context.domain_name,
            request_id: event.request_context.request_id,
        };
        for (name, value) in event.headers {
            request = request.with_header(&name, value.as_deref().unwrap_or_default());
        }
        Ok(request)
    }

    /// A request to `target` (path and query as on the wire): for a local listener and for tests.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: Method::of(method),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: BTreeMap::new(),
            cookies: Vec::new(),
            body: Vec::new(),
            host: String::new(),
            request_id: String::new(),
        }
    }

    /// Adds a header; repeats are joined by a comma, cookies are taken apart.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let name = name.to_ascii_lowercase();
        if name == "cookie" {
            self.cookies.extend(value.split(';').map(|cookie| cookie.trim().to_owned()));
            return self;
        }
        let held = self.headers.entry(name).or_default();
        if !held.is_empty() {
            held.push(',');
        }
        held.push_str(value);
        self
    }

    /// Sets the raw body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the request id under which a page and a row can be found again.
    #[must_use]
    pub fn with_request_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.request_id);
        self
    }

    /// What it wants to do.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The path as sent: still percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path's segments, each decoded; a slash at the end is ignored. `None` when one cannot be decoded.
    #[must_use]
    pub fn segments(&self) -> Option<Vec<String>> {
        let path = self.path.strip_prefix('/').unwrap_or(&self.path);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Some(Vec::new());
        }
        path.split('/').map(decode_component).collect()
    }

    /// The query as sent, without the question mark.
    #[must_use]
    pub fn query_text(&self) -> &str {
        &self.query
    }

    /// The query's fields; a query that cannot be read counts as empty (it never decides anything but a
    /// view).
    #[must_use]
    pub fn query(&self) -> Fields {
        Fields::parse(self.query.as_bytes()).unwrap_or_default()
    }

    /// A header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The value of a cookie. The first of several wins.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.cookies.iter().filter_map(|cookie| cookie.split_once('='));
        pairs.filter(|(known, _)| known.trim() == name).map(|(_, value)| value.trim()).next()
    }

    /// The exact bytes of the body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The host name that the platform wrote into the event, never the caller's header. Empty locally.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The platform's id of this request.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The form in the body.
    ///
    /// # Errors
    /// [`FormRefused`] when the body is no form, too large or malformed.
    pub fn form(&self) -> Result<Fields, FormRefused> {
        let content_type = self.header("content-type").unwrap_or_default();
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(FormRefused::ContentType);
        }
        Fields::parse(&self.body)
    }

    /// Where the browser says the request was sent from. `public_url` is our own address, when it is known.
    #[must_use]
    pub fn sent_from(&self, public_url: Option<&str>) -> SentFrom {
        let site = self.header("sec-fetch-site");
        // FAIL-CLOSED: `same-site` is elsewhere too (function URLs share a suffix), and so is a word we do
        // not know.
        if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
            return SentFrom::Elsewhere;
        }
        match self.header("origin") {
            Some(origin) if self.is_own_origin(origin, public_url) => SentFrom::OurPage,
            Some(_) => SentFrom::Elsewhere,
            None if site == Some("same-origin") => SentFrom::OurPage,
            None => SentFrom::Unstated,
        }
    }

    fn is_own_origin(&self, origin: &str, public_url: Option<&str>) -> bool {
        let by_platform = !self.host.is_empty() && origin.strip_prefix("https://") == Some(&self.host);
        by_platform || public_url.and_then(origin_of).is_some_and(|own| own == origin)
    }
}

/// `https://host:port` of an address.
fn origin_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    url.get(..scheme.len() + 3 + authority.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event() -> serde_json::Value {
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/s/a%2Fb/halt",
            "rawQueryString": "l=nl&x=%41",
            "cookies": ["__Host-c=abc", "other=1"],
            "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "x-odd": null},
            "requestContext": {"domainName": "h.lambda-url.eu-west-1.on.aws", "requestId": "q-1",
                "http": {"method": "POST", "path": "/s/a/b/halt", "sourceIp": "203.0.113.9"}},
            "body": "c2NvcGU9Z2xvYmFs", "isBase64Encoded": true
        })
    }

    #[test]
    fn an_event_becomes_a_request() {
        assert!(Request::is_url_event(&event()));
        let request = Request::from_event(event()).unwrap();
        assert_eq!(request.method(), Method::Post);
        assert_eq!(request.path(), "/s/a%2Fb/halt");
        assert_eq!(request.segments().unwrap(), ["s", "a/b", "halt"]);
        assert_eq!(request.query_text(), "l=nl&x=%41");
        assert_eq!(request.query().get("x"), Some("A"));
        assert_eq!(request.cookie("__Host-c"), Some("abc"));
        assert_eq!(request.cookie("c"), None);
        assert_eq!(request.body(), b"scope=global");
        assert_eq!(request.form().unwrap().get("scope"), Some("global"));
        assert_eq!(request.host(), "h.lambda-url.eu-west-1.on.aws");
        assert_eq!(request.request_id(), "q-1");
    }

    #[test]
    fn missing_and_null_fields_are_no_reason_to_fail() {
        let bare = json!({"requestContext": {"http": {"method": "GET"}}, "body": null, "cookies": null});
        let request = Request::from_event(bare).unwrap();
        assert_eq!((request.method(), request.path(), request.body()), (Method::Get, "", &b""[..]));
        assert!(!Request::is_url_event(&json!({"sweep": "flags"})));
        assert!(!Request::is_url_event(&json!({"requestContext": {}})));
    }

    #[test]
    fn a_body_that_claims_to_be_base64_and_is_not_is_an_error() {
        let mut broken = event();
        broken["body"] = json!("***");
        assert!(matches!(Request::from_event(broken), Err(WebError::DecodeBody)));
    }

    #[test]
    fn a_body_that_is_no_form_is_refused() {
        let request = Request::new("POST", "/").with_header("content-type", "text/plain").with_body("a=1");
        assert_eq!(request.form(), Err(FormRefused::ContentType));
    }

    #[test]
    fn debug_output_shows_neither_key_nor_cookie_nor_body() {
        let shown = format!("{:?}", Request::from_event(event()).unwrap());
        for secret in ["a%2Fb", "abc", "global", "203.0.113.9"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn the_sender_is_ours_elsewhere_or_unstated() {
        use SentFrom::{Elsewhere, OurPage, Unstated};
        let own = "https://halt.example/s/x";
        for (site, origin, expected) in [
            (Some("same-origin"), Some("https://halt.example"), OurPage),
            (Some("same-origin"), None, OurPage),
            (None, Some("https://halt.example"), OurPage),
            (None, None, Unstated),
            (Some("none"), None, Unstated),
            (Some("cross-site"), None, Elsewhere),
            (Some("same-site"), Some("https://halt.example"), Elsewhere),
            (Some("unheard-of"), None, Elsewhere),
            (Some("same-origin"), Some("https://evil.example"), Elsewhere),
            (None, Some("null"), Elsewhere),
            (None, Some("http://halt.example"), Elsewhere),
            (None, Some("https://halt.example.evil"), Elsewhere),
        ] {
            let mut request = Request::new("POST", "/");
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    request = request.with_header(name, value);
                }
            }
            assert_eq!(request.sent_from(Some(own)), expected, "{site:?} {origin:?}");
        }
    }

    #[test]
    fn the_platforms_own_host_name_counts_as_ours_and_the_host_header_does_not() {
        let request = Request::from_event(event()).unwrap();
        let ours = request.clone().with_header("origin", "https://h.lambda-url.eu-west-1.on.aws");
        assert_eq!(ours.sent_from(None), SentFrom::OurPage);
        let forged =
            request.with_header("host", "evil.example").with_header("origin", "https://evil.example");
        assert_eq!(forged.sent_from(None), SentFrom::Elsewhere);
    }
}
