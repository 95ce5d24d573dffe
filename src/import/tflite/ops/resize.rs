//! Resampling of images.

use super::super::super::node::Stop;
use super::super::context::{Context, Options};
use super::dim;
use crate::graph::{Concat, DType, NearestMode, Resize, ResizeCoord, ResizeMode, ShapeOf, TensorId};

/// `ResizeBilinearOptions`: two that are no longer used, align_corners, half_pixel_centers.
pub(in super::super) fn bilinear(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let coord = coordinates(&cx.options, 2)?;
    emit(cx, Resize { mode: ResizeMode::Linear, coord, nearest: NearestMode::Floor })
}

/// `ResizeNearestNeighborOptions`: align_corners, half_pixel_centers.
pub(in super::super) fn nearest(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let coord = coordinates(&cx.options, 0)?;
    // floor((x + 1/2) * scale) is the coordinate of half_pixel with halves rounded up.
    let nearest = match coord {
        ResizeCoord::Asymmetric => NearestMode::Floor,
        _ => NearestMode::RoundPreferCeil,
    };
    emit(cx, Resize { mode: ResizeMode::Nearest, coord, nearest })
}

fn coordinates(options: &Options, slot: usize) -> Result<ResizeCoord, Stop> {
    match (options.flag(slot)?, options.flag(slot + 1)?) {
        (false, false) => Ok(ResizeCoord::Asymmetric),
        (false, true) => Ok(ResizeCoord::HalfPixel),
        (true, false) => Ok(ResizeCoord::AlignCorners),
        (true, true) => Err(Stop::because("it has both align_corners and half_pixel_centers")),
    }
}

fn emit(cx: &mut Context, op: Resize) -> Result<Vec<TensorId>, Stop> {
    let x = cx.input(0)?;
    let [n, _, _, c] = cx.image(x)?;
    let (size, Some(c)) = (cx.ints(1, "size")?, c.fixed()) else {
        return Err(Stop::because("its input's channels are free"));
    };
    let &[h, w] = &size[..] else {
        return Err(Stop::because(format!("its size is {size:?}, it must be height and width")));
    };
    let c = dim(c);
    let sizes = match n.fixed() {
        Some(n) => cx.int_vector("sizes", &[dim(n), h, w, c])?,
        None => {
            let batch = cx.inner("batch", ShapeOf { start: 0, end: 1 }, &[x], (DType::I64, None))?;
            let rest = cx.int_vector("size", &[h, w, c])?;
            cx.inner("sizes", Concat { axis: 0 }, &[batch, rest], (DType::I64, None))?
        }
    };
    cx.emit_moved(op, &[x, sizes])
}
