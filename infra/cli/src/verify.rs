//! `holdfast verify`: recomputes the audit log. Must never call a log whole that it did not read to its end.
use crate::arguments::Verify;
use crate::error::CliError;
use crate::install::Install;
use crate::report::{Line, Report, Status, Three};
use audit_log::Verified;
use serde_json::json;

/// Reads every entry.
pub(crate) async fn run(install: &Install, arguments: &Verify) -> Result<Report, CliError> {
    let log = install.audit_log().await?;
    let verified = log.verify_against(&arguments.against).await;
    let verified =
        verified.map_err(|source| CliError::AuditLog { operation: "read the audit log", source })?;
    Ok(report(&verified, arguments.against.len()))
}

/// The words.
pub(crate) fn report(verified: &Verified, points: usize) -> Report {
    let Verified { entries, head, first_bad } = verified;
    let bad = first_bad.as_ref().map(|(seq, damage)| json!({"seq": seq, "damage": damage.to_string()}));
    let json = json!({"entries": entries, "head": head, "first_bad": bad});
    let mut lines = vec![
        Line::item(Status::Ok, "good entries", entries.to_string()),
        Line::item(Status::Ok, "head", format!("{}:{}", head.seq, head.hash)),
    ];
    if let Some((seq, damage)) = first_bad {
        let three = Three::new(
            format!("the log is damaged at row {seq}"),
            damage.to_string(),
            "keep the database as it is, and compare it with a backup",
        );
        return Report::done(lines, json).but(three);
    }
    lines.push(if points == 0 {
        Line::text(
            "A cut-off end is found only against a place that was kept elsewhere: \
             keep the head, and give it later with --against.",
        )
    } else {
        Line::item(Status::Ok, "kept places", format!("{points} agree"))
    });
    Report::done(lines, json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use audit_log::{Damage, Point};

    #[test]
    fn the_first_bad_row_is_named_and_fails_the_command() {
        let head = Point { seq: 6, hash: "ab".repeat(32) };
        let bad = Verified { entries: 6, head: head.clone(), first_bad: Some((7, Damage::HashDiffers)) };
        let shown = report(&bad, 0);
        assert_eq!(shown.exit_code(), 1);
        assert_eq!(shown.failed.as_ref().unwrap().what, "the log is damaged at row 7");
        assert_eq!(shown.json["first_bad"]["seq"], 7);
        let good = report(&Verified { entries: 6, head, first_bad: None }, 0);
        assert_eq!(
            (good.exit_code(), &good.json["entries"], &good.json["head"]["seq"]),
            (0, &json!(6), &json!(6))
        );
    }
}
