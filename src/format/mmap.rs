//! Mapped files: the only unsafe code of this crate.
#![allow(unsafe_code)]

use super::save::file_len;
use super::{Loaded, read};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::run::Model;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Maps a file: constants and packed weights are read from the page cache, shared by all processes that map it.
/// The mapping lives as long as the last constant that is a view into it.
///
/// # Safety
/// As long as the mapping lives nobody, in this process or another, may change or truncate the file. Replacing
/// it by renaming another file over it, as [`save`](super::save) does, is fine. If a changed byte is a weight,
/// results change; a byte that was checked when the file was read is not checked again. If the file is
/// truncated, reading behind its new end kills the process (SIGBUS). Where that can't be ruled out, use
/// [`open`](super::open).
///
/// # Errors
/// As [`open`](super::open).
pub unsafe fn map(path: impl AsRef<Path>, limits: &Limits) -> Result<Loaded> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    file_len(&file, limits).map_err(|e| e.at(path))?;
    // SAFETY: the caller promises that the file does not change while the mapping lives, so the bytes behind
    // the shared slice stay the same. The mapping owns its address range until it is dropped.
    let mapping = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io(path, e))?;
    Ok(read(Arc::new(mapping), limits)?)
}

impl Model {
    /// Maps a `.8va` file, verifies it completely and takes it; the weights are read in place and shared with
    /// every process that maps the same file.
    ///
    /// # Safety
    /// Nobody may change or shorten the file while this model, or a session of it, lives; see [`map`].
    ///
    /// # Errors
    /// As [`Model::open`].
    pub unsafe fn map(path: impl AsRef<Path>, limits: &Limits) -> Result<Model> {
        // SAFETY: the caller keeps the contract of `map`, which is this function's too.
        Model::from_loaded(unsafe { map(path, limits)? })
    }

    /// Maps a file that this process has just written to a folder of its own.
    #[cfg(feature = "cli")]
    pub(crate) fn map_own(path: &Path, limits: &Limits) -> Result<Model> {
        // SAFETY: the file lies in a folder that only this process knows; nobody changes it while it is mapped.
        unsafe { Model::map(path, limits) }
    }
}
