//! LSTM layers in integers: what the graph says as multipliers, and the step that runs them.

use super::super::{Kernel, PlanError, Planned, Planner};
use super::recurrent::extents;
use super::weights::{Packing, packed_for};
use super::{Affine, NodeView, values_mut};
use crate::graph::{Data, IntegerLstm, Tensor};
use crate::run::{Io, Pool, Rows, RunError, Views};
use ottava_kernels::fixed::Multiplier;
use ottava_kernels::integer_lstm::{self, GATES, Parameters};
use ottava_kernels::recurrent::Extents;

/// The scale of what goes into the functions of gates: 12 bits behind the point.
const GATE_SCALE: f32 = 1.0 / 4096.0;
/// The scale of what comes out of them: 16-bit fractions of 1.
const FRACTION: f64 = 1.0 / 32768.0;

pub(super) fn plan(p: &Planner<'_>, v: NodeView<'_>, op: &IntegerLstm) -> Result<Planned, PlanError> {
    let extents = extents(v, op.batch_first, GATES)?;
    let Extents { input, hidden, .. } = extents;
    let (x, state, last) =
        (v.affine(v.tensor(0)?)?, v.affine(v.tensor(4)?)?, v.graph.tensor(v.node.outputs[1]));
    let outputs = [v.affine(v.out())?, v.affine(last)?];
    if outputs != [state; 2] {
        return Err(v.unsupported("its states don't all have the scale and zero point of the first one"));
    }
    let (cell, next) = (v.tensor(5)?, v.graph.tensor(v.node.outputs[2]));
    if cell.quant != next.quant {
        return Err(v.unsupported("its first and last cell states have different scales"));
    }
    let cell_scale = cell.quant.as_ref().and_then(|q| q.single()).filter(|(_, zero)| *zero == 0);
    let cell_bits = cell_scale.and_then(|(scale, _)| (0..=6).find(|&b| 2f32.powi(b as i32 - 15) == scale));
    let (Some((scale, _)), Some(cell_bits)) = (cell_scale, cell_bits) else {
        return Err(v.unsupported(format!("the scale of '{}' must be 2^-15 to 2^-9", cell.name)));
    };
    let (input_weights, state_weights) = (Weights::of(v, 1)?, Weights::of(v, 2)?);
    let bias = v.constant(3)?.to_vec::<i32>();
    input_weights.check(v, input, x, &bias)?;
    state_weights.check(v, hidden, state, &vec![0; bias.len()])?;
    let parameters = Parameters {
        input_weights: &input_weights.values,
        state_weights: &state_weights.values,
        bias: &bias,
        input_zero_point: x.zero,
        state_zero_point: state.zero,
        input_multipliers: input_weights.multipliers(v, x)?,
        state_multipliers: state_weights.multipliers(v, state)?,
        output_multiplier: multiplier(v, f64::from((FRACTION / f64::from(state.scale) * FRACTION) as f32))?,
        cell_bits,
        // Toward zero, and nothing if less than one step is left: that is how it is defined.
        cell_clip: match (op.cell_clip / scale).min(32767.0) as i32 {
            clip if op.cell_clip.is_finite() && clip > 0 => clip,
            _ => 32768,
        },
    };
    let lstm = integer_lstm::IntegerLstm::new(p.isa, extents, &parameters);
    let packing = Packing { part: 0, layout: 0, len: lstm.packed_len() };
    let packed = packed_for(p, v, v.input(1)?, packing, |_| false, |to| lstm.pack(&parameters, to));
    let packed = packed.bytes;
    let inputs = [v.input(0)?, v.input(4)?, v.input(5)?];
    Ok(Planned::step(Layer { lstm, packed, extents }, &inputs, &v.node.outputs))
}

fn multiplier(v: NodeView<'_>, factor: f64) -> Result<Multiplier, PlanError> {
    Multiplier::new(factor).ok_or_else(|| v.unsupported(format!("its scales make the factor {factor}")))
}

/// Weights of all gates.
struct Weights {
    values: Vec<i8>,
    /// Of each gate.
    scales: [f32; GATES],
}

impl Weights {
    /// Input `i`, which must be constant.
    fn of(v: NodeView<'_>, i: usize) -> Result<Weights, PlanError> {
        let tensor: &Tensor = v.tensor(i)?;
        let values = v.constant(i)?.to_vec::<i8>();
        let rows = v.dims(tensor)?.first().copied().unwrap_or(0);
        let quant = tensor.quant.as_ref().filter(|q| q.zero_point.iter().all(|z| *z == 0));
        let scales = quant.and_then(|q| match (q.axis, &q.scale[..]) {
            (None, &[scale]) => Some([scale; GATES]),
            (Some(0), all) if all.len() == rows => {
                let gates: Vec<&[f32]> = all.chunks(rows / GATES).collect();
                let even = gates.iter().all(|g| g.iter().all(|s| s == &g[0]));
                let first: Vec<f32> = gates.iter().map(|g| g[0]).collect();
                first.try_into().ok().filter(|_| even)
            }
            _ => None,
        });
        let fault =
            || v.unsupported(format!("'{}' should have one scale per gate, zero points 0", tensor.name));
        Ok(Weights { values, scales: scales.ok_or_else(fault)? })
    }

    /// From sums of products with `x` to what goes into the gates' functions.
    fn multipliers(&self, v: NodeView<'_>, x: Affine) -> Result<[Multiplier; GATES], PlanError> {
        let mut all = Vec::with_capacity(GATES);
        for scale in self.scales {
            all.push(multiplier(v, f64::from(scale * x.scale / GATE_SCALE))?);
        }
        all.try_into().map_err(|_| v.no_kernel())
    }

    /// Refuses sums of `k` products that may leave 32 bits.
    fn check(&self, v: NodeView<'_>, k: usize, x: Affine, bias: &[i32]) -> Result<(), PlanError> {
        let far = i64::from(x.zero.max(255 - x.zero));
        for (row, bias) in self.values.chunks(k.max(1)).zip(bias) {
            let sum: i64 = row.iter().map(|w| i64::from(w.unsigned_abs())).sum();
            let bound = sum.saturating_mul(far).saturating_add(i64::from(bias.unsigned_abs()));
            if bound > i64::from(i32::MAX) {
                return Err(PlanError::Accumulator { node: v.node.name.clone(), products: k, bound });
            }
        }
        Ok(())
    }
}

/// A layer with its weights.
struct Layer {
    lstm: integer_lstm::IntegerLstm,
    packed: Data,
    extents: Extents,
}

impl Layer {
    fn macs_of(&self, columns: usize) -> u64 {
        (self.extents.rows() * self.lstm.projected_len()) as u64 * columns as u64
    }

    /// Bytes of the projected inputs, and of the steps' scratch.
    fn lens(&self) -> [usize; 2] {
        let projected = self.extents.rows() * self.lstm.projected_len() * 4;
        [projected, self.lstm.run_scratch()].map(|len| len.next_multiple_of(64))
    }

    /// Bytes of scratch of one thread that projects inputs.
    fn project_scratch(&self) -> usize {
        self.lstm.project_scratch().next_multiple_of(64)
    }
}

impl Kernel for Layer {
    fn name(&self) -> String {
        self.lstm.kernel()
    }
    fn macs(&self) -> u64 {
        self.macs_of(self.extents.input + self.extents.hidden)
    }
    fn cost(&self) -> u64 {
        self.macs_of(self.extents.input)
    }
    fn weight_bytes(&self) -> usize {
        self.packed.bytes().len() + 8 * self.lstm.projected_len()
    }
    fn scratch_len(&self, threads: usize) -> usize {
        self.lens().iter().sum::<usize>() + threads * self.project_scratch()
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let Views { inputs: [x, first_h, first_c], outputs: [y, h, c], scratch } =
            io.views([0, 1, 2], [0, 1, 2]);
        let [projected_len, steps_len] = self.lens();
        let (projected, scratch) = scratch.split_at_mut(projected_len);
        let (steps, scratch) = scratch.split_at_mut(steps_len);
        let rows = Rows {
            count: self.extents.rows(),
            grain: 1,
            stride: 4 * self.lstm.projected_len(),
            y: &mut *projected,
            scratch_len: self.project_scratch(),
            scratch,
        };
        let packed = self.packed.bytes();
        let work = |rows, y: &mut [u8], scratch: &mut [u8]| self.lstm.project(packed, x, rows, y, scratch);
        pool.split(self.cost(), rows, &work);
        h.copy_from_slice(&first_h[..h.len()]);
        c.copy_from_slice(&first_c[..c.len()]);
        self.lstm.run(packed, projected, h, values_mut(c), y, steps);
        Ok(())
    }
}
