//! The folder that holds everything a local run keeps. Must never be open in two processes, nor empty a
//! folder that is not ours.

use crate::{
    error::{Result, StoresError, file},
    process,
};
use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Marks the folder as ours and carries the lock.
const MARK: &str = "holdfast.lock";

/// A data folder, locked for this process until dropped. Drop it after the stores that use it.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Creates or opens the folder, takes its lock and ends what an earlier run of ours left behind. May
    /// block for some seconds while such a process ends.
    ///
    /// # Errors
    /// The folder is in use, is not ours, or cannot be written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        fs::create_dir_all(path).map_err(file("create", path))?;
        let path = fs::canonicalize(path).map_err(file("open", path))?;
        let mark = path.join(MARK);
        if !mark.exists() && has_entries(&path)? {
            return Err(StoresError::Foreign { path });
        }
        let lock = File::options().create(true).append(true).open(&mark).map_err(file("create", &mark))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoresError::InUse { path }),
            Err(TryLockError::Error(source)) => {
                return Err(StoresError::File { doing: "lock", path: mark, source });
            }
        }
        let opened = Self { path, lock };
        // As root, Postgres runs as somebody else and has to pass through; nobody else may list or write.
        let mode = if opened.is_root()? { 0o711 } else { 0o700 };
        set_mode(&opened.path, mode)?;
        let pids = opened.folder("pids")?;
        process::end_stale(&pids)?;
        crate::postgres::end_stale(&opened)?;
        Ok(opened)
    }

    /// The same, and empties the folder first.
    ///
    /// # Errors
    /// As [`DataDir::open`]; a folder that is not ours is left as it is.
    pub fn open_fresh(path: impl AsRef<Path>) -> Result<Self> {
        let opened = Self::open(path)?;
        crate::postgres::remove_outside(&opened)?;
        for entry in fs::read_dir(&opened.path).map_err(file("list", &opened.path))? {
            let entry = entry.map_err(file("list", &opened.path))?.path();
            if entry.ends_with(MARK) {
                continue;
            }
            let removed = if entry.is_dir() && !entry.is_symlink() {
                fs::remove_dir_all(&entry)
            } else {
                fs::remove_file(&entry)
            };
            removed.map_err(file("remove", &entry))?;
        }
        opened.folder("pids")?;
        Ok(opened)
    }

    /// The folder, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder inside, created if absent, closed to others.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.path.join(name);
        fs::create_dir_all(&folder).map_err(file("create", &folder))?;
        set_mode(&folder, 0o700)?;
        Ok(folder)
    }

    /// Where the pid of the child `name` is kept.
    pub(crate) fn pid_file(&self, name: &str) -> PathBuf {
        self.path.join("pids").join(name)
    }

    /// Whether we are root: what we create belongs to user 0.
    pub(crate) fn is_root(&self) -> Result<bool> {
        let mark = self.path.join(MARK);
        // WHY NOT: `geteuid`. It is unsafe code; `/proc` is not everywhere. Our own lock file may be of an
        // earlier run by another user, so ask a new one.
        let probe = self.path.join(format!(".owner-{}", std::process::id()));
        let owner = File::create(&probe).and_then(|made| made.metadata()).map(|meta| meta.uid());
        let _ = fs::remove_file(&probe);
        owner.map(|uid| uid == 0).map_err(file("create a file beside", &mark))
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // WHY NOT: closing alone. A child that another thread is just starting holds a copy of the file,
        // and the lock with it, until it becomes its program.
        let _ = self.lock.unlock();
    }
}

/// Sets the permission bits of a file or folder.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(file("set the permissions of", path))
}

fn has_entries(path: &Path) -> Result<bool> {
    Ok(fs::read_dir(path).map_err(file("list", path))?.next().is_some())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A new empty folder under the machine's own temporary folder, removed on drop. Bind it before what uses
    /// it.
    pub(crate) struct Scratch(PathBuf);

    pub(crate) fn scratch(name: &str) -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("stores-{}-{number}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    impl std::ops::Deref for Scratch {
        type Target = Path;

        fn deref(&self) -> &Path {
            &self.0
        }
    }

    impl AsRef<Path> for Scratch {
        fn as_ref(&self) -> &Path {
            self
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_second_opening_is_refused_and_names_the_folder() {
        let path = scratch("second");
        let first = DataDir::open(&path).unwrap();
        let refused = DataDir::open(&path).unwrap_err();
        assert!(matches!(refused, StoresError::InUse { .. }));
        assert!(refused.to_string().contains(&*path.to_string_lossy()), "{refused}");
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_folder_of_somebody_else_is_neither_used_nor_emptied() {
        let path = scratch("foreign");
        fs::write(path.join("thesis.txt"), "years of work").unwrap();
        assert!(matches!(DataDir::open(&path), Err(StoresError::Foreign { .. })));
        assert!(matches!(DataDir::open_fresh(&path), Err(StoresError::Foreign { .. })));
        assert!(path.join("thesis.txt").exists());
    }

    #[test]
    fn fresh_empties_the_folder_and_keeps_the_lock() {
        let path = scratch("fresh");
        drop(DataDir::open(&path).unwrap());
        fs::create_dir_all(path.join("redis/inner")).unwrap();
        fs::write(path.join("redis/inner/log"), "old").unwrap();
        let fresh = DataDir::open_fresh(&path).unwrap();
        assert!(!path.join("redis").exists());
        assert!(matches!(DataDir::open(&path), Err(StoresError::InUse { .. })));
        drop(fresh);
    }

    #[test]
    fn others_cannot_list_the_folder() {
        let path = scratch("mode");
        let opened = DataDir::open(&path).unwrap();
        let mode = fs::metadata(opened.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if opened.is_root().unwrap() { 0o711 } else { 0o700 });
        assert_eq!(fs::metadata(opened.folder("x").unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
