//! An addition of constants behind a product becomes its bias.
//!
//! Matches `Add(product, c)` where a convolution or product without bias and clamp, whose weights are dequantized, is
//! read by the addition alone, and c has one value per output channel: floats, or integers that are dequantized. Sums
//! of integers are then rounded once, behind the bias.

use super::super::activation::{clamp_mut, clamp_of};
use super::super::edit::{Names, f32s, is_per_channel};
use super::{Codes, reads};
use crate::graph::*;

pub(super) fn run(graph: &mut Graph) -> bool {
    let (codes, producers, reads) = (Codes::of(graph), graph.producers(), reads(graph));
    let mut slots: Vec<Vec<Node>> = graph.nodes.drain(..).map(|n| vec![n]).collect();
    let mut changed = false;
    for i in 0..slots.len() {
        let Some(add) = slots[i].first().cloned() else { continue };
        let Op::Binary(Binary { kind: BinaryKind::Add, clamp }) = add.op else { continue };
        let (Some(a), Some(b)) = (add.input(0), add.input(1)) else { continue };
        for (x, c) in [(a, b), (b, a)] {
            let Some(p) = producers[x.index()].filter(|_| reads[x.index()] == 1) else { continue };
            let Some(product) = slots[p].last().filter(|n| n.outputs == [x]).cloned() else { continue };
            let Some((before, biased)) = with_bias(graph, &codes, product, c, clamp) else { continue };
            slots[p].pop();
            slots[p].extend(before);
            slots[p].push(Node { outputs: add.outputs.clone(), ..biased });
            slots[i].clear();
            changed = true;
            break;
        }
    }
    graph.nodes = slots.into_iter().flatten().collect();
    changed
}

/// The product with the bias `c`, and what must run before it.
fn with_bias(
    graph: &mut Graph,
    codes: &Codes,
    mut product: Node,
    c: TensorId,
    after: Clamp,
) -> Option<(Option<Node>, Node)> {
    let is_product = matches!(product.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Linear(_));
    let open = clamp_of(&product.op).filter(|_| is_product)?.is_none() && product.input(2).is_none();
    (open && product.inputs.len() <= 3).then_some(())?;
    *clamp_mut(&mut product.op)? = after;
    let weights = codes.constant(graph, product.input(1)?)?;
    let channels = graph.tensor(weights).shape.first()?.fixed()?;
    let shape = graph.tensor(c).shape.clone();
    let rank = graph.tensor(product.outputs[0]).shape.rank();
    (is_per_channel(&shape, channels) && shape.rank() <= rank).then_some(())?;
    let mut names = Names::default();
    let name = names.unique(graph, &format!("{}.bias", product.name));
    let (bias, before) = match codes.constant(graph, c) {
        Some(stored) => {
            let stored = graph.tensor(stored).clone();
            (shape.elements() == Some(channels)).then_some(())?;
            let quant = stored.quant.map(|q| Quant { axis: q.axis.map(|_| 0), ..q });
            let shape = Shape::fixed(&[channels]);
            let real = Tensor::value(format!("{name}.real"), DType::F32, shape.clone());
            let real = Tensor { name: names.unique(graph, &real.name), ..real };
            let bias = graph.add_tensor(Tensor { name: name.clone(), shape, quant, ..stored });
            let real = graph.add_tensor(real);
            let op = Op::from(Dequantize {});
            (real, Some(Node { name, op, inputs: vec![Some(bias)], outputs: vec![real] }))
        }
        None => {
            let values = f32s(graph, c)?;
            let values: Vec<f32> = values.iter().copied().cycle().take(channels).collect();
            let bias = Tensor::constant(name, DType::F32, &[channels], Data::from_slice(&values));
            (graph.add_tensor(bias), None)
        }
    };
    product.inputs.resize(3, None);
    product.inputs[2] = Some(bias);
    Some((before, product))
}
