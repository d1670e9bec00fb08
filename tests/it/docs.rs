//! What the documents promise, held against the code. Must never pass on a document that names what is not
//! there.
use crate::tree::{code, ending, root, table, text};
use std::collections::BTreeSet;

/// The invariants, by number.
const INVARIANTS: std::ops::RangeInclusive<u32> = 1..=33;

#[test]
fn the_runbook_has_one_line_for_each_reason() {
    let rows = table(&text("RUNBOOK.md"), "## Reasons");
    let mut named: Vec<_> = rows.iter().map(|row| code(&row[0]).join(" ")).collect();
    assert!(
        rows.iter().all(|row| row.len() == 3 && !row[1].is_empty() && !row[2].is_empty()),
        "three cells a row"
    );
    let mut reasons: Vec<_> = types::Reason::ALL.iter().map(|reason| reason.code().to_owned()).collect();
    named.sort();
    reasons.sort();
    assert_eq!(named, reasons, "RUNBOOK.md, \"Reasons\", against `types::Reason`");
}

#[test]
fn each_invariant_has_its_line_and_the_code_names_no_other() {
    let rows = table(&text("ARCHITECTURE.md"), "## Invariants");
    let listed: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    let known: Vec<_> = INVARIANTS.map(|number| format!("I{number}")).collect();
    assert_eq!(listed, known);
    let mut wrong = Vec::new();
    for (path, text) in ending(".rs").into_iter().filter(|(path, _)| !path.starts_with("tests/")) {
        for named in text.split("INVARIANT").skip(1) {
            let list = named.trim_start().strip_prefix('(').and_then(|rest| rest.split_once(')'));
            let names: Vec<_> = list.into_iter().flat_map(|(list, _)| list.split(", ")).collect();
            if names.is_empty() || !names.iter().all(|name| known.iter().any(|k| k == name)) {
                wrong.push(format!("{path}: INVARIANT{}", named.lines().next().unwrap_or_default()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_code_map_names_every_crate() {
    let document = text("ARCHITECTURE.md");
    let map = document.split("## Code map").nth(1).unwrap().split("\n## ").next().unwrap();
    let manifests = ending("Cargo.toml");
    let names =
        manifests.values().filter_map(|manifest| manifest.split("name = \"").nth(1)?.split('"').next());
    for name in names {
        assert!(map.contains(&format!("`{name}`")), "the code map does not name `{name}`");
    }
}

#[test]
fn the_pattern_index_points_at_what_is_there() {
    let rows = table(&text("README.md"), "## Pattern index");
    let mut wrong = Vec::new();
    for row in &rows {
        let (open, look_for, proved) = (code(&row[1]), code(&row[2]), code(&row[3]));
        if open.is_empty() || look_for.is_empty() || proved.is_empty() {
            wrong.push(format!("{}: each row has a file, a name and a test", row[0]));
        }
        for file in open.iter().filter(|file| !root().join(file).is_file()) {
            wrong.push(format!("{}: no file `{file}`", row[0]));
        }
        let read = |file: &String| std::fs::read_to_string(root().join(file)).unwrap_or_default();
        let all: String = open.iter().map(read).collect();
        wrong.extend(
            look_for.iter().filter(|n| !has_word(&all, n)).map(|n| format!("{}: no `{n}` there", row[0])),
        );
        for test in &proved {
            // A scenario is told by the test that tells all of them.
            let found = test.split_once("::").map_or_else(
                || test.starts_with("tests/scenarios/") && root().join(test).is_file(),
                |(file, name)| holds_test(file, name),
            );
            if !found {
                wrong.push(format!("{}: no test `{test}`", row[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "README.md, \"Pattern index\":\n{}", wrong.join("\n"));
}

fn holds_test(file: &str, name: &str) -> bool {
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let named = |line: &str| line.contains(&format!("fn {name}("));
    let marked = |line: &str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    lines.windows(2).any(|pair| named(pair[1]) && marked(pair[0].trim_start()))
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word)
}

#[test]
fn the_settings_table_names_each_setting_that_is_read() {
    let rows = table(&text("README.md"), "## Settings");
    let named: BTreeSet<_> = rows.iter().flat_map(|row| code(&row[0])).collect();
    let mut read = BTreeSet::new();
    for file in ["shared/config/src/settings.rs", "shared/config/src/secrets.rs"] {
        let text = text(file);
        let product = text.split("#[cfg(test)]").next().unwrap();
        read.extend(product.split('"').skip(1).step_by(2).filter(|t| is_setting(t)).map(str::to_owned));
    }
    // Only ever asked whether it is there: it belongs to the SDK.
    assert!(read.remove("AWS_ACCESS_KEY_ID"));
    assert_eq!(named, read, "README.md, \"Settings\", against shared/config");
}

fn is_setting(text: &str) -> bool {
    let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.len() > 4 && text.starts_with(|c: char| c.is_ascii_uppercase()) && text.chars().all(upper)
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for (path, text) in ending(".md") {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                wrong.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_readmes_commands_exist() {
    let (readme, aliases) = (text("README.md"), text(".cargo/config.toml"));
    for (command, alias) in [("cargo demo", "demo = \"run"), ("cargo xtask test", "xtask = \"run")] {
        assert!(readme.contains(command), "README.md names `{command}`");
        assert!(aliases.contains(alias), "`{command}` is no alias of .cargo/config.toml");
    }
    let script = text(".ci/run");
    assert!(
        script.lines().any(|line| line.trim() == "cargo xtask test"),
        ".ci/run runs what the README says"
    );
}
