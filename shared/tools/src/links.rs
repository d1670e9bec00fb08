//! Links and addresses in text that the agent wrote, flagged for the person who reads it. Must never decide
//! anything: a text without a warning is not a safe text.
use crate::text::{hides_something, one_line};

/// Findings that are named one by one; more are counted.
const NAMED_MAX: usize = 5;

/// Characters of a finding that are shown.
const SHOWN_CHARS_MAX: usize = 80;

/// Mail hosts where anybody can have an address: the same host says nothing about the same company.
const PUBLIC_MAIL_HOSTS: &[&str] = &[
    "aol.com",
    "gmail.com",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hotmail.com",
    "icloud.com",
    "live.com",
    "mail.ru",
    "msn.com",
    "outlook.com",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "web.de",
    "yahoo.com",
];

/// Where a draft may point without a warning.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// The recipient's own address.
    pub(crate) address: Option<String>,
    /// The company's domain, as the CRM has it.
    pub(crate) company_domain: Option<String>,
}

impl Expected {
    fn host(&self, host: &str) -> bool {
        let recipient = self.address.as_deref().and_then(|address| address.rsplit_once('@'));
        let recipient = recipient.map(|(_, host)| host.to_lowercase());
        let own = recipient.filter(|host| !PUBLIC_MAIL_HOSTS.contains(&host.as_str()));
        let company = self.company_domain.as_deref().map(|domain| host_of(domain).to_lowercase());
        [own, company].into_iter().flatten().filter(|known| known.contains('.')).any(|known| {
            host == known || host.strip_suffix(known.as_str()).is_some_and(|rest| rest.ends_with('.'))
        })
    }

    fn address(&self, address: &str) -> bool {
        self.address.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(address))
            || address.rsplit_once('@').is_some_and(|(_, host)| self.host(host))
    }
}

/// One thing in a text that leads elsewhere, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Link(String),
    Address(String),
}

/// One warning per link or address in the texts that is not expected, and one for hidden characters.
pub(crate) fn warnings(texts: &[&str], expected: &Expected) -> Vec<String> {
    let mut found: Vec<Found> = Vec::new();
    for one in texts.iter().flat_map(|text| find(text)) {
        let fine = match &one {
            Found::Link(host) => expected.host(host),
            Found::Address(address) => expected.address(address),
        };
        if !fine && !found.contains(&one) {
            found.push(one);
        }
    }
    let more = found.len().saturating_sub(NAMED_MAX);
    let mut warnings: Vec<String> = found.iter().take(NAMED_MAX).map(Found::warning).collect();
    if more > 0 {
        warnings.push(format!("the text holds {more} more links or addresses"));
    }
    warnings
}

/// A warning where the model's text held characters that were dropped because they deceive.
pub(crate) fn hidden(texts: &[&str]) -> Option<String> {
    texts
        .iter()
        .any(|text| hides_something(text))
        .then(|| "the agent's text held hidden characters; they were removed".to_owned())
}

impl Found {
    fn warning(&self) -> String {
        match self {
            Self::Link(host) => format!("the text holds a link to `{}`", one_line(host, SHOWN_CHARS_MAX)),
            Self::Address(address) => {
                format!("the text holds the address `{}`", one_line(address, SHOWN_CHARS_MAX))
            }
        }
    }
}

/// Everything in the text that a mail program or browser would make a link of.
fn find(text: &str) -> Vec<Found> {
    // Some dots, signs and slashes of other scripts count as the plain ones in names of hosts.
    let text = text.replace(['\u{3002}', '\u{FF0E}', '\u{FF61}'], ".").replace('\u{FF20}', "@");
    let text = text.replace(['\u{FF0F}', '\\'], "/").replace('\u{FF1A}', ":");
    let ends = |c: char| c.is_whitespace() || "<>()[]{}\"'`“”‘’«»|,;*".contains(c);
    text.split(ends)
        .filter_map(|word| find_in_word(word.trim_matches(['.', '!', '?', ':', '_', '-'])))
        .collect()
}

fn find_in_word(word: &str) -> Option<Found> {
    let lower = word.to_lowercase();
    let bare = lower.strip_prefix("mailto:").unwrap_or(&lower);
    if let Some((scheme, rest)) = lower.split_once("//") {
        let begins = scheme.is_empty() || scheme.ends_with(':');
        if begins && !rest.is_empty() {
            return Some(Found::Link(host_of(rest).to_owned()));
        }
    }
    let before_path = bare.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((user, host)) = before_path.rsplit_once('@') {
        return (!user.is_empty() && is_host(host)).then(|| Found::Address(before_path.to_owned()));
    }
    // A capital after the dot is a sentence whose space was forgotten ("sent.They"), unless all is in
    // capitals.
    let same_case = {
        let host = word.split(['/', '?', '#', ':']).next().unwrap_or_default();
        let last = host.rsplit('.').next().unwrap_or_default();
        last.chars().all(|c| !c.is_uppercase()) || host.chars().all(|c| !c.is_lowercase())
    };
    let host = host_of(bare);
    (is_host(host) && (same_case || bare.starts_with("www."))).then(|| Found::Link(host.to_owned()))
}

/// The host of what follows a scheme: without user, port, path and query.
fn host_of(rest: &str) -> &str {
    let rest = rest.trim_start_matches('/');
    let rest = rest.split_once("//").map_or(rest, |(_, after)| after);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default().trim_matches('.')
}

/// Does this look like the name of a host: labels, and at the end one of letters, two at least?
fn is_host(text: &str) -> bool {
    let mut labels = text.split('.').rev();
    let last = labels.next().unwrap_or_default();
    let plain = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let named = last.chars().count() >= 2
        && (last.chars().all(char::is_alphabetic) || last.starts_with("xn--"))
        && plain(last);
    let mut before = labels.peekable();
    named && before.peek().is_some() && before.all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Vec<String> {
        warnings(&[text], &Expected::default())
    }

    #[test]
    fn whatever_a_mail_program_would_make_a_link_of_is_flagged() {
        for (text, host) in [
            ("see https://evil.example/x?y=1.", "evil.example"),
            ("HTTPS://EVIL.EXAMPLE", "evil.example"),
            ("(http://user:pw@evil.example:8080/a)", "evil.example"),
            ("http://good.example@evil.example/", "evil.example"),
            ("https:\\\\evil.example", "evil.example"),
            ("//evil.example/x", "evil.example"),
            ("ftp://10.0.0.1/x", "10.0.0.1"),
            ("go to evil.example/path now", "evil.example"),
            ("EVIL.EXAMPLE", "evil.example"),
            ("www.Evil.Example", "www.evil.example"),
            ("[click](https://evil.example)", "evil.example"),
            ("<a href=\"https://evil.example\">x</a>", "evil.example"),
            ("evil。example", "evil.example"),
            ("http：／／evil．example", "evil.example"),
            ("еvil.example", "еvil.example"),
            ("xn--vil-1cd.xn--p1ai", "xn--vil-1cd.xn--p1ai"),
        ] {
            assert_eq!(one(text), [format!("the text holds a link to `{host}`")], "{text}");
        }
        for (text, address) in [
            ("mail a.b+c@evil.example, please", "a.b+c@evil.example"),
            ("mailto:x@evil.example?subject=hi", "x@evil.example"),
            ("X＠Evil.Example.", "x@evil.example"),
        ] {
            assert_eq!(one(text), [format!("the text holds the address `{address}`")], "{text}");
        }
    }

    #[test]
    fn plain_prose_is_not_flagged() {
        for text in [
            "They chose another supplier.Please close it... 41.5 percent, v1.2.3, e.g. a call at 9.30",
            "Budget 40,000 euro; either/or, and/or, 1/2 @ 5 each, me@home, U.S. and N.V. etc.",
            "",
        ] {
            assert_eq!(one(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_draft_may_name_the_recipient_and_her_company_and_nobody_else() {
        let expected = Expected {
            address: Some("Marieke@vandijk.example".into()),
            company_domain: Some("https://www.dijk-group.example/".into()),
        };
        let fine = "marieke@vandijk.example joris@vandijk.example https://shop.vandijk.example/a \
                    www.dijk-group.example";
        assert_eq!(warnings(&[fine], &expected), Vec::<String>::new());
        for bad in ["https://evilvandijk.example", "x@vandijk.example.evil.example", "vandijk.example.co"] {
            assert_eq!(warnings(&[bad], &expected).len(), 1, "{bad}");
        }
        let public = Expected { address: Some("ahmed@gmail.com".into()), company_domain: None };
        assert_eq!(warnings(&["ahmed@gmail.com"], &public), Vec::<String>::new());
        assert_eq!(warnings(&["eve@gmail.com"], &public), ["the text holds the address `eve@gmail.com`"]);
        let broken = Expected { address: Some("x@com".into()), company_domain: Some("".into()) };
        assert_eq!(warnings(&["https://evil.com"], &broken).len(), 1);
    }

    #[test]
    fn many_findings_stay_few_lines_and_hidden_characters_are_named() {
        let text: String = (0..1_000).map(|n| format!("https://e{n}.example ")).collect();
        let warnings = one(&text);
        assert_eq!(warnings.len(), NAMED_MAX + 1);
        assert_eq!(warnings.last().map(String::as_str), Some("the text holds 995 more links or addresses"));
        assert_eq!(one("https://a.example https://a.example").len(), 1);
        assert!(hidden(&["a", "b\u{202E}"]).is_some() && hidden(&["a\n"]).is_none());
    }
}
