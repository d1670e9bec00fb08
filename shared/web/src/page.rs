//! One self-contained page: style and script inline, each allowed by its hash. Must never load anything
//! from anywhere.
use crate::{Lang, encoding::base64_standard};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

/// A page before it is written out. Style and script are fixed texts of the program: no outside text gets
/// into them.
pub struct Page {
    lang: Lang,
    title: String,
    style: &'static [&'static str],
    script: &'static str,
    body: Markup,
    refresh_seconds: Option<u32>,
}

impl Page {
    /// A page. `style` is joined; `script` may be empty; style attributes and event attributes do not work
    /// under its policy.
    #[must_use]
    pub fn new(
        lang: Lang,
        title: impl Into<String>,
        style: &'static [&'static str],
        script: &'static str,
        body: Markup,
    ) -> Self {
        Self { lang, title: title.into(), style, script, body, refresh_seconds: None }
    }

    /// Asks browsers that run no script to load the page again after that many seconds.
    #[must_use]
    pub fn refreshed_without_script(mut self, seconds: u32) -> Self {
        self.refresh_seconds = Some(seconds);
        self
    }

    /// The page and its content security policy.
    #[must_use]
    pub fn render(&self) -> (String, String) {
        let style = self.style.concat();
        let page = html! {
            (DOCTYPE)
            html lang=(self.lang.code()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    // An empty icon: else browsers ask for /favicon.ico, and a page is one request.
                    link rel="icon" href="data:,";
                    @if let Some(seconds) = self.refresh_seconds {
                        noscript { meta http-equiv="refresh" content=(seconds); }
                    }
                    style { (PreEscaped(&style)) }
                }
                body {
                    (self.body)
                    @if !self.script.is_empty() { script { (PreEscaped(self.script)) } }
                }
            }
        };
        (page.into_string(), self.policy(&style))
    }

    fn policy(&self, style: &str) -> String {
        let script = match self.script {
            "" => String::new(),
            text => format!("script-src '{}'; ", hash(text)),
        };
        format!(
            "default-src 'none'; style-src '{}'; {script}img-src data:; connect-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            hash(style)
        )
    }
}

fn hash(text: &str) -> String {
    format!("sha256-{}", base64_standard(&Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Response;

    fn shown(script: &'static str) -> (String, String) {
        let body = html! { p { "<b>" } };
        Page::new(Lang::Nl, "A & B", &["p{color:red}", "b{color:blue}"], script, body).render()
    }

    #[test]
    fn style_and_script_are_allowed_by_the_hash_of_what_stands_in_the_page() {
        let (html, policy) = shown("let a=1<2");
        for (tag, kind) in [("style", "style-src"), ("script", "script-src")] {
            let inside = html.split(&format!("<{tag}>")).nth(1).unwrap();
            let inside = inside.split(&format!("</{tag}>")).next().unwrap();
            assert!(policy.contains(&format!("{kind} '{}'", hash(inside))), "{tag}: {policy}");
        }
        // A published example, so that the hash itself is known to be right.
        assert_eq!(hash("doSomething();"), "sha256-RFWPLDbv2BY+rCkDzsE+0fr8ylGr2R2faWMhq4lfEQc=");
    }

    #[test]
    fn a_page_without_script_allows_none() {
        let (html, policy) = shown("");
        assert!(!html.contains("<script") && !policy.contains("script-src"), "{policy}");
        assert!(policy.starts_with("default-src 'none'"));
        for part in ["form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'", "connect-src 'self'"]
        {
            assert!(policy.contains(part), "{part}");
        }
    }

    #[test]
    fn a_page_says_its_language_and_escapes_title_and_text() {
        let (html, _) = shown("");
        assert!(html.starts_with("<!DOCTYPE html><html lang=\"nl\">"), "{html}");
        assert!(html.contains("<title>A &amp; B</title>") && html.contains("<p>&lt;b&gt;</p>"));
        assert!(!html.contains("noscript"));
        let page = Page::new(Lang::En, "x", &[], "", html! {}).refreshed_without_script(3);
        assert!(page.render().0.contains("<noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript>"));
        assert_eq!(Response::html(200, &page).header("content-type"), Some("text/html; charset=utf-8"));
    }
}
