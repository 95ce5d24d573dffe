//! Mapped files: the only unsafe code of this crate.
#![allow(unsafe_code)]

use super::save::file_len;
use super::{Loaded, read};
use crate::error::{Error, Result};
use crate::limits::Limits;
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
