//! Functions of elements.

use super::super::Stop;
use super::super::messages::{float, int, text};
use super::super::onnx::{Layout, Writer};
use super::NodeView;
use crate::graph::*;
use crate::import::onnx::proto::AttributeProto;

/// Channels first if that is how all operands are there.
pub(super) fn layout(w: &Writer, n: &NodeView) -> Layout {
    let nchw = |id: TensorId| w.is_nchw(id) && w.graph.tensor(id).shape.rank() == 4;
    match n.node.present_inputs().all(nchw) {
        true => Layout::Nchw,
        false => Layout::Plain,
    }
}

pub(super) fn unary(w: &mut Writer, n: &NodeView, op: &Unary) -> Result<(), Stop> {
    let (layout, y) = (layout(w, n), n.out());
    let x = w.real(n.input(0)?, layout)?;
    let alpha = |name: &'static str| (name, vec![float("alpha", op.alpha)]);
    let plain = |name: &'static str| (name, vec![]);
    let (name, attributes) = match op.kind {
        UnaryKind::Relu => plain("Relu"),
        UnaryKind::LeakyRelu => alpha("LeakyRelu"),
        UnaryKind::Clip => {
            let clamp = Clamp { min: op.alpha, max: op.beta };
            return w.computed("Identity", &[x], vec![], (y, layout), clamp);
        }
        UnaryKind::Sigmoid => plain("Sigmoid"),
        UnaryKind::HardSigmoid => ("HardSigmoid", vec![float("alpha", op.alpha), float("beta", op.beta)]),
        UnaryKind::HardSwish => plain("HardSwish"),
        UnaryKind::Silu => {
            let gate = w.calc("Sigmoid", &[&x], vec![]);
            return w.computed("Mul", &[x, gate], vec![], (y, layout), Clamp::NONE);
        }
        UnaryKind::Tanh => plain("Tanh"),
        UnaryKind::Erf => plain("Erf"),
        UnaryKind::Gelu => plain("Gelu"),
        UnaryKind::GeluTanh => ("Gelu", vec![text("approximate", "tanh")]),
        UnaryKind::Elu => alpha("Elu"),
        UnaryKind::Softplus => plain("Softplus"),
        UnaryKind::Exp => plain("Exp"),
        UnaryKind::Log => plain("Log"),
        UnaryKind::Sqrt => plain("Sqrt"),
        UnaryKind::Reciprocal => plain("Reciprocal"),
        UnaryKind::Abs => plain("Abs"),
        UnaryKind::Neg => plain("Neg"),
        UnaryKind::Floor => plain("Floor"),
        UnaryKind::Ceil => plain("Ceil"),
        UnaryKind::Round => plain("Round"),
        UnaryKind::Sign => plain("Sign"),
        UnaryKind::Not if n.tensor(0)?.dtype == DType::Bool => plain("Not"),
        UnaryKind::Not => plain("BitwiseNot"),
        UnaryKind::Sin => plain("Sin"),
        UnaryKind::Cos => plain("Cos"),
        UnaryKind::Tan => plain("Tan"),
        UnaryKind::Asin => plain("Asin"),
        UnaryKind::Acos => plain("Acos"),
        UnaryKind::Atan => plain("Atan"),
        UnaryKind::Sinh => plain("Sinh"),
        UnaryKind::Cosh => plain("Cosh"),
        UnaryKind::Asinh => plain("Asinh"),
        UnaryKind::Acosh => plain("Acosh"),
        UnaryKind::Atanh => plain("Atanh"),
        UnaryKind::Softsign => plain("Softsign"),
        UnaryKind::Mish => plain("Mish"),
        UnaryKind::Selu => ("Selu", vec![float("alpha", op.alpha), float("gamma", op.beta)]),
        UnaryKind::Celu => alpha("Celu"),
        UnaryKind::ThresholdedRelu => alpha("ThresholdedRelu"),
        UnaryKind::Shrink => ("Shrink", vec![float("lambd", op.alpha), float("bias", op.beta)]),
    };
    w.computed(name, &[x], attributes, (y, layout), Clamp::NONE)
}

pub(super) fn binary(w: &mut Writer, n: &NodeView, op: &Binary) -> Result<(), Stop> {
    let layout = layout(w, n);
    let mut operands = [w.real(n.input(0)?, layout)?, w.real(n.input(1)?, layout)?];
    let from = n.tensor(0)?;
    let truth = from.dtype == DType::Bool;
    let plain = |name: &'static str| (name, vec![]);
    let (name, attributes) = match op.kind {
        BinaryKind::Add => plain("Add"),
        BinaryKind::Sub => plain("Sub"),
        BinaryKind::Mul => plain("Mul"),
        BinaryKind::Div => plain("Div"),
        BinaryKind::Pow => plain("Pow"),
        BinaryKind::Min => plain("Min"),
        BinaryKind::Max => plain("Max"),
        BinaryKind::PRelu => plain("PRelu"),
        BinaryKind::Equal => plain("Equal"),
        BinaryKind::Less => plain("Less"),
        BinaryKind::Greater => plain("Greater"),
        BinaryKind::LessEqual => plain("LessOrEqual"),
        BinaryKind::GreaterEqual => plain("GreaterOrEqual"),
        // ONNX has it for integers only.
        BinaryKind::Mod if from.dtype.is_float() || from.quant.is_some() => {
            let [a, b] = &operands;
            let quotient = w.calc("Div", &[a, b], vec![]);
            let whole = w.calc("Floor", &[&quotient], vec![]);
            operands[1] = w.calc("Mul", &[&whole, b], vec![]);
            plain("Sub")
        }
        BinaryKind::Mod => plain("Mod"),
        BinaryKind::Fmod => ("Mod", vec![int("fmod", 1)]),
        BinaryKind::And => plain(if truth { "And" } else { "BitwiseAnd" }),
        BinaryKind::Or => plain(if truth { "Or" } else { "BitwiseOr" }),
        BinaryKind::Xor => plain(if truth { "Xor" } else { "BitwiseXor" }),
        BinaryKind::ShiftLeft | BinaryKind::ShiftRight => return shift(w, n, op.kind, operands, layout),
    };
    // Small integers: ONNX Runtime has few kernels for them.
    let small = matches!(from.dtype, DType::I8 | DType::U8 | DType::I16) && from.quant.is_none();
    if small && !name.starts_with("Bitwise") {
        return narrowed(w, n, (name, attributes), operands, layout);
    }
    w.computed(name, &operands, attributes, (n.out(), layout), op.clamp)
}

/// An operator on integers of 32 bits whose lower ones are kept.
fn narrowed(
    w: &mut Writer,
    n: &NodeView,
    (name, attributes): (&str, Vec<AttributeProto>),
    operands: [String; 2],
    layout: Layout,
) -> Result<(), Stop> {
    let [a, b] = operands.map(|x| w.cast(&x, DType::I32));
    let y = w.calc(name, &[&a, &b], attributes);
    let to = w.make(n.out(), layout);
    w.push_cast(y, to, w.graph.tensor(n.out()).dtype);
    Ok(())
}

/// ONNX shifts unsigned integers only: products with powers of two, and quotients rounded down, are the same.
fn shift(
    w: &mut Writer,
    n: &NodeView,
    kind: BinaryKind,
    operands: [String; 2],
    layout: Layout,
) -> Result<(), Stop> {
    let [a, b] = operands.map(|x| w.cast(&x, DType::I64));
    let two = w.int_value(2);
    let power = w.calc("Pow", &[&two, &b], vec![]);
    let y = if kind == BinaryKind::ShiftLeft {
        w.calc("Mul", &[&a, &power], vec![])
    } else {
        floor_div(w, &a, &power)
    };
    let to = w.make(n.out(), layout);
    w.push_cast(y, to, w.graph.tensor(n.out()).dtype);
    Ok(())
}

/// The quotient of integers by positive ones, rounded down.
pub(super) fn floor_div(w: &mut Writer, a: &str, b: &str) -> String {
    let rest = w.calc("Mod", &[a, b], vec![]);
    let whole = w.calc("Sub", &[a, &rest], vec![]);
    w.calc("Div", &[&whole, b], vec![])
}
