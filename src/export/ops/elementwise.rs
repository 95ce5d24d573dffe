//! Functions of elements, and what stands between reals and integers.

use super::super::Stop;
use super::super::onnx::{Layout, Writer, float, text};
use super::NodeView;
use crate::graph::*;

/// Channels first if that is how the first operand is there, and all others are alike.
fn layout(w: &Writer, n: &NodeView) -> Layout {
    let nchw = |id: TensorId| w.is_nchw(id) && w.graph.tensor(id).shape.rank() == 4;
    match n.node.present_inputs().all(nchw) {
        true => Layout::Nchw,
        false => Layout::Plain,
    }
}

pub(super) fn unary(w: &mut Writer, n: &NodeView, op: &Unary) -> Result<(), Stop> {
    let (layout, y) = (layout(w, n), n.out());
    let x = w.real(n.input(0)?, layout)?;
    let mut attributes = Vec::new();
    let name = match op.kind.name() {
        "relu" => "Relu",
        "sigmoid" => "Sigmoid",
        "hard_swish" => "HardSwish",
        "tanh" => "Tanh",
        "erf" => "Erf",
        "gelu" => "Gelu",
        "softplus" => "Softplus",
        "exp" => "Exp",
        "log" => "Log",
        "sqrt" => "Sqrt",
        "reciprocal" => "Reciprocal",
        "abs" => "Abs",
        "neg" => "Neg",
        "floor" => "Floor",
        "ceil" => "Ceil",
        "round" => "Round",
        "sign" => "Sign",
        "not" => "Not",
        "gelu_tanh" => {
            attributes.push(text("approximate", "tanh"));
            "Gelu"
        }
        "leaky_relu" | "elu" => {
            attributes.push(float("alpha", op.alpha));
            if op.kind.name() == "elu" { "Elu" } else { "LeakyRelu" }
        }
        "hard_sigmoid" => {
            attributes.extend([float("alpha", op.alpha), float("beta", op.beta)]);
            "HardSigmoid"
        }
        "clip" => {
            let clamp = Clamp { min: op.alpha, max: op.beta };
            return w.computed("Identity", &[x], vec![], (y, layout), clamp);
        }
        "silu" => {
            let gate = w.fresh(&format!("{}/gate", n.node.name));
            w.push("Sigmoid", std::slice::from_ref(&x), gate.clone(), vec![]);
            return w.computed("Mul", &[x, gate], vec![], (y, layout), Clamp::NONE);
        }
        other => return Err(Stop::because(format!("the function {other} has no ONNX form here"))),
    };
    w.computed(name, &[x], attributes, (y, layout), Clamp::NONE)
}

pub(super) fn binary(w: &mut Writer, n: &NodeView, op: &Binary) -> Result<(), Stop> {
    let name = match op.kind.name() {
        "add" => "Add",
        "sub" => "Sub",
        "mul" => "Mul",
        "div" => "Div",
        "pow" => "Pow",
        "min" => "Min",
        "max" => "Max",
        "prelu" => "PRelu",
        "equal" => "Equal",
        "less" => "Less",
        "greater" => "Greater",
        other => return Err(Stop::because(format!("the function {other} has no ONNX form here"))),
    };
    let layout = layout(w, n);
    let operands = [w.real(n.input(0)?, layout)?, w.real(n.input(1)?, layout)?];
    w.computed(name, &operands, vec![], (n.out(), layout), op.clamp)
}

/// What a tensor's type and quantization say: reals are made of the input, and the output of reals.
pub(super) fn convert(w: &mut Writer, n: &NodeView) -> Result<(), Stop> {
    let (layout, x, y) = (layout(w, n), n.input(0)?, n.out());
    let out = w.graph.tensor(y);
    let real = w.real(x, layout)?;
    match out.quant.clone().filter(|_| out.dtype.is_8bit()) {
        Some(quant) => {
            let to = w.make(y, layout);
            w.convert("QuantizeLinear", real, to, &out.name, out.dtype, &quant)
        }
        None if w.graph.tensor(x).quant.is_some() && !w.graph.tensor(x).dtype.is_8bit() => {
            Err(Stop::because("only 8-bit integers are dequantized"))
        }
        None => {
            let to = w.make(y, layout);
            w.push("Identity", &[real], to, vec![]);
            Ok(())
        }
    }
}
