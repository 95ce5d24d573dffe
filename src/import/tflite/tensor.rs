//! What the file says of a tensor.

use super::super::ImportError;
use super::flatbuffer::Table;
use super::schema::{Model, element_type};
use crate::graph::{DType, Data, MAX_RANK, Quant};

/// A tensor of the file: shape, type, buffer, name, quantization, is_variable, sparsity, shape_signature, ...
#[derive(Clone)]
pub(super) struct Info<'a> {
    /// May be empty, and not the only one.
    pub name: &'a str,
    /// As in the file.
    pub dtype: DType,
    /// Its extents; `None` where they are free.
    pub dims: Vec<Option<usize>>,
    /// As in the file.
    pub quant: Option<Quant>,
    /// Integers of 16 bits that stand for reals: not all operators take them.
    pub scaled16: bool,
    /// It keeps its value from run to run.
    pub variable: bool,
    /// Present for constants: as many bytes as the shape asks for.
    pub data: Option<&'a [u8]>,
}

impl<'a> Info<'a> {
    /// Reads and checks it.
    pub fn read(table: Table<'a, '_>, model: &Model<'a, '_>) -> Result<Info<'a>, ImportError> {
        let name = table.text(3)?;
        let fault = |what: String| ImportError::tensor(name, what);
        let dtype = element_type(table.scalar(1, 0)?).map_err(fault)?;
        if table.table(6)?.is_some() {
            return Err(fault("it is sparse: convert the model with dense weights".into()));
        }
        let shape: Vec<i32> = table.numbers(0)?.unwrap_or_default();
        let signature: Vec<i32> = table.numbers(7)?.unwrap_or_default();
        if shape.len() > MAX_RANK {
            return Err(fault(format!("its rank is {}, more than {MAX_RANK}", shape.len())));
        }
        let data = model.buffer(table.scalar(2, 0)?)?;
        let sizes: Result<Vec<usize>, _> = shape.iter().map(|&d| usize::try_from(d)).collect();
        let sizes = sizes.map_err(|_| fault(format!("its shape {shape:?} has a negative extent")))?;
        let free = |i: usize| data.is_none() && signature.len() == shape.len() && signature[i] < 0;
        let dims = sizes.iter().enumerate().map(|(i, &d)| (!free(i)).then_some(d)).collect();
        if let Some(data) = data {
            let wanted = sizes.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d));
            if wanted != Some(data.len()) {
                let what = format!("its shape {shape:?} of {dtype} does not fit its {} bytes", data.len());
                return Err(fault(what));
            }
        }
        let scaled16 = match table.table(4)? {
            Some(q) if dtype == DType::I16 => q.numbers::<f32>(2)?.is_some_and(|scale| !scale.is_empty()),
            _ => false,
        };
        let quant = match table.table(4)? {
            Some(q) if dtype.is_8bit() || dtype == DType::I16 || dtype == DType::I32 && data.is_none() => {
                quantization(q, &sizes).map_err(|what| fault(what.to_string()))?
            }
            _ => None,
        };
        let variable = table.scalar::<u8>(5, 0)? != 0;
        Ok(Info { name, dtype, dims, quant, scaled16, variable, data })
    }

    /// Extents, if none is free.
    pub fn sizes(&self) -> Option<Vec<usize>> {
        self.dims.iter().copied().collect()
    }

    /// The type and quantization that the tensor has inside of the graph: i8 that stands for reals is u8, and
    /// floats are computed in f32.
    pub fn internal(&self) -> (DType, Option<Quant>) {
        match (self.dtype, &self.quant) {
            (DType::I8, Some(q)) => {
                let zero_point = q.zero_point.iter().map(|z| z.saturating_add(128)).collect();
                (DType::U8, Some(Quant { zero_point, ..q.clone() }))
            }
            (DType::F16, _) => (DType::F32, None),
            (dtype, quant) => (dtype, quant.clone()),
        }
    }

    /// A constant's bytes as the tensor has them inside of the graph.
    pub fn internal_data(&self) -> Option<Data> {
        let data = self.data?;
        Some(match (self.dtype, &self.quant) {
            (DType::I8, Some(_)) => Data::from_bytes(&data.iter().map(|b| b ^ 0x80).collect::<Vec<u8>>()),
            (DType::F16, _) => {
                let halves = Data::from_bytes(data).to_vec::<half::f16>();
                Data::from_slice(&halves.iter().map(|h| h.to_f32()).collect::<Vec<f32>>())
            }
            _ => Data::from_bytes(data),
        })
    }
}

/// `QuantizationParameters`: min, max, scale, zero_point, details_type, details, quantized_dimension.
fn quantization(table: Table, dims: &[usize]) -> Result<Option<Quant>, ImportError> {
    let fault = |what: String| ImportError::model(what);
    let scale: Vec<f32> = table.numbers(2)?.unwrap_or_default();
    if scale.is_empty() {
        return Ok(None);
    }
    let zero_point: Vec<i64> = table.numbers(3)?.unwrap_or_default();
    let zero_point = match zero_point.len() {
        0 => vec![0; scale.len()],
        _ => zero_point.iter().map(|&z| i32::try_from(z).unwrap_or(i32::MAX)).collect(),
    };
    if zero_point.len() != scale.len() {
        return Err(fault(format!("it has {} scales and {} zero points", scale.len(), zero_point.len())));
    }
    if scale.len() == 1 {
        return Ok(Some(Quant { axis: None, scale, zero_point }));
    }
    let axis = table.scalar::<i32>(6, 0)?;
    match usize::try_from(axis).ok().filter(|&a| dims.get(a) == Some(&scale.len())) {
        Some(axis) => Ok(Some(Quant { axis: Some(axis), scale, zero_point })),
        None => Err(fault(format!("it has {} scales along axis {axis} of {dims:?}", scale.len()))),
    }
}
