//! `holdfast verify`: recomputes the audit log and holds it against every checkpoint. Must never call a log
//! whole that it did not read to its end, nor believe a checkpoint that nobody signed.
use crate::arguments::Verify;
use crate::error::CliError;
use crate::install::Install;
use crate::report::{Line, Report, Status, Three};
use audit_log::{Checkpoint, CheckpointKey, CheckpointSigner, Kept, NoteFault, Verified, open_checkpoint};
use config::SecretName;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What was found of checkpoints.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// The keys that count.
    pub(crate) keys: Vec<CheckpointKey>,
    /// Those in the ledger that a key signed.
    pub(crate) published: usize,
    /// Those in the ledger that nobody could check: no key is known here.
    pub(crate) unchecked: usize,
    /// Did the ledger give no answer?
    pub(crate) silent: bool,
    /// Files that a key signed.
    pub(crate) files: usize,
    /// What no key signed: where it was, and why it counts for nothing.
    pub(crate) refused: Vec<(String, NoteFault)>,
    /// All that count.
    pub(crate) good: Vec<Checkpoint>,
}

/// Reads every entry.
pub(crate) async fn run(install: &Install, arguments: &Verify) -> Result<Report, CliError> {
    let origin = install.settings.audit_origin();
    let keys = match keys(install, &arguments.key, &origin).await? {
        Ok(keys) => keys,
        Err(fault) => {
            return Ok(Report::failed(Three::usage(
                "nothing was verified",
                fault.to_string(),
                "holdfast verify --key NAME+HASH+BASE64",
            )));
        }
    };
    let mut found = Checkpoints { keys, ..Checkpoints::default() };
    if let Err(three) = found.read_files(&arguments.checkpoint, &origin) {
        return Ok(Report::failed(three));
    }
    found.read_published(install, &origin).await;
    let log = install.audit_log().await?;
    let kept = Kept { points: arguments.against.clone(), checkpoints: found.good.clone() };
    let verified = log.verify_against(&kept).await;
    let verified =
        verified.map_err(|source| CliError::AuditLog { operation: "read the audit log", source })?;
    Ok(report(&verified, arguments.against.len(), &found))
}

/// The keys that were typed; else those of the settings, and that of the signing key where it is here.
async fn keys(
    install: &Install,
    typed: &[String],
    origin: &str,
) -> Result<Result<Vec<CheckpointKey>, NoteFault>, CliError> {
    if !typed.is_empty() {
        return Ok(typed.iter().map(|key| CheckpointKey::parse(key, origin)).collect());
    }
    let of_settings = install.settings.checkpoint_public_keys.iter();
    let keys: Result<Vec<_>, _> = of_settings.map(|key| CheckpointKey::from_bytes(key, origin)).collect();
    let mut keys = match keys {
        Ok(keys) => keys,
        Err(fault) => return Ok(Err(fault)),
    };
    let secret = install.secrets.find(SecretName::CheckpointKey).await.map_err(CliError::Config)?;
    if let Some(secret) = secret {
        match CheckpointSigner::from_secret_hex(secret.expose(), origin) {
            Ok(signer) if !keys.contains(&signer.public()) => keys.push(signer.public()),
            Ok(_) => {}
            Err(fault) => return Ok(Err(fault)),
        }
    }
    Ok(Ok(keys))
}

impl Checkpoints {
    fn read_files(&mut self, files: &[PathBuf], origin: &str) -> Result<(), Three> {
        let wrong = |why: String, next: &str| Three::usage("nothing was verified", why, next);
        if !files.is_empty() && self.keys.is_empty() {
            return Err(wrong(
                "no key is known that could have signed a checkpoint".into(),
                "holdfast verify --key KEY",
            ));
        }
        for path in files {
            let at = path.display().to_string();
            let note = std::fs::read_to_string(path).map_err(|error| {
                wrong(format!("`{at}` cannot be read: {error}"), "holdfast verify --checkpoint FILE")
            })?;
            if self.take(&at, &note, origin) {
                self.files = self.files.saturating_add(1);
            }
        }
        Ok(())
    }

    async fn read_published(&mut self, install: &Install, origin: &str) {
        match install.ledger.checkpoints().await {
            // Without a key nothing can be said of them; a key that is wrong is another matter.
            Ok(stored) if self.keys.is_empty() => self.unchecked = stored.len(),
            Ok(stored) => {
                for one in &stored {
                    if self.take(&format!("published, row {}", one.size), &one.note, origin) {
                        self.published = self.published.saturating_add(1);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the published checkpoints could not be read");
                self.silent = true;
            }
        }
    }

    /// True when it counts.
    fn take(&mut self, at: &str, note: &str, origin: &str) -> bool {
        match open_checkpoint(note, &self.keys, origin) {
            Ok(checkpoint) => {
                self.good.push(checkpoint);
                true
            }
            Err(fault) => {
                self.refused.push((at.to_owned(), fault));
                false
            }
        }
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let newest = self.good.iter().map(|one| one.size).max();
        let upto = newest.map_or_else(String::new, |size| format!(", the newest of row {size}"));
        let count = format!("{} published, {} from files{upto}", self.published, self.files);
        let word = if self.silent || self.good.is_empty() { Status::Warn } else { Status::Ok };
        lines.push(Line::item(word, "checkpoints", count));
        if self.silent {
            lines.push(Line::item(Status::Warn, "checkpoints", "the published ones cannot be read now"));
        }
        if self.unchecked > 0 {
            let text =
                format!("{} published ones were not checked: no public key is known here", self.unchecked);
            lines.push(Line::item(Status::Warn, "checkpoints", text));
        }
        for key in &self.keys {
            lines.push(Line::item(Status::Ok, "public key", ""));
            lines.push(Line::Copy(key.to_string()));
        }
        for (at, fault) in &self.refused {
            lines.push(Line::item(Status::Fail, "checkpoint", format!("{at}: {fault}")));
        }
        lines
    }

    fn json(&self) -> Value {
        let refused = self.refused.iter().map(|(at, fault)| json!({"where": at, "why": fault.to_string()}));
        json!({
            "published": self.published, "files": self.files, "silent": self.silent, "unchecked": self.unchecked,
            "newest": self.good.iter().map(|one| one.size).max(),
            "refused": refused.collect::<Vec<_>>(),
            "keys": self.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

/// The words.
pub(crate) fn report(verified: &Verified, points: usize, checkpoints: &Checkpoints) -> Report {
    let Verified { entries, head, root, first_bad, agreed } = verified;
    let bad = first_bad.as_ref().map(|(seq, damage)| json!({"seq": seq, "damage": damage.to_string()}));
    let json = json!({
        "entries": entries, "head": head, "root": root, "first_bad": bad, "agreed": agreed,
        "checkpoints": checkpoints.json(),
    });
    let mut lines = vec![
        Line::item(Status::Ok, "good entries", entries.to_string()),
        Line::item(Status::Ok, "head", format!("{}:{}", head.seq, head.hash)),
    ];
    lines.extend(checkpoints.lines());
    if let Some((seq, damage)) = first_bad {
        let since = if *agreed > 0 {
            format!("; row {agreed} still agreed with what was kept")
        } else {
            String::new()
        };
        let three = Three::new(
            format!("the log is damaged at row {seq}"),
            format!("{damage}{since}"),
            "keep the database as it is, and compare it with a backup",
        );
        return Report::done(lines, json).but(three);
    }
    if !checkpoints.refused.is_empty() {
        let three = Three::new(
            "the rows are good, but not every checkpoint can be believed",
            "see the lines above: a checkpoint was edited, or its key is not known here",
            "give the key with --key, or add it to CHECKPOINT_PUBLIC_KEY",
        );
        return Report::done(lines, json).but(three);
    }
    if points > 0 {
        lines.push(Line::item(Status::Ok, "kept places", format!("{points} agree")));
    } else if checkpoints.good.is_empty() {
        lines.push(Line::text(
            "A cut-off end is found only against a place that was kept elsewhere: set CHECKPOINT_KEY, or keep the \
             head and give it later with --against.",
        ));
    }
    Report::done(lines, json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use audit_log::{Damage, Point};

    fn verified(first_bad: Option<(i64, Damage)>) -> Verified {
        let head = Point { seq: 6, hash: "ab".repeat(32) };
        Verified { entries: 6, head, root: "cd".repeat(32), first_bad, agreed: 4 }
    }

    #[test]
    fn the_first_bad_row_is_named_and_fails_the_command() {
        let shown = report(&verified(Some((7, Damage::HashDiffers))), 0, &Checkpoints::default());
        assert_eq!(shown.exit_code(), 1);
        let failed = shown.failed.as_ref().unwrap();
        assert_eq!(failed.what, "the log is damaged at row 7");
        assert_eq!(failed.why, "the row was changed; row 4 still agreed with what was kept");
        assert_eq!(shown.json["first_bad"]["seq"], 7);
        let good = report(&verified(None), 0, &Checkpoints::default());
        assert_eq!(
            (good.exit_code(), &good.json["entries"], &good.json["head"]["seq"]),
            (0, &json!(6), &json!(6))
        );
    }

    #[test]
    fn a_checkpoint_that_nobody_signed_fails_the_command_and_counts_for_nothing() {
        let signer = CheckpointSigner::from_secret_hex(&"07".repeat(32), "holdfast/t").unwrap();
        let mut found = Checkpoints { keys: vec![signer.public()], ..Checkpoints::default() };
        let note = signer.sign(6, &"cd".repeat(32));
        assert!(found.take("a", &note, "holdfast/t"));
        assert_eq!(report(&verified(None), 0, &found).exit_code(), 0);
        assert!(!found.take("b.txt", &note.replace("\n6\n", "\n5\n"), "holdfast/t"));
        let shown = report(&verified(None), 0, &found);
        assert_eq!(shown.exit_code(), 1);
        assert_eq!(shown.json["checkpoints"]["refused"][0]["where"], "b.txt");
        assert_eq!(shown.json["checkpoints"]["newest"], 6);
    }
}
