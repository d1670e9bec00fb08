//! What can be typed. Must never take a PIN or a key as an argument: other users of the machine can read
//! those.
use crate::terminal::Color;
use clap::{Args, Parser, Subcommand, ValueEnum};
use types::{Actor, CustomerId, DealId, IntentId, PersonId, RunId};

/// Halts, resumes and looks after the CRM agent.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, max_term_width = 80)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// One JSON object on one line instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Colour on the status words.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub color: Color,
    /// Who you are, for the audit: the id that `holdfast invite` printed.
    #[arg(long = "as", value_name = "PERSON", env = "HOLDFAST_PERSON", global = true)]
    #[arg(value_parser = id::<PersonId>)]
    pub person: Option<PersonId>,
}

impl Arguments {
    /// Who the audit names. What reaches the stores from here was let in by their own credentials, so nobody
    /// is checked.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.person.clone().map_or_else(|| Actor::System("cli".to_owned()), Actor::Person)
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set the switches up, halted, and make the first person's halt link.
    Init(Init),
    /// Stop the agent.
    Halt(Halt),
    /// Let new work start.
    Resume(Resume),
    /// Say whether the agent runs, and what waits for a person.
    Status(LookThrough),
    /// Add a person or a phone: a link that works once, for 15 minutes.
    Invite(Invite),
    /// Take a person's keys back, at once.
    Revoke(Revoke),
    /// Say why the agent did something.
    Why(Why),
    /// Recompute the audit log and name the first bad row.
    Verify(Verify),
    /// Ask HubSpot whether the agent wrote anything while it was halted.
    VerifyHalt(VerifyHalt),
    /// Halt and resume for practice, timed: the customer `drill`, or everything.
    Drill(Drill),
    /// Close a write that HubSpot never answered, after you looked.
    Checked(Checked),
    /// Start a run that a halt, a cap or an error ended again, as a new run that sees what it did.
    Again(AgainOf),
    /// Write everything that is held about one person to a ZIP.
    Export(Export),
    /// Forget one person: erase her from every store.
    Erase(Erase),
    /// List the data requests and how far they are.
    Requests,
    /// Check this install, one line per check.
    Doctor(Doctor),
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Everything.
    Ops,
    /// Look, and HALT.
    Reader,
}

impl From<RoleName> for interlock::Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Ops => Self::Ops,
            RoleName::Reader => Self::Reader,
        }
    }
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The first person's name.
    #[arg(long)]
    pub name: String,
    /// What she may do.
    #[arg(long, value_enum, default_value = "ops")]
    pub role: RoleName,
    /// Read her PIN (6 digits) from standard input instead of asking.
    #[arg(long)]
    pub pin_stdin: bool,
}

/// `halt`.
#[derive(Debug, Args)]
pub struct Halt {
    /// Only this customer (company id, or `deal-<id>` for a deal without a company).
    #[arg(long, value_name = "ID", value_parser = id::<CustomerId>)]
    pub customer: Option<CustomerId>,
    /// Why, in your own words (at most 300 bytes are kept).
    #[arg(long, value_name = "TEXT")]
    pub because: Option<String>,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Only this customer.
    #[arg(long, value_name = "ID", value_parser = id::<CustomerId>)]
    pub customer: Option<CustomerId>,
    /// Why it is safe (at least 10 characters).
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub because: String,
    /// Tools that wrote before write again. Without it everything starts in dry-run.
    #[arg(long, conflicts_with = "customer")]
    pub as_before: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Let this AWS function do it, where the switch store cannot be reached from here.
    #[arg(long, value_name = "FUNCTION", env = "HOLDFAST_HALT_FUNCTION")]
    pub through: Option<String>,
}

/// `status`.
#[derive(Debug, Args)]
pub struct LookThrough {
    /// Ask this AWS function, where the switch store cannot be reached from here.
    #[arg(long, value_name = "FUNCTION", env = "HOLDFAST_HALT_FUNCTION")]
    pub through: Option<String>,
}

/// `invite`.
#[derive(Debug, Args)]
pub struct Invite {
    /// Whom: a new name, or the name or id of somebody who gets another phone.
    #[arg(long)]
    pub name: String,
    /// What a new person may do.
    #[arg(long, value_enum, default_value = "reader")]
    pub role: RoleName,
    /// Forget her PIN: she chooses a new one with this invitation.
    #[arg(long)]
    pub new_pin: bool,
}

/// `revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// Whose.
    #[arg(long, value_name = "ID", value_parser = id::<PersonId>)]
    pub person: PersonId,
    /// Only the key whose public name begins with this; without it the person and all her keys.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

/// `why`.
#[derive(Debug, Args)]
pub struct Why {
    /// About what.
    #[command(subcommand)]
    pub about: WhyAbout,
}

/// What `why` can answer.
#[derive(Debug, Subcommand)]
pub enum WhyAbout {
    /// Why a deal was moved.
    Deal(WhyDeal),
}

/// `why deal`.
#[derive(Debug, Args)]
pub struct WhyDeal {
    /// The deal.
    #[arg(value_name = "ID", value_parser = id::<DealId>)]
    pub deal: DealId,
    /// To this stage: its HubSpot id, or its name.
    #[arg(long, value_name = "STAGE")]
    pub to: Option<String>,
    /// Not before this day (2026-03-01, in the company's zone).
    #[arg(long, value_name = "DATE")]
    pub from: Option<jiff::civil::Date>,
    /// Not after this day.
    #[arg(long, value_name = "DATE")]
    pub until: Option<jiff::civil::Date>,
    /// In this year, month or day: 2026, 2026-03, 2026-03-17.
    #[arg(long, value_name = "WHEN", value_parser = span, conflicts_with_all = ["from", "until"])]
    pub at: Option<Span>,
    /// Write the exact bytes that the model was sent to this new file (personal data).
    #[arg(long, value_name = "FILE")]
    pub prompt: Option<std::path::PathBuf>,
}

/// First and last day of what was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first day.
    pub first: jiff::civil::Date,
    /// The last day.
    pub last: jiff::civil::Date,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// A place in the log that was kept elsewhere: number and hash.
    #[arg(long, value_name = "SEQ:HASH", value_parser = point)]
    pub against: Vec<audit_log::Point>,
    /// A checkpoint that you kept (a file with the signed note). The published ones are read by themselves.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Vec<std::path::PathBuf>,
    /// The public key that signed them: `name+hash+base64`, or 64 hex digits. Without it the settings say.
    #[arg(long, value_name = "KEY")]
    pub key: Vec<String>,
}

/// `verify-halt`.
#[derive(Debug, Args)]
pub struct VerifyHalt {
    /// Which halt: the receipt's id.
    #[arg(long, value_name = "ID", conflicts_with = "last")]
    pub receipt: Option<String>,
    /// The last halt. This is also what no argument means.
    #[arg(long)]
    pub last: bool,
}

/// `drill`.
#[derive(Debug, Args)]
pub struct Drill {
    /// Halt everything, for real, and resume in dry-run.
    #[arg(long)]
    pub global: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// What a person found in HubSpot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Found {
    /// The write is there.
    There,
    /// It is not.
    Absent,
}

/// `again`.
#[derive(Debug, Args)]
pub struct AgainOf {
    /// The run that was stopped.
    #[arg(value_name = "RUN", value_parser = id::<RunId>)]
    pub run: RunId,
    /// Why (at least 10 characters).
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub because: String,
}

/// `checked`.
#[derive(Debug, Args)]
pub struct Checked {
    /// Which write; `holdfast status` lists them.
    #[arg(long, value_name = "ID", value_parser = id::<IntentId>)]
    pub intent: IntentId,
    /// How you checked (at least 10 characters).
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub because: String,
    /// What you found. Without it the audit keeps "unknown", with your reason.
    #[arg(long, value_enum)]
    pub found: Option<Found>,
}

/// About whom; everything given is hers.
#[derive(Debug, Args)]
pub struct Whom {
    /// Her HubSpot contact id.
    #[arg(long, value_name = "ID", value_parser = contact, required_unless_present_any = ["email", "deal", "customer"])]
    pub contact: Vec<String>,
    /// A mail address of hers.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub email: Vec<String>,
    /// Her full name, to be looked for in texts. (What HubSpot calls her is known.)
    #[arg(long, value_name = "NAME", value_parser = full_name)]
    pub name: Vec<String>,
    /// Everything about this deal.
    #[arg(long, value_name = "ID", value_parser = id::<DealId>)]
    pub deal: Vec<DealId>,
    /// Everything about this customer.
    #[arg(long, value_name = "ID", value_parser = id::<CustomerId>)]
    pub customer: Vec<CustomerId>,
    /// Let this AWS function do it, where the database cannot be reached from here.
    #[arg(long, value_name = "FUNCTION", env = "HOLDFAST_AUDIT_FUNCTION")]
    pub through: Option<String>,
}

/// `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// About whom.
    #[command(flatten)]
    pub whom: Whom,
    /// Where to; without it data-export-<request>.zip. A file that is there is never overwritten.
    #[arg(long, value_name = "FILE")]
    pub out: Option<std::path::PathBuf>,
}

/// `erase`.
#[derive(Debug, Args)]
pub struct Erase {
    /// About whom.
    #[command(flatten)]
    pub whom: Whom,
    /// Why (at least 10 characters). Do not name her.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub because: String,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {}

fn contact(text: &str) -> Result<String, String> {
    let digits = !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { Ok(text.to_owned()) } else { Err("digits".to_owned()) }
}

fn address(text: &str) -> Result<String, String> {
    let address = text.trim().to_lowercase();
    let whole = types::subject::addresses(&address).contains(&address);
    if whole { Ok(address) } else { Err("one mail address".to_owned()) }
}

/// A first name alone would find every namesake.
fn full_name(text: &str) -> Result<String, String> {
    if types::subject::is_full_name(text) {
        Ok(text.trim().to_owned())
    } else {
        Err("first and last name".to_owned())
    }
}

fn id<T: TryFrom<String, Error = types::IdError>>(text: &str) -> Result<T, String> {
    T::try_from(text.to_owned()).map_err(|error| error.to_string())
}

/// What leads away from safe needs a reason that says something.
fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.chars().count() < 10 { Err("at least 10 characters".to_owned()) } else { Ok(text.to_owned()) }
}

/// A year, a month or a day.
fn span(text: &str) -> Result<Span, String> {
    let wrong = || "a year, a month or a day: 2026, 2026-03, 2026-03-17".to_owned();
    let day = |text: String| text.parse::<jiff::civil::Date>().map_err(|_| wrong());
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    match (digits, text.len()) {
        (true, 4) => Ok(Span { first: day(format!("{text}-01-01"))?, last: day(format!("{text}-12-31"))? }),
        (true, 7) => {
            let first = day(format!("{text}-01"))?;
            Ok(Span { first, last: first.last_of_month() })
        }
        (true, 10) => day(text.to_owned()).map(|day| Span { first: day, last: day }),
        (true | false, _) => Err(wrong()),
    }
}

fn point(text: &str) -> Result<audit_log::Point, String> {
    let wrong = || "a number, a colon, and 64 hex digits".to_owned();
    let (seq, hash) = text.split_once(':').ok_or_else(wrong)?;
    let hex = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    match seq.parse() {
        Ok(seq) if hex && seq > 0 => Ok(audit_log::Point { seq, hash: hash.to_ascii_lowercase() }),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn code(arguments: &[&str]) -> i32 {
        let words = std::iter::once("holdfast").chain(arguments.iter().copied());
        Arguments::try_parse_from(words).map_or_else(|error| error.exit_code(), |_| 0)
    }

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_year_a_month_and_a_day_are_whole() {
        let days = |text: &str| span(text).map(|span| format!("{} {}", span.first, span.last));
        assert_eq!(days("2026").as_deref(), Ok("2026-01-01 2026-12-31"));
        assert_eq!(days("2028-02").as_deref(), Ok("2028-02-01 2028-02-29"));
        assert_eq!(days("2026-03-17").as_deref(), Ok("2026-03-17 2026-03-17"));
        for bad in ["", "26", "2026-13", "2026-02-30", "march", "+202"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn usage_errors_are_2_and_a_short_reason_is_one() {
        for wrong in [
            &["resume"] as &[&str],
            &["resume", "--because", "too short"],
            &["resume", "--because", "          "],
            &["resume", "--because", "the cause is fixed", "--customer", "1", "--as-before"],
            &["halt", "--customer", "a b"],
            &["halt", "--link", "https://halt.example/s/x"],
            &["checked", "--intent", "i-1", "--because", "short"],
            &["why", "deal", "4411", "--from", "yesterday"],
            &["why", "deal", "4411", "--at", "2026-3"],
            &["why", "deal", "4411", "--at", "2026-03", "--from", "2026-03-01"],
            &["verify", "--against", "7:abc"],
            &["verify", "--checkpoint"],
            &["init", "--name", "Ann", "--pin", "271828"],
            &["verify-halt", "--receipt", "5f2a", "--last"],
            &["erase", "--contact", "501"],
            &["erase", "--contact", "501", "--because", "short"],
            &["erase", "--because", "she asked by letter"],
            &["erase", "--name", "Ana Maria", "--because", "she asked by letter"],
            &["export", "--contact", "Ana"],
            &["export", "--email", "ana"],
            &["export", "--contact", "501", "--name", "Ana"],
            &["dance"],
        ] {
            assert_eq!(code(wrong), 2, "{wrong:?}");
        }
        for right in [
            &["halt"] as &[&str],
            &["halt", "--json", "--customer", "deal-4411", "--because", "x"],
            &["resume", "--because", "the cause is fixed", "--as-before", "--yes"],
            &["why", "deal", "4411", "--to", "Closed Lost", "--from", "2026-03-01"],
            &["why", "deal", "4411", "--at", "2026-03", "--prompt", "p.json"],
            &["verify", "--checkpoint", "a.txt", "--checkpoint", "b.txt", "--key", "n+0+k"],
            &["drill"],
            &["drill", "--global", "--yes"],
            &["verify-halt"],
            &["verify-halt", "--receipt", "5f2a"],
            &["export", "--contact", "501", "--email", "ana@x.example", "--out", "a.zip"],
            &["erase", "--contact", "501", "--because", "she asked by letter", "--yes"],
            &["erase", "--customer", "1234", "--because", "the contract ended"],
            &["requests"],
            &["--help"],
        ] {
            assert_eq!(code(right), 0, "{right:?}");
        }
    }
}
