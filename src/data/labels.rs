//! Labels: what the right answers are.

use super::{Array, DataError, npy};
use std::path::Path;

/// An array whose first axis counts samples: a class, a mask or target values per sample.
#[derive(Debug)]
pub struct Labels {
    array: Array,
}

impl Labels {
    /// Opens a `.npy` file that must have labels for at least `samples` samples; more are left out.
    pub fn open(path: &Path, samples: usize) -> Result<Labels, DataError> {
        Labels::new(npy::open(path)?, samples)
    }

    /// Takes an array, as [`Labels::open`] does.
    pub fn new(array: Array, samples: usize) -> Result<Labels, DataError> {
        if array.rows() < samples {
            let what = format!("labels for {} samples, but the data need {samples}", array.rows());
            return Err(DataError::Labels { path: array.path, what });
        }
        Ok(Labels { array })
    }

    /// Number of values per sample.
    pub fn per_sample(&self) -> usize {
        self.array.row_bytes() / self.array.element().size()
    }

    /// The values of one sample.
    pub fn values(&mut self, sample: usize) -> Result<Vec<f64>, DataError> {
        let mut row = vec![0; self.array.row_bytes()];
        self.array.read_row(sample, &mut row)?;
        Ok(self.array.element().values(&row))
    }

    /// The class of one sample. Labels with several values per sample, fractions or negative numbers are
    /// refused.
    pub fn class(&mut self, sample: usize) -> Result<usize, DataError> {
        let values = self.values(sample)?;
        match values[..] {
            [v] if v >= 0.0 && v.fract() == 0.0 => Ok(v as usize),
            [v] => Err(self.fault(format!("label {v} of sample {sample} is no class number"))),
            _ => Err(self.fault(format!("{} labels per sample, a class is one", values.len()))),
        }
    }

    /// An error at these labels.
    pub(crate) fn fault(&self, what: String) -> DataError {
        DataError::Labels { path: self.array.path.clone(), what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str, descr: &str, shape: &str, data: &[u8]) -> Result<Labels, DataError> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = npy::MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        let path = std::env::temp_dir().join(format!("ottava-labels-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Labels::open(&path, 2)
    }

    #[test]
    fn classes_of_any_number_type() {
        let f64s = [3f64, 7.5].map(f64::to_le_bytes).concat();
        let mut l = labels("f64", "<f8", "(2,)", &f64s).unwrap();
        assert_eq!(l.class(0).unwrap(), 3);
        assert!(matches!(l.class(1), Err(DataError::Labels { .. })));
        let i64s = [-1i64, 9].map(i64::to_le_bytes).concat();
        let mut l = labels("i64", "<i8", "(2, 1)", &i64s).unwrap();
        assert!(l.class(0).is_err());
        assert_eq!(l.class(1).unwrap(), 9);
    }

    #[test]
    fn masks_have_many_values() {
        let mut l = labels("mask", "|b1", "(2, 2, 2)", &[0, 1, 1, 0, 1, 1, 1, 1]).unwrap();
        assert_eq!(l.per_sample(), 4);
        assert_eq!(l.values(0).unwrap(), [0.0, 1.0, 1.0, 0.0]);
        assert!(l.class(0).is_err());
    }

    #[test]
    fn too_few_are_refused() {
        assert!(matches!(labels("few", "|u1", "(1,)", &[0]), Err(DataError::Labels { .. })));
    }
}
