//! Opening a request. Must never open a second one for what is under way.
use crate::PrivacyError;
use ledger::{DataRequest, Ledger, RequestKind};
use std::collections::BTreeSet;
use types::{Actor, CustomerId, Subject};

/// Longest reason, in characters.
const BECAUSE_MAX: usize = 300;

/// Who asks for what.
#[derive(Debug, Clone)]
pub struct Ask {
    /// About whom.
    pub subject: Subject,
    /// Why.
    pub because: Option<String>,
    /// Who opens it.
    pub by: Actor,
}

impl Ask {
    /// The same with ids and addresses as rows hold them.
    ///
    /// # Errors
    /// [`PrivacyError::Nobody`], [`PrivacyError::Field`].
    pub(crate) fn checked(&self) -> Result<Self, PrivacyError> {
        let Subject { contacts, emails, names, deals, customers } = &self.subject;
        let field = |field| PrivacyError::Field { field };
        let is_id = |id: &&String| CustomerId::new(id.as_str()).is_err();
        for (ids, name) in [(contacts, "contact"), (deals, "deal"), (customers, "customer")] {
            if ids.iter().find(is_id).is_some() {
                return Err(field(name));
            }
        }
        let emails: BTreeSet<String> = emails.iter().map(|email| email.trim().to_lowercase()).collect();
        if emails.iter().any(|email| types::subject::addresses(email) != BTreeSet::from([email.clone()])) {
            return Err(field("email"));
        }
        // A first name alone would find every namesake.
        if !names.iter().all(|name| types::subject::is_full_name(name)) {
            return Err(field("name"));
        }
        let subject = Subject { emails, ..self.subject.clone() };
        if subject.is_empty() {
            return Err(PrivacyError::Nobody);
        }
        Ok(Self { subject, ..self.clone() })
    }
}

/// Opens an erasure, or finds the one that is under way about the same person. Durable once it is answered.
///
/// # Errors
/// [`PrivacyError`]; asking again is safe.
pub async fn open(ledger: &Ledger, ask: &Ask) -> Result<DataRequest, PrivacyError> {
    let ask = &ask.checked()?;
    let mut known = ledger.open_requests().await?;
    known.retain(|request| request.kind == RequestKind::Erase && is_same(&request.subject, &ask.subject));
    if let Some(mut request) = known.into_iter().next() {
        // One that waited for a person has her word now.
        let now_ms = ledger.clock().now_ms();
        if !request.is_due(now_ms) {
            request.not_before_ms = Some(now_ms);
            let entry =
                DataRequest { opened_by: ask.by.clone(), because: ask.because.clone(), ..request.clone() };
            let entry = entry.entry("confirm_erase", now_ms, serde_json::Value::Null);
            ledger.save_request(&mut request, &[entry]).await?;
        }
        return Ok(request);
    }
    let request = new(ledger, ask, RequestKind::Erase)?;
    ledger.open_request(&request, &request.opened_entry()).await?;
    Ok(ledger.request(&request.request_id).await?.unwrap_or(request))
}

/// A new request of this kind.
pub(crate) fn new(ledger: &Ledger, ask: &Ask, kind: RequestKind) -> Result<DataRequest, PrivacyError> {
    let now_ms = ledger.clock().now_ms();
    let apart = format!("{kind:?}|{:?}|{now_ms}|{}", ask.subject, ask.by);
    let id = DataRequest::id_of(now_ms, &apart)?;
    let mut request = DataRequest::new(id, kind, ask.subject.clone(), ask.by.clone(), now_ms);
    request.because = ask.because.as_deref().map(|text| text.trim().chars().take(BECAUSE_MAX).collect());
    Ok(request)
}

/// The same person, who may be better known by now.
fn is_same(known: &Subject, asked: &Subject) -> bool {
    known.contacts == asked.contacts
        && known.deals == asked.deals
        && known.customers == asked.customers
        && asked.emails.is_subset(&known.emails)
        && asked.names.is_subset(&known.names)
}
