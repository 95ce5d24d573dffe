//! Comparing models: how fast, how right, how close to each other, layer by layer.

mod compare;
mod embedding;
mod error_norm;
mod layers;
mod metrics;
mod scorer;
mod timing;
mod values;

pub use compare::{CompareError, Comparison, Contestant, Side, Task, compare, feed, fit};
pub use embedding::{Mask, cosine, pooled, spearman};
pub use error_norm::ErrorNorm;
pub use layers::{Layer, compare_layers};
pub use metrics::{Confusion, Ratios, Regression, argmax, in_top};
pub use scorer::Metrics;
pub use timing::{SeeStep, Timing, measure, measure_steps, median};
pub use values::to_f32;
