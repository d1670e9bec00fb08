//! A page for what did not work: what happened, what it means for the agent, what to do. Must never show
//! internals.
use super::layout;
use crate::frame::{Frame, Menu};
use maud::html;
use web::Response;

/// What went wrong, in a person's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) happened: &'static str,
    pub(crate) means: &'static str,
    pub(crate) to_do: &'static str,
}

/// The row of a change could not be written, so it was not made.
pub(crate) const NO_ROW: Problem = Problem {
    status: 503,
    happened: "Its row in the audit log could not be written.",
    means: "Nothing was changed. The agent goes on as before.",
    to_do: "Try again in a minute. HALT works.",
};
/// The store did not answer: the change may have been made.
pub(crate) const NO_ANSWER: Problem = Problem {
    status: 503,
    happened: "A store did not answer in time.",
    means: "It is not known whether the change was made.",
    to_do: "Look at the page again before you repeat it. HALT works.",
};
/// The store did not answer a read.
pub(crate) const CANNOT_READ: Problem = Problem {
    status: 503,
    happened: "A store did not answer in time.",
    means: "This page cannot be shown now. The agent keeps its halts, limits and dry-run.",
    to_do: "Try again in a minute. HALT works.",
};
/// A reader tried to change something.
pub(crate) const NOT_OPS: Problem = Problem {
    status: 403,
    happened: "You can look and press HALT; this needs the role ops.",
    means: "Nothing was changed.",
    to_do: "Ask an ops person.",
};
/// The form came from elsewhere.
pub(crate) const ELSEWHERE: Problem = Problem {
    status: 403,
    happened: "This form was not sent from a page of this console.",
    means: "Nothing was changed.",
    to_do: "Open the page here and send it again.",
};
/// The form is too old, or of another session.
pub(crate) const STALE_FORM: Problem = Problem {
    status: 403,
    happened: "This form is more than four hours old, or of another session.",
    means: "Nothing was changed.",
    to_do: "Open the page again and send it from there.",
};
/// A form without what it must have.
pub(crate) const BAD_FORM: Problem = Problem {
    status: 422,
    happened: "The form could not be read.",
    means: "Nothing was changed.",
    to_do: "Open the page again and send it from there.",
};
/// A press of HALT that neither switch confirmed.
pub(crate) const NOT_CONFIRMED: Problem = Problem {
    status: 503,
    happened: "Neither switch confirmed your HALT.",
    means: "The agent may still be running.",
    to_do: "Press HALT again. If it stays so: revoke the app's token in HubSpot.",
};
/// There is no such page.
pub(crate) const NO_SUCH_PAGE: Problem = Problem {
    status: 404,
    happened: "There is nothing at this address.",
    means: "The agent is not affected.",
    to_do: "Use the menu.",
};

/// The page.
pub(crate) fn page(frame: &Frame, problem: Problem) -> Response {
    let main = html! {
        h1 { @if problem.status == 404 { "Not found" } @else { "That did not work" } }
        p { b { (problem.happened) } }
        p { (problem.means) }
        p { (problem.to_do) }
    };
    layout::with_status(frame, Menu::None, "Problem", main, problem.status)
}
