//! A folder of `.npz` archives: each is one sample, with shapes of its own.

use super::dataset::check_element;
use super::{Array, DataError, InputSpec, Sample, Shapes, npz};
use std::path::{Path, PathBuf};

/// The archives of a folder, in the order of their names.
#[derive(Debug)]
pub(super) struct ArchiveFolder {
    paths: Vec<PathBuf>,
    /// Bytes that one archive may unpack to.
    limit: u64,
}

impl ArchiveFolder {
    /// The files of a folder; `None` if there are none, or others than `.npz` files.
    pub fn open(folder: &Path, limit: u64) -> Result<Option<ArchiveFolder>, DataError> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|e| DataError::io(folder, e))? {
            let path = entry.map_err(|e| DataError::io(folder, e))?.path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            match path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz")) {
                true => paths.push(path),
                false if hidden => {}
                false => return Ok(None),
            }
        }
        paths.sort();
        Ok(if paths.is_empty() { None } else { Some(ArchiveFolder { paths, limit }) })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// The arrays with these names of one sample, in this order.
    pub fn arrays(&self, index: usize, names: &[String]) -> Result<Vec<Array>, DataError> {
        let path = &self.paths[index];
        let mut archive = npz::read_npz(path, names, self.limit)?;
        let found = archive.names.join(", ");
        let take = |input: &String| {
            let at = archive.arrays.iter().position(|a| a.name() == input);
            let missing =
                || DataError::MissingInput { path: path.clone(), input: input.clone(), found: found.clone() };
            Ok(archive.arrays.swap_remove(at.ok_or_else(missing)?))
        };
        names.iter().map(take).collect()
    }

    /// One sample's shapes, by input.
    pub fn shapes(&self, index: usize, inputs: &[InputSpec]) -> Result<Shapes, DataError> {
        let names: Vec<String> = inputs.iter().map(|i| i.name.clone()).collect();
        let arrays = self.arrays(index, &names)?;
        Ok(names.into_iter().zip(arrays.iter().map(|a| a.shape().to_vec())).collect())
    }

    /// One sample's bytes, in the order of the inputs, whose element types they must have.
    pub fn read(&self, index: usize, inputs: &[InputSpec]) -> Result<Sample, DataError> {
        let names: Vec<String> = inputs.iter().map(|i| i.name.clone()).collect();
        let arrays = self.arrays(index, &names)?;
        let checked = arrays.into_iter().zip(inputs).map(|(array, input)| {
            check_element(input, array.element())?;
            array.into_bytes()
        });
        checked.collect()
    }
}
