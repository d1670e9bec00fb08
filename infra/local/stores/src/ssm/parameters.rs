//! The parameters and their file. Must never leave half a file behind.

use crate::{
    data_dir::set_mode,
    error::{Result, StoresError, file},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    ops::Bound,
    path::{Path, PathBuf},
};
use types::Clock;

/// Most bytes of a value in the standard tier.
const VALUE_BYTES_MAX: usize = 4096;
/// Most bytes of a name.
const NAME_BYTES_MAX: usize = 1011;

/// A request that is refused, as AWS refuses it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The fault is the server's.
    pub(super) ours: bool,
}

impl Refusal {
    pub(super) fn asked(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), ours: false }
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::asked("ValidationException", message)
    }

    pub(super) fn not_found() -> Self {
        Self::asked("ParameterNotFound", "the parameter was not found")
    }

    fn ours(problem: &StoresError) -> Self {
        tracing::error!(%problem, "the local parameter store cannot keep a write");
        Self { code: "InternalServerError", message: "the file cannot be written".to_owned(), ours: true }
    }
}

/// Whether a value is shown to everybody who may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    String,
    SecureString,
}

#[derive(Clone, Serialize, Deserialize)]
struct Parameter {
    value: String,
    kind: Kind,
    version: u64,
    modified_ms: i64,
}

/// All parameters.
pub(super) struct Parameters {
    path: PathBuf,
    clock: Clock,
    all: BTreeMap<String, Parameter>,
}

impl Parameters {
    /// Reads the file; an absent one is empty.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let all = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| StoresError::Parameters { path: path.to_owned(), source })?,
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(problem) => return Err(file("read", path)(problem)),
        };
        Ok(Self { path: path.to_owned(), clock: Clock::system(), all })
    }

    /// One parameter as the wire shows it. A secret that is not decrypted shows what no plain value looks
    /// like.
    pub(super) fn get(&self, name: &str, decrypt: bool) -> Option<Value> {
        let parameter = self.all.get(name)?;
        let value = match (parameter.kind, decrypt) {
            (Kind::String, _) | (Kind::SecureString, true) => parameter.value.clone(),
            (Kind::SecureString, false) => format!("encrypted:{name}:{}", parameter.version),
        };
        Some(json!({
            "Name": name,
            "Type": parameter.kind,
            "Value": value,
            "Version": parameter.version,
            "LastModifiedDate": parameter.modified_ms / 1000,
            "ARN": format!("arn:aws:ssm:eu-west-1:000000000000:parameter/{}", name.trim_start_matches('/')),
            "DataType": "text",
        }))
    }

    /// The names below a path, in order, after `after`.
    pub(super) fn names_below(
        &self,
        path: &str,
        recursive: bool,
        after: Option<&str>,
    ) -> impl Iterator<Item = &str> {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.all.range::<str, _>((from, Bound::Unbounded)).map(|(name, _)| name.as_str()).filter(
            move |name| name.strip_prefix(&folder).is_some_and(|rest| recursive || !rest.contains('/')),
        )
    }

    /// Creates or overwrites; returns the new version.
    pub(super) fn put(
        &mut self,
        name: &str,
        value: &str,
        kind: Option<&str>,
        overwrite: bool,
    ) -> std::result::Result<u64, Refusal> {
        check_name(name)?;
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            return Err(Refusal::validation(
                "Standard tier parameters support a maximum parameter value of 4096 characters.",
            ));
        }
        let before = self.all.get(name);
        let kind = match (kind, before) {
            (Some("String"), _) => Kind::String,
            (Some("SecureString"), _) => Kind::SecureString,
            (Some(_), _) => return Err(Refusal::validation("the local parameter store has no such type")),
            (None, Some(before)) => before.kind,
            (None, None) => return Err(Refusal::validation("a parameter type is required")),
        };
        if before.is_some_and(|before| before.kind != kind) {
            return Err(Refusal::validation("the type of a parameter cannot be changed"));
        }
        if before.is_some() && !overwrite {
            return Err(Refusal::asked(
                "ParameterAlreadyExists",
                "The parameter already exists. To overwrite this value, set the overwrite option in the \
                 request to true.",
            ));
        }
        let version = before.map_or(0, |before| before.version) + 1;
        let new = Parameter { value: value.to_owned(), kind, version, modified_ms: self.clock.now_ms() };
        let mut all = self.all.clone();
        all.insert(name.to_owned(), new);
        self.keep(all).map(|()| version)
    }

    /// Removes one.
    pub(super) fn delete(&mut self, name: &str) -> std::result::Result<(), Refusal> {
        let mut all = self.all.clone();
        if all.remove(name).is_none() {
            return Err(Refusal::not_found());
        }
        self.keep(all)
    }

    /// Puts `all` on disk, whole or not at all, and only then shows it.
    fn keep(&mut self, all: BTreeMap<String, Parameter>) -> std::result::Result<(), Refusal> {
        self.write(&all).map_err(|problem| Refusal::ours(&problem))?;
        self.all = all;
        Ok(())
    }

    fn write(&self, all: &BTreeMap<String, Parameter>) -> Result<()> {
        let whole = |source| StoresError::Parameters { path: self.path.clone(), source };
        let bytes = serde_json::to_vec_pretty(all).map_err(whole)?;
        let next = self.path.with_extension("json.next");
        let mut written = File::create(&next).map_err(file("create", &next))?;
        set_mode(&next, 0o600)?;
        written.write_all(&bytes).and_then(|()| written.sync_all()).map_err(file("write", &next))?;
        fs::rename(&next, &self.path).map_err(file("replace", &self.path))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(file("keep", folder))
    }
}

fn check_name(name: &str) -> std::result::Result<(), Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    let first = name.trim_start_matches('/').split('/').next().unwrap_or_default().to_ascii_lowercase();
    let rooted = !name.contains('/') || name.starts_with('/');
    let reserved = first.starts_with("aws") || first.starts_with("ssm");
    if first.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) || !rooted || reserved {
        return Err(Refusal::validation("the parameter name is not allowed"));
    }
    Ok(())
}
