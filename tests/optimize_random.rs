//! Random networks give the same answers after optimization, and in passes over a batch: layouts that meet in ways
//! nobody thought of.

#[path = "common/interpret.rs"]
mod interpret;
#[path = "common/nets.rs"]
mod nets;
#[path = "common/same.rs"]
mod same;

use nets::{binary, clip, conv, noise, transpose, unary};
use ottava::graph::*;
use ottava::{Model, SessionOptions, optimize};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use same::optimized;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One node to add: what kind, and numbers that say how.
type Step = (u8, usize, usize, usize);

struct Net {
    b: GraphBuilder,
    values: Vec<TensorId>,
    seed: u64,
}

impl Net {
    fn dims(&self, t: TensorId) -> Vec<usize> {
        self.b.graph().tensor(t).shape.dims().unwrap()
    }

    fn weights(&mut self, dims: &[usize]) -> TensorId {
        self.seed += 1;
        let values = noise(self.seed, dims.iter().product());
        self.b.f32s("w", dims, &values)
    }

    fn node(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> Option<TensorId> {
        let op = op.into();
        let name = format!("{}{}", op.name(), self.b.graph().nodes.len());
        self.b.node(&name, op, inputs).ok()
    }

    /// Another tensor of the same shape, or the same one.
    fn partner(&self, x: TensorId, pick: usize) -> TensorId {
        let like: Vec<TensorId> =
            self.values.iter().copied().filter(|&t| self.dims(t) == self.dims(x)).collect();
        like[pick % like.len()]
    }

    /// The node that a step asks for; `None` where it does not fit.
    fn step(&mut self, (kind, from, a, b): Step) -> Option<TensorId> {
        // Mostly the newest tensor, sometimes an older one.
        let x = self.values[self.values.len() - 1 - from.saturating_sub(4) % self.values.len()];
        let dims = self.dims(x);
        let rank = dims.len();
        match kind {
            0..=3 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                match a % 3 {
                    0 if rank == 4 => perm = vec![0, 2, 3, 1],
                    1 if rank == 4 => perm = vec![0, 3, 1, 2],
                    _ => perm.swap(a % rank, b % rank),
                }
                self.node(transpose(&perm), &[x])
            }
            4 => self.node(unary([UnaryKind::Relu, UnaryKind::Sigmoid, UnaryKind::Tanh][a % 3]), &[x]),
            5 => self.node(clip(-0.5, 0.25 + a as f32 / 8.0), &[x]),
            6 | 7 => {
                let kind = [BinaryKind::Add, BinaryKind::Sub, BinaryKind::Mul][a % 3];
                let mut other = self.partner(x, b);
                if kind == BinaryKind::Mul {
                    // Squares of squares would overflow.
                    other = self.node(unary(UnaryKind::Tanh), &[other])?;
                }
                self.node(binary(kind), &[x, other])
            }
            8 => {
                let kind = [BinaryKind::Add, BinaryKind::Mul][a % 2];
                let shape: Vec<usize> = dims[b % rank..]
                    .iter()
                    .enumerate()
                    .map(|(i, &d)| if i == a % 4 { d } else { 1 })
                    .collect();
                let constant = self.weights(&shape);
                self.node(binary(kind), &[x, constant])
            }
            9 => {
                let axes = if a % 2 == 0 { vec![b % rank] } else { (rank.saturating_sub(2)..rank).collect() };
                let kind = [ReduceKind::Mean, ReduceKind::Max][a / 2 % 2];
                self.node(Reduce { kind, axes, keep_dims: b % 2 == 0 || rank < 3 }, &[x])
            }
            10 => {
                let other = self.partner(x, b);
                let small = dims.iter().product::<usize>() < 4000;
                small.then(|| self.node(Concat { axis: a % rank }, &[x, other]))?
            }
            11 | 12 => {
                let target = reshaped(&dims, a, b);
                let shape = self.b.i64s("shape", &target);
                self.node(Reshape { allow_zero: false }, &[x, shape])
            }
            13 => self.node(Softmax { axis: a % rank, log: false }, &[x]),
            14 => {
                let axis = a % rank;
                let (starts, ends) =
                    (self.b.i64s("starts", &[0]), self.b.i64s("ends", &[dims[axis] as i64 - 1]));
                let axes = self.b.i64s("axes", &[axis as i64]);
                (dims[axis] > 1).then(|| self.node(Slice {}, &[x, starts, ends, axes]))?
            }
            15 => {
                let mut pads = vec![0i64; 2 * rank];
                (pads[a % rank], pads[rank + b % rank]) = (1, (b % 2) as i64);
                let pads = self.b.i64s("pads", &pads);
                self.node(Pad { mode: PadMode::Constant }, &[x, pads])
            }
            16 | 17 if rank == 4 => {
                let w = self.weights(&[1 + a % 4, 1 + b % 2, 1 + a % 2, dims[3]]);
                self.node(conv(1, b % 2), &[x, w])
            }
            18 => {
                let w = self.weights(&[1 + a % 5, dims[rank - 1]]);
                self.node(Linear { clamp: Clamp::NONE }, &[x, w])
            }
            19 => match dims.iter().position(|&d| d == 1) {
                Some(axis) if rank > 2 => self.node(Squeeze { axes: vec![axis] }, &[x]),
                _ if rank < 5 => self.node(Unsqueeze { axes: vec![a % (rank + 1)] }, &[x]),
                _ => None,
            },
            _ => {
                let constants: Vec<TensorId> = (0..3).map(|_| self.weights(&[dims[a % rank]])).collect();
                let variance = self.b.f32s("variance", &[dims[a % rank]], &vec![0.7; dims[a % rank]]);
                let op = BatchNorm { axis: a % rank, epsilon: 1e-3 };
                self.node(op, &[x, constants[0], constants[1], constants[2], variance])
            }
        }
    }
}

/// Two neighbouring dimensions joined, one cut in two, or all but the first joined.
fn reshaped(dims: &[usize], a: usize, b: usize) -> Vec<i64> {
    let mut target: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
    let at = b % dims.len();
    match a % 3 {
        0 if at + 1 < dims.len() => {
            let joined = target.remove(at + 1);
            target[at] *= joined;
        }
        1 if dims[at].is_multiple_of(2) && dims.len() < 6 => {
            target[at] /= 2;
            target.insert(at + 1, 2);
        }
        _ if dims.len() > 1 => target = vec![target[0], target[1..].iter().product()],
        _ => {}
    }
    target
}

/// The network that these steps make of an input of this shape; `None` where none of them fits.
fn network(dims: &[usize], steps: Vec<Step>) -> Option<Graph> {
    let mut net = Net { b: GraphBuilder::new("random"), values: Vec::new(), seed: 7 };
    let x = net.b.input("x", DType::F32, Shape::fixed(dims));
    net.values.push(x);
    for step in steps {
        let made = net.step(step).filter(|&t| net.dims(t).iter().all(|&d| d > 0));
        net.values.extend(made);
    }
    let last = *net.values.last().unwrap();
    let middle = net.values[net.values.len() / 2];
    let outputs = if middle == last || middle == x { vec![last] } else { vec![last, middle] };
    (last != x).then(|| net.b.finish(&outputs).unwrap())
}

fn steps(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0u8..21, 0usize..8, 0usize..24, 0usize..24), count)
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn answers_stay(steps in steps(3..18)) {
        if let Some(graph) = network(&[2, 4, 3, 6], steps) {
            optimized(graph);
        }
    }
}

/// Answers with this cache, and in how many passes.
fn answers(model: &Model, cache_bytes: usize) -> (Vec<Vec<u8>>, usize) {
    let mut session = model.session(&SessionOptions { cache_bytes, ..Default::default() }).unwrap();
    let x = session.input_mut::<f32>(0).unwrap();
    let values = noise(9, x.len());
    x.copy_from_slice(&values);
    session.run().unwrap();
    let outputs = 0..session.outputs().len();
    (outputs.map(|i| session.output_bytes(i).unwrap().to_vec()).collect(), session.passes())
}

#[test]
fn passes_over_a_batch_give_what_all_of_it_gives() {
    static CUT: AtomicUsize = AtomicUsize::new(0);
    let mut runner = TestRunner::new(config());
    let ran = runner.run(&(steps(1..9), 0usize..12000), |(steps, cache)| {
        let Some(graph) = network(&[7, 4, 3, 6], steps) else { return Ok(()) };
        let model = Model::from_graph(optimize::float(graph).unwrap()).unwrap();
        let (got, passes) = answers(&model, cache);
        CUT.fetch_add(usize::from(passes > 1), Ordering::Relaxed);
        prop_assert!(got == answers(&model, usize::MAX).0, "{passes} passes of {:?}", model.graph().nodes);
        Ok(())
    });
    ran.unwrap();
    assert!(CUT.load(Ordering::Relaxed) > 100, "some of them go in passes");
}
