//! Why a command was refused or failed.

use crate::data::DataError;
use crate::report::CompareError;
use ottava_kernels::isa::IsaError;

/// Why a command was refused or failed; the message goes to standard error.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A model can't be read, planned, run or written.
    #[error(transparent)]
    Model(#[from] crate::Error),
    /// Models can't be compared.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// The processor has no such instructions.
    #[error("{0}")]
    Isa(#[from] IsaError),
    /// The command says no; the text says why and what to do.
    #[error("{0}")]
    Refused(String),
    /// Standard output can't be written.
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

impl From<DataError> for Failure {
    fn from(e: DataError) -> Failure {
        Failure::Model(e.into())
    }
}

impl Failure {
    /// A refusal.
    pub fn refused(why: impl Into<String>) -> Failure {
        Failure::Refused(why.into())
    }
}
