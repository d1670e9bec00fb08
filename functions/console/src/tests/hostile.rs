//! What a customer, a colleague in HubSpot or the model may write, in every field, on every page and in every
//! file. Must never be taken out of a test for being ugly.
use super::changes::run;
use super::log::{append, draft, entry, rig_with_log};
use super::*;
use ledger::RunDeal;
use serde_json::json;
use types::{CustomerId, DealId, EntryState, IntentId, StageRule, Stages};

/// One of each kind, and all of them again in one that is long.
fn texts() -> Vec<String> {
    let kinds = [
        "</td></tr></table><script>alert(1)</script><img src=x onerror=alert(1)>",
        "\"' onmouseover=alert(1) x='",
        "\u{1b}[31mred\u{1b}]0;title\u{7}\u{9b}1m",
        "\u{202e}gpj.exe\u{2066}hidden\u{2069}",
        "\u{645}\u{631}\u{62d}\u{628}\u{627} \u{634}\u{631}\u{643}\u{629} \u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{1f4a5}\u{fe0f}",
        "a\u{0}b\u{0}",
        "=HYPERLINK(\"http://evil.example\")",
        "  +1-1|cmd' /C calc'!A0",
        "line one\r\nline two,\"quoted\"",
        "{{7*7}} ${7*7} %s %n &#60;script&#62; &amp;",
    ];
    let all = kinds.concat();
    kinds.iter().map(|text| (*text).to_owned()).chain([all.repeat(60)]).collect()
}

/// A row whose every free field is this text.
fn row(n: i64, verb: &str, state: EntryState, text: &str) -> ledger::Entry {
    let mut row = entry(n, verb, state);
    (row.entry_id, row.stream) = (format!("h-{verb}-{n}#1"), format!("h-{n}"));
    row.intent_id = Some(IntentId::new(format!("h-{verb}-{n}")).unwrap());
    row.before = Some(json!({ "stage": text, "label": text }));
    row.after = Some(json!({ "stage": "closedlost", "label": text }));
    row.because = Some(text.into());
    row.detail = Some(json!({
        "what": text, "request": { "stage": text }, "event": text, "customer": text, "deal": text,
        "warnings": [text, "recipient"],
    }));
    row.model_version = Some(text.chars().take(64).collect());
    if verb == "draft_email" {
        row.after = Some(json!({
            "to": { "contact_id": 5521, "name": text, "email": text }, "subject": text, "body": text,
        }));
    }
    row
}

async fn filled() -> (Rig, stores::LocalPostgres, std::path::PathBuf) {
    let (rig, postgres, folder) = rig_with_log().await;
    let texts = texts();
    let mut rows = vec![draft()];
    rows.clear();
    for (n, text) in (20..).zip(&texts) {
        rows.push(row(n, "set_stage", EntryState::WouldHave, text));
        rows.push(row(n, "set_stage", EntryState::Applied, text).renamed());
        rows.push(row(n, "append_note", EntryState::Refused, text));
        rows.push(row(n, "draft_email", EntryState::Drafted, text));
        let mut waits = run(&format!("hostile-{n}"));
        waits.event.object_id = format!("{n}");
        waits.event.kind = text.chars().take(60).collect();
        waits.deal = Some(RunDeal {
            deal_id: DealId::new(format!("{n}")).unwrap(),
            deal_name: text.clone(),
            customer_id: CustomerId::new("1").unwrap(),
            customer_name: text.clone(),
            contact_ids: Vec::new(),
            subjects: Vec::new(),
        });
        let _ = rig.deps.ledger.admit(&waits).await.unwrap();
    }
    for row in &mut rows {
        if row.reason.is_some() && row.state == EntryState::Refused {
            row.reason = Some(types::Reason::StageNotAllowed);
        }
    }
    append(rig.deps.audit.as_ref().unwrap(), &rows).await;
    let label = |text: &String| text.replace('\0', "").chars().take(80).collect::<String>();
    let rule = |(n, text): (usize, &String)| StageRule {
        stage_id: format!("stage{n}"),
        label: label(text),
        pipeline_id: "default".into(),
        agent_may_move_here: n % 2 == 0,
        closed: false,
    };
    rig.deps.hot.put_stages(&Stages(texts.iter().enumerate().map(rule).collect()), 0).await.unwrap();
    let mut people = rig.deps.interlock.people().await.unwrap();
    people.people.get_mut(&person("joris")).unwrap().name = texts.concat();
    assert!(rig.deps.interlock.put_people(&people).await.unwrap());
    (rig, postgres, folder)
}

trait Renamed {
    fn renamed(self) -> Self;
}

impl Renamed for ledger::Entry {
    /// The same call, done instead: a row of its own.
    fn renamed(mut self) -> Self {
        self.entry_id = format!("done-{}", self.entry_id);
        self.intent_id = self.intent_id.map(|id| IntentId::new(format!("done-{id}")).unwrap());
        self
    }
}

#[tokio::test]
async fn hostile_texts_are_text_on_every_page_and_in_every_file() {
    let (rig, postgres, folder) = filled().await;
    let browser = rig.sign_in("marieke").await;
    let seqs: Vec<i64> = super::log::would_have(&rig).await;
    for (nth, seq) in seqs.iter().enumerate().take(14) {
        let note = web::encode_component(&texts()[nth % texts().len()].chars().take(200).collect::<String>());
        browser.post("/would-have/judge", &format!("seq={seq}&judged=surprising&note={note}")).await;
    }
    let mut paths: Vec<String> = [
        "/",
        "/would-have",
        "/would-have?judged=surprising",
        "/tools",
        "/drafts",
        "/audit",
        "/audit?from=all",
        "/pipeline",
        "/pipeline/versions",
        "/budgets",
        "/waiting",
        "/people",
        "/data-requests",
    ]
    .map(str::to_owned)
    .to_vec();
    for text in texts() {
        let text = web::encode_component(&text.chars().take(200).collect::<String>());
        paths.push(format!("/audit?q={text}&verb={text}&to={text}&from={text}&until={text}&after={text}"));
        paths.push(format!("/would-have?day={text}&tool={text}&customer={text}&judged={text}"));
        paths.push(format!("/would-have?n={text}"));
    }
    for n in 1..=60 {
        paths.push(format!("/audit/{n}"));
        paths.push(format!("/drafts/{n}"));
    }
    for path in &paths {
        clean(path, &browser.get(path).await);
    }
    files(&browser).await;
    drop(rig);
    postgres.shutdown().await.unwrap();
    let _ = std::fs::remove_dir_all(folder);
}

/// The page holds nothing that a browser would run or turn around, and stays small.
fn clean(path: &str, response: &Response) {
    if response.status() == 303 {
        return;
    }
    assert!([200, 404].contains(&response.status()), "{path}: {}", response.status());
    let html = String::from_utf8(response.body().to_vec()).unwrap();
    let odd = |c: char| {
        c.is_control() && c != '\n'
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
            || c == '\u{200d}'
    };
    assert_eq!(html.chars().find(|c| odd(*c)), None, "{path}");
    let lower = html.to_lowercase();
    assert!(!lower.contains("<script") && !lower.contains("<img"), "{path}");
    for tag in lower.split('<').skip(1).filter_map(|tag| tag.split('>').next()) {
        // Quoted values are whole: an attribute of theirs would stand outside of quotes.
        let outside: String = tag.split('"').step_by(2).collect();
        assert!(!outside.contains("onmouseover") && !outside.contains("onerror"), "{path}: {tag}");
    }
    assert!(response.wire_bytes() <= 60_000, "{path}: {} bytes", response.wire_bytes());
}

async fn files(browser: &Browser<'_>) {
    for path in ["/would-have.csv", "/audit.csv?from=all"] {
        let csv = browser.get(path).await;
        let csv = String::from_utf8(csv.body().to_vec()).unwrap();
        let lines: Vec<&str> = csv.trim_end().split("\r\n").collect();
        assert!(lines.len() > 12, "{path}");
        let columns = lines[0].split(',').count();
        for line in &lines[1..] {
            let fields = fields(line);
            assert_eq!(fields.len(), columns, "{path}: {line}");
            for field in fields {
                let first = field.trim_start().chars().next();
                assert!(!first.is_some_and(|c| "=+-@|%".contains(c)), "{path}: {field}");
                assert!(!field.chars().any(char::is_control), "{path}: {field}");
            }
        }
    }
    let lines = browser.get("/would-have.jsonl").await;
    let lines = String::from_utf8(lines.body().to_vec()).unwrap();
    assert!(lines.lines().count() >= 10);
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["format"], "holdfast-example/1");
    }
    let json = browser.get("/audit.json?from=all").await;
    let json: serde_json::Value = serde_json::from_slice(json.body()).unwrap();
    assert!(json["rows"].as_array().unwrap().len() > 30, "JSON carries every text as it was");
}

/// A line whose fields are all quoted.
fn fields(line: &str) -> Vec<String> {
    let inner = line.strip_prefix('"').and_then(|line| line.strip_suffix('"'));
    let inner = inner.unwrap_or_else(|| panic!("not quoted: {line}"));
    inner.split("\",\"").map(|field| field.replace("\"\"", "\"")).collect()
}
