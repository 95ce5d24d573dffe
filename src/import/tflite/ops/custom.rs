//! Operators that the application has registered ([`crate::custom`]).

use super::super::super::node::Stop;
use super::super::border;
use super::super::context::Context;
use super::CUSTOM;
use crate::graph::{self, Shape, Tensor, TensorId};
use std::fmt::Write;

/// The operator sees the file's own element types: 8-bit tensors that are signed there are signed for it. Its options
/// are the parameter `options`, two hexadecimal digits per byte.
pub(in super::super) fn custom(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let name = cx.op.strip_prefix(CUSTOM).unwrap_or(cx.op).to_string();
    let mut parameters = String::new();
    if !cx.operator.custom_options.is_empty() {
        parameters.push_str("options=");
        for byte in cx.operator.custom_options {
            // Writing to a string can't fail.
            let _ = write!(parameters, "{byte:02x}");
        }
    }
    let mut inputs = vec![];
    for i in 0..cx.operator.inputs.len() {
        let (id, info) = (cx.input(i)?, cx.info(i)?);
        inputs.push(match border::converted(&info) {
            None => id,
            Some(op) => cx.inner(&format!("in{i}"), op, &[id], (info.dtype, info.quant))?,
        });
    }
    let (out, template) = (cx.out(0)?, cx.template(0)?);
    let op = graph::Custom { name, parameters };
    let Some(back) = border::converted(&out) else { return cx.push("", op, &inputs, vec![template]) };
    let outer = Tensor::value(format!("{}/outer", cx.name), out.dtype, Shape::default());
    let made = cx.push("", op, &inputs, vec![Tensor { quant: out.quant, ..outer }])?;
    cx.push("inner", back, &made, vec![template])
}
