//! Writing arrays, so that a file is either complete or not there.

use super::{DataError, Element};
use crate::graph::DType;
use npyz::WriterBuilder;
use npyz::npz::NpzWriter;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// An array to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedArray {
    /// Its key in the archive.
    pub name: String,
    /// Type of the elements.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// The elements, little-endian, in C order.
    pub bytes: Vec<u8>,
}

/// The element type and shape as NumPy writes them.
fn header(array: &NamedArray) -> io::Result<(npyz::DType, Vec<u64>)> {
    let descr = Element::Tensor(array.dtype).descr();
    let element = descr.parse().map_err(|e: npyz::ParseTypeStrError| io::Error::other(e.to_string()))?;
    Ok((npyz::DType::Plain(element), array.shape.iter().map(|&d| d as u64).collect()))
}

/// Writes a `.npy` file: first under a temporary name beside it, so that `path` is either complete or untouched.
/// The array's name is not kept.
pub fn write_npy(path: &Path, array: &NamedArray) -> Result<(), DataError> {
    replace(path, |out| {
        let (dtype, shape) = header(array)?;
        let file = npyz::WriteOptions::<u8>::new().dtype(dtype).shape(&shape).writer(out);
        file.write_header_only()?.write_all(&array.bytes)
    })
}

/// Writes a `.npz` file, as [`write_npy`] writes a `.npy` file.
pub fn write_npz(path: &Path, arrays: &[NamedArray]) -> Result<(), DataError> {
    replace(path, |out| {
        let mut archive = NpzWriter::new(out);
        for array in arrays {
            let (dtype, shape) = header(array)?;
            let entry = archive.array::<u8>(&array.name, Default::default())?;
            entry.dtype(dtype).shape(&shape).write_header_only()?.write_all(&array.bytes)?;
        }
        archive.zip_writer().finish().map_err(io::Error::other)?;
        Ok(())
    })
}

/// Has a temporary file written, synced and renamed.
fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), DataError> {
    let temporary = temporary_beside(path);
    let file = File::options().write(true).create_new(true).open(&temporary);
    let mut out = BufWriter::new(file.map_err(|e| DataError::io(path, e))?);
    let written = write(&mut out)
        .and_then(|()| out.flush())
        .and_then(|()| out.get_ref().sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|e| {
        // Nothing half-written stays; if even that fails, the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        DataError::io(path, e)
    })
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array() -> NamedArray {
        NamedArray { name: "x".into(), dtype: DType::I16, shape: vec![2, 1], bytes: vec![1, 0, 0, 1] }
    }

    #[test]
    fn npyz_reads_what_is_written() {
        let path = std::env::temp_dir().join(format!("ottava-write-{}.npy", std::process::id()));
        write_npy(&path, &array()).unwrap();
        let file = npyz::NpyFile::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(file.shape(), [2, 1]);
        assert_eq!(file.into_vec::<i16>().unwrap(), [1, 256]);
        assert!(!temporary_beside(&path).exists());
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let nowhere = std::env::temp_dir().join("ottava-no-such-folder").join("x");
        assert!(matches!(write_npz(&nowhere, &[array()]), Err(DataError::Io { .. })));
        // A folder can't be replaced by a file.
        let taken = std::env::temp_dir().join(format!("ottava-write-{}", std::process::id()));
        fs::create_dir_all(taken.join("full")).unwrap();
        assert!(write_npy(&taken, &array()).is_err());
        assert!(!temporary_beside(&taken).exists());
    }
}
