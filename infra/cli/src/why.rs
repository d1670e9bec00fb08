//! `holdfast why`: an answer in sentences, and the row it rests on. Must never guess what the log does not
//! hold.
use crate::arguments::{Why, WhyAbout, WhyDeal};
use crate::error::CliError;
use crate::install::Install;
use crate::people;
use crate::report::{Line, Report, Status, Three};
use audit_log::{Answer, AuditLog, Prompt, Row};
use interlock::People;
use jiff::civil::Date;
use serde_json::{Value, json};
use sight::name_of;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use types::{EntryState, Stages, Timestamp};
use web::{Lang, Zone};

/// What the answer is worded with.
pub(crate) struct Setting<'a> {
    pub(crate) people: &'a People,
    pub(crate) zone: &'a Zone,
    pub(crate) now: Timestamp,
    pub(crate) console_url: Option<&'a str>,
}

/// Looks it up.
pub(crate) async fn run(install: &Install, arguments: &Why) -> Result<Report, CliError> {
    let WhyAbout::Deal(asked) = &arguments.about;
    let asked = &spanned(asked);
    let (log, zone) = (install.audit_log().await?, install.zone().await);
    let Some((from, until)) = window(asked, &zone) else {
        return Ok(Report::failed(Three::usage(
            "nothing was looked up",
            "--until lies before --from, or a date is too far away",
            "holdfast why deal ID --from 2026-03-01 --until 2026-03-31",
        )));
    };
    let hot = install.hot.get().await.hot;
    let to = asked.to.as_deref().map(|text| stage_id(&hot.stages, text));
    let answer = log.why(asked.deal.as_str(), to.as_deref(), from, until).await;
    let answer =
        answer.map_err(|source| CliError::AuditLog { operation: "look it up in the audit log", source })?;
    let people = people::read(install).await.unwrap_or_default();
    let console_url = install.settings.public_console_url.as_deref();
    let setting = Setting { people: &people, zone: &zone, now: install.clock.now(), console_url };
    Ok(match answer {
        Some(answer) => {
            let prompt = prompt_of(&log, &answer).await?;
            let shown = report(&answer, &prompt, &setting);
            match &asked.prompt {
                None => shown,
                Some(path) => written(shown, &prompt, path),
            }
        }
        None => {
            let waiting = install.ledger.unacknowledged(1).await.ok().map(|rows| !rows.is_empty());
            nothing(asked, &zone, waiting)
        }
    })
}

/// `--at` as the two days it stands for.
fn spanned(asked: &WhyDeal) -> WhyDeal {
    let (from, until) =
        asked.at.map_or((asked.from, asked.until), |span| (Some(span.first), Some(span.last)));
    WhyDeal {
        from,
        until,
        deal: asked.deal.clone(),
        to: asked.to.clone(),
        prompt: asked.prompt.clone(),
        at: None,
    }
}

/// What the model was sent when it decided this.
async fn prompt_of(log: &AuditLog, answer: &Answer) -> Result<Prompt, CliError> {
    let Some(hash) = &answer.row.prompt_hash else { return Ok(Prompt::Absent) };
    let prompt = log.prompt_bytes(hash).await;
    prompt.map_err(|source| CliError::AuditLog { operation: "read the prompt", source })
}

/// The prompt into a file of its own, never over another one.
fn written(report: Report, prompt: &Prompt, path: &Path) -> Report {
    let failed =
        |why: String| Three::new("the prompt was not written", why, "holdfast why deal ID --prompt FILE");
    let Prompt::Exact(bytes) = prompt else {
        return report.but(failed(words(prompt).to_owned()));
    };
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match file.and_then(|mut file| file.write_all(bytes)) {
        Ok(()) => report,
        Err(error) => report.but(failed(format!("`{}`: {error}", path.display()))),
    }
}

const fn words(prompt: &Prompt) -> &'static str {
    match prompt {
        Prompt::Exact(_) => "kept, byte for byte",
        Prompt::Erased => "erased",
        Prompt::Absent => "none is kept",
        Prompt::Altered => "ALTERED: the stored bytes do not have this hash; run holdfast verify",
    }
}

/// From the first moment of one day to the last of the other, in the company's zone. `None`: no such window.
fn window(asked: &WhyDeal, zone: &Zone) -> Option<(Option<Timestamp>, Option<Timestamp>)> {
    if let (Some(from), Some(until)) = (asked.from, asked.until)
        && until < from
    {
        return None;
    }
    let start = |day: Date| Some(day.in_tz(zone.name()).ok()?.timestamp());
    let from = match asked.from {
        Some(day) => Some(start(day)?),
        None => None,
    };
    let until = match asked.until {
        Some(day) => Some(start(day.tomorrow().ok()?)?),
        None => None,
    };
    Some((from, until))
}

/// A stage by its name where the list knows it, else the text as an id.
fn stage_id(stages: &Stages, text: &str) -> String {
    let named = |rule: &&types::StageRule| rule.label.trim().eq_ignore_ascii_case(text.trim());
    stages
        .find(text)
        .or_else(|| stages.0.iter().find(named))
        .map_or_else(|| text.trim().to_owned(), |rule| rule.stage_id.clone())
}

/// The answer in sentences, then the row.
pub(crate) fn report(answer: &Answer, prompt: &Prompt, setting: &Setting<'_>) -> Report {
    let row = &answer.row;
    let mut lines = vec![Line::text(sentence(row, setting))];
    lines.push(Line::text(match row.because.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        Some(because) => format!("Because: \u{201c}{because}\u{201d}"),
        None => "No reason is kept for it.".to_owned(),
    }));
    if !answer.reads.is_empty() {
        let reads: Vec<String> = answer.reads.iter().map(what_of).collect();
        lines.push(Line::text(format!("It had read: {}.", reads.join("; "))));
    }
    if let Some(on) = &answer.turned_on {
        lines.push(Line::text(format!(
            "Writes for {} were turned on by {} at {}.",
            row.verb,
            name_of(&on.actor, Some(setting.people)),
            time(on.occurred_at, setting),
        )));
    }
    lines.extend(row_lines(row, prompt, setting));
    let text = match prompt {
        Prompt::Exact(bytes) => String::from_utf8(bytes.clone()).ok(),
        Prompt::Erased | Prompt::Absent | Prompt::Altered => None,
    };
    let json = json!({
        "found": true, "row": row, "reads": answer.reads, "turned_on": answer.turned_on,
        "prompt": {"is": words(prompt), "text": text},
    });
    Report::done(lines, json)
}

/// `At 17 Mar 14:02:09 Amsterdam (UTC+1), the agent moved deal 4187 from “Negotiation” to “Closed Lost”.`
fn sentence(row: &Row, setting: &Setting<'_>) -> String {
    let target =
        row.target_id.as_deref().map_or_else(|| "a deal (erased)".to_owned(), |id| id.replacen(':', " ", 1));
    let name = detail(row, "deal").map_or_else(String::new, |name| format!(" \u{201c}{name}\u{201d}"));
    let side = |word: &str, value: Option<&Value>| {
        side(value).map_or_else(String::new, |text| format!(" {word} \u{201c}{text}\u{201d}"))
    };
    let did = if row.decision == EntryState::Unknown { "tried to move" } else { "moved" };
    let end = if row.decision == EntryState::Unknown { " HubSpot did not answer." } else { "" };
    format!(
        "At {}, {} {did} {target}{name}{}{}.{end}",
        time(row.occurred_at, setting),
        name_of(&row.actor, Some(setting.people)),
        side("from", row.before.as_ref()),
        side("to", row.after.as_ref()),
    )
}

fn time(at: Timestamp, setting: &Setting<'_>) -> String {
    let zone = setting.zone;
    let (text, city, offset) = (zone.text(at, setting.now, Lang::En), zone.city(), zone.offset(at));
    if city == offset { format!("{text} {city}") } else { format!("{text} {city} ({offset})") }
}

/// The label of one side of a change, else its id.
fn side(value: Option<&Value>) -> Option<String> {
    let value = value?;
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    let text =
        field("label").or_else(|| field("stage")).or_else(|| field("dealstage")).or_else(|| value.as_str());
    text.map(str::to_owned)
}

fn detail(row: &Row, field: &str) -> Option<String> {
    let text = row.detail.as_ref()?.get(field)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn what_of(row: &Row) -> String {
    let target = row.target_id.as_deref().unwrap_or("erased").replacen(':', " ", 1);
    detail(row, "what").unwrap_or_else(|| format!("{} of {target}", row.verb))
}

/// The row itself, the parts that people ask for.
fn row_lines(row: &Row, prompt: &Prompt, setting: &Setting<'_>) -> Vec<Line> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let mut lines = vec![
        Line::item(Status::Ok, "row", format!("{} {} {}", row.seq, row.verb, row.decision)),
        Line::item(Status::Ok, "time, UTC", row.occurred_at.to_string()),
        Line::item(Status::Ok, "run", text(&row.run_id)),
        Line::item(Status::Ok, "model", text(&row.model_version)),
        Line::item(Status::Ok, "prompt", text(&row.prompt_hash)),
        prompt_line(prompt),
        Line::item(Status::Ok, "config", text(&row.config_version)),
        Line::item(Status::Ok, "chain", row.hash.clone()),
    ];
    if let Some(request) = &row.erased_on_request {
        lines.push(Line::item(Status::Warn, "erased", format!("on request {request}")));
    }
    if let Some(url) = setting.console_url {
        lines.push(Line::Copy(format!("{url}/audit/{}", row.seq)));
    }
    lines
}

fn prompt_line(prompt: &Prompt) -> Line {
    let (status, text) = match prompt {
        Prompt::Exact(bytes) => {
            (Status::Ok, format!("{}, {} bytes; --prompt FILE writes them", words(prompt), bytes.len()))
        }
        Prompt::Erased => (Status::Warn, words(prompt).to_owned()),
        Prompt::Absent => (Status::Ok, words(prompt).to_owned()),
        Prompt::Altered => (Status::Fail, words(prompt).to_owned()),
    };
    Line::item(status, "its bytes", text)
}

/// Absence is an answer.
fn nothing(asked: &WhyDeal, zone: &Zone, waiting: Option<bool>) -> Report {
    let to = asked.to.as_ref().map_or_else(String::new, |to| format!(" to \u{201c}{to}\u{201d}"));
    let day = |word: &str, day: Option<Date>| day.map_or_else(String::new, |day| format!(" {word} {day}"));
    let window = format!("{}{}", day("from", asked.from), day("until", asked.until));
    let zone = if window.is_empty() { String::new() } else { format!(" ({})", zone.city()) };
    let mut lines = vec![Line::text(format!(
        "No row for deal {}{to}{window}{zone}. The agent did not move it.",
        asked.deal
    ))];
    if waiting != Some(false) {
        lines.push(Line::text("Rows may still be on their way to the log: holdfast status"));
    }
    Report::done(lines, json!({"found": false, "deal_id": asked.deal, "rows_on_their_way": waiting}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{DealId, StageRule};

    fn asked(from: Option<&str>, until: Option<&str>) -> WhyDeal {
        let date = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        WhyDeal {
            deal: DealId::new("4187").unwrap(),
            to: None,
            from: date(from),
            until: date(until),
            at: None,
            prompt: None,
        }
    }

    #[test]
    fn a_day_is_whole_in_the_companys_zone() {
        let zone = Zone::new("Europe/Amsterdam").unwrap();
        let (from, until) = window(&asked(Some("2026-03-01"), Some("2026-03-31")), &zone).unwrap();
        assert_eq!(from.unwrap().to_string(), "2026-02-28T23:00:00Z");
        assert_eq!(until.unwrap().to_string(), "2026-03-31T22:00:00Z", "summer time began in between");
        assert_eq!(window(&asked(Some("2026-03-02"), Some("2026-03-01")), &zone), None);
        assert_eq!(window(&asked(None, None), &zone), Some((None, None)));
    }

    #[test]
    fn a_stage_may_be_named_as_people_name_it() {
        let rule = StageRule {
            stage_id: "closedlost".into(),
            label: "Closed Lost".into(),
            pipeline_id: "default".into(),
            agent_may_move_here: true,
            closed: true,
        };
        let stages = Stages(vec![rule]);
        for text in ["closedlost", "ClosedLost", "closed lost", " Closed Lost "] {
            assert_eq!(stage_id(&stages, text), "closedlost", "{text}");
        }
        assert_eq!(stage_id(&stages, "1093387201"), "1093387201");
    }

    #[test]
    fn absence_is_an_answer_and_never_hides_rows_on_their_way() {
        let shown = nothing(&asked(Some("2026-03-01"), None), &Zone::utc(), Some(true));
        assert_eq!(shown.exit_code(), 0);
        let Line::Text(first) = &shown.lines[0] else { panic!("a sentence") };
        assert_eq!(first, "No row for deal 4187 from 2026-03-01 (UTC). The agent did not move it.");
        assert_eq!(shown.lines.len(), 2);
        assert_eq!(nothing(&asked(None, None), &Zone::utc(), Some(false)).lines.len(), 1);
    }
}
