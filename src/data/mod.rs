//! Data sets on disk, for calibration and comparison: `.npy` and `.npz` arrays, folders of images, labels.
//!
//! A [`Dataset`] hands out samples as the bytes that a model's inputs take. Nothing here trusts a count that a file
//! states: what is read is bounded by the bytes that are there.

mod archives;
mod array;
mod dataset;
mod error;
mod images;
mod input;
mod labels;
mod npy;
mod npz;
mod pixels;
mod write;

pub use array::{Array, Element};
pub use dataset::{Dataset, Sample, Shapes, Source};
pub use error::DataError;
pub use images::ImageOptions;
pub use input::InputSpec;
pub use labels::Labels;
pub use npz::{Archive, read_npz};
pub use pixels::{Layout, Normalize};
pub use write::{NamedArray, write_npy, write_npz};
