//! Places of greatest values, and values put back there.

use super::super::context::{Context, Stop};
use super::super::window::{AutoPad, RawWindow, Window};
use super::{of_two, spatial};
use crate::graph::{
    ArgMax, BinaryKind, Concat, DType, Data, Fill, Gather, Pad, PadMode, Reshape, ScatterElements,
    ScatterKind, Slice, TensorId, Unsqueeze,
};

/// Images `[N, C, H, W]` whose sizes are known.
struct Images {
    id: TensorId,
    dims: [usize; 4],
}

impl Images {
    /// `[N, C, W]` gets a height of 1.
    fn new(cx: &mut Context, tag: &str, x: TensorId) -> Result<Images, Stop> {
        let id = match cx.rank(x) {
            3 => cx.inner(tag, Unsqueeze { axes: vec![2] }, &[Some(x)])?,
            _ => x,
        };
        match cx.shape(id).dims().as_deref() {
            Some(&[n, c, h, w]) => Ok(Images { id, dims: [n, c, h, w] }),
            _ => Err(Stop::because(
                "places of values need a fixed shape [N, C, H, W] or [N, C, W]: give inputs shapes when the model \
                 is taken in",
            )),
        }
    }
}

/// The number of elements; refused if a table of them would be out of proportion to the file.
fn room_for(cx: &Context, dims: &[usize]) -> Result<usize, Stop> {
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    count
        .filter(|&n| n <= cx.state.room / size_of::<i64>())
        .ok_or_else(|| Stop::because("the table of its places is too large for this model"))
}

fn sum(cx: &mut Context, tag: &str, a: TensorId, b: TensorId) -> Result<TensorId, Stop> {
    let op = of_two(BinaryKind::Add);
    cx.inner(tag, op, &[Some(a), Some(b)])
}

/// Where in `x`, counted over all elements, the values of a `MaxPool` lie; `pooled` is its output. `by_columns`: images
/// are counted down their columns.
///
/// The elements of each window are laid side by side and the greatest found there. Around the image its edge is
/// repeated: that adds no greater value, and each copy counts as the element that it copies.
pub(super) fn places(
    cx: &mut Context,
    x: TensorId,
    pooled: TensorId,
    raw: RawWindow,
    by_columns: bool,
) -> Result<TensorId, Stop> {
    cx.need_float(x)?;
    let window = raw.over(cx.rank(x), None)?;
    let flat = cx.rank(x) == 3;
    let image = Images::new(cx, "image", x)?;
    let [n, c, h, w] = image.dims;
    let [out_h, out_w] = match cx.shape(pooled).dims().as_deref() {
        Some(&[_, _, w]) => [1, w],
        Some(&[_, _, h, w]) => [h, w],
        _ => return Err(Stop::because("the size of its output is not known")),
    };
    let pads = window.padding(spatial::height_width(cx, x)?)?;
    let taps = taps(&window);
    let table = room_for(cx, &[out_h, out_w, taps.len()])?;
    // A window may hang over the end where sizes are rounded up.
    let behind = |out: usize, axis: usize, len: usize| {
        let reached = (out.max(1) - 1) * window.strides[axis] + window.reach(axis);
        reached.saturating_sub(len + pads[axis])
    };
    let after = [behind(out_h, 0, h), behind(out_w, 1, w)];
    let around = [pads[0], pads[1], after[0], after[1]];
    if around != [0; 4] && window.dilations != [1, 1] {
        return Err(Stop::because("its places are asked for with both padding and dilations"));
    }
    let mut source = image.id;
    if around != [0; 4] {
        let [top, left, bottom, right] = around.map(|p| p as i64);
        let pads = cx.int_vector("edges", &[0, 0, top, left, 0, 0, bottom, right])?;
        source = cx.inner("framed", Pad { mode: PadMode::Edge }, &[Some(source), Some(pads), None])?;
    }
    let axes = cx.int_vector("axes", &[2, 3])?;
    let steps = cx.int_vector("steps", &window.strides.map(|s| s as i64))?;
    let mut elements = Vec::with_capacity(taps.len());
    for (i, &[down, right]) in taps.iter().enumerate() {
        let end = |from: usize, out: usize, axis: usize| {
            (from + (out.max(1) - 1) * window.strides[axis] + 1) as i64
        };
        let starts = cx.int_vector(&format!("from{i}"), &[down as i64, right as i64])?;
        let ends = cx.int_vector(&format!("to{i}"), &[end(down, out_h, 0), end(right, out_w, 1)])?;
        let inputs = [source, starts, ends, axes, steps].map(Some);
        let element = cx.inner(&format!("element{i}"), Slice {}, &inputs)?;
        elements.push(Some(cx.inner(&format!("tap{i}"), Unsqueeze { axes: vec![4] }, &[Some(element)])?));
    }
    let windows = cx.inner("windows", Concat { axis: 4 }, &elements)?;
    let best = ArgMax { axis: 4, keep_dims: false, select_last: false };
    let best = cx.inner("best", best, &[Some(windows)])?;
    // From the tap of a window to the place in the image, through a table of all windows.
    let mut places: Vec<i64> = Vec::with_capacity(table);
    let inside = |at: usize, pad: usize, len: usize| at.saturating_sub(pad).min(len.max(1) - 1);
    for (y, x) in (0..out_h).flat_map(|y| (0..out_w).map(move |x| (y, x))) {
        for &[down, right] in &taps {
            let row = inside(y * window.strides[0] + down, pads[0], h);
            let column = inside(x * window.strides[1] + right, pads[1], w);
            places.push(if by_columns { column * h + row } else { row * w + column } as i64);
        }
    }
    let firsts: Vec<i64> = (0..out_h * out_w).map(|i| (i * taps.len()) as i64).collect();
    let firsts = cx.constant("firsts", DType::I64, &[out_h, out_w], Data::from_slice(&firsts))?;
    let entry = sum(cx, "entry", best, firsts)?;
    let places = cx.int_vector("places", &places)?;
    let place = cx.inner("place", Gather { axis: 0 }, &[Some(places), Some(entry)])?;
    let images = room_for(cx, &[n, c])?;
    let offsets: Vec<i64> = (0..images).map(|i| (i * h * w) as i64).collect();
    let offsets = cx.constant("images", DType::I64, &[n, c, 1, 1], Data::from_slice(&offsets))?;
    let place = sum(cx, "place_of_all", place, offsets)?;
    match flat {
        true => {
            let sizes = [n, c, out_w].map(|n| n as i64);
            let sizes = cx.int_vector("flat", &sizes)?;
            cx.inner("place_flat", Reshape { allow_zero: false }, &[Some(place), Some(sizes)])
        }
        false => Ok(place),
    }
}

/// Down and right of a window's first element, row by row.
fn taps(window: &Window) -> Vec<[usize; 2]> {
    let [kh, kw] = window.kernel;
    let at = |y: usize, x: usize| [y * window.dilations[0], x * window.dilations[1]];
    (0..kh).flat_map(|y| (0..kw).map(move |x| at(y, x))).collect()
}

/// Values at places that `MaxPool` gave, zeros elsewhere.
pub(super) fn unpool(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let raw = RawWindow::read(&mut attrs, false)?;
    attrs.finish()?;
    let (x, index, wanted) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?);
    cx.need_float(x)?;
    let window = raw.over(cx.rank(x), None)?;
    let flat = cx.rank(x) == 3;
    let [n, c, h, w] = Images::new(cx, "image", x)?.dims;
    if window.auto_pad != AutoPad::Explicit {
        return Err(Stop::because("it must have explicit pads"));
    }
    let length = |len: usize, axis: usize| {
        let full = len.checked_sub(1)?.checked_mul(window.strides[axis])?.checked_add(window.kernel[axis])?;
        full.checked_sub(window.pads[axis] + window.pads[axis + 2])
    };
    let (Some(out_h), Some(out_w)) = (length(h, 0), length(w, 1)) else {
        return Err(Stop::because("its padding cuts off all of its output"));
    };
    let dims = if flat { vec![n, c, out_w] } else { vec![n, c, out_h, out_w] };
    let sizes: Vec<i64> = dims.iter().map(|&d| i64::try_from(d).unwrap_or(i64::MAX)).collect();
    if let Some(wanted) = wanted {
        let wanted = cx.need_ints(wanted, "its output shape")?;
        if wanted != sizes {
            return Err(Stop::because(format!(
                "its output shape is {wanted:?}, not {sizes:?} that its window gives: what its indices count is not \
                 defined alike everywhere"
            )));
        }
    }
    let total = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).and_then(|n| i64::try_from(n).ok());
    let total = total.ok_or_else(|| Stop::because("its output is too large"))?;
    let total = cx.int_vector("total", &[total])?;
    let zero = cx.scalar("zero", 0.0)?;
    let zeros = cx.inner("zeros", Fill {}, &[Some(total), Some(zero)])?;
    let line = cx.int_vector("line", &[-1])?;
    let index = cx.as_i64(index)?;
    let [index, values] = [("places", index), ("values", x)]
        .map(|(tag, id)| cx.inner(tag, Reshape { allow_zero: false }, &[Some(id), Some(line)]));
    let op = ScatterElements { axis: 0, kind: ScatterKind::Replace };
    let y = cx.core("put", op, &[Some(zeros), Some(index?), Some(values?)])?;
    let shape = cx.int_vector("shape", &sizes)?;
    cx.last("unpooled", Reshape { allow_zero: false }, &[Some(y), Some(shape)])
}
