//! Exports and erasures as a person asks for them. Must never erase anything here: a request is opened, and
//! the audit function carries it out.
use super::pin::{self, PinAnswer};
use crate::load::data_requests::page_with;
use crate::pages::data_requests::Typed;
use crate::pages::problem;
use crate::route::{Visit, reason_of};
use privacy::{Ask, PrivacyError};
use types::Subject;
use web::{Fields, Response};

/// The most bytes of an archive that one answer can carry: the platform allows six megabytes, base64 takes a
/// third.
const ZIP_BYTES_MAX: usize = 4_000_000;

/// Hands the archive over.
pub(crate) async fn export(visit: &Visit<'_>, form: &Fields) -> Response {
    let (ask, typed) = asked(visit, form, None);
    let Some(log) = visit.deps.audit.as_deref() else { return visit.problem(problem::CANNOT_READ) };
    match Box::pin(privacy::export(&visit.deps.ledger, log, &ask)).await {
        Ok(exported) if exported.zip.len() > ZIP_BYTES_MAX => {
            let error = "The archive is too large for this page. Use holdfast export.".to_owned();
            page_with(visit, typed, Some(error), 413).await
        }
        Ok(exported) => {
            let name = format!("data-export-{}.zip", exported.request_id);
            Response::file("application/zip", &name, exported.zip)
        }
        Err(error) => refused(visit, typed, &error, problem::CANNOT_READ).await,
    }
}

/// Opens the request; a sweep carries it out.
pub(crate) async fn erase(visit: &Visit<'_>, form: &Fields) -> Response {
    let because = reason_of(form, "why");
    let (ask, typed) = asked(visit, form, because.clone());
    let wrong = |text: &str| Some(text.to_owned());
    if because.is_none() {
        return page_with(visit, typed, wrong("Say in 10 characters or more why."), 422).await;
    }
    if form.get("word").unwrap_or_default().trim() != "erase" {
        return page_with(visit, typed, wrong("Type the word erase to confirm it."), 422).await;
    }
    let pin = form.get("pin").unwrap_or_default();
    let answer = pin::check(visit.deps, &visit.viewer.person, &visit.session.key_id, pin).await;
    if answer != PinAnswer::Right {
        return page_with(visit, typed, Some(answer.text(&visit.deps.zone())), 422).await;
    }
    match privacy::open(&visit.deps.ledger, &ask).await {
        Ok(_) => Response::see_other("/data-requests?n=forget"),
        Err(error) => refused(visit, typed, &error, problem::NO_ANSWER).await,
    }
}

async fn refused(visit: &Visit<'_>, typed: Typed, error: &PrivacyError, away: problem::Problem) -> Response {
    match error {
        PrivacyError::Nobody | PrivacyError::Field { .. } => {
            let text =
                "Give a contact id (digits), a mail address, or both; a name needs first and last name.";
            page_with(visit, typed, Some(text.to_owned()), 422).await
        }
        PrivacyError::Tables(_) | PrivacyError::Log(_) | PrivacyError::TooLarge => {
            tracing::error!(error = error as &dyn std::error::Error, "a data request got no answer");
            visit.problem(away)
        }
    }
}

fn asked(visit: &Visit<'_>, form: &Fields, because: Option<String>) -> (Ask, Typed) {
    let text = |name: &str| form.get(name).unwrap_or_default().trim().chars().take(120).collect::<String>();
    let typed =
        Typed { contact: text("contact"), email: text("email"), name: text("name"), why: text("why") };
    let one = |text: &String| Some(text.clone()).filter(|text| !text.is_empty()).into_iter().collect();
    let subject = Subject {
        contacts: one(&typed.contact),
        emails: one(&typed.email),
        names: one(&typed.name),
        ..Subject::default()
    };
    (Ask { subject, because, by: visit.actor() }, typed)
}
