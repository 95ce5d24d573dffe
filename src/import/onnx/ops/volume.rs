//! Three spatial dimensions: the slices of a volume are images, which the two-dimensional operators compute.
//!
//! Inside, `[N, C, D, H, W]` is `[N, D, H, W, C]`. A convolution of depth KD is one of images that have KD slices side
//! by side as channels: the same sum of products in one pass. A pool is one over height and width, then one over depth.

use super::super::context::{Context, Stop};
use super::super::window::Window;
use super::conv::{Border, Weights};
use crate::graph::{
    Clamp, Concat, Conv, ConvTranspose, Dim, Gather, Pad, PadMode, Pool, Slice, TensorId, Transpose,
};

/// `[N, C, D, H, W]` to `[N, D, H, W, C]`.
const CHANNELS_LAST: [usize; 5] = [0, 2, 3, 4, 1];
/// And back.
const CHANNELS_FIRST: [usize; 5] = [0, 4, 1, 2, 3];

/// A volume `[N, D, H, W, C]`. Only N may be free: it is the one length that a Reshape can find out.
struct Volume {
    id: TensorId,
    /// N, or -1.
    batch: i64,
    dims: [usize; 4],
}

impl Volume {
    fn new(cx: &mut Context, x: TensorId) -> Result<Volume, Stop> {
        let fixed = |axis| {
            cx.extent(x, axis).ok_or_else(|| {
                Stop::because(
                    "with three spatial dimensions, channels, depth, height and width must be fixed: export \
                     the model so or give its inputs shapes when it is taken in",
                )
            })
        };
        let dims = [fixed(2)?, fixed(3)?, fixed(4)?, fixed(1)?];
        let batch = cx.extent(x, 0).and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
        let id = cx.inner("ndhwc", Transpose { perm: CHANNELS_LAST.to_vec() }, &[Some(x)])?;
        Ok(Volume { id, batch, dims })
    }

    /// The volume with another depth.
    fn deep(&self, id: TensorId, depth: usize) -> Volume {
        let [_, h, w, c] = self.dims;
        Volume { id, batch: self.batch, dims: [depth, h, w, c] }
    }

    /// Its elements with these dimensions behind the batch.
    fn seen(&self, cx: &mut Context, tag: &str, dims: &[usize]) -> Result<TensorId, Stop> {
        self.seen_as(cx, tag, self.batch, dims)
    }

    /// Its slices as images `[N * D, H, W, C]`.
    fn images(&self, cx: &mut Context, tag: &str) -> Result<TensorId, Stop> {
        self.seen_as(cx, tag, -1, &self.dims[1..])
    }

    fn seen_as(&self, cx: &mut Context, tag: &str, first: i64, dims: &[usize]) -> Result<TensorId, Stop> {
        let sizes = std::iter::once(Ok(first)).chain(dims.iter().map(|&n| i64::try_from(n)));
        let sizes =
            sizes.collect::<Result<Vec<i64>, _>>().map_err(|_| Stop::because("its sizes overflow"))?;
        cx.viewed(tag, self.id, &sizes)
    }

    /// The ONNX node's output: `[N, C, D, H, W]`.
    fn finish(&self, cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
        cx.last("ncdhw", Transpose { perm: CHANNELS_FIRST.to_vec() }, &[Some(self.id)])
    }
}

/// Height, width and channels of `[_, H, W, C]`.
fn image_dims(cx: &Context, id: TensorId) -> Result<[usize; 3], Stop> {
    match [1, 2, 3].map(|axis| cx.extent(id, axis)) {
        [Some(h), Some(w), Some(c)] => Ok([h, w, c]),
        _ => Err(Stop::because("the size of its output is not known")),
    }
}

/// The images `[N * depth, H, W, C]` that an operator made of slices, as a volume.
fn stacked(cx: &mut Context, images: TensorId, batch: i64, depth: usize) -> Result<Volume, Stop> {
    let [h, w, c] = image_dims(cx, images)?;
    let mut volume = Volume { id: images, batch, dims: [depth, h, w, c] };
    volume.id = volume.seen(cx, "volume", &[depth, h, w, c])?;
    Ok(volume)
}

/// A pool with the windows over depth, and over height and width. The greatest of the greatest are the greatest, and
/// means of equally many are the mean: how many elements of a window lie inside is a product, too.
pub(super) fn pool(
    cx: &mut Context,
    x: TensorId,
    [depth, plane]: [Window; 2],
    over: impl Fn(&Window, [Dim; 2]) -> Result<Pool, Stop>,
) -> Result<Vec<TensorId>, Stop> {
    let mut volume = Volume::new(cx, x)?;
    let [d, h, w, c] = volume.dims;
    let across = over(&plane, [h, w].map(Dim::Fixed))?;
    let along = over(&depth, [Dim::Fixed(d), Dim::Fixed(1)])?;
    if !plane.is_trivial() {
        let images = volume.images(cx, "images")?;
        let pooled = match depth.is_trivial() {
            true => cx.core("planes", across, &[Some(images)])?,
            false => cx.inner("planes", across, &[Some(images)])?,
        };
        volume = stacked(cx, pooled, volume.batch, d)?;
    }
    if !depth.is_trivial() || plane.is_trivial() {
        let [_, h, w, _] = volume.dims;
        let area = h.checked_mul(w).ok_or_else(|| Stop::because("its sizes overflow"))?;
        let columns = volume.seen(cx, "columns", &[d, area, c])?;
        let pooled = cx.core("result", along, &[Some(columns)])?;
        let [d, ..] = image_dims(cx, pooled)?;
        volume = volume.deep(pooled, d);
        volume.id = volume.seen(cx, "pooled", &[d, h, w, c])?;
    }
    volume.finish(cx)
}

/// Slices of a volume that one output slice is computed from.
struct Taps {
    /// Where each of them lies for the first output.
    first: Vec<usize>,
    stride: usize,
    /// Outputs.
    count: usize,
}

impl Taps {
    /// Images `[N * count, H, W, taps * C]`: the channels of a group of the first tap, of the second, .., of the next
    /// group.
    fn gather(&self, cx: &mut Context, volume: &Volume, groups: usize) -> Result<TensorId, Stop> {
        let [d, h, w, c] = volume.dims;
        let mut slices = Vec::with_capacity(self.first.len());
        for (i, &first) in self.first.iter().enumerate() {
            if self.stride == 1 && self.count == d {
                slices.push(Some(volume.id));
                continue;
            }
            let end = first + (self.count - 1) * self.stride + 1;
            let bounds = [("from", first), ("to", end), ("axis", 1), ("step", self.stride)];
            let mut inputs = vec![Some(volume.id)];
            for (tag, value) in bounds {
                let value = i64::try_from(value).map_err(|_| Stop::because("its sizes overflow"))?;
                inputs.push(Some(cx.int_vector(&format!("{tag}{i}"), &[value])?));
            }
            slices.push(Some(cx.inner(&format!("slice{i}"), Slice {}, &inputs)?));
        }
        let taps = slices.len();
        let mut side_by_side = match slices[..] {
            [one] => volume.deep(one.unwrap_or(volume.id), self.count),
            _ => {
                let joined = cx.inner("slices", Concat { axis: 4 }, &slices)?;
                Volume { id: joined, batch: volume.batch, dims: [self.count, h, w, taps * c] }
            }
        };
        if groups > 1 && taps > 1 {
            let area = h.checked_mul(w).ok_or_else(|| Stop::because("its sizes overflow"))?;
            side_by_side.id =
                side_by_side.seen(cx, "by_tap", &[self.count, area, taps, groups, c / groups])?;
            let perm = vec![0, 1, 2, 4, 3, 5];
            side_by_side.id = cx.inner("by_group", Transpose { perm }, &[Some(side_by_side.id)])?;
        }
        side_by_side.images(cx, "images")
    }
}

/// Zeros before and behind the slices.
fn padded(cx: &mut Context, volume: Volume, [before, after]: [usize; 2]) -> Result<Volume, Stop> {
    if before == 0 && after == 0 {
        return Ok(volume);
    }
    let lengths = [before, after].map(i64::try_from);
    let [Ok(before), Ok(after)] = lengths else { return Err(Stop::because("its padding overflows")) };
    let pads = cx.int_vector("depth_pads", &[0, before, 0, 0, 0, 0, after, 0, 0, 0])?;
    let op = Pad { mode: PadMode::Constant };
    let id = cx.inner("padded", op, &[Some(volume.id), Some(pads), None])?;
    let depth = cx.extent(id, 1).ok_or_else(|| Stop::because("its padding overflows"))?;
    Ok(volume.deep(id, depth))
}

/// A convolution with weights `[O, C / groups, KD, KH, KW]`.
pub(super) fn conv(
    cx: &mut Context,
    x: TensorId,
    [depth, plane]: [Window; 2],
    w: Weights,
    bias: Option<TensorId>,
    groups: usize,
) -> Result<Vec<TensorId>, Stop> {
    let volume = Volume::new(cx, x)?;
    let [d, height, width, _] = volume.dims;
    let [before, _, after, _] = depth.padding([Dim::Fixed(d), Dim::Fixed(1)])?;
    let volume = padded(cx, volume, [before, after])?;
    let room = volume.dims[0].checked_sub(depth.reach(0));
    let room = room.ok_or_else(|| Stop::because("its kernel is deeper than its padded input"))?;
    let taps = Taps {
        first: (0..depth.kernel[0]).map(|k| k * depth.dilations[0]).collect(),
        stride: depth.strides[0],
        count: room / depth.strides[0] + 1,
    };
    let images = taps.gather(cx, &volume, groups)?;
    let ([o, c], kd, [kh, kw]) = (w.channels, depth.kernel[0], plane.kernel);
    let rows = kd.checked_mul(c).ok_or_else(|| Stop::because("its channels overflow"))?;
    let ohwi =
        cx.reordered_weights(w.id, "ohwi", &[o, c, kd, kh, kw], &[0, 3, 4, 2, 1], &[o, kh, kw, rows])?;
    let op = Conv {
        strides: plane.strides,
        pads: plane.padding([height, width].map(Dim::Fixed))?,
        dilations: plane.dilations,
        groups,
        clamp: Clamp::NONE,
    };
    let y = cx.core("result", op, &[Some(images), Some(ohwi), bias])?;
    stacked(cx, y, volume.batch, taps.count)?.finish(cx)
}

/// A transposed convolution with weights `[C, O / groups, KD, KH, KW]`; its output's padding and shape where they are
/// given.
pub(super) fn conv_transpose(
    cx: &mut Context,
    x: TensorId,
    [depth, plane]: [Window; 2],
    w: Weights,
    bias: Option<TensorId>,
    groups: usize,
    [output_padding, output_shape]: [Option<Vec<usize>>; 2],
) -> Result<Vec<TensorId>, Stop> {
    let volume = Volume::new(cx, x)?;
    let [d, height, width, _] = volume.dims;
    if d == 0 {
        return Err(Stop::because("its input has no depth"));
    }
    let added = output_padding.unwrap_or_else(|| vec![0; 3]);
    let shape = |along: bool| output_shape.as_ref().map(|s| if along { [s[0], 1] } else { [s[1], s[2]] });
    let along = Border::new(&depth, [Dim::Fixed(d), Dim::Fixed(1)], [added[0], 0], shape(true))?;
    let across = Border::new(&plane, [height, width].map(Dim::Fixed), [added[1], added[2]], shape(false))?;
    let op = ConvTranspose {
        strides: plane.strides,
        pads: across.pads,
        output_pads: across.output_pads,
        dilations: plane.dilations,
        groups,
        clamp: Clamp::NONE,
    };
    let full = (d - 1) * depth.strides[0] + depth.reach(0) + along.output_pads[0];
    let cut = [along.pads[0], along.pads[2]];
    let count = full.checked_sub(cut[0] + cut[1]).filter(|&n| n > 0);
    let count = count.ok_or_else(|| Stop::because("its padding cuts off all of its output"))?;
    let apart = depth.kernel[0] == depth.strides[0] && depth.dilations[0] == 1 && along.output_pads[0] == 0;
    match apart {
        true => side_by_side(cx, volume, op, w, bias, [depth.kernel[0], cut[0], count]),
        false => overlapping(cx, volume, op, w, bias, [&depth, &plane], [cut[0], count]),
    }
}

/// Where kernels don't overlap in depth, each slice gives `kd` slices of its own: as many times the channels, which
/// are then moved into the depth.
fn side_by_side(
    cx: &mut Context,
    volume: Volume,
    op: ConvTranspose,
    w: Weights,
    bias: Option<TensorId>,
    [kd, before, count]: [usize; 3],
) -> Result<Vec<TensorId>, Stop> {
    let ([c, per_group], groups) = (w.channels, op.groups);
    let [_, kh, kw] = w.kernel[..] else { return Err(Stop::because("its weights are not of rank 5")) };
    let outputs = [kd, per_group].iter().try_fold(groups, |n, &m| n.checked_mul(m));
    let outputs = outputs.ok_or_else(|| Stop::because("its channels overflow"))?;
    let ohwi = cx.reordered_weights(
        w.id,
        "ohwi",
        &[groups, c / groups, per_group, kd, kh, kw],
        &[0, 3, 2, 4, 5, 1],
        &[outputs, kh, kw, c / groups],
    )?;
    // The bias once for each of the slices: group, slice, channel.
    let bias = match bias {
        None => None,
        Some(bias) => {
            let order = (0..groups).flat_map(|g| (0..kd).map(move |_| g));
            let order = order.flat_map(|g| (0..per_group).map(move |o| (g * per_group + o) as i64));
            let order = cx.int_vector("bias_order", &order.collect::<Vec<_>>())?;
            Some(cx.inner("bias", Gather { axis: 0 }, &[Some(bias), Some(order)])?)
        }
    };
    let images = volume.images(cx, "images")?;
    let y = cx.core("result", op, &[Some(images), Some(ohwi), bias])?;
    let [h, k, _] = image_dims(cx, y)?;
    let mut made =
        Volume { id: y, batch: volume.batch, dims: [volume.dims[0] * kd, h, k, groups * per_group] };
    made.id = made.seen(cx, "parts", &[volume.dims[0], h, k, groups, kd, per_group])?;
    let perm = vec![0, 1, 5, 2, 3, 4, 6];
    made.id = cx.inner("moved", Transpose { perm }, &[Some(made.id)])?;
    made.id = made.seen(cx, "volume", &made.dims.clone())?;
    if count < made.dims[0] {
        let bounds = [("from", before), ("to", before + count), ("axis", 1)];
        let mut inputs = vec![Some(made.id)];
        for (tag, value) in bounds {
            inputs.push(Some(cx.int_vector(tag, &[value as i64])?));
        }
        let id = cx.inner("inside", Slice {}, &inputs)?;
        made = made.deep(id, count);
    }
    made.finish(cx)
}

/// Where they overlap, every output slice is computed from the slices below its kernel, of a volume with zeros between
/// its own.
fn overlapping(
    cx: &mut Context,
    mut volume: Volume,
    op: ConvTranspose,
    w: Weights,
    bias: Option<TensorId>,
    [depth, plane]: [&Window; 2],
    [cut, count]: [usize; 2],
) -> Result<Vec<TensorId>, Stop> {
    let ([c, per_group], groups) = (w.channels, op.groups);
    let (kd, [kh, kw], stride) = (depth.kernel[0], plane.kernel, depth.strides[0]);
    let overflow = || Stop::because("its sizes overflow");
    if stride > 1 {
        let [d, h, k, c] = volume.dims;
        let slice = h.checked_mul(k).and_then(|n| n.checked_mul(c)).ok_or_else(overflow)?;
        let rows = volume.seen(cx, "rows", &[d, 1, slice])?;
        let zeros = i64::try_from(stride - 1).map_err(|_| overflow())?;
        let pads = cx.int_vector("between", &[0, 0, 0, 0, 0, 0, zeros, 0])?;
        let op = Pad { mode: PadMode::Constant };
        let spread = cx.inner("spread", op, &[Some(rows), Some(pads), None])?;
        volume = volume.deep(spread, d.checked_mul(stride).ok_or_else(overflow)?);
        volume.id = volume.seen(cx, "spread_volume", &volume.dims.clone())?;
    }
    // Output slice o gets tap k from the slice o + cut - k * dilation, which lies `before` further behind.
    let before = (depth.reach(0) - 1).saturating_sub(cut);
    let first: Vec<usize> = (0..kd).map(|k| before + cut - k * depth.dilations[0]).collect();
    let last = first.iter().max().map_or(0, |&first| first + count);
    let after = last.saturating_sub(before + volume.dims[0]);
    let volume = padded(cx, volume, [before, after])?;
    let images = Taps { first, stride: 1, count }.gather(cx, &volume, groups)?;
    let ohwi = cx.reordered_weights(
        w.id,
        "ohwi",
        &[groups, c / groups, per_group, kd, kh, kw],
        &[0, 2, 4, 5, 3, 1],
        &[groups * per_group, kh, kw, kd.checked_mul(c / groups).ok_or_else(overflow)?],
    )?;
    let y = cx.core("result", op, &[Some(images), Some(ohwi), bias])?;
    stacked(cx, y, volume.batch, count)?.finish(cx)
}
