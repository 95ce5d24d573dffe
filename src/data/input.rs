//! What a model's input takes.

use super::dataset::check_element;
use super::{Array, DataError};
use crate::graph::{DType, Quant};
use crate::run::{Port, Session};

/// What one input of a model takes: all that data must fit.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Its name, for messages and archives.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// All dimensions, bound.
    pub shape: Vec<usize>,
    /// What its integers mean.
    pub quant: Option<Quant>,
}

impl InputSpec {
    /// The inputs of a session, in its order.
    pub fn of(session: &Session) -> Vec<InputSpec> {
        session.inputs().iter().map(InputSpec::from).collect()
    }

    /// The bytes of an array that has exactly this type and shape; anything else is refused.
    pub fn exactly(&self, array: Array) -> Result<Vec<u8>, DataError> {
        check_element(self, array.element())?;
        if array.shape() != self.shape {
            return Err(DataError::Shape {
                input: self.name.clone(),
                wanted: format!("{:?}", self.shape),
                found: array.shape().to_vec(),
            });
        }
        let (path, name) = (array.path.clone(), array.name.clone());
        let bytes = array.into_bytes()?;
        if bytes.len() != self.byte_len() {
            let (wanted, found) = (self.byte_len() as u64, bytes.len() as u64);
            return Err(DataError::Length { path, array: name, wanted, found });
        }
        Ok(bytes)
    }

    /// Bytes of the input. Sessions have bound shapes whose sizes were checked when they were planned.
    pub(super) fn byte_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// The shape of a sample: the input's, without a leading 1.
    pub(super) fn sample_shape(&self) -> &[usize] {
        match self.shape.as_slice() {
            [1, rest @ ..] => rest,
            all => all,
        }
    }
}

impl From<&Port> for InputSpec {
    fn from(port: &Port) -> InputSpec {
        InputSpec {
            name: port.name.clone(),
            dtype: port.dtype,
            shape: port.shape.clone(),
            quant: port.quant.clone(),
        }
    }
}
