//! Reading `.npz`: a zip archive of `.npy` arrays.

use super::array::{Array, Storage};
use super::{DataError, npy};
use npyz::npz::NpzArchive;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// The first bytes of a zip archive.
pub(super) const MAGIC: &[u8; 4] = b"PK\x03\x04";

/// What was read from an archive.
#[derive(Debug)]
pub struct Archive {
    /// The names of all its arrays, sorted.
    pub names: Vec<String>,
    /// Those that were asked for, in the order of their names.
    pub arrays: Vec<Array>,
}

/// Reads the arrays with these names into memory; the only array if there is just one, whatever its name.
/// Other arrays are not looked at: they may be of any type. What is read may have at most `limit` bytes: a small
/// archive can unpack to a lot.
pub fn read_npz(path: &Path, wanted: &[String], limit: u64) -> Result<Archive, DataError> {
    let damaged = |what: String| DataError::Archive { path: path.into(), what };
    let file = File::open(path).map_err(|e| DataError::io(path, e))?;
    let mut archive = NpzArchive::new(BufReader::new(file)).map_err(|e| damaged(e.to_string()))?;
    let mut names: Vec<String> = archive.array_names().map(str::to_string).collect();
    names.sort();
    let mut arrays = Vec::new();
    let mut total = 0u64;
    for name in names.iter().filter(|n| names.len() == 1 || wanted.contains(n)) {
        let entry = archive.zip_archive().by_name(&npyz::npz::file_name_from_array_name(name));
        let mut entry = entry.map_err(|e| damaged(format!("array '{name}': {e}")))?;
        let header = npy::Header::read(&mut entry);
        let header =
            header.map_err(|what| DataError::Header { path: path.into(), array: name.clone(), what })?;
        let (element, length) = npy::check(&header, path, name)?;
        total = total.saturating_add(length);
        if total > limit {
            return Err(DataError::TooLarge { path: path.into(), bytes: total, limit });
        }
        // Not reserved in advance: the vector grows with what is really there.
        let mut bytes = Vec::new();
        let read = entry.take(length.saturating_add(1)).read_to_end(&mut bytes);
        let found = read.map_err(|e| damaged(format!("array '{name}': {e}")))? as u64;
        if found != length {
            return Err(DataError::Length { path: path.into(), array: name.clone(), wanted: length, found });
        }
        let (name, shape, storage) = (name.clone(), header.shape, Storage::Memory(bytes));
        arrays.push(Array { path: path.into(), name, element, shape, storage });
    }
    Ok(Archive { names, arrays })
}

#[cfg(test)]
mod tests {
    use super::super::{Element, NamedArray, write_npz};
    use super::*;
    use crate::graph::DType;
    use std::path::PathBuf;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("ottava-npz-{}-{name}.npz", std::process::id()))
    }

    /// Reads all arrays.
    fn read_all(path: &Path, limit: u64) -> Result<Vec<Array>, DataError> {
        let names = read_npz(path, &[], limit).map(|a| a.names)?;
        Ok(read_npz(path, &names, limit)?.arrays)
    }

    fn arrays() -> Vec<NamedArray> {
        let array = |name: &str, dtype: DType, shape: &[usize]| {
            let length = shape.iter().product::<usize>() * dtype.size();
            NamedArray {
                name: name.into(),
                dtype,
                shape: shape.into(),
                bytes: (0..length).map(|i| i as u8).collect(),
            }
        };
        // NumPy has no bf16.
        let dtypes = DType::ALL.into_iter().filter(|d| *d != DType::BF16);
        let mut all: Vec<NamedArray> = dtypes.map(|d| array(d.name(), d, &[2, 3])).collect();
        all.push(array("a/b:0", DType::F32, &[]));
        all.push(array("empty", DType::I64, &[0, 4]));
        all
    }

    #[test]
    fn what_is_written_is_read() {
        let path = path("roundtrip");
        let mut written = arrays();
        write_npz(&path, &written).unwrap();
        written.sort_by(|a, b| a.name.cmp(&b.name));
        let read = read_all(&path, 1 << 20).unwrap();
        assert_eq!(read.len(), written.len());
        for (r, w) in read.into_iter().zip(written) {
            assert_eq!((r.name(), r.element(), r.shape()), (&*w.name, Element::Tensor(w.dtype), &*w.shape));
            assert_eq!(r.into_bytes().unwrap(), w.bytes);
        }
        write_npz(&path, &[]).unwrap();
        assert!(read_all(&path, 1 << 20).unwrap().is_empty(), "an existing file is replaced");
    }

    #[test]
    fn only_what_is_wanted_is_read() {
        let path = path("wanted");
        write_npz(&path, &arrays()).unwrap();
        let archive = read_npz(&path, &["i16".to_string(), "absent".to_string()], 12).unwrap();
        assert_eq!(archive.names.len(), arrays().len());
        assert_eq!(archive.arrays.iter().map(Array::name).collect::<Vec<_>>(), ["i16"]);
        write_npz(&path, &arrays()[..1]).unwrap();
        assert_eq!(read_npz(&path, &[], 1 << 20).unwrap().arrays.len(), 1, "the only one needs no name");
    }

    #[test]
    fn npyz_reads_it_too() {
        let path = path("npyz");
        write_npz(&path, &arrays()).unwrap();
        let mut archive = NpzArchive::open(&path).unwrap();
        let npy = archive.by_name("i16").unwrap().unwrap();
        assert_eq!(npy.shape(), [2, 3]);
        assert_eq!(npy.into_vec::<i16>().unwrap(), [256, 770, 1284, 1798, 2312, 2826]);
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        let path = path("limit");
        let bytes = vec![0; 1 << 20];
        write_npz(&path, &[NamedArray { name: "x".into(), dtype: DType::U8, shape: vec![1 << 20], bytes }])
            .unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 1 << 14, "zeros pack well");
        assert!(matches!(read_all(&path, 1 << 19), Err(DataError::TooLarge { .. })));
        assert_eq!(read_all(&path, 1 << 20).unwrap()[0].shape(), [1 << 20]);
    }

    #[test]
    fn damaged_archives_are_errors_not_panics() {
        let path = path("damaged");
        write_npz(&path, &arrays()[..2]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read_all(&path, 1 << 20).is_err(), "cut at {length}");
        }
        for i in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[i] ^= 0xff;
            std::fs::write(&path, &bytes).unwrap();
            // Flips in times or comments are harmless; none may panic.
            let _ = read_all(&path, 1 << 20);
        }
    }
}
