//! Batch normalization folded into a convolution: docs/arithmetic.md, section 9.

use ottava::graph::{BatchNorm, Clamp, Conv, DType, Graph, GraphBuilder, Op, Shape};
use ottava::{Model, SessionOptions, optimize};
use proptest::prelude::*;

const CHANNELS: usize = 3;
const OUT: usize = 5;
const KERNEL: usize = 3;
const SIDE: usize = 4;
const PRODUCTS: usize = KERNEL * KERNEL * CHANNELS;

/// The numbers of a convolution and the normalization behind it.
#[derive(Clone, Debug)]
struct Numbers {
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
}

const EPSILON: f32 = 1e-3;

impl Numbers {
    fn graph(&self) -> Graph {
        let mut g = GraphBuilder::new("folding");
        let x = g.input("x", DType::F32, Shape::fixed(&[1, SIDE, SIDE, CHANNELS]));
        let w = g.f32s("w", &[OUT, KERNEL, KERNEL, CHANNELS], &self.w);
        let b = g.f32s("b", &[OUT], &self.b);
        let conv = Conv { strides: [1, 1], pads: [0; 4], dilations: [1, 1], groups: 1, clamp: Clamp::NONE };
        let y = g.node("conv", conv, &[x, w, b]).unwrap();
        let [gamma, beta, mean, variance] = [
            ("gamma", &self.gamma),
            ("beta", &self.beta),
            ("mean", &self.mean),
            ("variance", &self.variance),
        ]
        .map(|(name, values)| g.f32s(name, &[OUT], values));
        let norm = BatchNorm { axis: 3, epsilon: EPSILON };
        let y = g.node("norm", norm, &[y, gamma, beta, mean, variance]).unwrap();
        g.finish(&[y]).unwrap()
    }

    /// The result of the unfolded graph without rounding, and what bounds the error of the folded one.
    fn exact(&self, position: usize, o: usize) -> (f64, f64) {
        let wide = |v: f32| f64::from(v);
        let g = wide(self.gamma[o]) / (wide(self.variance[o]) + wide(EPSILON)).sqrt();
        let (row, column) = (position / (SIDE - KERNEL + 1), position % (SIDE - KERNEL + 1));
        let (mut sum, mut size) = (wide(self.b[o]), wide(self.b[o]).abs());
        for ky in 0..KERNEL {
            for kx in 0..KERNEL {
                for c in 0..CHANNELS {
                    let x = wide(self.x[((row + ky) * SIDE + column + kx) * CHANNELS + c]);
                    let w = wide(self.w[((o * KERNEL + ky) * KERNEL + kx) * CHANNELS + c]);
                    sum += x * w;
                    size += (x * w).abs();
                }
            }
        }
        let (beta, mean) = (wide(self.beta[o]), wide(self.mean[o]));
        let size = size * g.abs() + (mean * g).abs() + beta.abs();
        ((sum - mean) * g + beta, (PRODUCTS + 3) as f64 * 2f64.powi(-23) * size)
    }
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let some = |n: usize, low: f32, high: f32| proptest::collection::vec(low..high, n);
    let x = some(SIDE * SIDE * CHANNELS, -4.0, 4.0);
    let w = some(OUT * PRODUCTS, -1.0, 1.0);
    let norm = (some(OUT, -2.0, 2.0), some(OUT, -2.0, 2.0), some(OUT, -2.0, 2.0), some(OUT, 0.01, 9.0));
    (x, w, some(OUT, -1.0, 1.0), norm).prop_map(|(x, w, b, (gamma, beta, mean, variance))| Numbers {
        x,
        w,
        b,
        gamma,
        beta,
        mean,
        variance,
    })
}

fn run(graph: Graph, x: &[f32]) -> Vec<f32> {
    let mut session = Model::from_graph(graph).unwrap().session(&SessionOptions::default()).unwrap();
    session.input_mut::<f32>(0).unwrap().copy_from_slice(x);
    session.run().unwrap();
    session.output::<f32>(0).unwrap().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn batch_normalization_folds_within_its_bound(numbers in numbers()) {
        let graph = optimize::float(numbers.graph()).unwrap();
        prop_assert!(graph.nodes.iter().all(|n| !matches!(n.op, Op::BatchNorm(_))));
        prop_assert_eq!(graph.nodes.len(), 1, "the normalization is part of the convolution");
        for (i, y) in run(graph, &numbers.x).into_iter().enumerate() {
            let (exact, bound) = numbers.exact(i / OUT, i % OUT);
            prop_assert!((f64::from(y) - exact).abs() <= bound, "{y} for {exact}, bound {bound}");
        }
    }
}
