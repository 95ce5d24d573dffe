//! Tensors that are stored outside of the model file.
//!
//! A model may name any file. So nothing is read unless the caller names a folder, and then only regular files
//! that really lie in that folder: no absolute path, no `..`, no link that leads out, by whatever name.

use super::proto::StringStringEntryProto;
use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Where external tensors may be read from.
pub(super) struct ExternalData<'a> {
    /// `None`: nowhere.
    pub folder: Option<&'a Path>,
    /// Bytes that may still be read, all tensors together: many can name the same bytes.
    pub left: Cell<u64>,
}

/// What a tensor says about its place.
struct Place<'a> {
    location: &'a str,
    offset: u64,
    length: Option<u64>,
}

impl ExternalData<'_> {
    /// The `wanted` bytes of a tensor. Fails if no folder was named, if the place is outside of it, or if the
    /// file is too short or the stored length another.
    pub fn read(&self, entries: &[StringStringEntryProto], wanted: usize) -> Result<Vec<u8>, String> {
        let place = Place::parse(entries)?;
        let Some(folder) = self.folder else {
            return Err(format!(
                "it is stored in another file, '{}': name the folder that such files may be read from, or \
                 store the model as one file",
                place.location
            ));
        };
        let length = place.length.unwrap_or(wanted as u64);
        if length != wanted as u64 {
            return Err(format!(
                "its length in '{}' is {length}, its shape asks for {wanted}",
                place.location
            ));
        }
        let left = self.left.get().checked_sub(length);
        let left = left.ok_or_else(|| {
            format!("it is {length} bytes long, only {} more may be read from other files", self.left.get())
        })?;
        self.left.set(left);
        let path = contained(folder, place.location)?;
        read_range(&path, place.offset, wanted).map_err(|what| format!("'{}': {what}", place.location))
    }
}

impl<'a> Place<'a> {
    fn parse(entries: &'a [StringStringEntryProto]) -> Result<Place<'a>, String> {
        let mut place = Place { location: "", offset: 0, length: None };
        for entry in entries {
            let number = || {
                let what = || format!("its external {} '{}' is not a number", entry.key, entry.value);
                entry.value.parse::<u64>().map_err(|_| what())
            };
            match entry.key.as_str() {
                "location" => place.location = &entry.value,
                "offset" => place.offset = number()?,
                "length" => place.length = Some(number()?),
                // A checksum, or notes of the exporter.
                _ => {}
            }
        }
        match place.location {
            "" => Err("it is stored in another file, but does not say which".into()),
            _ => Ok(place),
        }
    }
}

/// The real path of `location` below `folder`.
fn contained(folder: &Path, location: &str) -> Result<PathBuf, String> {
    let inside =
        Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    // On other systems than Windows a backslash is an ordinary character, but no exporter means it so.
    if !inside || location.contains('\\') || location.contains('\0') {
        return Err(format!("its file '{location}' is not below the model's folder: refused"));
    }
    let real = |path: &Path| path.canonicalize().map_err(|e| format!("{}: {e}", path.display()));
    let folder = real(folder)?;
    let path = real(&folder.join(location))?;
    if !path.starts_with(&folder) {
        return Err(format!("its file '{location}' is a link that leads out of the folder: refused"));
    }
    Ok(path)
}

fn read_range(path: &Path, offset: u64, wanted: usize) -> Result<Vec<u8>, String> {
    let text = |e: std::io::Error| e.to_string();
    // Looked at before it is opened: opening a pipe would wait for ever.
    check_regular(&path.symlink_metadata().map_err(text)?)?;
    let mut file = File::open(path).map_err(text)?;
    let meta = file.metadata().map_err(text)?;
    check_regular(&meta)?;
    let end = offset.checked_add(wanted as u64).filter(|end| *end <= meta.len());
    if end.is_none() {
        let size = meta.len();
        return Err(format!("has {size} bytes, the tensor would be {wanted} bytes at {offset}"));
    }
    file.seek(SeekFrom::Start(offset)).map_err(text)?;
    let mut bytes = vec![0; wanted];
    file.read_exact(&mut bytes).map_err(text)?;
    Ok(bytes)
}

fn check_regular(meta: &std::fs::Metadata) -> Result<(), String> {
    if !meta.is_file() {
        return Err("is not a regular file: refused".into());
    }
    // A second name can be one outside of the folder: whoever made it chose what is read.
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(meta) > 1 {
        return Err("has more than one name (hard links): refused; copy it".into());
    }
    Ok(())
}
