//! Faults: what is applied and what the client sees. Must never depend on how long something takes.
use super::hubspot::{DEAL, NOTES, TOKEN, call, note, stage};
use super::{Hand, http, start};
use crate::hubspot::Kind;
use crate::{Fault, Matcher, Standins};

async fn patch(all: &Standins) -> Result<u16, reqwest::Error> {
    let request =
        http().patch(format!("{}{DEAL}", all.hubspot.url)).bearer_auth(TOKEN).json(&stage("closedlost"));
    request.send().await.map(|answer| answer.status().as_u16())
}

fn stage_of(all: &Standins) -> String {
    all.hubspot.property(Kind::Deal, 4411, "dealstage").unwrap()
}

/// The fault, the status that is seen (none: the connection dropped), and whether the write landed.
#[tokio::test]
async fn each_fault_is_seen_and_applied_as_it_says() {
    let table = [
        (Fault::Status429 { policy: "DAILY".into() }, Some(429), false),
        (Fault::Status(503), Some(503), false),
        (Fault::Status(423), Some(423), false),
        (Fault::Reset, None, false),
        (Fault::ApplyThenReset, None, true),
        (Fault::ApplyThenDelay(1), Some(200), true),
        (Fault::Delay(1), Some(200), true),
        (Fault::Redirect("http://127.0.0.1:1/away".into()), Some(307), false),
        (Fault::Html502, Some(502), false),
        (Fault::Garbage, Some(200), false),
        (Fault::LateApply, None, false),
    ];
    for (fault, status, applied) in table {
        let all = start(&Hand::new()).await;
        all.hubspot.next(Matcher::any().method("PATCH"), fault.clone());
        assert_eq!(patch(&all).await.ok(), status, "{fault:?}");
        assert_eq!(stage_of(&all) == "closedlost", applied, "{fault:?}");
        assert_eq!(all.hubspot.writes().len(), usize::from(applied), "{fault:?}");
        assert_eq!(all.hubspot.requests()[0].status, status, "{fault:?}");
        assert_eq!(all.hubspot.unused_faults(), 0);
    }
}

#[tokio::test]
async fn a_late_write_lands_when_the_test_says_so() {
    let all = start(&Hand::new()).await;
    all.hubspot.next(Matcher::any().path("/notes"), Fault::LateApply);
    let body = note("[agent 9] late", "4411");
    let sent = http().post(format!("{}{NOTES}", all.hubspot.url)).bearer_auth(TOKEN).json(&body).send().await;
    assert!(sent.is_err());
    let before = all.hubspot.linked_to_deal(4411, Kind::Note).len();
    assert!(all.hubspot.writes().is_empty());
    assert_eq!(all.hubspot.apply_late().await, 1);
    assert_eq!(all.hubspot.linked_to_deal(4411, Kind::Note).len(), before + 1);
    assert_eq!(all.hubspot.writes()[0].marker.as_deref(), Some("[agent 9]"));
    assert_eq!(all.hubspot.apply_late().await, 0);
}

#[tokio::test]
async fn a_write_that_was_applied_before_the_answer_stays_when_the_client_gives_up() {
    let all = start(&Hand::new()).await;
    all.hubspot.next(Matcher::any().body("closedlost"), Fault::ApplyThenDelay(60_000));
    let request =
        http().patch(format!("{}{DEAL}", all.hubspot.url)).bearer_auth(TOKEN).json(&stage("closedlost"));
    let error = request.timeout(std::time::Duration::from_millis(300)).send().await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(stage_of(&all), "closedlost");
    assert_eq!(all.hubspot.writes()[0].status, None);
}

#[tokio::test]
async fn faults_wait_for_their_request_in_order_and_standing_ones_stay() {
    let all = start(&Hand::new()).await;
    all.hubspot.next(Matcher::any().method("PATCH"), Fault::Status(500));
    all.hubspot.next(Matcher::any().method("PATCH"), Fault::Status(502));
    assert_eq!(call(&all.hubspot, "GET", DEAL, None).await.status, 200);
    assert_eq!(patch(&all).await.unwrap(), 500);
    assert_eq!(patch(&all).await.unwrap(), 502);
    assert_eq!(patch(&all).await.unwrap(), 200);
    all.hubspot.always(Matcher::any(), Fault::Status(477));
    for _ in 0..3 {
        assert_eq!(call(&all.hubspot, "GET", DEAL, None).await.status, 477);
    }
    all.hubspot.clear_faults();
    assert_eq!(call(&all.hubspot, "GET", DEAL, None).await.status, 200);
}

#[tokio::test]
async fn daily_limits_name_their_policy_and_leave_nothing() {
    let all = start(&Hand::new()).await;
    all.hubspot.next(Matcher::any(), Fault::Status429 { policy: "DAILY".into() });
    let answer = call(&all.hubspot, "GET", DEAL, None).await;
    assert_eq!(answer.json()["policyName"], "DAILY");
    assert_eq!(answer.json()["message"], "You have reached your daily limit.");
    assert_eq!(answer.header("X-HubSpot-RateLimit-Remaining"), "0");
}
