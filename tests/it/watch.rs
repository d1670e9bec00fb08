//! Every log line of every test, at the finest level that an install can ask for, looked through for secrets
//! and for persons. Must never let a test pass that wrote one.
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Secrets of the products that stand now.
static SECRETS: Mutex<Vec<(String, &'static str)>> = Mutex::new(Vec::new());
/// Lines seen so far.
static LINES: AtomicU64 = AtomicU64::new(0);
/// How many are looked for: many more than the products that stand at once have.
const SECRETS_MAX: usize = 200;
/// How the mail addresses of all people in the tests end: nobody is named in a log line.
const PEOPLE: &str = ".example";
/// Of a text that came in through the CRM: the mail that most tests begin with.
const MAIL_TEXT: &str = "After long talks we chose";

/// Starts to watch this process, once.
pub fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_env_filter(config::logging::filter("trace"))
            .with_writer(|| Watched)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("nobody else logs in this process");
    });
}

/// From now on this may stand in no line. Short values are no secrets (`local`, a port).
pub fn secret(name: &'static str, value: &str) {
    if value.len() >= 16 {
        let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.push((value.to_owned(), name));
        // Those of products that are long gone.
        let gone = secrets.len().saturating_sub(SECRETS_MAX);
        secrets.drain(..gone);
    }
}

/// What of this may stand in no line.
pub fn found(line: &str) -> Option<String> {
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, name)) = secrets.iter().find(|(value, _)| line.contains(value)) {
        return Some(format!("the secret {name}"));
    }
    let address = line.split(|c: char| c.is_whitespace() || "\"<>(),;".contains(c));
    let mut address = address.filter(|word| word.contains('@') && word.contains(PEOPLE));
    if address.next().is_some() {
        return Some("somebody's mail address".to_owned());
    }
    line.contains(MAIL_TEXT).then(|| "the text of a mail".to_owned())
}

struct Watched;

impl Write for Watched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.fetch_add(1, Ordering::Relaxed);
        let text = String::from_utf8_lossy(line);
        if let Some(what) = found(&text) {
            eprintln!("a log line holds {what}: {text}");
            // WHY NOT panic: the line may come from a task whose panics nobody sees.
            std::process::abort();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_with_a_secret_or_a_person_is_found() {
    start();
    let before = LINES.load(Ordering::Relaxed);
    tracing::trace!(target: "step", "one line at the finest level");
    assert!(LINES.load(Ordering::Relaxed) > before, "nobody watches");
    secret("HUBSPOT_TOKEN", "pat-eu1-watched-canary");
    for line in [
        r#"{"level":"TRACE","message":"Bearer pat-eu1-watched-canary"}"#,
        r#"{"message":"from piet@jansen-coldchain.example"}"#,
        r#"{"message":"After long talks we chose another"}"#,
    ] {
        assert!(found(line).is_some(), "{line}");
    }
    assert_eq!(found(r#"{"message":"run r-1 of deal 4411 at https://api.example"}"#), None);
}
