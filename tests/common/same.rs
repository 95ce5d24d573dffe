//! Optimizing, and the promise that it changes nothing.

use crate::interpret::{self, Array};
use crate::nets::noise;
use ottava::graph::*;
use ottava::optimize;

/// Optimizes, checks all shapes again and that outputs are within rounding of what they were.
pub fn optimized(graph: Graph) -> Graph {
    let mut after = optimize::float(graph.clone()).unwrap();
    infer::check(&mut after).unwrap();
    let named =
        |g: &Graph, ids: &[TensorId]| -> Vec<Tensor> { ids.iter().map(|&t| g.tensor(t).clone()).collect() };
    assert_eq!(named(&graph, &graph.inputs), named(&after, &after.inputs));
    assert_eq!(named(&graph, &graph.outputs), named(&after, &after.outputs));
    let inputs: Vec<Array> = graph
        .inputs
        .iter()
        .zip(1..)
        .map(|(&t, seed)| {
            let dims = graph.tensor(t).shape.dims().unwrap();
            Array::new(&dims, noise(seed, dims.iter().product()).iter().map(|v| 4.0 * v).collect())
        })
        .collect();
    // Rounding is relative to the largest value on the way: sums may cancel.
    let mut size = 1e-3f32;
    let want = interpret::run(&graph, &inputs, &mut |_, a| {
        size = a.values.iter().fold(size, |m, v| m.max(v.abs()));
    });
    let got = interpret::run(&after, &inputs, &mut |_, _| {});
    for (want, got) in want.iter().zip(&got) {
        assert_eq!(want.dims, got.dims);
        for (i, (w, g)) in want.values.iter().zip(&got.values).enumerate() {
            assert!((w - g).abs() <= 1e-5 * size, "element {i}: {w} became {g}");
        }
    }
    after
}
