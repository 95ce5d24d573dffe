//! The error of every public function: one variant per part of the crate, each of which says what is wrong,
//! where, and what to do.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A `.8va` file is damaged.
    #[error("not a usable .8va file: {0}")]
    Format(#[from] crate::format::FormatError),
    /// A graph is not well formed.
    #[error("{0}")]
    Graph(#[from] crate::graph::GraphError),
    /// A graph can't be run as it is.
    #[error("{0}")]
    Plan(#[from] crate::plan::PlanError),
    /// A session was used wrongly.
    #[error("{0}")]
    Run(#[from] crate::run::RunError),
    /// A model of another kind can't be taken in.
    #[cfg(feature = "import")]
    #[error("{0}")]
    Import(#[from] crate::import::ImportError),
    /// A graph can't be quantized.
    #[cfg(feature = "quantize")]
    #[error("{0}")]
    Quantize(#[from] crate::quantize::QuantizeError),
    /// Data for calibration or comparison can't be used.
    #[cfg(feature = "report")]
    #[error("{0}")]
    Data(#[from] crate::data::DataError),
}

impl Error {
    /// An I/O error at a path.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Error {
        Error::Io { path: path.into(), source }
    }
}
