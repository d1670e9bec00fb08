//! One person's data from a terminal: a file that only its owner reads, and an erasure to its end.
use super::{Rig, text};
use crate::Report;
use ledger::Entry;
use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use types::{Actor, Target, Timestamp};

fn note(n: u64, person: &str, words: &str) -> Entry {
    let (actor, target) = (Actor::System("test".into()), Target::new("deal", "4187"));
    Entry {
        event_no: n,
        because: Some(words.into()),
        subjects: vec![person.into()],
        ..Entry::new("person:m", n, Timestamp::UNIX_EPOCH, actor, "draft_discarded", target)
    }
}

fn said(report: &Report, field: &str) -> String {
    report.json[field].to_string()
}

#[tokio::test]
async fn a_person_is_exported_to_a_file_of_ones_own_and_erased_to_the_end() {
    let rig = Rig::running().await.with_postgres().await;
    let log = rig.log().await;
    let fetched = |_: ledger::PartRef| std::future::ready(Ok::<_, Infallible>(None));
    let entries = [note(1, "501", "CANARY of hers"), note(2, "502", "OTHER of his")];
    log.append(&entries, fetched).await.unwrap();
    let folder = std::env::temp_dir().join(format!("holdfast-cli-data-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("a.zip");
    let words = ["export", "--contact", "501", "--out", file.to_str().unwrap()];
    let report = rig.run_quoted(&words).await;
    assert_eq!((report.exit_code(), said(&report, "rows")), (0, "1".to_owned()), "{}", text(&report));
    let zip = std::fs::read(&file).unwrap();
    let zipped = String::from_utf8_lossy(&zip);
    assert!(zipped.contains("CANARY of hers") && !zipped.contains("OTHER of his"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // What is there is never overwritten.
    assert_eq!(rig.run_quoted(&words).await.exit_code(), 1);
    assert_eq!(std::fs::read(&file).unwrap(), zip);
    std::fs::remove_dir_all(folder).unwrap();

    let erase = ["erase", "--contact", "501", "--because", "she asked by letter"];
    assert_eq!(rig.run_quoted(&erase).await.exit_code(), 2, "nobody confirms it");
    let report = rig.run_quoted(&[&erase[..], &["--yes"]].concat()).await;
    assert_eq!((report.exit_code(), said(&report, "stage")), (0, "\"done\"".to_owned()), "{}", text(&report));
    assert_eq!(report.json["counts"]["entries"], 1);
    let rows = log.search(&audit_log::Query::default()).await.unwrap().rows;
    assert!(!format!("{rows:?}").contains("CANARY") && format!("{rows:?}").contains("OTHER of his"));
    assert_eq!(log.verify().await.unwrap().first_bad, None);

    let listed = rig.run("requests").await;
    assert_eq!(listed.json["requests"].as_array().map(Vec::len), Some(3), "{}", text(&listed));
    assert!(!format!("{listed:?}").contains("501"), "a request that is done has forgotten her");
}
