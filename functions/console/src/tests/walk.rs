//! Every route, walked: each change leaves its row, and what she asks for is few clicks away. Must never
//! leave out a route that `route.rs` has.
use super::changes::{held, hubspot, unanswered};
use super::log::{append, append_outbox, draft, entry, rig_with_log, would_have};
use super::*;
use ledger::RunStatus;
use types::{EntryState, StageRule, Stages};

/// The paths that `route.rs` takes a POST at, a star for each part that varies.
pub(super) fn post_routes() -> Vec<Vec<String>> {
    let source = include_str!("../route.rs");
    let table = source.split("let change: Answer").nth(1).unwrap().split("_ =>").next().unwrap();
    let lines = table.lines().filter_map(|line| line.trim().strip_prefix('[')?.split(']').next());
    let part =
        |part: &str| part.trim().strip_prefix('"').map_or("*", |part| part.trim_end_matches('"')).to_owned();
    let routes: Vec<Vec<String>> = lines.map(|line| line.split(',').map(part).collect()).collect();
    assert!(routes.len() > 15, "{routes:?}");
    routes
}

/// Does this path lie at that route?
pub(super) fn fits(route: &[String], path: &str) -> bool {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    parts.len() == route.len() && route.iter().zip(parts).all(|(at, part)| at == "*" || at == part)
}

/// These show what a change would be, and change nothing.
const SHOWS: [&str; 3] = ["/pipeline/check", "/pipeline/allow", "/pipeline/restore"];

/// What a person did, and the verb of its row.
struct Walk<'a> {
    browser: &'a Browser<'a>,
    done: Vec<(String, &'static str)>,
}

impl Walk<'_> {
    async fn does(&mut self, path: &str, form: &str, verb: &'static str) {
        let answer = self.browser.post(path, form).await;
        let status = answer.status();
        assert!([200, 303].contains(&status), "{path}: {status} {}", text(&answer));
        let to = answer.header("location").unwrap_or_default();
        assert!(!["gone", "already", "moved", "same"].iter().any(|n| to.ends_with(n)), "{path}: {to}");
        self.done.push((path.to_owned(), verb));
    }
}

#[tokio::test]
async fn every_change_leaves_a_row_of_the_person_who_made_it() {
    let (mut rig, postgres, folder) = rig_with_log().await;
    let (starts, _started) = tokio::sync::mpsc::unbounded_channel();
    rig.deps.starter = Some(starter::Starter::Local(starts));
    rig.deps.pipelines = Some(hubspot().await);
    let mut second = draft();
    (second.entry_id, second.stream) = ("r-10#1".into(), "r-10".into());
    second.intent_id = Some(types::IntentId::new("i-10").unwrap());
    append(rig.deps.audit.as_ref().unwrap(), &[second]).await;
    let rule = |id: &str| StageRule {
        stage_id: id.into(),
        label: id.into(),
        pipeline_id: "default".into(),
        agent_may_move_here: true,
        closed: false,
    };
    rig.deps.hot.put_stages(&Stages(vec![rule("new"), rule("contractsent")]), 0).await.unwrap();
    rig.deps.hot.put_caps(&types::Caps::default(), 0).await.unwrap();
    let browser = rig.sign_in("marieke").await;
    let key = rig.link("joris").await.link.key_id;
    let mut walk = Walk { browser: &browser, done: Vec::new() };
    judged_and_sent(&rig, &mut walk).await;
    waiting(&rig, &mut walk).await;
    let pin = format!("pin={PIN}");
    walk.does("/tools/append_note/writes", &format!("know=1&why=three+quiet+days&{pin}"), "flip").await;
    walk.does("/tools/append_note/dry", "", "flip").await;
    walk.does("/tools/surprises", "version=0&most=3", "set_surprise_limit").await;
    walk.does("/pipeline/save", "version=1&may=new", "set_stages").await;
    walk.does("/budgets/usd_per_day", "version=1&value=20", "set_caps").await;
    walk.does("/people/invite", &format!("name=Sanne&role=ops&{pin}"), "invite").await;
    walk.does("/people/role", &format!("person=joris&role=ops&{pin}"), "set_role").await;
    walk.does("/people/revoke", &format!("person=joris&key={key}"), "revoke").await;
    walk.does("/data-requests/export", "contact=5521", "export_subject").await;
    let erase = format!("contact=5521&why=she+asked+for+it&word=erase&{pin}");
    walk.does("/data-requests/erase", &erase, "open_erase").await;
    walk.does("/halt", "", "halt").await;
    let page = String::from_utf8(browser.get("/resume").await.body().to_vec()).unwrap();
    let value = |name: &str| {
        page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap().split('"').next().unwrap()
    };
    let resume = format!("epoch={}&seq={}&modes=dry&why=it+is+safe+now&{pin}", value("epoch"), value("seq"));
    walk.does("/resume", &resume, "resume").await;
    for route in post_routes() {
        let walked =
            walk.done.iter().map(|(path, _)| path.as_str()).chain(SHOWS).any(|path| fits(&route, path));
        assert!(walked, "no row is asked for at {route:?}");
    }
    rows_of(&rig, &walk).await;
    drop(rig);
    postgres.shutdown().await.unwrap();
    let _ = std::fs::remove_dir_all(folder);
}

async fn judged_and_sent(rig: &Rig, walk: &mut Walk<'_>) {
    let seq = would_have(rig).await[0];
    walk.does("/would-have/judge", &format!("seq={seq}&judged=surprising&note=no"), "judge").await;
    let page = String::from_utf8(walk.browser.get("/drafts").await.body().to_vec()).unwrap();
    let mut drafts: Vec<&str> =
        page.split("href=\"/drafts/").skip(1).filter_map(|rest| rest.split(['"', '.']).next()).collect();
    drafts.sort_unstable();
    drafts.dedup();
    let [one, two] = drafts.as_slice() else { panic!("two drafts, not {drafts:?}") };
    walk.does(&format!("/drafts/{one}/sent"), "", "draft_sent").await;
    walk.does(&format!("/drafts/{two}/discard"), "why=not+what+I+would+say", "draft_discarded").await;
}

async fn waiting(rig: &Rig, walk: &mut Walk<'_>) {
    let (one, two) = (held(rig, "a").await, held(rig, "b").await);
    walk.does("/waiting/start", &format!("run={one}"), "start_held").await;
    walk.does("/waiting/discard", &format!("run={two}"), "discard_held").await;
    let (run, id) = unanswered(rig).await;
    let checked = format!("run={}&intent={id}&found=there&why=looked+at+the+deal", run.run_id);
    walk.does("/waiting/checked", &checked, "set_stage").await;
    let mut stopped = super::changes::run("f");
    stopped.status = RunStatus::Halted;
    let _ = rig.deps.ledger.admit(&stopped).await.unwrap();
    let again = format!("/runs/{}/again", stopped.run_id);
    walk.does(&again, "why=the+cap+was+too+low", "start_again").await;
}

/// Each has its row: in the outbox, or in the control item's log, which the halt function carries there.
async fn rows_of(rig: &Rig, walk: &Walk<'_>) {
    let control = rig.deps.interlock.control().await.unwrap().log;
    let mut rows: Vec<(String, String)> =
        control.into_iter().map(|row| (row.verb, row.actor.to_string())).collect();
    rows.extend(rig.outbox().await.into_iter().map(|row| (row.verb, row.actor.to_string())));
    for (path, verb) in &walk.done {
        let at = rows.iter().position(|row| *row == ((*verb).to_owned(), "person:marieke".to_owned()));
        let at = at.unwrap_or_else(|| panic!("no row `{verb}` of her after {path}: {rows:?}"));
        rows.remove(at);
    }
    append_outbox(rig).await;
    let mine = text(&walk.browser.get("/audit?verb=set_caps").await);
    assert!(mine.contains("Marieke") && mine.contains("25.00 → 20.00"), "{mine}");
}

/// A page's links and forms, as a person clicks them.
struct Clicks<'a> {
    browser: &'a Browser<'a>,
    at: Response,
    clicks: usize,
}

impl Clicks<'_> {
    fn html(&self) -> String {
        String::from_utf8(self.at.body().to_vec()).unwrap().replace("&amp;", "&")
    }

    async fn link(&mut self, shown: &str) {
        let html = self.html();
        let mut links = html.split("<a ").skip(1).filter_map(|link| link.split("</a>").next());
        let link =
            links.find(|link| plain(link).contains(shown)).unwrap_or_else(|| panic!("no {shown}: {html}"));
        let to = link.split("href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        self.go(&to).await;
    }

    /// Fills the one form of this address and sends it.
    async fn submit(&mut self, action: &str, fields: &[(&str, &str)]) {
        let html = self.html();
        let start = format!("method=\"get\" action=\"{action}\"");
        let form = html.split(&start).nth(1).unwrap_or_else(|| panic!("no form for {action}"));
        let form = form.split("</form>").next().unwrap();
        for (name, value) in fields {
            assert!(form.contains(&format!("name=\"{name}\"")), "no field {name}");
            let select = form.split(&format!("<select id=\"{name}\"")).nth(1);
            let select = select.and_then(|rest| rest.split("</select>").next());
            let offered = select.is_none_or(|options| options.contains(&format!("value=\"{value}\"")));
            assert!(offered, "{name} does not offer {value}");
        }
        let query: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.go(&format!("{action}?{}", query.join("&"))).await;
    }

    async fn go(&mut self, to: &str) {
        self.at = self.browser.get(to).await;
        assert_eq!(self.at.status(), 200, "{to}");
        self.clicks += 1;
    }
}

fn plain(html: &str) -> String {
    html.split('<').map(|part| part.split_once('>').map_or(part, |(_, rest)| rest)).collect()
}

/// A deal that was moved in March, under many others, asked for in July.
#[tokio::test]
async fn why_closed_lost_in_march_is_three_clicks_away_on_a_cold_console() {
    let (mut rig, postgres, folder) = rig_with_log().await;
    let march = |n: i64| {
        let mut row = entry(n, "set_stage", EntryState::Applied);
        (row.entry_id, row.stream) = (format!("m-{n}#1"), format!("m-{n}"));
        let minutes = n * 60_000;
        // From 16 March 2026 on.
        row.occurred_at = types::Timestamp::from_millisecond(1_773_665_000_000 + minutes).unwrap();
        row.intent_id = Some(types::IntentId::new(format!("m-{n}")).unwrap());
        row.target = types::Target::new("deal", 100_000 + n);
        row
    };
    let many: Vec<ledger::Entry> = (0..3_000).map(march).collect();
    for some in many.chunks(500) {
        append(rig.deps.audit.as_ref().unwrap(), some).await;
    }
    rig.deps.audit = Some(Arc::new(audit_log::AuditLog::connect(postgres.url()).await.unwrap()));
    let rule = StageRule {
        stage_id: "closedlost".into(),
        label: "Closed Lost".into(),
        pipeline_id: "default".into(),
        agent_may_move_here: true,
        closed: true,
    };
    rig.deps.hot.put_stages(&Stages(vec![rule]), 0).await.unwrap();
    let browser = rig.sign_in("marieke").await;
    let in_march = [("to", "closedlost"), ("from", "2026-03-01"), ("until", "2026-03-31")];
    // She knows the deal: the answer in two clicks, the exact prompt in three.
    let mut clicks = Clicks { at: browser.get("/").await, browser: &browser, clicks: 0 };
    clicks.link("Audit").await;
    clicks.submit("/audit", &[&[("q", "101234")][..], &in_march].concat()).await;
    let answer = text(&clicks.at);
    assert!(
        answer.contains("the agent moved deal 101234") && answer.contains("they chose another supplier"),
        "{answer}"
    );
    clicks.link("Exact prompt").await;
    assert!(text(&clicks.at).contains("exact bytes the model was sent"));
    assert_eq!(clicks.clicks, 3);
    // She knows the month alone: the list in two, a row in three.
    let mut clicks = Clicks { at: browser.get("/").await, browser: &browser, clicks: 0 };
    clicks.link("Audit").await;
    clicks.submit("/audit", &in_march).await;
    clicks.link(" Mar").await;
    let row = text(&clicks.at);
    assert!(row.contains("Because") && row.contains("they chose another supplier"), "{row}");
    assert_eq!(clicks.clicks, 3);
    drop(rig);
    postgres.shutdown().await.unwrap();
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn no_route_that_changes_is_left_out_of_the_checks_of_access() {
    for route in post_routes() {
        assert!(access::CHANGES.iter().any(|(path, _)| fits(&route, path)), "{route:?}");
    }
}
