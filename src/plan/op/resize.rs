//! Resampling of images and signals.

use super::super::{Kernel, PlanError, Planned, Planner};
use super::{NodeView, values, values_mut};
use crate::graph::{self, DType};
use crate::run::{Io, Pool, Rows, RunError, Views};
use ottava_kernels::Isa;
use ottava_kernels::resize::{NearestMode, Resize, ResizeCoord, ResizeMode, Sample};
use std::marker::PhantomData;

pub(super) fn plan(p: &Planner<'_>, v: NodeView<'_>, op: &graph::Resize) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    if x.dtype != y.dtype || x.quant != y.quant {
        return Err(v.unsupported("resizing keeps element type, scale and zero point; the output has others"));
    }
    let (xd, yd) = (v.dims(x)?, v.dims(y)?);
    // Scales that the model states are used as they are; those that follow from sizes are ratios of lengths.
    let scales = match v.node.input(2) {
        Some(_) => v.floats(2)?,
        None => xd.iter().zip(&yd).map(|(&a, &b)| b as f32 / a as f32).collect(),
    };
    let nearest = match op.nearest {
        graph::NearestMode::RoundPreferFloor => NearestMode::RoundPreferFloor,
        graph::NearestMode::RoundPreferCeil => NearestMode::RoundPreferCeil,
        graph::NearestMode::Floor => NearestMode::Floor,
        graph::NearestMode::Ceil => NearestMode::Ceil,
    };
    let mode = match op.mode {
        graph::ResizeMode::Nearest => ResizeMode::Nearest(nearest),
        graph::ResizeMode::Linear => ResizeMode::Linear,
    };
    let coord = match op.coord {
        graph::ResizeCoord::HalfPixel => ResizeCoord::HalfPixel,
        graph::ResizeCoord::PytorchHalfPixel => ResizeCoord::PytorchHalfPixel,
        graph::ResizeCoord::AlignCorners => ResizeCoord::AlignCorners,
        graph::ResizeCoord::Asymmetric => ResizeCoord::Asymmetric,
    };
    let resize = Resize::new(&xd, &yd, &scales, mode, coord);
    let resize = resize.ok_or_else(|| v.unsupported(format!("{xd:?} can't be resized to {yd:?}")))?;
    let name = format!("resize-{}-{} {}", op.mode.name(), x.dtype, p.isa);
    let (isa, x_len) = (p.isa, xd.iter().product());
    let kernel: Box<dyn Kernel> = match x.dtype {
        DType::U8 => Box::new(ResizeStep::<u8> { name, resize, isa, x_len, element: PhantomData }),
        DType::F32 => Box::new(ResizeStep::<f32> { name, resize, isa, x_len, element: PhantomData }),
        _ => return Err(v.no_kernel()),
    };
    Ok(Planned::Step { kernel, inputs: vec![v.input(0)?], outputs: v.node.outputs.clone() })
}

struct ResizeStep<T> {
    name: String,
    resize: Resize,
    isa: Isa,
    /// Elements of the input.
    x_len: usize,
    element: PhantomData<T>,
}

impl<T: Sample + bytemuck::Pod + Send + Sync> Kernel for ResizeStep<T> {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn cost(&self) -> u64 {
        (self.resize.rows() * self.resize.row_len()) as u64 * 16
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let Views { inputs: [x], outputs: [y], scratch } = io.one();
        let (count, stride) = (self.resize.rows(), self.resize.row_len() * size_of::<T>());
        let rows = Rows { count, grain: 1, stride, y, scratch_len: 0, scratch, cost: self.cost() };
        let x = values::<T>(x, self.x_len);
        pool.split(rows, &|rows, y, _| self.resize.run(self.isa, x, values_mut(y), rows));
        Ok(())
    }
}
