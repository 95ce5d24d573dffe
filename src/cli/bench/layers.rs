//! Where the time of an inference goes.

use super::super::show;
use crate::graph::DType;
use crate::report::measure_steps;
use crate::run::StepInfo;
use crate::{Result, Session};
use ottava_kernels::Isa;
use ottava_kernels::limit::Limit;
use serde::Serialize;
use std::time::Duration;

/// One layer and its time.
#[derive(Serialize)]
pub(super) struct LayerTime {
    node: String,
    kernel: String,
    shape: Vec<usize>,
    macs: u64,
    median_ms: f64,
    /// Share of the multiply-adds that the threads' cores do at most in this time, in registers. None where there are
    /// none, or no vectors.
    limit_share: Option<f64>,
}

/// Times every layer that computes something for about `seconds`. `threads`: those of the session.
pub(super) fn measure(
    session: &mut Session,
    isa: Isa,
    threads: usize,
    seconds: f64,
) -> Result<Vec<LayerTime>> {
    let steps = session.steps().to_vec();
    let times = measure_steps(seconds, steps.len(), &mut |see| session.run_timed(see))?;
    let limit = Limit::measure(isa, Duration::from_millis(100));
    let share = |step: &StepInfo, ms: f64| {
        let most = limit.map(|l| if step.dtype == DType::F32 { l.float } else { l.int8 })?;
        (step.macs > 0).then(|| step.macs as f64 / (ms / 1e3) / (most * threads as f64))
    };
    // A view is no step, so it was told no time.
    let timed = steps.into_iter().zip(times).filter(|&(_, ms)| ms > 0.0);
    let layer = |(step, median_ms): (StepInfo, f64)| LayerTime {
        limit_share: share(&step, median_ms),
        node: step.name,
        kernel: step.kernel,
        shape: step.out_shape,
        macs: step.macs,
        median_ms,
    };
    Ok(timed.map(layer).collect())
}

/// The layers in the order in which they run.
pub(super) fn table(layers: &[LayerTime]) -> comfy_table::Table {
    let total: f64 = layers.iter().map(|l| l.median_ms).sum();
    let mut table = show::table(&["node", "kernel", "output", "µs", "share", "GMAC/s", "of limit"], 3);
    for layer in layers {
        let rate = layer.macs as f64 / layer.median_ms / 1e6;
        table.add_row([
            show::shorten(&layer.node, 40),
            layer.kernel.clone(),
            show::shape(&layer.shape),
            format!("{:.1}", layer.median_ms * 1e3),
            format!("{:.1}%", 100.0 * layer.median_ms / total),
            if layer.macs > 0 { format!("{rate:.1}") } else { String::new() },
            layer.limit_share.map_or(String::new(), |s| format!("{:.0}%", 100.0 * s)),
        ]);
    }
    table
}
