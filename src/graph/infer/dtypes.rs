//! Which element types a node takes and gives.

use super::super::*;
use super::site::{Rule, Site};
use DType::*;

/// The element types of the node's outputs.
pub(super) fn outputs(site: &Site) -> Rule<Vec<DType>> {
    let first = output(site)?;
    if first == BF16 {
        return Err("would give bf16, which only constants are: compute in f32".into());
    }
    let other = |o: usize| match (&site.node.op, o) {
        (Op::DynamicQuantize(_), 1) => F32,
        (Op::IntegerLstm(_), 2) => I16,
        _ => first,
    };
    Ok((0..site.count).map(other).collect())
}

/// The element type of the first output.
fn output(site: &Site) -> Rule<DType> {
    match &site.node.op {
        Op::Conv(_) | Op::ConvTranspose(_) | Op::Linear(_) => weighted(site),
        Op::MatMul(_) => match (site.tensor(0)?.dtype, site.tensor(1)?.dtype) {
            (F32, F32) => give(site, F32, &[]),
            (F16, F16) => give(site, F16, &[]),
            (U8, U8 | I8) => give(site, U8, &[F32]),
            (a, b) => Err(format!("there is no product of {a} and {b}")),
        },
        Op::Softmax(_) => {
            let x = one_of(site, 0, &[F32, F16, U8, I16])?;
            give(site, x, if x == U8 { &[F32] } else { &[] })
        }
        Op::Pool(_) => same(site, &[F32, F16, U8, I8, I16]),
        Op::BatchNorm(_) => {
            let x = one_of(site, 0, &[F32, F16])?;
            (1..5).try_for_each(|i| one_of(site, i, &[x]).map(drop))?;
            give(site, x, &[])
        }
        Op::Reduce(_) => same(site, &[F32, F16, U8, I8, I16, I32, I64]),
        Op::Unary(op) => unary(site, op.kind),
        Op::Binary(op) => binary(site, op.kind),
        Op::Where(_) => {
            one_of(site, 0, &[Bool])?;
            let a = site.tensor(1)?.dtype;
            one_of(site, 2, &[a])?;
            give(site, a, &[])
        }
        Op::Concat(_) => {
            let first = site.tensor(0)?.dtype;
            (1..site.node.inputs.len()).try_for_each(|i| one_of(site, i, &[first]).map(drop))?;
            give(site, first, &[])
        }
        Op::Pad(_) => {
            let x = site.tensor(0)?.dtype;
            if site.optional(2)?.is_some() {
                one_of(site, 2, &[x])?;
            }
            give(site, x, &[])
        }
        Op::Resample(_) => {
            if site.optional(2)?.is_some() {
                one_of(site, 2, &[F32])?;
            }
            same(site, &[F32])
        }
        Op::Resize(_) => {
            if site.optional(2)?.is_some() {
                one_of(site, 2, &[F32])?;
            }
            same(site, &DType::ALL)
        }
        Op::Gather(_) => {
            one_of(site, 1, &[I64, I32])?;
            same(site, &DType::ALL)
        }
        Op::Split(_)
        | Op::Slice(_)
        | Op::Reshape(_)
        | Op::Flatten(_)
        | Op::Transpose(_)
        | Op::Squeeze(_)
        | Op::Unsqueeze(_)
        | Op::Expand(_)
        | Op::Tile(_) => same(site, &DType::ALL),
        Op::Fill(_) => {
            let value = site.tensor(1)?.dtype;
            give(site, value, &[])
        }
        Op::Recurrent(_) => {
            one_of(site, 0, &[F32])?;
            let w = one_of(site, 1, &[F32, F16, BF16, I8])?;
            one_of(site, 2, if w == I8 { &[I8] } else { &[F32, F16, BF16] })?;
            let present = (3..site.node.inputs.len()).filter(|&i| site.node.input(i).is_some());
            present.map(|i| one_of(site, i, &[if i == 4 { I32 } else { F32 }])).collect::<Rule<Vec<_>>>()?;
            give(site, F32, &[])
        }
        Op::IntegerLstm(_) => {
            let types = [U8, I8, I8, I32, U8, I16];
            types.iter().enumerate().try_for_each(|(i, t)| one_of(site, i, &[*t]).map(drop))?;
            give(site, U8, &[])
        }
        Op::Custom(op) => give(site, super::custom::output(site, op)?.0, &[]),
        Op::ShapeOf(_) => give(site, I64, &[]),
        Op::ArgMax(_) => {
            one_of(site, 0, &[F32, F16, U8, I8, I16, I32, I64])?;
            give(site, I64, &[])
        }
        Op::Unpack(_) => {
            one_of(site, 0, &[U8])?;
            give(site, I8, &[])
        }
        Op::DynamicQuantize(_) => {
            one_of(site, 0, &[F32])?;
            give(site, U8, &[])
        }
        Op::IntegerMatMul(_) | Op::IntegerConv(_) => {
            for i in 0..2 {
                let factor = one_of(site, i, &[U8, I8])?;
                if site.optional(i + 2)?.is_some() {
                    one_of(site, i + 2, &[factor])?;
                }
            }
            give(site, I32, &[])
        }
        Op::LayerNorm(_) | Op::Attention(_) => {
            let given = (0..site.node.inputs.len()).filter(|&i| site.node.input(i).is_some());
            given.map(|i| one_of(site, i, &[F32])).collect::<Rule<Vec<_>>>()?;
            give(site, F32, &[])
        }
        Op::GatherElements(_) | Op::GatherRows(_) => {
            one_of(site, 1, &[I64])?;
            same(site, &DType::ALL)
        }
        Op::ScatterElements(ScatterElements { kind, .. }) | Op::ScatterRows(ScatterRows { kind }) => {
            let x = match kind {
                ScatterKind::Replace => one_of(site, 0, &DType::ALL)?,
                _ => one_of(site, 0, &[F32, U8, I8, I16, I32, I64])?,
            };
            one_of(site, 1, &[I64])?;
            one_of(site, 2, &[x])?;
            give(site, x, &[])
        }
        Op::CumSum(_) => same(site, &[F32, I32, I64]),
        Op::TopK(_) => {
            one_of(site, 0, &[F32, U8, I8, I16, I32, I64])?;
            one_of(site, 1, &[I64])?;
            give(site, I64, &[])
        }
        Op::Range(_) => {
            (0..3).try_for_each(|i| one_of(site, i, &[I64]).map(drop))?;
            give(site, I64, &[])
        }
        Op::Merge(_) => {
            one_of(site, 0, &[Bool])?;
            let first = site.optional(1)?.or(site.optional(2)?).ok_or("has no value to choose")?.dtype;
            if let Some(other) = site.optional(2)? {
                one_of(site, 2, &[first])
                    .map_err(|_| format!("chooses between {first} and {}", other.dtype))?;
            }
            give(site, first, &[])
        }
        Op::Cast(_) => declared(site, &DType::ALL),
        Op::Quantize(_) => {
            one_of(site, 0, &[F32, F16])?;
            declared(site, &[U8, I8, I16, I32])
        }
        Op::Dequantize(_) => {
            one_of(site, 0, &[U8, I8, I16, I32])?;
            give(site, F32, &[F16])
        }
        Op::Requantize(_) => {
            one_of(site, 0, &[U8, I8, I16, I32])?;
            declared(site, &[U8, I8, I16, I32])
        }
    }
}

/// Convolutions and `Linear`: integer where x is u8 or i16; with 8-bit weights under a float x the weights alone are
/// quantized. What was quantized at run time comes with its scale and zero point and leaves as f32.
fn weighted(site: &Site) -> Rule<DType> {
    if site.node.inputs.len() > 3 {
        [(0, U8), (1, I8), (3, F32), (4, U8)]
            .into_iter()
            .try_for_each(|(i, t)| one_of(site, i, &[t]).map(drop))?;
        if site.optional(2)?.is_some() {
            one_of(site, 2, &[F32])?;
        }
        return give(site, F32, &[]);
    }
    let (x, w) = (site.tensor(0)?.dtype, site.tensor(1)?.dtype);
    let (bias, out, others): (&[DType], _, &[DType]) = match (x, w) {
        (F32, F32 | F16 | BF16 | I8) => (&[F32], F32, &[]),
        (F16, F16) => (&[F16], F16, &[]),
        (U8, I8) => (&[I32, F32], U8, &[F32]),
        (I16, I8) => (&[I64, I32], I16, &[]),
        _ => return Err(format!("can't take {x} activations with {w} weights")),
    };
    if site.optional(2)?.is_some() {
        one_of(site, 2, bias)?;
    }
    give(site, out, others)
}

fn unary(site: &Site, kind: UnaryKind) -> Rule<DType> {
    use UnaryKind::*;
    match kind {
        Not => same(site, &[Bool, U8, I8, I16, I32, I64]),
        Relu | Clip | Abs | Neg | Sign => same(site, &[F32, F16, U8, I8, I16, I32, I64]),
        _ => same(site, &[F32, F16, U8, I16]),
    }
}

fn binary(site: &Site, kind: BinaryKind) -> Rule<DType> {
    let a = match kind {
        BinaryKind::Equal => one_of(site, 0, &DType::ALL)?,
        BinaryKind::And | BinaryKind::Or | BinaryKind::Xor => {
            one_of(site, 0, &[Bool, U8, I8, I16, I32, I64])?
        }
        BinaryKind::ShiftLeft | BinaryKind::ShiftRight => one_of(site, 0, &[U8, I8, I16, I32, I64])?,
        _ => one_of(site, 0, &[F32, F16, U8, I8, I16, I32, I64])?,
    };
    match kind {
        BinaryKind::Equal
        | BinaryKind::Less
        | BinaryKind::Greater
        | BinaryKind::LessEqual
        | BinaryKind::GreaterEqual => {
            one_of(site, 1, &[a])?;
            give(site, Bool, &[])
        }
        // A quantized slope is a weight.
        BinaryKind::PRelu if a == U8 => {
            one_of(site, 1, &[U8, I8])?;
            give(site, U8, &[])
        }
        _ => {
            one_of(site, 1, &[a])?;
            give(site, a, &[])
        }
    }
}

/// The element type of input `i`, which must be one of these.
fn one_of(site: &Site, i: usize, allowed: &[DType]) -> Rule<DType> {
    let t = site.tensor(i)?;
    if allowed.contains(&t.dtype) {
        return Ok(t.dtype);
    }
    Err(format!("input {i} ('{}') is {}, it must be {}", t.name, t.dtype, list(allowed)))
}

/// The element type of input 0, which is also the output's.
fn same(site: &Site, allowed: &[DType]) -> Rule<DType> {
    let x = one_of(site, 0, allowed)?;
    give(site, x, &[])
}

/// What the node gives: `usual`, or one of the others if the output is declared so.
fn give(site: &Site, usual: DType, others: &[DType]) -> Rule<DType> {
    match site.want {
        None => Ok(usual),
        Some(want) if want == usual || others.contains(&want) => Ok(want),
        Some(want) => Err(format!("its output is declared to be {want}, but it gives {usual}")),
    }
}

/// What the output is declared to be: the node itself does not say.
fn declared(site: &Site, allowed: &[DType]) -> Rule<DType> {
    match site.want {
        Some(want) if allowed.contains(&want) => Ok(want),
        Some(want) => Err(format!("its output is declared to be {want}, it must be {}", list(allowed))),
        None => Err("the element type of its output must be given".into()),
    }
}

fn list(dtypes: &[DType]) -> String {
    let names: Vec<&str> = dtypes.iter().map(|d| d.name()).collect();
    names.join(" or ")
}
