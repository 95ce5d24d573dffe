//! Labels: what the right answers are.

use super::images::{ImageFolder, ImageOptions};
use super::{Array, DataError, InputSpec, npy};
use crate::graph::DType;
use std::path::{Path, PathBuf};

/// What is right, sample by sample: a class, a mask or target values.
#[derive(Debug)]
pub struct Labels {
    path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The first axis counts samples.
    Array(Array),
    /// A mask per sample, with this many pixels.
    Masks(ImageFolder, usize),
}

impl Labels {
    /// Opens a `.npy` file whose first axis counts samples, or a folder of mask images in the order of their
    /// names, which are brought to `output`, the shape of the model's output, as `options` bring the images to its
    /// input. There must be labels for at least `samples` samples; more are left out.
    pub fn open(
        path: &Path,
        samples: usize,
        output: &[usize],
        options: &ImageOptions,
    ) -> Result<Labels, DataError> {
        if !path.is_dir() {
            return Labels::new(npy::open(path)?, samples);
        }
        let mask = InputSpec { name: "labels".into(), dtype: DType::U8, shape: output.to_vec(), quant: None };
        let options = ImageOptions { resize: options.resize, ..ImageOptions::default() };
        let folder = ImageFolder::open(path, &mask, &options)?;
        let (path, pixels) = (path.to_path_buf(), mask.byte_len());
        Labels { path, content: Content::Masks(folder, pixels) }.for_samples(samples)
    }

    /// Takes an array whose first axis counts samples, at least `samples`.
    pub fn new(array: Array, samples: usize) -> Result<Labels, DataError> {
        Labels { path: array.path.clone(), content: Content::Array(array) }.for_samples(samples)
    }

    fn for_samples(self, wanted: usize) -> Result<Labels, DataError> {
        let found = match &self.content {
            Content::Array(array) => array.rows(),
            Content::Masks(folder, _) => folder.len(),
        };
        if found < wanted {
            return Err(self.fault(format!("{found} labels, but the data need {wanted}")));
        }
        Ok(self)
    }

    /// The values of one sample. Pixels of masks are of 0..=1.
    pub fn values(&mut self, sample: usize) -> Result<Vec<f64>, DataError> {
        match &mut self.content {
            Content::Array(array) => {
                let mut row = vec![0; array.row_bytes()];
                array.read_row(sample, &mut row)?;
                Ok(array.element().values(&row))
            }
            Content::Masks(folder, pixels) => {
                let mut mask = vec![0; *pixels];
                folder.read(sample, &mut mask)?;
                Ok(mask.iter().map(|p| f64::from(*p) / 255.0).collect())
            }
        }
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
        DataError::Labels { path: self.path.clone(), what }
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
        Labels::open(&path, 2, &[], &ImageOptions::default())
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
        assert_eq!(l.values(0).unwrap(), [0.0, 1.0, 1.0, 0.0]);
        assert!(l.class(0).is_err());
    }

    #[test]
    fn masks_may_be_images() {
        let path = std::env::temp_dir().join(format!("ottava-labels-{}-masks", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for (name, pixel) in [("a.png", 255), ("b.png", 51)] {
            image::GrayImage::from_pixel(4, 4, image::Luma([pixel])).save(path.join(name)).unwrap();
        }
        let open = |samples| Labels::open(&path, samples, &[1, 1, 2, 2], &ImageOptions::default());
        let mut l = open(2).unwrap();
        assert_eq!(l.values(0).unwrap(), [1.0; 4]);
        assert_eq!(l.values(1).unwrap(), [0.2; 4]);
        assert!(matches!(open(3), Err(DataError::Labels { .. })));
    }

    #[test]
    fn too_few_are_refused() {
        assert!(matches!(labels("few", "|u1", "(1,)", &[0]), Err(DataError::Labels { .. })));
    }
}
