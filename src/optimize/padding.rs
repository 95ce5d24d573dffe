//! A border of zeros moves into the convolution or pooling that reads it.
//!
//! Matches `Pad(constant 0)` of height and width, of floats or of codes, in front of
//! - Conv: its own border is zero too;
//! - an average Pool without border of its own: it then counts the border in, as it counted the padded zeros;
//! - a maximum Pool whose input can't be negative and whose border is narrower than its window: every window
//!   then holds a real value, which is at least the zero it would be compared with.

use super::activation::clamp_of;
use super::edit::{Edit, ints};
use crate::graph::{DType, Graph, Op, PadMode, PoolKind, TensorId, UnaryKind};

pub(super) fn run(graph: &mut Graph) -> bool {
    let mut edit = Edit::new(graph);
    for i in edit.indices() {
        let Some(x) = edit.node(i).input(0) else { continue };
        let Some((inner, border)) = zero_border(&edit, x) else { continue };
        let op = match edit.node(i).op.clone() {
            Op::Conv(mut conv) => {
                conv.pads = match sum(conv.pads, border) {
                    Some(pads) => pads,
                    None => continue,
                };
                Op::Conv(conv)
            }
            Op::Pool(mut pool) if pool.pads == [0; 4] && !pool.ceil => {
                let narrow = (0..2).all(|a| border[a].max(border[a + 2]) < pool.kernel[a]);
                match pool.kind {
                    PoolKind::Average => pool.count_include_pad = true,
                    PoolKind::Max if narrow && pool.dilations == [1, 1] && is_not_negative(&edit, inner) => {}
                    PoolKind::Max | PoolKind::AverageUnsigned | PoolKind::AverageSigned => continue,
                }
                pool.pads = border;
                Op::Pool(pool)
            }
            _ => continue,
        };
        let node = edit.node_mut(i);
        node.op = op;
        node.inputs[0] = Some(inner);
    }
    edit.finish()
}

fn sum(a: [usize; 4], b: [usize; 4]) -> Option<[usize; 4]> {
    let mut s = [0; 4];
    for i in 0..4 {
        s[i] = a[i].checked_add(b[i])?;
    }
    Some(s)
}

/// What is padded and how much (top, left, bottom, right), if `x` is an image with a border of zeros.
fn zero_border(edit: &Edit, x: TensorId) -> Option<(TensorId, [usize; 4])> {
    let node = edit.producer(x)?;
    let Op::Pad(pad) = &node.op else { return None };
    if pad.mode != PadMode::Constant || !is_zero(edit, x, node.input(2)) {
        return None;
    }
    let pads = ints(edit.graph, node.input(1)?)?;
    let [0, top, left, 0, 0, bottom, right, 0] = pads[..] else { return None };
    let border: Vec<usize> =
        [top, left, bottom, right].into_iter().map(usize::try_from).collect::<Result<_, _>>().ok()?;
    Some((node.input(0)?, border.try_into().ok()?))
}

/// True if `value`, the border of `x`, stands for 0.
fn is_zero(edit: &Edit, x: TensorId, value: Option<TensorId>) -> bool {
    let tensor = edit.graph.tensor(x);
    let zero_point = tensor.quant.as_ref().and_then(|q| q.single()).map(|q| q.1);
    match (tensor.dtype, value) {
        (DType::F32, None) => true,
        (DType::F32, Some(v)) => edit.scalar(v) == Some(0.0),
        (DType::U8, Some(v)) => {
            let code = edit.graph.tensor(v).data.as_ref().and_then(|d| d.bytes().first());
            code.is_some_and(|&code| zero_point == Some(i32::from(code)))
        }
        _ => false,
    }
}

fn is_not_negative(edit: &Edit, x: TensorId) -> bool {
    edit.producer(x).is_some_and(|n| match &n.op {
        Op::Unary(u) => u.kind == UnaryKind::Relu || (u.kind == UnaryKind::Clip && u.alpha >= 0.0),
        op => clamp_of(op).is_some_and(|c| c.min >= 0.0),
    })
}
