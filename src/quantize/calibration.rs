//! Watching activations: the range of each one.

use super::{Histogram, Method, entropy, mse};
use crate::graph::{DType, Dim, Graph, Op, TensorId};
use std::collections::HashMap;

/// The reals between two finite ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Lowest.
    pub min: f32,
    /// Highest, not below `min`.
    pub max: f32,
}

impl Range {
    /// The smallest range that holds both.
    pub fn union(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// The smallest range that holds this one and 0. Zero must have a code of its own: borders are filled with it,
    /// and rectified activations are mostly it.
    pub fn with_zero(self) -> Range {
        self.union(Range { min: 0.0, max: 0.0 })
    }

    /// The range of the finite values; `None` if there are none.
    pub fn of(values: &[f32]) -> Option<Range> {
        let finite = values.iter().copied().filter(|v| v.is_finite());
        finite.map(|v| Range { min: v, max: v }).reduce(Range::union)
    }
}

/// What is remembered of one tensor.
#[derive(Clone, Debug)]
enum Observer {
    Extremes(Option<Range>),
    Distribution(Box<Histogram>),
}

/// Ranges of activations, learned from the values that a float network computes.
#[derive(Clone, Debug)]
pub struct Calibration {
    method: Method,
    /// By tensor id; `None` for what is not an activation.
    observers: Vec<Option<Observer>>,
    /// Of what convolutions and Linear read.
    sums: HashMap<TensorId, ChannelSums>,
}

/// Sums over everything but the last dimension.
#[derive(Clone, Debug)]
struct ChannelSums {
    sums: Vec<f64>,
    rows: u64,
}

impl ChannelSums {
    /// Rows with a value that is not finite are left out.
    fn add(&mut self, values: &[f32]) {
        for row in values.chunks_exact(self.sums.len()).filter(|row| row.iter().all(|v| v.is_finite())) {
            self.sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v));
            self.rows += 1;
        }
    }
}

/// For each tensor whose means per channel are of use: sums yet to be made.
fn channel_sums(graph: &Graph) -> HashMap<TensorId, ChannelSums> {
    let weighted = |op: &Op| matches!(op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Linear(_));
    let read = graph.nodes.iter().filter(|n| weighted(&n.op)).filter_map(|n| n.input(0));
    let sums = read.filter_map(|t| match graph.tensor(t).shape.last() {
        Some(&Dim::Fixed(n)) if n > 0 => Some((t, ChannelSums { sums: vec![0.0; n], rows: 0 })),
        _ => None,
    });
    sums.collect()
}

impl Calibration {
    /// Watches every f32 tensor of the graph that is not a constant.
    pub fn new(graph: &Graph, method: Method) -> Calibration {
        let fresh = || match method {
            Method::MinMax => Observer::Extremes(None),
            Method::Percentile(_) | Method::Mse | Method::Entropy => Observer::Distribution(Box::default()),
        };
        let is_activation = |t: &crate::graph::Tensor| t.dtype == DType::F32 && t.data.is_none();
        let observers = graph.tensors.iter().map(|t| is_activation(t).then(fresh)).collect();
        Calibration { method, observers, sums: channel_sums(graph) }
    }

    /// Takes in what a tensor holds: f32 values as bytes. Infinities and NaN are passed over, and so are tensors
    /// that are not watched.
    pub fn observe(&mut self, tensor: TensorId, bytes: &[u8]) {
        let Some(Some(observer)) = self.observers.get_mut(tensor.index()) else { return };
        let copy: Vec<f32>;
        let values = match bytemuck::try_cast_slice(bytes) {
            Ok(values) => values,
            Err(_) => {
                copy = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
                &copy
            }
        };
        let Some(range) = Range::of(values) else { return };
        if let Some(sums) = self.sums.get_mut(&tensor) {
            sums.add(values);
        }
        match observer {
            Observer::Extremes(seen) => *seen = Some(seen.map_or(range, |s| s.union(range))),
            Observer::Distribution(histogram) => histogram.add(values),
        }
    }

    /// The mean of each channel (index of the last dimension) of what a convolution or Linear reads; `None` for
    /// other tensors, and if nothing was seen.
    pub fn channel_means(&self, tensor: TensorId) -> Option<Vec<f64>> {
        let sums = self.sums.get(&tensor).filter(|s| s.rows > 0)?;
        Some(sums.sums.iter().map(|sum| sum / sums.rows as f64).collect())
    }

    /// True if the tensor held a finite value.
    pub fn has_seen(&self, tensor: TensorId) -> bool {
        match self.observers.get(tensor.index()) {
            Some(Some(Observer::Extremes(range))) => range.is_some(),
            Some(Some(Observer::Distribution(histogram))) => histogram.range().is_some(),
            _ => false,
        }
    }

    /// The range to represent; `None` if nothing was seen.
    pub fn range(&self, tensor: TensorId) -> Option<Range> {
        match self.observers.get(tensor.index())?.as_ref()? {
            Observer::Extremes(range) => *range,
            Observer::Distribution(histogram) => match self.method {
                Method::MinMax => histogram.range(),
                Method::Percentile(p) => histogram.percentile(f64::from(p)),
                Method::Mse => mse::range(histogram),
                Method::Entropy => entropy::range(histogram),
            },
        }
    }
}
