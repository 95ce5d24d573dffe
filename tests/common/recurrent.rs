//! Recurrent layers as graphs.

use ottava::graph::*;

/// A recurrent layer over inputs of 5 elements, with weights that are made up.
pub struct Layer {
    pub op: Recurrent,
    pub hidden: usize,
    /// Weights, recurrent weights, biases.
    pub weights: [Vec<f32>; 3],
}

/// Elements of an input.
pub const INPUT: usize = 5;

impl Layer {
    pub fn new(op: Recurrent, hidden: usize) -> Layer {
        let rows = op.direction.count() * op.cell.gates() * hidden;
        let floats = |n: usize, seed: usize| {
            (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1013) as f32 / 1013.0 - 0.5).collect()
        };
        Layer {
            op,
            hidden,
            weights: [floats(rows * INPUT, 1), floats(rows * hidden, 2), floats(2 * rows, 3)],
        }
    }

    /// The inputs of the layer's states: of the state, and an LSTM's of the cell state.
    pub fn states(&self) -> &'static [&'static str] {
        if self.op.cell == RecurrentCell::Lstm { &["h", "c"] } else { &["h"] }
    }

    /// The layer alone: inputs `x` (and those of [`states`](Self::states)), all outputs.
    pub fn graph(&self, steps: usize, batch: usize) -> Graph {
        let (d, rows) = (self.op.direction.count(), self.op.cell.gates() * self.hidden);
        let mut b = GraphBuilder::new("layer");
        let (x, state) = match self.op.batch_first {
            true => ([batch, steps, INPUT], [batch, d, self.hidden]),
            false => ([steps, batch, INPUT], [d, batch, self.hidden]),
        };
        let mut inputs = vec![Some(b.input("x", DType::F32, Shape::fixed(&x)))];
        let [w, r, bias] = &self.weights;
        inputs.push(Some(b.f32s("w", &[d * rows, INPUT], w)));
        inputs.push(Some(b.f32s("r", &[d * rows, self.hidden], r)));
        inputs.push(Some(b.f32s("b", &[d, 2 * rows], bias)));
        inputs.push(None);
        for name in self.states() {
            inputs.push(Some(b.input(name, DType::F32, Shape::fixed(&state))));
        }
        let node = Node { name: "layer".into(), op: self.op.clone().into(), inputs, outputs: vec![] };
        let names = ["y", "y_h", "y_c"].map(String::from);
        let outputs = b.push(node, &names[..self.op.cell.outputs()]).expect("well formed");
        b.finish(&outputs).expect("well formed")
    }
}

/// Every cell, direction and order of dimensions.
pub fn layers() -> Vec<Layer> {
    let mut all = Vec::new();
    for &cell in RecurrentCell::ALL {
        for &direction in Direction::ALL {
            for batch_first in [false, true] {
                let op = Recurrent { batch_first, ..Recurrent::new(cell, direction) };
                all.push(Layer::new(op, 9));
            }
        }
    }
    all
}
