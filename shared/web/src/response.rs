//! One HTTP answer, with the standing security headers. Must never redirect to another host.
use crate::{Page, encoding::base64_standard};
use serde_json::{Map, Value, json};

/// For everything that is no page: nothing may run, load, submit or frame.
const BARE_POLICY: &str = "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// An answer. Each has `no-store`, `nosniff`, `noindex`, `same-origin` and a content security policy.
#[derive(Clone)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    cookies: Vec<String>,
    body: Vec<u8>,
}

impl std::fmt::Debug for Response {
    /// Status and size only: the headers may hold a key or a cookie.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Response {
    fn new(status: u16, content_type: &str, policy: &str, body: Vec<u8>) -> Self {
        let headers = [
            ("cache-control", "no-store"),
            ("content-security-policy", policy),
            ("content-type", content_type),
            // WHY NOT no-referrer: a form's POST would say `Origin: null`, and could not be told from a
            // foreign one.
            ("referrer-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("x-robots-tag", "noindex"),
        ];
        let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
        Self {
            status,
            headers: headers.map(|(name, value)| (name, value.to_owned())).collect(),
            cookies: Vec::new(),
            body,
        }
    }

    /// A page.
    #[must_use]
    pub fn html(status: u16, page: &Page) -> Self {
        let (html, policy) = page.render();
        Self::new(status, "text/html; charset=utf-8", &policy, html.into_bytes())
    }

    /// Plain text.
    #[must_use]
    pub fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", BARE_POLICY, text.as_bytes().to_vec())
    }

    /// JSON.
    #[must_use]
    pub fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json", BARE_POLICY, value.to_string().into_bytes())
    }

    /// A file to save (`text/csv`, `application/zip`). The name keeps letters, digits, `.`, `_` and `-` only.
    #[must_use]
    pub fn file(content_type: &str, name: &str, bytes: Vec<u8>) -> Self {
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name: String = name.chars().filter(plain).collect();
        Self::new(200, content_type, BARE_POLICY, bytes)
            .with_header("content-disposition", &format!("attachment; filename=\"{name}\""))
    }

    /// 303 to a path of ours, after a POST: a reload asks for the page again and never sends twice.
    #[must_use]
    pub fn see_other(path: &str) -> Self {
        let odd = |c: char| c.is_control() || c == '\\';
        // FAIL-CLOSED: what is not plainly a path of this host goes to the root instead.
        let own = path.starts_with('/') && !path.starts_with("//") && !path.contains(odd);
        let path = if own { path } else { "/" };
        Self::new(303, "", BARE_POLICY, Vec::new()).with_header("location", path)
    }

    /// 404, with a sentence that says nothing about what exists.
    #[must_use]
    pub fn not_found(text: &str) -> Self {
        Self::text(404, text)
    }

    /// 405; `allow` lists the methods that are known here.
    #[must_use]
    pub fn method_not_allowed(allow: &str) -> Self {
        Self::text(405, "Method not allowed\n").with_header("allow", allow)
    }

    /// Adds a header. A value with a control character is left out: it could split the answer.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if !value.contains(char::is_control) {
            self.headers.push((name, value.to_owned()));
        }
        self
    }

    /// Adds a `Set-Cookie` value.
    #[must_use]
    pub fn with_cookie(mut self, cookie: String) -> Self {
        self.cookies.push(cookie);
        self
    }

    /// The same answer without its body: for HEAD.
    #[must_use]
    pub fn without_body(mut self) -> Self {
        self.body.clear();
        self
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers, without cookies.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The `Set-Cookie` values.
    #[must_use]
    pub fn cookies(&self) -> &[String] {
        &self.cookies
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes on the wire over HTTP/1.1: status line, headers, cookies and body.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let cookies: usize = self.cookies.iter().map(|value| value.len() + "set-cookie: \r\n".len()).sum();
        let length_line = format!("content-length: {}\r\n", self.body.len()).len();
        "HTTP/1.1 200 OK\r\n\r\n".len() + length_line + headers + cookies + self.body.len()
    }

    /// The answer as the function URL wants it (payload version 2).
    #[must_use]
    pub fn into_event(self) -> Value {
        let headers = self.headers.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        let (body, encoded) = match String::from_utf8(self.body) {
            Ok(text) => (text, false),
            Err(bytes) => (base64_standard(bytes.as_bytes()), true),
        };
        json!({
            "statusCode": self.status, "headers": headers.collect::<Map<_, _>>(), "cookies": self.cookies,
            "body": body, "isBase64Encoded": encoded,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_the_standing_headers() {
        for response in [
            Response::text(200, "x"),
            Response::json(200, &json!({})),
            Response::see_other("/a"),
            Response::not_found("x"),
            Response::method_not_allowed("GET"),
            Response::file("text/csv", "a.csv", vec![1]),
        ] {
            for (name, value) in [
                ("cache-control", "no-store"),
                ("referrer-policy", "same-origin"),
                ("x-content-type-options", "nosniff"),
                ("x-robots-tag", "noindex"),
            ] {
                assert_eq!(response.header(name), Some(value));
            }
            assert!(response.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        }
    }

    #[test]
    fn a_redirect_never_leaves_this_host() {
        for bad in ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nx: y", "", "s/x"] {
            assert_eq!(Response::see_other(bad).header("location"), Some("/"), "{bad:?}");
        }
        assert_eq!(Response::see_other("/s/x?l=nl").header("location"), Some("/s/x?l=nl"));
    }

    #[test]
    fn an_answer_becomes_an_event() {
        let event = Response::text(200, "é").with_cookie("c=1".into()).into_event();
        assert_eq!(event["statusCode"], 200);
        assert_eq!(event["body"], "é");
        assert_eq!(event["isBase64Encoded"], false);
        assert_eq!(event["cookies"][0], "c=1");
        assert_eq!(event["headers"]["cache-control"], "no-store");
        let event = Response::file("application/zip", "../a b\".zip", vec![0xff, 0x00]).into_event();
        assert_eq!((event["body"].as_str(), event["isBase64Encoded"].as_bool()), (Some("/wA="), Some(true)));
        assert_eq!(event["headers"]["content-disposition"], "attachment; filename=\"..ab.zip\"");
    }
}
