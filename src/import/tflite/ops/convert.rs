//! From one element type or quantization to another.

use super::super::super::node::Stop;
use super::super::context::Context;
use super::super::weights::dequantized;
use crate::graph::{Cast, DType, Data, Dequantize, Quantize, Requantize, TensorId};

pub(in super::super) fn quantize(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let out = cx.template(0)?;
    match (cx.tensor(x).dtype, out.dtype) {
        (DType::F32, DType::U8 | DType::I16) => cx.emit(Quantize {}, &[x]),
        (DType::U8 | DType::I16 | DType::I32, DType::U8 | DType::I16 | DType::I32) => {
            cx.emit(Requantize {}, &[x])
        }
        (from, to) => Err(Stop::because(format!("{from} to {to} is not supported"))),
    }
}

/// Of constants it is computed here. Half precision is f32 inside of the graph already.
pub(in super::super) fn dequantize(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let info = cx.info(0)?;
    match (info.dtype, info.data, info.sizes()) {
        (DType::F16, ..) => Ok(vec![cx.input(0)?]),
        (DType::I8 | DType::U8, Some(_), Some(dims)) => {
            let values = dequantized(&info)?;
            Ok(vec![cx.constant("reals", DType::F32, &dims, Data::from_slice(&values))?])
        }
        _ => {
            let x = cx.input(0)?;
            cx.emit(Dequantize {}, &[x])
        }
    }
}

pub(in super::super) fn cast(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let (x, out) = (cx.input(0)?, cx.template(0)?);
    if out.quant.is_some() || cx.tensor(x).quant.is_some() {
        return Err(Stop::because("codes of a quantized tensor can't be cast: use QUANTIZE or DEQUANTIZE"));
    }
    cx.emit(Cast {}, &[x])
}
