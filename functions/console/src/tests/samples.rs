//! Values for pages: a busy day, and the same with hostile texts everywhere. Must never be used outside
//! tests.
use super::*;
use crate::frame::{Counts, Frame, Notice, Viewer};
use crate::load::StageAsk;
use crate::pages::chart::{Spend, ToolDay, ToolDays};
use crate::pages::{
    audit, budgets, drafts, pipeline, resume, run, today, tool_writes, tools, waiting, would_have,
};
use crate::view::RowView;
use audit_log::{Judged, Judgement, Row};
use serde_json::json;
use types::{Caps, EntryState, Mode, Timestamp, UsdNanos};
use web::panel::{Control, Flags, Seen};

/// Markup, a direction character and a quote, as a customer or the model might write them.
pub(super) const HOSTILE: &str = "\"'><script>alert(1)</script>\u{202e}&{x}";

pub(super) fn now() -> Timestamp {
    Timestamp::from_millisecond(NOW_MS).unwrap()
}

pub(super) fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() - seconds).unwrap()
}

pub(super) fn seen() -> Seen {
    let mut seen = Seen::nothing(now(), Zone::new("Europe/Amsterdam").unwrap());
    seen.control = Control::Armed;
    seen.flags = Flags::Clear;
    seen.life = Some(ago(9));
    seen.modes = vec![
        ("append_note".into(), Mode::Live),
        ("set_stage".into(), Mode::DryRun),
        ("schedule_follow_up".into(), Mode::DryRun),
    ];
    seen
}

pub(super) fn frame(may_change: bool, words: &dyn Fn(&str) -> String) -> Frame {
    Frame {
        company: words("Acme Logistics"),
        seen: seen(),
        zone: Zone::new("Europe/Amsterdam").unwrap(),
        now: now(),
        viewer: Viewer { person: person("marieke"), name: words("Marieke"), may_change, known: true },
        path: "/tools".into(),
        token: "TOKEN".into(),
        halt_key: "HALTKEY".into(),
        counts: Counts { not_judged: Some(12), drafts: Some(3), stage_asks: Some(1), waiting: Some(2) },
        notice: None::<Notice>,
        request_id: words("7f3a-1"),
        not_confirmed: false,
        log_away: None,
    }
}

/// A row of the log.
pub(super) fn row(seq: i64, state: EntryState, words: &dyn Fn(&str) -> String) -> Row {
    let run = format!("r-7f3a0000000000000{seq:03}");
    Row {
        seq,
        actor: format!("agent:{run}"),
        verb: "set_stage".into(),
        target_id: Some(format!("deal:{}", 4_400 + seq)),
        before: Some(json!({"stage": "decisionmakerboughtin", "label": words("Negotiation")})),
        after: Some(json!({"stage": "closedlost", "label": words("Closed Lost")})),
        prompt_hash: Some("9c1e44d2".repeat(8)),
        model_version: Some(words("claude-haiku-5-5")),
        occurred_at: ago(60 * seq),
        run_id: Some(run),
        step: Some(1),
        mode: Some(Mode::DryRun),
        tier: Some(Tier::SemiReversible),
        decision: state,
        reason: Some("dry_run".into()),
        config_version: Some(words("stages:3 caps:1 prices:0 zone:1")),
        hash: "ab".repeat(32),
        settled_at: ago(60 * seq),
        settled_seq: seq,
        entry_id: format!("e{seq}"),
        intent_id: Some(format!("i-{seq}")),
        customer_id: Some("1234".into()),
        to_stage: Some("closedlost".into()),
        because: Some(words("Customer writes they chose another supplier.")),
        detail: Some(json!({
            "what": words("set stage Negotiation → Closed Lost"),
            "request": {"stage": "closedlost"},
            "warnings": [words("the text holds a link")],
            "event": "email_created 5512",
            "customer": words("Van Dijk Logistics"),
            "deal": words("Warehouse rollout"),
        })),
        erased_on_request: None,
        judgement: None,
    }
}

pub(super) fn rows(words: &dyn Fn(&str) -> String) -> Vec<RowView> {
    (1..=25)
        .map(|seq| {
            let mut one = row(seq, EntryState::WouldHave, words);
            if seq % 5 == 2 {
                one.judgement = Some(Judgement {
                    person: "marieke".into(),
                    judged: if seq % 2 == 0 { Judged::Surprising } else { Judged::Expected },
                    note: Some(words("Negotiation for two years is normal for Jansen")),
                    at: now(),
                });
            }
            RowView::of(one, None)
        })
        .collect()
}

fn draft(words: &dyn Fn(&str) -> String) -> RowView {
    let mut one = row(9, EntryState::Drafted, words);
    one.verb = "draft_email".into();
    one.before = None;
    one.after = Some(json!({
        "to": {"contact_id": 5521, "name": words("Pieter Hendriks"), "email":
            words("p.hendriks@hendriksfood.example")},
        "subject": words("Your question about pallet returns"),
        "body": words("Dear Pieter,\n\nThank you for your message. We collect empty pallets every \
            Tuesday.\n\nSanne"),
    }));
    RowView::of(one, None)
}

pub(super) fn spend() -> Spend {
    Spend {
        spent: UsdNanos::from_cents(940),
        pending: UsdNanos::from_cents(24),
        cap: UsdNanos::from_cents(2_500),
        minute: 1_002,
        tripped: false,
        hours: [(480, 120), (540, 300), (780, 420), (1_020, 100)]
            .map(|(until, cents)| crate::pages::chart::Hour {
                until,
                from: format!("{:02}:00", until / 60 - 1),
                spent: UsdNanos::from_cents(cents),
            })
            .to_vec(),
    }
}

fn tool_days() -> Vec<ToolDays> {
    let day = |name: &str, would_have, did, surprising| ToolDay {
        day: name.into(),
        short: "4/6".into(),
        long: format!("{name} 4 June"),
        would_have,
        did,
        surprising,
    };
    let days = |n: i64| {
        vec![
            day("Su", n, 0, 0),
            day("Mo", n * 3, 0, 4),
            day("Tu", n * 4, 0, 2),
            day("We", 0, n * 2, 0),
            day("Th", 5, n, 1),
        ]
    };
    ["Notes", "Stages", "Follow-ups"]
        .into_iter()
        .zip([9, 6, 2])
        .map(|(name, n)| ToolDays { name: name.into(), days: days(n) })
        .collect()
}

fn stages(words: &dyn Fn(&str) -> String) -> Vec<pipeline::StageRow> {
    let stage = |id: &str, label: &str, allowed, closed| pipeline::StageRow {
        id: id.into(),
        label: words(label),
        pipeline: words("Sales"),
        pipeline_id: "default".into(),
        allowed,
        listed: true,
        closed,
        exists: Some(true),
    };
    vec![
        stage("appointmentscheduled", "New", true, false),
        stage("qualifiedtobuy", "Qualified", true, false),
        stage("decisionmakerboughtin", "Negotiation", true, false),
        stage("contractsent", "Contract sent", false, false),
        stage("closedwon", "Closed Won", false, true),
        stage("closedlost", "Closed Lost", true, true),
    ]
}

/// Every page, by name, with these words in every place that somebody else fills.
pub(super) fn pages(may_change: bool, words: &dyn Fn(&str) -> String) -> Vec<(&'static str, Response)> {
    let frame = frame(may_change, words);
    let rows = || rows(words);
    let mut all = reading(&frame, words, &rows);
    all.extend(changing(&frame, words));
    all
}

type Rows<'a> = &'a dyn Fn() -> Vec<RowView>;

fn reading(frame: &Frame, words: &dyn Fn(&str) -> String, rows: Rows<'_>) -> Vec<(&'static str, Response)> {
    let why = RowView::of(row(7, EntryState::Applied, words), None);
    let prompt = audit::PromptView::Exact(words("{}").repeat(5_000));
    vec![
        ("today", today::page(frame, &today_view(words, rows))),
        ("would-have", would_have::page(frame, &would_have_view(words, rows))),
        ("audit", audit::page(frame, &audit_view(words, rows))),
        ("row", audit::one(frame, &why)),
        ("prompt", audit::prompt(frame, &"9c".repeat(32), &prompt)),
        ("run", run::page(frame, &run_view(words), 200)),
        ("drafts", drafts::page(frame, &drafts_view(words), 200)),
    ]
}

fn today_view(words: &dyn Fn(&str) -> String, rows: Rows<'_>) -> today::Today {
    let need = today::Need {
        count: 6,
        text: words("times the agent asked for stage “Contract sent”"),
        link: "/pipeline".into(),
        link_text: "Look at the stage",
    };
    today::Today {
        date: "Thursday 4 June".into(),
        day: Some(5),
        calls: Some(31),
        writing: 1,
        dry: 2,
        needs: vec![need.clone(), need],
        spend: Some(spend()),
        spend_unread: false,
        tools: Some(tool_days()),
        last: Some(rows().into_iter().take(12).collect()),
        all_dry: false,
        resume: false,
    }
}

fn would_have_view(words: &dyn Fn(&str) -> String, rows: Rows<'_>) -> would_have::WouldHave {
    would_have::WouldHave {
        filters: would_have::Filters {
            customer: words("").chars().take(200).collect(),
            ..would_have::Filters::default()
        },
        days: vec![("2026-06-04".into(), "Thu 4 June".into())],
        tools: vec!["set_stage".into()],
        rows: Some(rows()),
        next: Some(3),
        total: Some(47),
        last_event: None,
    }
}

fn audit_view(words: &dyn Fn(&str) -> String, rows: Rows<'_>) -> audit::Audit {
    let why = || RowView::of(row(7, EntryState::Applied, words), None);
    let mut on = row(6, EntryState::Applied, words);
    on.actor = "person:marieke".into();
    let turned_on = Some(RowView::of(on, None));
    audit::Audit {
        filters: audit::Filters {
            q: words("4187").chars().take(200).collect(),
            to: "closedlost".into(),
            ..audit::Filters::default()
        },
        verbs: vec!["set_stage".into(), "halt".into()],
        stages: vec![("closedlost".into(), words("Closed Lost"))],
        answer: Some(audit::Answer { row: why(), reads: vec![why()], turned_on }),
        rows: Some(rows().into_iter().chain(rows()).collect()),
        next: Some(1),
        older: 212,
    }
}

fn run_view(words: &dyn Fn(&str) -> String) -> run::RunPage {
    let step = run::Step {
        at: Some(ago(50)),
        part: words("Model"),
        text: words("asks: get_deal, then set_stage"),
        seq: Some(4),
        result: Some("Would have"),
        prompt_hash: Some("9c".repeat(32)),
    };
    run::RunPage {
        run_id: "r-7f3a".into(),
        status: Some(("done".into(), Some("finished".into()))),
        deal: Some(words("Deal 4187 Pallet pool")),
        customer: Some(words("Hendriks Food")),
        usd: UsdNanos::from_cents(8),
        tokens: 21_460,
        calls: 3,
        steps: vec![step; 60],
        log_missing: false,
        deal_url: None,
        follows: Some("r-6e29".into()),
        again: run::StartAgain::Offer {
            typed: words("Cap raised"),
            error: Some(words("No.")),
            halted: false,
        },
    }
}

fn drafts_view(words: &dyn Fn(&str) -> String) -> drafts::Drafts {
    drafts::Drafts {
        rows: Some(vec![draft(words)]),
        open: Some(9),
        deal: drafts::DealNow::Read {
            on_deal: true,
            stage: Some((ago(60), words("Closed Lost"))),
            changed: None,
        },
        deal_url: Some("https://app.hubspot.com/contacts/1/record/0-3/4187".into()),
        error: None,
        why: words(""),
    }
}

fn changing(frame: &Frame, words: &dyn Fn(&str) -> String) -> Vec<(&'static str, Response)> {
    let tool = |info: ToolInfo| tools::ToolRow {
        mode: Some(if info.name == "append_note" { Mode::Live } else { Mode::DryRun }),
        since: (info.name == "append_note").then(|| (ago(3_600), words("Marieke"))),
        five_days: Some((90, 53)),
        surprising: Some(2),
        info,
    };
    let mut flip = row(3, EntryState::Applied, words);
    flip.verb = "flip".into();
    flip.target_id = Some("tool:append_note".into());
    flip.after = Some(json!("live"));
    flip.before = Some(json!("dry_run"));
    let day = |name: &str, surprising| tool_writes::Day {
        name: name.into(),
        would_have: 17,
        judged: 9,
        surprising,
        notes: vec![words("Jansen again")],
    };
    let writes = tool_writes::ToolWrites {
        name: "set_stage".into(),
        days: Some(vec![day("Mon 1 June", 4), day("Today", 1)]),
        no_log: false,
        stages_allowed: Some(5),
        recent: Some("append_note".into()),
        typed: tool_writes::Typed { why: words("It is ready now"), ..tool_writes::Typed::default() },
    };
    vec![
        (
            "tools",
            tools::page(
                frame,
                &tools::Tools {
                    rows: tool_infos().into_iter().map(tool).collect(),
                    changes: Some(vec![RowView::of(flip, None)]),
                    tools: Some(tool_days()),
                    long: false,
                    limit: Some(interlock::SurpriseLimit::default()),
                    typed: tools::LimitTyped {
                        most: words("9"),
                        why: words("It is a quiet week"),
                        error: Some(words("Wrong PIN")),
                    },
                },
                200,
            ),
        ),
        ("tool-writes", tool_writes::page(frame, &writes, 200)),
        ("pipeline", pipeline::page(frame, &pipeline_view(words))),
        ("pipeline-difference", pipeline::difference(frame, &difference(words), 200)),
        ("pipeline-meanwhile", pipeline::changed_meanwhile(frame, &stages(words), &stages(words))),
        ("pipeline-versions", pipeline::versions(frame, &versions(words), Some(3), Some(1))),
        ("budgets", budgets::page(frame, &budgets_view(words), 200)),
        ("waiting", waiting::page(frame, &waiting_view(words), 200)),
        ("people", crate::pages::people::page(frame, Some(&people(words)), &people_typed(words), 200)),
        ("invitation", crate::pages::people::invitation(frame, &invitation(words))),
        ("resume", resume::page(frame, &resume_view(words), 200)),
        ("problem", crate::pages::problem::page(frame, crate::pages::problem::NO_ROW)),
    ]
}

fn pipeline_view(words: &dyn Fn(&str) -> String) -> pipeline::Pipeline {
    pipeline::Pipeline {
        rows: stages(words),
        version: 3,
        asks: vec![
            StageAsk { stage_id: "contractsent".into(), times: 6 },
            StageAsk { stage_id: words("x").chars().take(300).collect(), times: 1 },
        ],
        hubspot_away: false,
        config_away: None,
        in_force: Some(ago(100)),
        changed: Some((ago(4_000), words("Marieke"))),
    }
}

fn budgets_view(words: &dyn Fn(&str) -> String) -> budgets::Budgets {
    budgets::Budgets {
        caps: Some(Caps::default()),
        version: 2,
        spend: Some(spend()),
        spend_unread: false,
        config_away: false,
        new_day_in: "7 h 18 min".into(),
        changed: Some(BTreeMap::from([(types::Cap::TokensPerRun, (ago(9_000), words("Marieke")))])),
        last_trip: Some((ago(90_000), words("dollars per day"))),
        typed: budgets::Typed {
            cap: Some(types::Cap::TokensPerRun),
            value: words("50000"),
            why: words(""),
            error: Some(words("Wrong PIN")),
        },
    }
}

fn difference(words: &dyn Fn(&str) -> String) -> pipeline::Difference {
    let all = stages(words);
    pipeline::Difference {
        version: 3,
        added: all.iter().filter(|row| row.id == "closedwon").cloned().collect(),
        removed: all.iter().filter(|row| row.id == "qualifiedtobuy").cloned().collect(),
        allowed: all,
        gone: vec![words("old")],
        what_if: Some(pipeline::WhatIf { moves: 40, refused: 6, allowed: 2, cut: true }),
        error: Some(words("Wrong PIN")),
    }
}

fn versions(words: &dyn Fn(&str) -> String) -> Vec<pipeline::Version> {
    let one = |seq: i64| pipeline::Version {
        seq,
        at: ago(seq * 9_000),
        by: words("Marieke"),
        labels: vec![words("New"), words("Contract sent")],
    };
    (1..=20).map(one).collect()
}

fn waiting_view(words: &dyn Fn(&str) -> String) -> waiting::Waiting {
    let held = |n: i64| waiting::HeldRow {
        run_id: format!("r-{n}"),
        event: words("email_created 5512"),
        deal: Some(words("4411 Warehouse rollout")),
        customer: Some(words("Van Dijk Logistics")),
        received: ago(60 * n),
    };
    let check = waiting::CheckRow {
        run_id: "r-1".into(),
        intent_id: "i-1".into(),
        what: words("set stage Negotiation → Closed Lost"),
        target: words("deal 4302"),
        sent: Some(ago(500)),
        before: Some(words("Negotiation")),
        after: Some(words("Closed Lost")),
    };
    waiting::Waiting {
        held: Some((1..=3).map(held).collect()),
        checks: Some(vec![check]),
        halted: false,
        error: Some(words("Say how you checked.")),
        typed: Some(("i-1".into(), words("looked"))),
    }
}

fn people(words: &dyn Fn(&str) -> String) -> People {
    let key = |revoked_ms| PersonKey {
        kind: words("phone"),
        added_ms: NOW_MS - 5_000_000,
        added_by: "person:marieke".into(),
        revoked_ms,
    };
    let one = |name: &str, role| Person {
        name: words(name),
        role,
        pin_hash: Some("$argon2id$SECRET".into()),
        pin_wrong: 0,
        pin_window_ms: 0,
        pin_wrong_total: 0,
        keys: BTreeMap::from([("aa11".repeat(8), key(None)), ("bb22".repeat(8), key(Some(NOW_MS)))]),
        revoked_ms: None,
    };
    let all = [(person("marieke"), one("Marieke", Role::Ops)), (person("joris"), one("Joris", Role::Reader))];
    People { people: BTreeMap::from(all), ..People::default() }
}

fn people_typed(words: &dyn Fn(&str) -> String) -> crate::pages::people::Typed {
    crate::pages::people::Typed {
        person: "joris".into(),
        name: words("Sanne"),
        role: Role::Ops,
        error: Some(words("Wrong PIN")),
    }
}

fn invitation(words: &dyn Fn(&str) -> String) -> crate::pages::people::Invitation {
    crate::pages::people::Invitation {
        name: words("Sanne"),
        has_pin: false,
        until: Some(ago(-900)),
        address: Some(format!("https://halt.example/a/{}", "k".repeat(160))),
        path: "/a/k".into(),
    }
}

fn resume_view(words: &dyn Fn(&str) -> String) -> resume::Resume {
    resume::Resume {
        shown: Some(resume::Shown { epoch: 4, seq: words("seq").chars().take(64).collect() }),
        halted: words("Halted by Joris at 02:14:09."),
        wrote: vec!["append_note".into(), words("other")],
        held: Some(14),
        customers: 1,
        cap_first: false,
        why: words("looked at the log"),
        error: Some(words("Wrong PIN")),
    }
}
