//! Files on disk: read into memory, and written so that a half-written file is never seen.

use super::{FormatError, Loaded, PackedSection, frame, read, write};
use crate::error::{Error, Result};
use crate::graph::{AlignedBytes, Graph};
use crate::limits::Limits;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads a file into memory: safe whatever happens to the file later. [`map`](super::map) copies nothing.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`]. A file longer than `limits.file_bytes` is refused before memory is taken.
pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<Loaded> {
    let path = path.as_ref();
    let io = |e| Error::io(path, e);
    let mut file = File::open(path).map_err(io)?;
    let len = file_len(&file, limits).map_err(|e| e.at(path))?;
    let mut bytes = AlignedBytes::zeroed(len);
    file.read_exact(bytes.as_mut()).map_err(io)?;
    Ok(read(Arc::new(bytes), limits)?)
}

/// Writes a graph to a file: to a temporary file beside it, which is synced and then takes its name. Whoever
/// reads `path` meanwhile, or maps it, sees the old file; after an error there is nothing new on the disk.
///
/// # Errors
/// [`Error::Io`], and [`Error::Format`] as [`write()`] has it.
pub fn save(path: impl AsRef<Path>, graph: &Graph, packed: &[PackedSection]) -> Result<()> {
    let path = path.as_ref();
    let bytes = write(graph, packed)?;
    replace(path, &bytes).map_err(|e| Error::io(path, e))
}

/// Why a file's length could not be had.
pub(super) enum LenError {
    Io(io::Error),
    Format(FormatError),
}

impl LenError {
    pub fn at(self, path: &Path) -> Error {
        match self {
            LenError::Io(e) => Error::io(path, e),
            LenError::Format(e) => e.into(),
        }
    }
}

/// The length of a file, if it can be that of a `.8va` file within the limits.
pub(super) fn file_len(file: &File, limits: &Limits) -> std::result::Result<usize, LenError> {
    let len = file.metadata().map_err(LenError::Io)?.len();
    frame::check_len(len, limits).map_err(LenError::Format)?;
    usize::try_from(len).map_err(|_| LenError::Io(io::ErrorKind::FileTooLarge.into()))
}

/// Writes bytes as [`save`] writes them.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let mut temp = Temp::create(folder, name)?;
    temp.file.write_all(bytes)?;
    temp.file.sync_all()?;
    temp.rename(path)?;
    // The new name lives in the folder: without this a crash could still bring the old file back.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// A file that is removed again unless it is renamed.
struct Temp {
    file: File,
    path: PathBuf,
    keep: bool,
}

impl Temp {
    fn create(folder: &Path, name: &std::ffi::OsStr) -> io::Result<Temp> {
        for attempt in 0..100 {
            let mut temp_name = std::ffi::OsString::from(".");
            temp_name.push(name);
            temp_name.push(format!(".{}.{attempt}.tmp", std::process::id()));
            let path = folder.join(temp_name);
            // create_new never follows a link that someone has put there.
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Temp { file, path, keep: false }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.keep = true;
        Ok(())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.keep {
            // There is an error on its way already; this one would hide it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
