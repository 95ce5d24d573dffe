//! LSTM layers over integers.

use super::super::super::node::Stop;
use super::super::context::Context;
use super::recurrent::{BIASES, CELL_STATE, Codes, GATES, INPUT_WEIGHTS, Layer, STATE, STATE_WEIGHTS, codes};
use crate::graph::{DType, Data, IntegerLstm, Quant, Shape, Tensor, TensorId};

/// Which intermediate tensor tells the scale of outputs before they are projected.
const HIDDEN: usize = 4;
/// `ActivationFunctionType`: TANH.
const TANH: i8 = 4;

pub(super) fn lstm(cx: &mut Context, layer: &Layer, activation: i8) -> Result<Vec<TensorId>, Stop> {
    if activation != TANH {
        return Err(Stop::because(format!(
            "its activation has the number {activation}: integer layers have TANH"
        )));
    }
    if layer.peepholes {
        return Err(Stop::because("it has integers and peepholes"));
    }
    let Codes { values: w, scales: w_scales, dims: [hidden, input] } = codes(cx, INPUT_WEIGHTS)?;
    let Codes { values: r, scales: r_scales, dims: [rows, columns] } = codes(cx, STATE_WEIGHTS)?;
    if [rows, columns] != [hidden; 2] {
        let what = format!("its weights are [{hidden}, {input}] and [{rows}, {columns}] per gate");
        return Err(Stop::because(what));
    }
    let mut bias = Vec::new();
    for gate in GATES {
        let info = cx.info(BIASES + gate)?;
        let data = info.data.filter(|_| info.dtype == DType::I32);
        let data = data.ok_or_else(|| Stop::because(format!("'{}' must be constant i32", info.name)))?;
        bias.extend(Data::from_bytes(data).to_vec::<i32>());
    }
    let outputs = [cx.template(0)?, state(cx, STATE, "last")?, state(cx, CELL_STATE, "last cell")?];
    // Without a projection both say the same.
    if let Some(hidden) = cx.intermediate(HIDDEN)?
        && hidden.internal().1 != outputs[0].quant
    {
        return Err(Stop::because(format!("'{}' has another scale than its output", hidden.name)));
    }
    let mut matrix = |tag: &str, values: &[i8], k: usize, scales| {
        let name = format!("{}/{tag}", cx.name);
        let tensor = Tensor::constant(name, DType::I8, &[GATES.len() * hidden, k], Data::from_slice(values));
        cx.state.constant(tensor.with_quant(Quant::per_channel(0, scales)))
    };
    let (w, r) = (matrix("w", &w, input, w_scales)?, matrix("r", &r, hidden, r_scales)?);
    let bias = cx.constant("bias", DType::I32, &[bias.len()], Data::from_slice(&bias))?;
    let (h, c) = (cx.variable(STATE, layer.batch)?, cx.variable(CELL_STATE, layer.batch)?);
    let op = IntegerLstm { batch_first: layer.batch_first, cell_clip: layer.cell_clip };
    let made = cx.push("", op, &[layer.x, w, r, bias, h, c], outputs.into())?;
    cx.assign_variable(STATE, made[1])?;
    cx.assign_variable(CELL_STATE, made[2])?;
    Ok(made[..1].to_vec())
}

/// The state that is input `i`, as it will be behind the layer.
fn state(cx: &Context, i: usize, tag: &str) -> Result<Tensor, Stop> {
    let (dtype, quant) = cx.info(i)?.internal();
    Ok(Tensor { quant, ..Tensor::value(format!("{}/{tag}", cx.name), dtype, Shape::default()) })
}
