//! What every page has: the strip, HALT, the menu, who looks. Must never depend on anything but the two
//! switches.
use crate::Deps;
use interlock::{People, Role};
use types::{PersonId, Timestamp};
use web::panel::{Panel, Seen};
use web::{Lang, LinkKind, Request, Session, Zone};

/// Who looks, and what she may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Viewer {
    pub(crate) person: PersonId,
    pub(crate) name: String,
    /// May she change anything besides pressing HALT?
    pub(crate) may_change: bool,
    /// Was that decided from the store, or because the store was silent?
    pub(crate) known: bool,
}

/// Is this session still somebody's?
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admitted {
    Yes(Viewer),
    /// The link she signed in with, or she herself, was taken back.
    Revoked,
}

/// Who this session's person is now.
pub(crate) fn admit(session: &Session, people: Option<&People>) -> Admitted {
    let unknown = || Viewer {
        person: session.person.clone(),
        name: session.person.to_string(),
        may_change: false,
        known: false,
    };
    // FAIL-CLOSED: revocations and roles that cannot be read leave the power to look and to halt, and no
    // other.
    let Some(people) = people else { return Admitted::Yes(unknown()) };
    if !people.key_is_valid(&session.person, session.key_id.as_str()) {
        return Admitted::Revoked;
    }
    let Some(person) = people.people.get(&session.person) else { return Admitted::Revoked };
    let name = person.name.clone();
    Admitted::Yes(Viewer { name, may_change: person.role == Role::Ops, known: true, ..unknown() })
}

/// The pages of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Menu {
    Today,
    WouldHave,
    Tools,
    Drafts,
    Audit,
    Pipeline,
    Budgets,
    Waiting,
    DataRequests,
    People,
    /// A page that is in no menu.
    None,
}

impl Menu {
    pub(crate) const ALL: [(Self, &'static str, &'static str); 10] = [
        (Self::Today, "/", "Today"),
        (Self::WouldHave, "/would-have", "Would-have log"),
        (Self::Tools, "/tools", "Tools"),
        (Self::Drafts, "/drafts", "Drafts"),
        (Self::Audit, "/audit", "Audit"),
        (Self::Pipeline, "/pipeline", "Pipeline stages"),
        (Self::Budgets, "/budgets", "Budgets"),
        (Self::Waiting, "/waiting", "Waiting"),
        (Self::DataRequests, "/data-requests", "Data requests"),
        (Self::People, "/people", "People and keys"),
    ];
}

/// How many things wait, per menu entry; `None` where the store was silent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) not_judged: Option<u64>,
    pub(crate) drafts: Option<u64>,
    pub(crate) stage_asks: Option<u64>,
    pub(crate) waiting: Option<u64>,
}

impl Counts {
    pub(crate) const fn of(&self, menu: Menu) -> Option<u64> {
        match menu {
            Menu::WouldHave => self.not_judged,
            Menu::Drafts => self.drafts,
            Menu::Pipeline => self.stage_asks,
            Menu::Waiting => self.waiting,
            Menu::Today
            | Menu::Tools
            | Menu::Audit
            | Menu::Budgets
            | Menu::DataRequests
            | Menu::People
            | Menu::None => None,
        }
    }
}

/// A sentence after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notice(pub(crate) &'static str, pub(crate) &'static str);

/// Everything that was done here can be said afterwards; the address carries the code, never the text.
const NOTICES: [Notice; 23] = [
    Notice("halted", "Your HALT is in. The strip above says what is confirmed."),
    Notice("judged", "Your judgement is saved."),
    Notice("undone", "Your judgement is taken back."),
    Notice("dry", "Back in dry-run. It holds before the next write."),
    Notice("live", "Writes are on from the next run."),
    Notice("already", "It was so already. Nothing was changed."),
    Notice("stages", "The stages are saved. They are in force within 60 seconds."),
    Notice("same", "Nothing to save: the list is as it was."),
    Notice("caps", "The cap is saved. The next reservation meets it."),
    Notice("started", "Started."),
    Notice("again", "Started again as this new run. It sees what the old one did."),
    Notice("discarded", "Discarded. It will not run."),
    Notice("checked", "Noted. This write has an end now."),
    Notice("sent", "Noted: you sent it."),
    Notice("thrown", "The draft is thrown away."),
    Notice("revoked", "Revoked. The link works no more."),
    Notice(
        "fellback",
        "Your judgement is saved. That was one surprise too many: the tool is back in dry-run.",
    ),
    Notice("limit", "The limit of surprises is saved. The next judgement meets it."),
    Notice("role", "The role is changed."),
    Notice("resumed", "Resumed. New runs may start; halted runs stay halted."),
    Notice("forget", "The request is open. It is carried out within a few minutes."),
    Notice("moved", "Somebody changed it meanwhile. Look again. Nothing was changed."),
    Notice("gone", "It is not waiting any more. Nothing was changed."),
];

impl Notice {
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let code = request.query().get("n").map(str::to_owned)?;
        NOTICES.into_iter().find(|notice| notice.0 == code)
    }
}

/// What stands around every page.
pub(crate) struct Frame {
    pub(crate) company: String,
    pub(crate) seen: Seen,
    pub(crate) zone: Zone,
    pub(crate) now: Timestamp,
    pub(crate) viewer: Viewer,
    /// Where a HALT comes back to.
    pub(crate) path: String,
    /// For every form but HALT's.
    pub(crate) token: String,
    /// A see-and-halt key for HALT's form, so that a press counts although the session has ended meanwhile.
    pub(crate) halt_key: String,
    pub(crate) counts: Counts,
    pub(crate) notice: Option<Notice>,
    pub(crate) request_id: String,
    /// A press that no switch confirmed.
    pub(crate) not_confirmed: bool,
    /// Audit rows in the outbox, when the log itself cannot be read.
    pub(crate) log_away: Option<LogAway>,
}

/// The log cannot be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogAway {
    /// How many rows wait in the outbox, if that is known.
    pub(crate) waiting: Option<usize>,
}

impl Frame {
    pub(crate) fn new(deps: &Deps, request: &Request, session: &Session, viewer: Viewer, seen: Seen) -> Self {
        let now = deps.now();
        let halt_key = deps.signer.sign(LinkKind::Slack, &session.person, now).map(|signed| signed.token);
        Self {
            company: deps.install.company.clone(),
            zone: seen.zone.clone(),
            seen,
            now,
            viewer,
            path: own_path(request),
            token: deps.sessions.form_token(session, now),
            halt_key: halt_key.unwrap_or_default(),
            counts: Counts::default(),
            notice: Notice::of(request),
            request_id: request.request_id().to_owned(),
            not_confirmed: false,
            log_away: None,
        }
    }

    /// The strip's panel.
    pub(crate) fn panel(&self) -> Panel {
        if self.not_confirmed {
            Panel::not_confirmed(&self.seen, Lang::En)
        } else {
            Panel::of(&self.seen, Lang::En)
        }
    }

    /// A time, with its date when it is not today's.
    pub(crate) fn stamp(&self, at: Timestamp) -> maud::Markup {
        self.zone.stamp(at, self.now, Lang::En)
    }
}

/// Where this page is, without the notice it may have shown. A page that a POST showed has no address of its
/// own.
fn own_path(request: &Request) -> String {
    if request.method() == web::Method::Post {
        return "/".to_owned();
    }
    let fields = request.query();
    let pairs: Vec<String> = fields
        .iter()
        .filter(|(name, _)| *name != "n")
        .map(|(name, value)| format!("{}={}", web::encode_component(name), web::encode_component(value)))
        .collect();
    if pairs.is_empty() {
        request.path().to_owned()
    } else {
        format!("{}?{}", request.path(), pairs.join("&"))
    }
}
