//! The journal: a write that was answered is there after the process has been killed. Must never count a
//! write twice.
use super::hubspot::{DEAL, NOTES, call, note, stage};
use super::{Hand, NOW_MS};
use crate::hubspot::{HubSpot, Kind, Settings};
use std::io::Write;
use std::path::PathBuf;

/// A file of this test alone, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("holdfast-standins-{}-{name}.jsonl", std::process::id()));
        drop(std::fs::remove_file(&path));
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[tokio::test]
async fn writes_and_their_log_outlive_the_process() {
    let scratch = Scratch::new("outlive");
    let hand = Hand::new();
    let open = || HubSpot::open(&scratch.0, Settings::default(), hand.clock()).unwrap();
    let first = open().start().await.unwrap();
    assert_eq!(call(&first, "PATCH", DEAL, Some(stage("closedlost"))).await.status, 200);
    let made = call(&first, "POST", NOTES, Some(note("[agent 7] x", "4411"))).await.json();
    first.edit_by_person(Kind::Deal, 4302, "dealstage", "closedwon").unwrap();
    let before = first.writes();
    let history = first.change_history(4411);
    drop(first);
    hand.forward(86_400_000);
    let second = open().start().await.unwrap();
    let mut after = second.writes();
    // The status is known only after the line has been written.
    for (one, other) in after.iter_mut().zip(&before) {
        one.status = other.status;
    }
    assert_eq!(after, before);
    assert_eq!(after[1].marker.as_deref(), Some("[agent 7]"));
    // The seed's days stay where they were, so the history is the same to the millisecond.
    assert_eq!(second.change_history(4411), history);
    assert_eq!(second.property(Kind::Deal, 4302, "dealstage").as_deref(), Some("closedwon"));
    let old: u64 = made["id"].as_str().unwrap().parse().unwrap();
    assert!(second.linked_to_deal(4411, Kind::Note).contains(&old));
    assert!(second.pending_events().is_empty());
    let next = call(&second, "POST", NOTES, Some(note("y", "4411"))).await.json();
    assert_eq!(next["id"].as_str().unwrap().parse::<u64>().unwrap(), old + 1);
}

#[tokio::test]
async fn a_line_that_was_cut_is_dropped_and_a_broken_one_is_an_error() {
    let scratch = Scratch::new("cut");
    let hand = Hand::new();
    let open = || HubSpot::open(&scratch.0, Settings::default(), hand.clock());
    drop(open().unwrap());
    let whole = std::fs::read(&scratch.0).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&scratch.0).unwrap();
    file.write_all(b"{\"edited\":{\"chan").unwrap();
    let second = open().unwrap().start().await.unwrap();
    assert!(second.writes().is_empty());
    assert_eq!(std::fs::read(&scratch.0).unwrap(), whole);
    assert_eq!(call(&second, "PATCH", DEAL, Some(stage("closedlost"))).await.status, 200);
    drop(second);
    let third = open().unwrap();
    assert_eq!(third.writes().len(), 1);
    assert_eq!(third.writes()[0].started_ms, NOW_MS);
    let mut file = std::fs::OpenOptions::new().append(true).open(&scratch.0).unwrap();
    file.write_all(b"not ours\n").unwrap();
    let error = open().unwrap_err();
    assert!(error.to_string().starts_with("read line 3 of the journal"), "{error}");
}
