//! Resampling of images and signals.

use super::super::{PlanError, Planned, Planner};
use super::{NodeView, RowsCall, values, values_mut};
use crate::graph::{self, DType};
use ottava_kernels::Isa;
use ottava_kernels::resize::{NearestMode, Resize, ResizeCoord, ResizeMode, Sample};
use std::ops::Range;

/// Scales that the model states are used as they are; those that follow from sizes are ratios of lengths.
pub(super) fn scales(v: NodeView<'_>, xd: &[usize], yd: &[usize]) -> Result<Vec<f32>, PlanError> {
    match v.node.input(2) {
        Some(_) => v.floats(2),
        None => Ok(xd.iter().zip(yd).map(|(&a, &b)| b as f32 / a as f32).collect()),
    }
}

pub(super) fn coord(coord: graph::ResizeCoord) -> ResizeCoord {
    match coord {
        graph::ResizeCoord::HalfPixel => ResizeCoord::HalfPixel,
        graph::ResizeCoord::PytorchHalfPixel => ResizeCoord::PytorchHalfPixel,
        graph::ResizeCoord::AlignCorners => ResizeCoord::AlignCorners,
        graph::ResizeCoord::Asymmetric => ResizeCoord::Asymmetric,
        graph::ResizeCoord::HalfPixelSymmetric => ResizeCoord::HalfPixelSymmetric,
    }
}

pub(super) fn plan(p: &Planner<'_>, v: NodeView<'_>, op: &graph::Resize) -> Result<Planned, PlanError> {
    let (x, y) = (v.tensor(0)?, v.out());
    if x.dtype != y.dtype || x.quant != y.quant {
        return Err(v.unsupported("resizing keeps element type, scale and zero point; the output has others"));
    }
    let (xd, yd) = (v.dims(x)?, v.dims(y)?);
    let scales = scales(v, &xd, &yd)?;
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
    let resize = Resize::new(&xd, &yd, &scales, mode, coord(op.coord));
    let resize = resize.ok_or_else(|| v.unsupported(format!("{xd:?} can't be resized to {yd:?}")))?;
    let name = format!("resize-{}-{} {}", op.mode.name(), x.dtype, p.isa);
    let (isa, x_len) = (p.isa, xd.iter().product());
    match x.dtype {
        DType::U8 => step::<u8>(v, name, isa, resize, x_len),
        DType::F32 => step::<f32>(v, name, isa, resize, x_len),
        _ => Err(v.no_kernel()),
    }
}

fn step<T: Sample + bytemuck::Pod>(
    v: NodeView<'_>,
    name: String,
    isa: Isa,
    resize: Resize,
    x_len: usize,
) -> Result<Planned, PlanError> {
    let (rows, row_len) = (resize.rows(), resize.row_len());
    let run = move |rows: Range<usize>, [x]: [&[u8]; 1], y: &mut [u8]| {
        resize.run::<T>(isa, values(x, x_len), values_mut(y), rows);
    };
    let (cost, stride) = ((rows * row_len) as u64 * 16, row_len * size_of::<T>());
    let kernel = RowsCall { name, cost, rows, grain: 1, stride, inputs: [0], run };
    Ok(Planned::step(kernel, &[v.input(0)?], &v.node.outputs))
}
