//! Weights and bias of an integer convolution or product, brought into the form that kernels take.
//!
//! A bias in f32 is taken apart: as many steps of the accumulator as are in it are added there, and the rest, less than
//! one step, behind the multiplication. So the greater part is exact, and the rest as exact as what it is added to.

use super::super::{PlanError, Planned, Planner};
use super::weights::{Split, WeightStep, Weighted};
use super::{NodeView, ratio};
use crate::graph::{DType, TensorId};
use ottava_kernels::{Filter, QRow};

/// Weights, bias and multipliers of an integer node, as the graph has them.
pub(super) struct Integer<'a> {
    pub x_zero: u8,
    weights: &'a [i8],
    /// Of the weights; empty if all are 0.
    pub zero_points: Vec<i16>,
    bias: Vec<i32>,
    multiplier: Vec<f32>,
    /// What of the bias is no whole step, in steps of the output; empty if it is i32.
    offset: Vec<f32>,
    tensor: TensorId,
}

impl<'a> Integer<'a> {
    /// Reads and checks them; `products` is how many go into one output, `y_scale` is the output's.
    pub fn of(v: NodeView<'a>, products: usize, y_scale: f32) -> Result<Integer<'a>, PlanError> {
        let w = v.tensor(1)?;
        let x = v.affine(v.tensor(0)?)?;
        let weights: &[i8] = bytemuck::cast_slice(v.constant(1)?.bytes());
        let channels = v.dims(w)?[0];
        let quant = w.quant.as_ref().filter(|q| matches!(q.axis, None | Some(0)));
        let quant = quant.ok_or_else(|| {
            v.unsupported(format!("'{}' should be quantized per tensor or along axis 0", w.name))
        })?;
        let of = |c: usize| if quant.axis.is_some() { c } else { 0 };
        let multiplier: Vec<f32> =
            (0..channels).map(|c| ratio(x.scale, quant.scale[of(c)], y_scale)).collect();
        let zero_points = match quant.zero_point.iter().any(|&z| z != 0) {
            // A graph's zero points are within the range of their codes.
            true => (0..channels).map(|c| quant.zero_point[of(c)] as i16).collect(),
            false => vec![],
        };
        if let Some(bad) = multiplier.iter().find(|m| !m.is_finite()) {
            return Err(v.unsupported(format!("its scales give the multiplier {bad}")));
        }
        let tensor = v.input(1)?;
        let (bias, offset) = (vec![0; channels], vec![]);
        let mut q = Integer { x_zero: x.zero, weights, zero_points, bias, multiplier, offset, tensor };
        match v.node.input(2) {
            None => {}
            Some(_) if v.tensor(2)?.dtype == DType::I32 => q.bias = v.constant(2)?.to_vec(),
            Some(_) => {
                let reals = v.floats(2)?;
                let step = |c: usize| f64::from(x.scale) * f64::from(quant.scale[of(c)]);
                q.take_apart(v, &reals, products, step, y_scale)?;
            }
        }
        if q.bias.len() != channels {
            return Err(v.unsupported(format!("{} biases for {channels} channels", q.bias.len())));
        }
        q.check_accumulators(v, products)?;
        Ok(q)
    }

    /// True if inputs and weights are what they are, and biases whole steps: all zero points are 0, and there are no offsets.
    pub fn has_plain_weights(&self) -> bool {
        self.x_zero == 0 && self.zero_points.is_empty() && !self.has_offsets()
    }

    /// True if the kernel must take offsets.
    pub fn has_offsets(&self) -> bool {
        !self.offset.is_empty()
    }

    /// Whole steps of the accumulator, as far as it holds them beside its sums, and the rest in steps of the output.
    /// `step`: what one of a channel's accumulator is.
    fn take_apart(
        &mut self,
        v: NodeView<'_>,
        reals: &[f32],
        products: usize,
        step: impl Fn(usize) -> f64,
        y_scale: f32,
    ) -> Result<(), PlanError> {
        (self.bias, self.offset) = (vec![], vec![]);
        for (c, (&real, row)) in reals.iter().zip(self.weights.chunks(products.max(1))).enumerate() {
            let room = (i64::from(i32::MAX) - self.reach(c, row)).max(0) as f64;
            let steps = f64::from(real) / step(c);
            let whole = steps.round_ties_even().clamp(-room, room);
            // What rounding the bias to f32 may have left of whole steps is no rest.
            let rest = match (steps - whole).abs() <= steps.abs() * f64::from(f32::EPSILON) {
                true => 0.0,
                false => ((steps - whole) * step(c) / f64::from(y_scale)) as f32,
            };
            if !rest.is_finite() {
                return Err(v.unsupported(format!("the bias {real} of channel {c} is too large")));
            }
            self.bias.push(whole as i32);
            self.offset.push(rest);
        }
        Ok(())
    }

    /// The greatest sum of products with these weights of a channel.
    fn reach(&self, channel: usize, row: &[i8]) -> i64 {
        let zero = self.zero_point(channel);
        let sum: i64 = row.iter().map(|&w| i64::from(i16::from(w).abs_diff(zero))).sum();
        sum * i64::from(self.x_zero.max(255 - self.x_zero))
    }

    /// What a channel's weights are less.
    fn zero_point(&self, channel: usize) -> i16 {
        self.zero_points.get(channel).copied().unwrap_or(0)
    }

    /// By how much a weight differs from its zero point at most.
    pub fn farthest(&self, products: usize) -> u16 {
        let rows = self.weights.chunks(products.max(1)).enumerate();
        let off = rows.flat_map(|(c, row)| row.iter().map(move |&w| (c, w)));
        off.map(|(c, w)| i16::from(w).abs_diff(self.zero_point(c))).max().unwrap_or(0)
    }

    /// Refuses weights with which a sum could leave an i32: `sum |w| * max |x - zero| + |bias|` per channel.
    fn check_accumulators(&self, v: NodeView<'_>, products: usize) -> Result<(), PlanError> {
        let most_weight = if self.zero_points.is_empty() { 128 } else { 255 };
        let largest = i64::from(self.x_zero.max(255 - self.x_zero));
        let most_bias = self.bias.iter().map(|b| i64::from(b.unsigned_abs())).max().unwrap_or(0);
        if products as i64 * most_weight * largest + most_bias <= i64::from(i32::MAX) {
            return Ok(());
        }
        for (c, (row, b)) in self.weights.chunks(products.max(1)).zip(&self.bias).enumerate() {
            let bound = self.reach(c, row) + i64::from(b.unsigned_abs());
            if bound > i64::from(i32::MAX) {
                return Err(PlanError::Accumulator { node: v.node.name.clone(), products, bound });
            }
        }
        Ok(())
    }

    /// The step of a product of one row, of which threads take output channels. `split`: that of its pixel.
    pub fn row_step(
        self,
        p: &Planner<'_>,
        v: NodeView<'_>,
        kernel: QRow,
        split: Split,
    ) -> Result<Planned, PlanError> {
        let kernel = if self.has_offsets() { kernel.with_offsets() } else { kernel };
        let kernel = if self.zero_points.is_empty() { kernel } else { kernel.with_zero_points() };
        let split = Split { rows: kernel.units(), stride: kernel.width(), ..split };
        self.step(p, v, kernel, split, QRow::pack)
    }

    pub fn step<K: Weighted>(
        self,
        p: &Planner<'_>,
        v: NodeView<'_>,
        kernel: K,
        split: Split,
        pack: impl FnOnce(&K, &Filter<'_>, &mut [u8]),
    ) -> Result<Planned, PlanError> {
        let Integer { weights, zero_points, bias, multiplier, offset, .. } = &self;
        let filter = Filter { weights, zero_points, bias, multiplier, offset };
        WeightStep::new(p, v, self.tensor, kernel, split, |k, to| pack(k, &filter, to)).planned(v)
    }
}
