//! Languages and phrases. Must never put a foreign text into a page unescaped.
use crate::{Request, visible_line};
use maud::{Markup, PreEscaped, Render as _, html};

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Dutch.
    Nl,
}

impl Lang {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::En, Self::Nl];

    /// `en` or `nl`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Nl => "nl",
        }
    }

    /// The other one, for the link that changes it.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::En => Self::Nl,
            Self::Nl => Self::En,
        }
    }

    /// What the language calls itself.
    #[must_use]
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Nl => "Nederlands",
        }
    }

    /// The language with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lang| lang.code() == code)
    }

    /// `?l=`, else the first known one of `Accept-Language`, else English.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        if let Some(lang) = request.query().get("l").and_then(Self::from_code) {
            return lang;
        }
        let accepted = request.header("accept-language").unwrap_or_default();
        let codes = accepted.split(',').filter_map(|part| part.split([';', '-']).next());
        codes.map(str::trim).find_map(Self::from_code).unwrap_or_default()
    }

    /// An amount with this language's decimal mark: `$9.40`, `$ 9,40`.
    #[must_use]
    pub fn usd(self, amount: types::UsdNanos) -> String {
        let english = amount.to_string();
        match self {
            Self::En => english,
            Self::Nl => english.replace('$', "$ ").replace('.', ","),
        }
    }
}

/// What fills a gap of a phrase.
pub enum Piece<'a> {
    /// Text, possibly from outside: hidden characters made visible, then escaped.
    Text(&'a str),
    /// A number.
    Number(usize),
    /// Markup that was built here.
    Html(Markup),
}

/// Fills the `{name}` gaps of a phrase. A gap without a piece stays as it is, which a test of the tables
/// would see.
#[must_use]
pub fn phrase(template: &str, pieces: &[(&str, Piece<'_>)]) -> Markup {
    let mut out = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(&before.render().into_string());
        let Some((name, tail)) = after.split_once('}') else { break };
        match pieces.iter().find(|(known, _)| *known == name).map(|(_, piece)| piece) {
            Some(Piece::Text(text)) => out.push_str(&html! { (visible_line(text)) }.into_string()),
            Some(Piece::Number(number)) => out.push_str(&number.to_string()),
            Some(Piece::Html(markup)) => out.push_str(&markup.0),
            None => out.push_str(&format!("{{{name}}}").render().into_string()),
        }
        rest = tail;
    }
    out.push_str(&rest.render().into_string());
    PreEscaped(out)
}

/// Declares a table of texts: an enum with one text per language, complete by construction.
///
/// ```
/// web::words! {
///     /// The texts of one page.
///     pub enum Word {
///         Stop: "Stop", "Stoppen";
///         Left: "{n} left", "Nog {n}";
///     }
/// }
/// assert_eq!(Word::Stop.text(web::Lang::Nl), "Stoppen");
/// let pairs = Word::ALL.iter().map(|word| (word.text(web::Lang::En), word.text(web::Lang::Nl)));
/// assert_eq!(web::incomplete_words(pairs), None);
/// ```
#[macro_export]
macro_rules! words {
    ($(#[$doc:meta])* $visibility:vis enum $name:ident { $($key:ident: $en:literal, $nl:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each key is documented by its text")]
        $visibility enum $name { $($key),+ }

        impl $name {
            /// Every key.
            pub const ALL: &'static [Self] = &[$(Self::$key),+];

            /// The text in that language.
            #[must_use]
            pub const fn text(self, lang: $crate::Lang) -> &'static str {
                match (self, lang) {
                    $((Self::$key, $crate::Lang::En) => $en, (Self::$key, $crate::Lang::Nl) => $nl,)+
                }
            }
        }
    };
}

/// The first English text whose Dutch one is missing or has other gaps; `None` when a table is complete.
#[must_use]
pub fn incomplete_words(pairs: impl Iterator<Item = (&'static str, &'static str)>) -> Option<&'static str> {
    let gaps = |text: &str| {
        let mut names: Vec<String> = text
            .split('{')
            .skip(1)
            .filter_map(|part| part.split_once('}'))
            .map(|(name, _)| name.to_owned())
            .collect();
        names.sort();
        names
    };
    let whole = |en: &str, nl: &str| !en.trim().is_empty() && !nl.trim().is_empty() && gaps(en) == gaps(nl);
    pairs.filter(|(en, nl)| !whole(en, nl)).map(|(en, _)| en).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::UsdNanos;

    #[test]
    fn the_language_is_asked_for_then_accepted_then_english() {
        let of = |target: &str, accepted: &str| {
            Lang::of(&Request::new("GET", target).with_header("accept-language", accepted))
        };
        assert_eq!(of("/?l=nl", "en"), Lang::Nl);
        assert_eq!(of("/?l=xx", "de, nl-BE;q=0.8, en;q=0.5"), Lang::Nl);
        assert_eq!(of("/", "de"), Lang::En);
        assert_eq!(of("/", ""), Lang::En);
    }

    #[test]
    fn a_phrase_escapes_what_it_is_given() {
        let filled = phrase(
            "<{who}> & {time} {n} {left}",
            &[
                ("who", Piece::Text("<b>\u{202e}")),
                ("time", Piece::Html(PreEscaped("<time></time>".into()))),
                ("n", Piece::Number(2)),
            ],
        );
        assert_eq!(filled.0, "&lt;&lt;b&gt;[U+202E]&gt; &amp; <time></time> 2 {left}");
    }

    #[test]
    fn a_table_with_a_hole_is_found() {
        assert_eq!(incomplete_words([("a {n}", "b {n}")].into_iter()), None);
        assert_eq!(incomplete_words([("a {n}", "b")].into_iter()), Some("a {n}"));
        assert_eq!(incomplete_words([("a", " ")].into_iter()), Some("a"));
    }

    #[test]
    fn amounts_follow_the_language() {
        assert_eq!(Lang::En.usd(UsdNanos::from_cents(940)), "$9.40");
        assert_eq!(Lang::Nl.usd(UsdNanos::from_cents(940)), "$ 9,40");
    }
}
