//! `holdfast export`, `erase` and `requests`: one person's data. Must never print what it exports or erases.
use crate::arguments::{Erase, Export, Whom};
use crate::console::Ask as Terminal;
use crate::error::CliError;
use crate::install::Install;
use crate::report::{Line, Report, Status, Three};
use crate::through::{AWS, invoke};
use base64::Engine as _;
use interlock::Forgotten;
use ledger::{DataRequest, LedgerError, RequestKind, RequestStage};
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use types::{Actor, Subject};

/// How long one command carries a request on (ms).
const CARRY_MS: i64 = 600_000;
/// The requests that are listed.
const LISTED: i32 = 50;

impl Whom {
    /// The person as the stores know her.
    fn subject(&self) -> Subject {
        Subject {
            contacts: self.contact.iter().cloned().collect(),
            emails: self.email.iter().cloned().collect(),
            names: self.name.iter().cloned().collect(),
            deals: self.deal.iter().map(ToString::to_string).collect(),
            customers: self.customer.iter().map(ToString::to_string).collect(),
        }
    }

    fn ask(&self, because: Option<&String>, by: Actor) -> privacy::Ask {
        privacy::Ask { subject: self.subject(), because: because.cloned(), by }
    }

    fn payload(&self, verb: &str, because: Option<&String>, by: &Actor) -> Value {
        let person = match by {
            Actor::Person(person) => Some(person),
            Actor::Agent(_) | Actor::System(_) => None,
        };
        json!({ verb: {"subject": self.subject(), "person": person, "because": because} })
    }
}

fn failed(operation: &'static str) -> impl FnOnce(privacy::PrivacyError) -> CliError {
    move |source| CliError::Privacy { operation, source }
}

fn tables(operation: &'static str) -> impl FnOnce(LedgerError) -> CliError {
    move |source| CliError::Tables { operation, source }
}

/// Writes the archive to a file that only its owner can read.
pub(crate) async fn export(install: &Install, arguments: &Export, actor: Actor) -> Result<Report, CliError> {
    let log = install.audit_log().await?;
    let exported = privacy::export(&install.ledger, &log, &arguments.whom.ask(None, actor)).await;
    let exported = exported.map_err(failed("export what is held"))?;
    let said = json!({
        "request_id": exported.request_id, "rows": exported.rows, "blacked_out": exported.blacked_out,
    });
    save(arguments.out.as_deref(), &exported.zip, said)
}

/// The same by the audit function, where the database cannot be reached from a terminal.
pub(crate) async fn export_through(
    function: &str,
    arguments: &Export,
    actor: &Actor,
) -> Result<Report, CliError> {
    let mut said = invoke(AWS, function, &arguments.whom.payload("export", None, actor)).await?;
    let unusable = |said: &Value| CliError::FunctionSaid {
        function: function.to_owned(),
        said: said.to_string().chars().take(160).collect(),
    };
    let Some(zip) = said.get_mut("zip").map(Value::take).filter(|zip| !zip.is_null()) else {
        if said.get("bytes").and_then(Value::as_u64).is_none() {
            return Err(unusable(&said));
        }
        return Ok(Report::failed(Three::new(
            "nothing was written",
            "the archive is larger than a function can hand over",
            "run holdfast export where the database can be reached, without --through",
        )));
    };
    let decoded = zip.as_str().and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let Some(bytes) = decoded else { return Err(unusable(&said)) };
    save(arguments.out.as_deref(), &bytes, said)
}

fn save(out: Option<&Path>, zip: &[u8], mut said: Value) -> Result<Report, CliError> {
    let id = said.get("request_id").and_then(Value::as_str).unwrap_or("export").to_owned();
    let path = out.map_or_else(|| PathBuf::from(format!("data-export-{id}.zip")), Path::to_owned);
    let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let written = written.and_then(|mut file| {
        file.write_all(zip)?;
        file.sync_all()
    });
    if let Err(source) = written {
        return Ok(Report::failed(Three::new(
            format!("`{}` was not written", path.display()),
            source.to_string(),
            "choose another place: --out FILE",
        )));
    }
    let number = |name: &str| said.get(name).and_then(Value::as_u64).unwrap_or_default();
    let lines = vec![
        Line::item(Status::Did, id, format!("{} rows in {}", number("rows"), path.display())),
        Line::text(format!(
            "{} places are blacked out because they concern others. Read it before you hand it over: a name \
             that stands in free text only is not recognised.",
            number("blacked_out")
        )),
    ];
    if let Some(fields) = said.as_object_mut() {
        fields.insert("file".to_owned(), path.display().to_string().into());
        fields.remove("zip");
    }
    Ok(Report::done(lines, said))
}

/// Erases, and waits for nobody: what cannot be done now is the minute's sweep's.
pub(crate) async fn erase(
    install: &Install,
    arguments: &Erase,
    actor: Actor,
    terminal: &mut dyn Terminal,
) -> Result<Report, CliError> {
    if let Err(three) = agreed(arguments, terminal) {
        return Ok(Report::failed(three));
    }
    let log = install.audit_log().await?;
    let ask = arguments.whom.ask(Some(&arguments.because), actor);
    let mut request = privacy::open(&install.ledger, &ask).await.map_err(failed("open the request"))?;
    terminal
        .progress(&format!("{} is open; a sweep goes on with it whatever happens here", request.request_id));
    let until_ms = install.clock.now_ms().saturating_add(CARRY_MS);
    loop {
        let carried = privacy::carry_on(&install.ledger, &log, &request.request_id, until_ms).await;
        let Some(carried) = carried.map_err(failed("go on with the request"))? else { break };
        request = carried;
        if request.stage != RequestStage::Showing || !show(install, &mut request).await? {
            break;
        }
    }
    Ok(report(&stored(&request)))
}

/// The same by the audit function.
pub(crate) async fn erase_through(
    function: &str,
    arguments: &Erase,
    actor: &Actor,
    terminal: &mut dyn Terminal,
) -> Result<Report, CliError> {
    if let Err(three) = agreed(arguments, terminal) {
        return Ok(Report::failed(three));
    }
    let said =
        invoke(AWS, function, &arguments.whom.payload("erase", Some(&arguments.because), actor)).await?;
    if said.get("request_id").and_then(Value::as_str).is_none() {
        let said = said.to_string().chars().take(160).collect();
        return Err(CliError::FunctionSaid { function: function.to_owned(), said });
    }
    Ok(report(&said))
}

/// The halt page's share. False: somebody else's change came first, and the sweep tries again.
async fn show(install: &Install, request: &mut DataRequest) -> Result<bool, CliError> {
    let control = |source| CliError::Control { operation: "clear her from the halt page", source };
    match install.interlock.forget_person(&request.subject, &request.runs).await.map_err(control)? {
        Forgotten::NotYet => Ok(false),
        Forgotten::Done(items) => {
            request.counts.rows = request.counts.rows.saturating_add(items);
            request.stage = RequestStage::Erasing;
            install.ledger.save_request(request, &[]).await.map_err(tables("save the request"))
        }
    }
}

fn agreed(arguments: &Erase, terminal: &mut dyn Terminal) -> Result<(), Three> {
    if arguments.yes {
        return Ok(());
    }
    match terminal.ask("this cannot be undone; type the word erase") {
        Some(word) if word == "erase" => Ok(()),
        Some(_) => {
            Err(Three::new("nothing was erased", "the word was not typed", "holdfast erase --contact ID"))
        }
        None => Err(Three::usage(
            "nothing was erased",
            "nobody is at a terminal to confirm it",
            "holdfast erase --contact ID --because TEXT --yes",
        )),
    }
}

fn stored(request: &DataRequest) -> Value {
    json!({
        "request_id": request.request_id, "kind": request.kind, "stage": request.stage,
        "opened_by": request.opened_by, "opened_ms": request.opened_ms,
        "not_before_ms": request.not_before_ms, "done_ms": request.done_ms, "counts": request.counts,
    })
}

fn report(said: &Value) -> Report {
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    let number =
        |name: &str| said.pointer(&format!("/counts/{name}")).and_then(Value::as_u64).unwrap_or_default();
    let lines = if text("stage") == "done" {
        vec![
            Line::item(
                Status::Did,
                text("request_id"),
                format!(
                    "erased: {} entries of the log, {} prompt parts, {} rows of the tables, {} runs",
                    number("entries"),
                    number("parts"),
                    number("rows"),
                    number("runs")
                ),
            ),
            Line::text("HubSpot and Slack hold copies of their own. Backups age out after 35 days."),
        ]
    } else {
        vec![
            Line::item(
                Status::Warn,
                text("request_id"),
                format!("under way, at the stage `{}`", text("stage")),
            ),
            Line::text(
                "The minute's sweep goes on with it: it may wait for a write that HubSpot has not answered. \
                 holdfast requests shows it.",
            ),
        ]
    };
    Report::done(lines, said.clone())
}

/// The newest requests.
pub(crate) async fn requests(install: &Install) -> Result<Report, CliError> {
    let requests = install.ledger.requests(LISTED).await.map_err(tables("read the data requests"))?;
    let zone = install.zone().await;
    let line = |request: &DataRequest| {
        let what = match request.kind {
            RequestKind::Export => "export",
            RequestKind::Erase => "erasure",
        };
        let at = zone.clock(sight::moment(request.opened_ms));
        let stage = match (request.stage, request.not_before_ms) {
            (RequestStage::Done, _) => "done".to_owned(),
            (_, None) => "waits for a person: holdfast erase with the same --contact".to_owned(),
            (RequestStage::Opened, Some(from)) if from > install.clock.now_ms() => {
                format!("shown until {}, then carried out", zone.clock(sight::moment(from)))
            }
            (stage, Some(_)) => format!("under way: {}", json!(stage).as_str().unwrap_or_default()),
        };
        let status = if request.stage == RequestStage::Done { Status::Ok } else { Status::Warn };
        Line::item(status, request.request_id.to_string(), format!("{what} of {at}: {stage}"))
    };
    let mut lines: Vec<Line> = requests.iter().map(line).collect();
    if lines.is_empty() {
        lines.push(Line::text("No data request."));
    }
    Ok(Report::done(lines, json!({ "requests": requests.iter().map(stored).collect::<Vec<_>>() })))
}
