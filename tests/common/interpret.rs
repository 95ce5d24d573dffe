//! A plain interpreter: one loop nest per operator, written from the operators' definitions, to hold other ways of
//! computing a graph against. Integers are shown as the reals they stand for; where a node gives 8-bit integers,
//! its float result is snapped to the nearest code.

use ottava::graph::*;
use std::collections::HashMap;

/// A dense f32 array.
#[derive(Clone, Debug)]
pub struct Array {
    pub dims: Vec<usize>,
    pub values: Vec<f32>,
}

impl Array {
    pub fn new(dims: &[usize], values: Vec<f32>) -> Array {
        assert_eq!(dims.iter().product::<usize>(), values.len());
        Array { dims: dims.to_vec(), values }
    }

    fn filled(dims: &[usize], mut value: impl FnMut(&[usize]) -> f32) -> Array {
        let count: usize = dims.iter().product();
        let mut index = vec![0; dims.len()];
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(value(&index));
            for a in (0..dims.len()).rev() {
                index[a] += 1;
                if index[a] < dims[a] {
                    break;
                }
                index[a] = 0;
            }
        }
        Array { dims: dims.to_vec(), values }
    }

    fn at(&self, index: &[usize]) -> f32 {
        let flat = index.iter().zip(&self.dims).fold(0, |f, (i, d)| f * d + i);
        self.values[flat]
    }

    /// The element that broadcasting puts at this index of the output.
    fn broadcast(&self, index: &[usize]) -> f32 {
        let own = &index[index.len() - self.dims.len()..];
        let own: Vec<usize> = own.iter().zip(&self.dims).map(|(&i, &d)| if d == 1 { 0 } else { i }).collect();
        self.at(&own)
    }
}

/// What the graph's outputs are for these inputs. `see` is shown every computed f32 tensor, inputs first.
pub fn run(graph: &Graph, inputs: &[Array], see: &mut dyn FnMut(TensorId, &Array)) -> Vec<Array> {
    let mut known: HashMap<TensorId, Array> = HashMap::new();
    for (&id, value) in graph.inputs.iter().zip(inputs) {
        see(id, value);
        known.insert(id, value.clone());
    }
    for node in &graph.nodes {
        let mut inputs: Vec<Array> = node.present_inputs().map(|t| value(graph, &known, t)).collect();
        scale_bias(graph, node, &mut inputs);
        let mut outputs = compute(graph, node, &inputs);
        outputs.iter_mut().zip(&node.outputs).for_each(|(out, &id)| snap(graph.tensor(id), out));
        for (&id, out) in node.outputs.iter().zip(outputs) {
            let declared = &graph.tensor(id).shape;
            for (d, &n) in declared.iter().zip(&out.dims) {
                assert!(matches!(d, Dim::Free(_)) || *d == Dim::Fixed(n), "{}: {declared:?}", node.name);
            }
            assert_eq!(declared.rank(), out.dims.len(), "{}", node.name);
            see(id, &out);
            known.insert(id, out);
        }
    }
    graph.outputs.iter().map(|&t| value(graph, &known, t)).collect()
}

fn value(graph: &Graph, known: &HashMap<TensorId, Array>, t: TensorId) -> Array {
    let tensor = graph.tensor(t);
    let Some(data) = &tensor.data else { return known[&t].clone() };
    let real = |q: &[i32]| {
        let quant = tensor.quant.as_ref().unwrap();
        let per = q.len() / quant.scale.len();
        let all = q.iter().enumerate().map(|(i, &q)| (q, quant.scale[i / per], quant.zero_point[i / per]));
        all.map(|(q, s, z)| (q - z) as f32 * s).collect()
    };
    let widen = |bytes: &[u8], f: fn(u8) -> i32| bytes.iter().map(|&b| f(b)).collect::<Vec<i32>>();
    let values = match tensor.dtype {
        DType::F32 => data.to_vec(),
        DType::U8 => real(&widen(data.bytes(), i32::from)),
        DType::I8 => real(&widen(data.bytes(), |b| i32::from(b as i8))),
        DType::I32 => data.to_vec::<i32>().into_iter().map(|v| v as f32).collect(),
        DType::I64 => data.to_vec::<i64>().into_iter().map(|v| v as f32).collect(),
        other => panic!("constant of {other}"),
    };
    Array::new(&tensor.shape.dims().unwrap(), values)
}

/// An i32 bias counts steps of input scale times weight scale.
fn scale_bias(graph: &Graph, node: &Node, inputs: &mut [Array]) {
    let Some(bias) = node.input(2).filter(|&b| graph.tensor(b).dtype == DType::I32) else { return };
    assert_eq!(graph.tensor(bias).quant, None);
    let quant = |slot: usize| graph.tensor(node.input(slot).unwrap()).quant.clone().unwrap();
    let (x, w) = (quant(0).single().unwrap().0, quant(1));
    assert_eq!((w.axis, w.zero_point), (Some(0), vec![0; w.scale.len()]));
    inputs[2].values.iter_mut().zip(&w.scale).for_each(|(b, w)| *b *= x * w);
}

fn snap(tensor: &Tensor, out: &mut Array) {
    if tensor.dtype == DType::U8 {
        let (scale, zero_point) = tensor.quant.as_ref().unwrap().single().unwrap();
        for v in &mut out.values {
            let q = ((*v / scale).round_ties_even() + zero_point as f32).clamp(0.0, 255.0);
            *v = (q - zero_point as f32) * scale;
        }
    }
}

fn compute(graph: &Graph, node: &Node, inputs: &[Array]) -> Vec<Array> {
    let x = &inputs[0];
    let out_dims = |i: usize| -> Vec<usize> { graph.tensor(node.outputs[i]).shape.dims().unwrap() };
    let same_values = |dims: Vec<usize>| vec![Array::new(&dims, x.values.clone())];
    match &node.op {
        Op::Conv(op) => vec![conv(op, x, &inputs[1], inputs.get(2))],
        Op::ConvTranspose(op) => vec![conv_transpose(op, x, &inputs[1], inputs.get(2), &out_dims(0))],
        Op::Linear(op) => vec![linear(op.clamp, x, &inputs[1], inputs.get(2))],
        Op::MatMul(op) => vec![matmul(x, &inputs[1], op.transpose_b)],
        Op::Pool(op) => vec![pool(op, x, &out_dims(0))],
        Op::Unary(op) => {
            vec![Array { dims: x.dims.clone(), values: x.values.iter().map(|&v| unary(op, v)).collect() }]
        }
        Op::Binary(op) => vec![Array::filled(&out_dims(0), |i| {
            clamped(op.clamp, binary(op.kind, x.broadcast(i), inputs[1].broadcast(i)))
        })],
        Op::Transpose(op) => {
            let dims: Vec<usize> = op.perm.iter().map(|&p| x.dims[p]).collect();
            vec![Array::filled(&dims, |i| {
                let mut source = vec![0; i.len()];
                op.perm.iter().zip(i).for_each(|(&p, &i)| source[p] = i);
                x.at(&source)
            })]
        }
        Op::Quantize(_) | Op::Dequantize(_) | Op::Requantize(_) => vec![x.clone()],
        Op::Reshape(_) | Op::Flatten(_) | Op::Squeeze(_) | Op::Unsqueeze(_) => same_values(out_dims(0)),
        Op::Reduce(op) => vec![reduce(op, x, &out_dims(0))],
        Op::Softmax(op) => {
            let mut dims = x.dims.clone();
            dims[op.axis] = 1;
            let along = |kind| Reduce { kind, axes: vec![op.axis], keep_dims: true };
            let top = reduce(&along(ReduceKind::Max), x, &dims);
            let e = Array::filled(&x.dims, |i| (x.at(i) - top.broadcast(i)).exp());
            let total = reduce(&along(ReduceKind::Sum), &e, &dims);
            vec![Array::filled(&x.dims, |i| e.at(i) / total.broadcast(i))]
        }
        Op::Concat(op) => {
            vec![Array::filled(&out_dims(0), |i| {
                let mut i = i.to_vec();
                let part = inputs.iter().find(|p| {
                    let inside = i[op.axis] < p.dims[op.axis];
                    i[op.axis] -= if inside { 0 } else { p.dims[op.axis] };
                    inside
                });
                part.unwrap().at(&i)
            })]
        }
        Op::Split(op) => {
            let mut start = 0;
            let part = |o: usize| {
                let dims = out_dims(o);
                let out = Array::filled(&dims, |i| {
                    let mut i = i.to_vec();
                    i[op.axis] += start;
                    x.at(&i)
                });
                start += dims[op.axis];
                out
            };
            (0..node.outputs.len()).map(part).collect()
        }
        Op::Slice(_) => {
            let mut starts = vec![0; x.dims.len()];
            for (axis, start) in inputs[3].values.iter().zip(&inputs[1].values) {
                starts[*axis as usize] = *start as usize;
            }
            vec![Array::filled(&out_dims(0), |i| {
                x.at(&i.iter().zip(&starts).map(|(a, b)| a + b).collect::<Vec<_>>())
            })]
        }
        Op::Pad(_) => {
            let begins = &inputs[1].values[..x.dims.len()];
            let fill = inputs.get(2).map_or(0.0, |v| v.values[0]);
            vec![Array::filled(&out_dims(0), |i| {
                let source: Option<Vec<usize>> = (0..i.len())
                    .map(|a| i[a].checked_sub(begins[a] as usize).filter(|&v| v < x.dims[a]))
                    .collect();
                source.map_or(fill, |s| x.at(&s))
            })]
        }
        Op::BatchNorm(op) => vec![Array::filled(&x.dims, |i| {
            let c = |slot: usize| inputs[slot].values[i[op.axis]];
            (x.at(i) - c(3)) / (c(4) + op.epsilon).sqrt() * c(1) + c(2)
        })],
        other => panic!("{} is not interpreted", other.name()),
    }
}

fn clamped(clamp: Clamp, v: f32) -> f32 {
    v.max(clamp.min).min(clamp.max)
}

fn unary(op: &Unary, x: f32) -> f32 {
    let sigmoid = |v: f32| 1.0 / (1.0 + (-v).exp());
    // Abramowitz and Stegun 7.1.26.
    let erf = |v: f32| {
        let v = f64::from(v);
        let t = 1.0 / (1.0 + 0.3275911 * v.abs());
        let p = ((((1.061405429 * t - 1.453152027) * t) + 1.421413741) * t - 0.284496736) * t + 0.254829592;
        (1.0 - p * t * (-v * v).exp()).copysign(v) as f32
    };
    match op.kind {
        UnaryKind::Relu => x.max(0.0),
        UnaryKind::Clip => x.max(op.alpha).min(op.beta),
        UnaryKind::Sigmoid => sigmoid(x),
        UnaryKind::Silu => x * sigmoid(x),
        UnaryKind::HardSigmoid => (op.alpha * x + op.beta).clamp(0.0, 1.0),
        UnaryKind::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        UnaryKind::Erf => erf(x),
        UnaryKind::Gelu => x / 2.0 * (1.0 + erf(x / 2f32.sqrt())),
        UnaryKind::Tanh => x.tanh(),
        UnaryKind::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f32::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }
        other => panic!("{other:?} is not interpreted"),
    }
}

fn binary(kind: BinaryKind, a: f32, b: f32) -> f32 {
    match kind {
        BinaryKind::Add => a + b,
        BinaryKind::Sub => a - b,
        BinaryKind::Mul => a * b,
        BinaryKind::Div => a / b,
        BinaryKind::Pow => a.powf(b),
        other => panic!("{other:?} is not interpreted"),
    }
}

fn conv(op: &Conv, x: &Array, w: &Array, bias: Option<&Array>) -> Array {
    let [o, kh, kw, c] = w.dims[..] else { panic!("weights {:?}", w.dims) };
    let size = |a: usize, k: usize| {
        (x.dims[a + 1] + op.pads[a] + op.pads[a + 2] - (k - 1) * op.dilations[a] - 1) / op.strides[a] + 1
    };
    let per_group = o / op.groups;
    Array::filled(&[x.dims[0], size(0, kh), size(1, kw), o], |i| {
        let mut sum = bias.map_or(0.0, |b| b.values[i[3]]);
        for (ky, kx, kc) in (0..kh).flat_map(|y| (0..kw).flat_map(move |x| (0..c).map(move |c| (y, x, c)))) {
            let y = (i[1] * op.strides[0] + ky * op.dilations[0]).checked_sub(op.pads[0]);
            let xx = (i[2] * op.strides[1] + kx * op.dilations[1]).checked_sub(op.pads[1]);
            if let (Some(y), Some(xx)) = (y, xx)
                && y < x.dims[1]
                && xx < x.dims[2]
            {
                sum += x.at(&[i[0], y, xx, i[3] / per_group * c + kc]) * w.at(&[i[3], ky, kx, kc]);
            }
        }
        clamped(op.clamp, sum)
    })
}

fn conv_transpose(op: &ConvTranspose, x: &Array, w: &Array, bias: Option<&Array>, dims: &[usize]) -> Array {
    let [o, kh, kw, c] = w.dims[..] else { panic!("weights {:?}", w.dims) };
    let per_group = o / op.groups;
    Array::filled(dims, |i| {
        let mut sum = bias.map_or(0.0, |b| b.values[i[3]]);
        for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
            let from = |a: usize, k: usize| {
                let at = (i[a + 1] + op.pads[a]).checked_sub(k * op.dilations[a])?;
                (at % op.strides[a] == 0 && at / op.strides[a] < x.dims[a + 1]).then(|| at / op.strides[a])
            };
            if let (Some(y), Some(xx)) = (from(0, ky), from(1, kx)) {
                for kc in 0..c {
                    sum += x.at(&[i[0], y, xx, i[3] / per_group * c + kc]) * w.at(&[i[3], ky, kx, kc]);
                }
            }
        }
        clamped(op.clamp, sum)
    })
}

fn linear(clamp: Clamp, x: &Array, w: &Array, bias: Option<&Array>) -> Array {
    let (n, k) = (w.dims[0], w.dims[1]);
    let mut dims = x.dims.clone();
    *dims.last_mut().unwrap() = n;
    let row = |x: &[f32], o: usize| x.iter().zip(&w.values[o * k..]).map(|(a, b)| a * b).sum::<f32>();
    let values = x.values.chunks(k).flat_map(|x| (0..n).map(move |o| (x, o)));
    let values = values.map(|(x, o)| clamped(clamp, row(x, o) + bias.map_or(0.0, |b| b.values[o]))).collect();
    Array { dims, values }
}

fn matmul(a: &Array, b: &Array, transpose_b: bool) -> Array {
    let (r, s) = (a.dims.len(), b.dims.len());
    let (k, n) = (a.dims[r - 1], if transpose_b { b.dims[s - 2] } else { b.dims[s - 1] });
    let mut dims = a.dims.clone();
    dims[r - 1] = n;
    Array::filled(&dims, |i| {
        let (mut at_a, mut at_b) = (i.to_vec(), i[r - s..].to_vec());
        for (at, &d) in at_b.iter_mut().zip(&b.dims[..s - 2]) {
            *at = (*at).min(d - 1);
        }
        (0..k)
            .map(|j| {
                at_a[r - 1] = j;
                (at_b[s - 2], at_b[s - 1]) = if transpose_b { (i[r - 1], j) } else { (j, i[r - 1]) };
                a.at(&at_a) * b.at(&at_b)
            })
            .sum()
    })
}

fn pool(op: &Pool, x: &Array, dims: &[usize]) -> Array {
    Array::filled(dims, |i| {
        let mut inside = Vec::new();
        for (ky, kx) in (0..op.kernel[0]).flat_map(|y| (0..op.kernel[1]).map(move |x| (y, x))) {
            let y = (i[1] * op.strides[0] + ky * op.dilations[0]).checked_sub(op.pads[0]);
            let xx = (i[2] * op.strides[1] + kx * op.dilations[1]).checked_sub(op.pads[1]);
            if let (Some(y), Some(xx)) = (y, xx)
                && y < x.dims[1]
                && xx < x.dims[2]
            {
                inside.push(x.at(&[i[0], y, xx, i[3]]));
            }
        }
        let whole = op.kernel[0] * op.kernel[1];
        match op.kind {
            PoolKind::Max => inside.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            PoolKind::Average | PoolKind::AverageUnsigned | PoolKind::AverageSigned => {
                inside.iter().sum::<f32>() / if op.count_include_pad { whole } else { inside.len() } as f32
            }
        }
    })
}

fn reduce(op: &Reduce, x: &Array, dims: &[usize]) -> Array {
    let kept: Vec<usize> = (0..x.dims.len()).filter(|a| !op.axes.contains(a)).collect();
    let inner: Vec<usize> = op.axes.iter().map(|&a| x.dims[a]).collect();
    let full: Vec<usize> = kept.iter().map(|&a| x.dims[a]).collect();
    let out = Array::filled(&full, |i| {
        let all = Array::filled(&inner, |j| {
            let mut at = vec![0; x.dims.len()];
            kept.iter().zip(i).for_each(|(&a, &i)| at[a] = i);
            op.axes.iter().zip(j).for_each(|(&a, &j)| at[a] = j);
            x.at(&at)
        });
        let sum: f32 = all.values.iter().sum();
        match op.kind {
            ReduceKind::Mean => sum / all.values.len() as f32,
            ReduceKind::Sum => sum,
            ReduceKind::Max => all.values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            ReduceKind::Min => all.values.iter().copied().fold(f32::INFINITY, f32::min),
            ReduceKind::Prod => all.values.iter().product(),
        }
    });
    Array::new(dims, out.values)
}
