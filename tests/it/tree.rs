//! The files of this workspace, as the tests that read them see it. Must never follow what a build or a run
//! leaves behind.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What is not the project's own text. (In a second work tree `.git` is a file.)
const LEFT_OUT: [&str; 4] = ["target", ".git", ".holdfast", "output"];

/// The folder of the root `Cargo.toml`.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The text of one file, by its path from the root.
pub fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("`{path}`: {error}"))
}

/// Every UTF-8 file below the root, by its path from there.
pub fn all() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    walk(&root(), "", &mut files);
    files
}

/// Those that end like this.
pub fn ending(end: &str) -> BTreeMap<String, String> {
    all().into_iter().filter(|(path, _)| path.ends_with(end)).collect()
}

fn walk(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            if !LEFT_OUT.contains(&name.as_str()) {
                walk(&entry.path(), &format!("{path}/"), files);
            }
        } else if kind.is_file() && !LEFT_OUT.contains(&name.as_str()) {
            // What is not text (an image of a test) has no lines to look at.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                files.insert(path, text);
            }
        }
    }
}

/// The rows of the Markdown tables between this heading and the next: cells trimmed, header and rule left
/// out.
pub fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let start = document.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading `{heading}`"));
    let section = &document[start + heading.len() + 2..];
    let mut rows = Vec::new();
    let mut lines = section.lines().take_while(|line| !line.starts_with('#')).peekable();
    while let Some(line) = lines.next() {
        let is_header = lines.peek().is_some_and(|next| next.starts_with("|-") || next.starts_with("| -"));
        if line.starts_with('|') && !is_header && !line.starts_with("|-") && !line.starts_with("| -") {
            let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
            rows.push(inner.split(" | ").map(|cell| cell.trim().to_owned()).collect());
        }
    }
    assert!(!rows.is_empty(), "no table under `{heading}`");
    rows
}

/// What stands in backticks.
pub fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
