//! Why data can't be used.

use std::path::PathBuf;

/// Why data for a model can't be used: one variant per cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder can't be opened, read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The content is of no known kind.
    #[error("{path}: neither .npy nor .npz (nor a folder of images)", path = path.display())]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// A `.npy` header is damaged.
    #[error("{path}: array '{array}': damaged .npy header: {what}", path = path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The array in it; the file's name for `.npy`.
        array: String,
        /// What is wrong.
        what: String,
    },
    /// An array of elements that no tensor has.
    #[error(
        "{path}: array '{array}' has elements of type '{found}', which can't be read; convert it with \
         `.astype(...)` to a little-endian number type", path = path.display()
    )]
    Element {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// The type as NumPy spells it.
        found: String,
    },
    /// An array whose first index runs fastest.
    #[error(
        "{path}: array '{array}' is in Fortran order; store `numpy.ascontiguousarray(x)`", path = path.display()
    )]
    FortranOrder {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
    },
    /// An array says that it has more (or fewer) bytes than are there.
    #[error("{path}: array '{array}' should have {wanted} bytes but has {found}: the file is cut off or damaged",
        path = path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// Bytes that its shape asks for.
        wanted: u64,
        /// Bytes that are there (`wanted + 1` stands for any number above it).
        found: u64,
    },
    /// A `.npz` archive is damaged.
    #[error("{path}: not a usable .npz archive: {what}", path = path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// More than the limit.
    #[error("{path}: {bytes} bytes of data are more than the limit of {limit}; raise --limit-file-bytes if this is meant",
        path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes it has or asks for.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// An array for a model's input is absent.
    #[error("{path}: no array for the model's input '{input}'; there are: {found}", path = path.display())]
    MissingInput {
        /// The file.
        path: PathBuf,
        /// The input.
        input: String,
        /// Names that are there.
        found: String,
    },
    /// One array or a folder of images for a model that has several inputs, or none.
    #[error("{path}: the model has {inputs} inputs: give an .npz keyed by their names", path = path.display())]
    InputCount {
        /// The file.
        path: PathBuf,
        /// Inputs of the model.
        inputs: usize,
    },
    /// Elements of another type than the input's.
    #[error("input '{input}' takes {wanted}, but the data are {found}; {fix}")]
    DType {
        /// The input.
        input: String,
        /// What it takes.
        wanted: &'static str,
        /// What is there.
        found: &'static str,
        /// What to do.
        fix: String,
    },
    /// Another shape than the input's.
    #[error("input '{input}' takes {wanted}, but the data have the shape {found:?}")]
    Shape {
        /// The input.
        input: String,
        /// What it takes.
        wanted: String,
        /// What is there.
        found: Vec<usize>,
    },
    /// Arrays of one data set disagree about the number of samples.
    #[error("input '{input}' has {found} samples, others have {wanted}")]
    SampleCount {
        /// The input.
        input: String,
        /// Samples of the first input.
        wanted: usize,
        /// Samples of this one.
        found: usize,
    },
    /// There is nothing.
    #[error("{path}: no samples", path = path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
    },
    /// An image can't be decoded.
    #[error("{path}: {what}", path = path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The options for images don't fit the model or each other.
    #[error("{0}")]
    Options(String),
    /// Labels don't fit the data.
    #[error("{path}: {what}", path = path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
}

impl DataError {
    /// An I/O error at a path.
    pub(super) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> DataError {
        DataError::Io { path: path.into(), source }
    }
}
