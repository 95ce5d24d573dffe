//! Weights in few bits, computed with as floats.
//!
//! Weights become integers of 2 to 8 bits with a scale per block of a channel's weights. The file holds them packed;
//! nodes that read constants only (`Unpack`, `Dequantize`, `Reshape`) say how to make floats of them, which is done once
//! when a session is made.

use super::Outcome;
use super::dynamic::finite;
use super::names::Names;
use crate::graph::*;

/// Weights of a channel that share a scale where 8 bits are not enough to do without: this many at most.
const MAX_BLOCK: usize = 64;
/// Fewer weights stay f32: scales and nodes would take what is saved.
const MIN_WEIGHTS: usize = 256;

/// Packs the weights of the nodes for which `bits` says a number.
pub(super) fn apply(graph: &mut Graph, bits: impl Fn(&Node) -> Option<u8>) -> Vec<(String, Outcome)> {
    let mut names = Names::of(graph);
    let mut outcomes = Vec::new();
    let mut nodes = Vec::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        let slot = match node.op {
            Op::Linear(_) | Op::Conv(_) | Op::ConvTranspose(_) => Some(1),
            Op::Gather(Gather { axis: 0 }) => Some(0),
            _ => None,
        };
        if let Some((slot, bits)) = slot.zip(bits(&node))
            && let Some(t) = node.input(slot)
        {
            match Packed::of(graph.tensor(t), bits) {
                Ok(packed) => {
                    node.inputs[slot] = Some(packed.add(graph, &mut names, &mut nodes, t));
                    outcomes.push((node.name.clone(), Outcome::Quantized));
                }
                // A table that is computed is no weight.
                Err(_) if slot == 0 => {}
                Err(why) => outcomes.push((node.name.clone(), Outcome::Float(why))),
            }
        }
        nodes.push(node);
    }
    graph.nodes = nodes;
    outcomes
}

/// Integers of a few bits, and what they stand for.
struct Packed {
    bits: u8,
    codes: Vec<i8>,
    /// One per block.
    scales: Vec<f32>,
    block: usize,
}

impl Packed {
    fn of(tensor: &Tensor, bits: u8) -> Result<Packed, String> {
        let values = finite(tensor)?;
        let channels = tensor.shape.first().and_then(|d| d.fixed()).unwrap_or(0);
        let row = values.len().checked_div(channels).unwrap_or(0);
        if values.len() < MIN_WEIGHTS || row == 0 {
            return Err(format!("'{}' has {} weights: too few to gain anything", tensor.name, values.len()));
        }
        let block = match bits {
            8 => row,
            _ => (1..=MAX_BLOCK.min(row)).rev().find(|b| row % b == 0).filter(|b| *b >= 8).unwrap_or(row),
        };
        let mut packed = Packed { bits, codes: Vec::with_capacity(values.len()), scales: vec![], block };
        for block in values.chunks_exact(block) {
            let scale = best_scale(block, bits);
            packed.codes.extend(block.iter().map(|v| code(*v, scale, bits)));
            packed.scales.push(scale);
        }
        Ok(packed)
    }

    /// Adds what makes floats of it; returns these.
    fn add(self, graph: &mut Graph, names: &mut Names, nodes: &mut Vec<Node>, weights: TensorId) -> TensorId {
        let old = graph.tensor(weights).clone();
        let rows = self.scales.len();
        let dims = [rows, self.block];
        let quant = Quant::per_channel(0, self.scales);
        let mut push = |graph: &mut Graph, tag: &str, op: Op, inputs: &[TensorId], out: Tensor| {
            let name = names.unique(&format!("{}.{tag}", old.name));
            let id = graph.add_tensor(Tensor { name: name.clone(), ..out });
            let inputs = inputs.iter().map(|&t| Some(t)).collect();
            nodes.push(Node { name, op, inputs, outputs: vec![id] });
            id
        };
        let stored = format!("{}.w{}", old.name, self.bits);
        let codes = if self.bits == 8 {
            let tensor = Tensor::constant(stored, DType::I8, &dims, Data::from_slice(&self.codes));
            graph.add_tensor(tensor.with_quant(quant))
        } else {
            let bytes = pack(&self.codes, self.bits);
            let packed = graph.add_tensor(Tensor::constant(
                stored,
                DType::U8,
                &[bytes.len()],
                Data::from_bytes(&bytes),
            ));
            let op = Unpack { bits: self.bits.into(), dims: dims.to_vec() }.into();
            let out = Tensor::value("", DType::I8, Shape::fixed(&dims)).with_quant(quant);
            push(graph, "i8", op, &[packed], out)
        };
        let real = Tensor::value("", DType::F32, Shape::fixed(&dims));
        let real = push(graph, "real", Dequantize {}.into(), &[codes], real);
        let sizes: Vec<i64> = old.shape.dims().unwrap_or_default().iter().map(|&d| d as i64).collect();
        let shape = Tensor::constant(
            format!("{}.shape", old.name),
            DType::I64,
            &[sizes.len()],
            Data::from_slice(&sizes),
        );
        let shape = graph.add_tensor(shape);
        let out = Tensor::value("", DType::F32, old.shape.clone());
        push(graph, "f32", Reshape { allow_zero: false }.into(), &[real, shape], out)
    }
}

/// The greatest integer of so many bits.
fn limit(bits: u8) -> f32 {
    ((1u32 << (bits - 1)) - 1) as f32
}

fn code(v: f32, scale: f32, bits: u8) -> i8 {
    (v / scale).round_ties_even().clamp(-limit(bits), limit(bits)) as i8
}

/// The scale with the least squared error, of those that clip up to a fifth of the greatest weight.
fn best_scale(block: &[f32], bits: u8) -> f32 {
    let greatest = block.iter().fold(0f32, |m, v| m.max(v.abs()));
    let whole = (greatest / limit(bits)).max(f32::MIN_POSITIVE * 16.0);
    if bits == 8 {
        return whole;
    }
    let error = |scale: f32| -> f64 {
        block.iter().map(|v| f64::from(v - f32::from(code(*v, scale, bits)) * scale).powi(2)).sum()
    };
    let scales = (0..=10).map(|i| (whole * (1.0 - 0.02 * i as f32)).max(f32::MIN_POSITIVE * 16.0));
    let least =
        scales.map(|s| (error(s), s)).fold((f64::INFINITY, whole), |a, b| if b.0 < a.0 { b } else { a });
    least.1
}

/// Two's complement integers of a few bits, one behind the other, the first one in the lowest bits.
fn pack(codes: &[i8], bits: u8) -> Vec<u8> {
    let mut bytes = vec![0u8; (codes.len() * usize::from(bits)).div_ceil(8)];
    for (i, &code) in codes.iter().enumerate() {
        for bit in 0..usize::from(bits) {
            let at = i * usize::from(bits) + bit;
            bytes[at / 8] |= ((code as u8 >> bit) & 1) << (at % 8);
        }
    }
    bytes
}
