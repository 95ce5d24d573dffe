//! Resampling with wide filters, axis by axis.

use super::super::{Kernel, PlanError, Planned, Planner};
use super::{NodeView, resize, values, values_mut};
use crate::graph::{self, DType, ResampleFilter};
use crate::run::{Io, Pool, Rows, RunError, Views};
use ottava_kernels::Isa;
use ottava_kernels::resample::{Filter, Method, Pass, passes};

pub(super) fn plan(p: &Planner<'_>, v: NodeView<'_>, op: &graph::Resample) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    if [x.dtype, y.dtype] != [DType::F32; 2] {
        return Err(v.no_kernel());
    }
    let (xd, yd) = (v.dims(x)?, v.dims(y)?);
    let scales = resize::scales(v, &xd, &yd)?;
    let filter = match op.filter {
        ResampleFilter::Linear => Filter::Linear,
        ResampleFilter::Cubic => Filter::Cubic { a: op.coefficient },
    };
    let coord = resize::coord(op.coord);
    let method = Method { filter, coord, antialias: op.antialias, exclude_outside: op.exclude_outside };
    let passes = passes(&xd, &yd, &scales, method);
    let passes = passes.ok_or_else(|| v.unsupported(format!("{xd:?} can't be resampled to {yd:?}")))?;
    if passes.is_empty() {
        return Ok(Planned::Alias { from: v.input(0)? });
    }
    let name = format!("resample-{}-f32 {}", op.filter.name(), p.isa);
    let step = ResampleStep { name, isa: p.isa, between: between(&passes), passes };
    Ok(Planned::step(step, &[v.input(0)?], &v.node.outputs))
}

/// f32 elements of a pass's output.
fn elements(pass: &Pass) -> usize {
    pass.rows().saturating_mul(pass.row_len())
}

/// What lies between passes: elements of the outputs of the first, third, .. and of the second, fourth, .., each of which
/// takes the place of the one before. The last pass writes the node's output.
fn between(passes: &[Pass]) -> [usize; 2] {
    let inner = &passes[..passes.len().saturating_sub(1)];
    [0, 1]
        .map(|from| inner.iter().skip(from).step_by(2).map(elements).max().unwrap_or(0).next_multiple_of(16))
}

struct ResampleStep {
    name: String,
    isa: Isa,
    passes: Vec<Pass>,
    between: [usize; 2],
}

impl Kernel for ResampleStep {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn cost(&self) -> u64 {
        self.passes.iter().fold(0, |n: u64, pass| n.saturating_add(pass.macs().saturating_mul(4)))
    }
    fn scratch_len(&self, _threads: usize) -> usize {
        self.between.iter().fold(0, |n: usize, len| n.saturating_add(len.saturating_mul(4)))
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let Views { inputs: [x], outputs: [y], scratch } = io.one();
        let (a, b) = values_mut::<f32>(scratch).split_at_mut(self.between[0]);
        for (i, pass) in self.passes.iter().enumerate() {
            let last = i + 1 == self.passes.len();
            let (from, to): (&[f32], &mut [f32]) = match (i, i % 2 == 0, last) {
                (0, _, true) => (values(x, x.len() / 4), values_mut(&mut *y)),
                (0, _, false) => (values(x, x.len() / 4), &mut *a),
                (_, true, true) => (&*b, values_mut(&mut *y)),
                (_, true, false) => (&*b, &mut *a),
                (_, false, true) => (&*a, values_mut(&mut *y)),
                (_, false, false) => (&*a, &mut *b),
            };
            let rows = Rows {
                count: pass.rows(),
                grain: 1,
                stride: pass.row_len() * 4,
                y: bytemuck::cast_slice_mut(&mut to[..elements(pass)]),
                scratch_len: 0,
                scratch: &mut [],
            };
            pool.split(pass.macs().saturating_mul(4), rows, &|rows, y, _| {
                pass.run(self.isa, from, values_mut(y), rows)
            });
        }
        Ok(())
    }
}
