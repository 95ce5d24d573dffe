//! `MatMulNBits`: products with weights of a few bits that share scales in blocks.
//!
//! The file keeps the packed bits; floats are made of them once, when a session is made: the same reals as ONNX Runtime
//! computes, `(q - zero_point) * scale`.

use super::super::context::{Context, Stop};
use super::of_two;
use crate::graph::{BinaryKind, Clamp, DType, Data, Linear, Reshape, Slice, TensorId, Unpack};

/// How the weights `[n, k]` are stored: each row in blocks, each block in whole bytes.
struct Layout {
    n: usize,
    k: usize,
    bits: usize,
    block: usize,
    /// Blocks of a row.
    blocks: usize,
}

impl Layout {
    fn read(cx: &Context) -> Result<Layout, Stop> {
        let mut attrs = cx.attrs();
        let mut size = |name: &'static str| -> Result<usize, Stop> {
            let value =
                attrs.int(name)?.ok_or_else(|| Stop::because(format!("attribute '{name}' is missing")))?;
            usize::try_from(value)
                .ok()
                .filter(|&v| v > 0)
                .ok_or_else(|| Stop::because(format!("attribute '{name}' is {value}, it must be positive")))
        };
        let (k, n, block) = (size("K")?, size("N")?, size("block_size")?);
        let bits = attrs.int_or("bits", 4)?;
        // How exactly the product is to be computed: it is in f32.
        attrs.ignore(&["accuracy_level", "weight_prepacked"]);
        attrs.finish()?;
        let bits = match bits {
            2 | 4 | 8 => bits as usize,
            other => return Err(Stop::because(format!("weights of {other} bits are not supported"))),
        };
        if block % 8 != 0 {
            return Err(Stop::because(format!("blocks of {block} weights don't fill whole bytes")));
        }
        Ok(Layout { n, k, bits, block, blocks: k.div_ceil(block) })
    }

    /// The middle of the unsigned integers: what stands for 0 where no zero points are given.
    fn middle(&self) -> u8 {
        1 << (self.bits - 1)
    }

    /// Rows times blocks.
    fn all_blocks(&self) -> Option<usize> {
        self.n.checked_mul(self.blocks)
    }
}

pub(super) fn matmul(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let layout = Layout::read(cx)?;
    let (x, w, scales) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (zeros, order, bias) = (cx.optional(3)?, cx.optional(4)?, cx.optional(5)?);
    cx.need_float(x)?;
    if order.is_some() {
        return Err(Stop::because("weights in another order (input 4) are not supported"));
    }
    let too_large = || Stop::because("its 'K' and 'N' are too large");
    let rows = layout.all_blocks().ok_or_else(too_large)?;
    let codes = codes(cx, w, &layout, rows)?;
    let mut reals = cx.cast("float", codes, DType::F32)?;
    if let Some(zeros) = zeros {
        let zeros = zero_points(cx, zeros, &layout, rows)?;
        reals = cx.inner("moved", of_two(BinaryKind::Sub), &[Some(reals), Some(zeros)])?;
    }
    let scales = column(cx, scales, rows, "scales")?;
    reals = cx.inner("scaled", of_two(BinaryKind::Mul), &[Some(reals), Some(scales)])?;
    let padded = layout.blocks.checked_mul(layout.block).ok_or_else(too_large)?;
    let [n, all, k] = [layout.n, padded, layout.k].map(|v| i64::try_from(v).unwrap_or(i64::MAX));
    let shape = cx.int_vector("shape", &[n, all])?;
    reals = cx.inner("rows", Reshape { allow_zero: false }, &[Some(reals), Some(shape)])?;
    if all != k {
        let [from, to, axis] = [("from", 0), ("to", k), ("axis", 1)].map(|(tag, v)| cx.int_vector(tag, &[v]));
        reals = cx.inner("cut", Slice {}, &[Some(reals), Some(from?), Some(to?), Some(axis?)])?;
    }
    cx.emit(Linear { clamp: Clamp::NONE }, &[Some(x), Some(reals), bias])
}

/// The weights as i8 `[rows, block]`: what is stored, less the middle.
fn codes(cx: &mut Context, w: TensorId, layout: &Layout, rows: usize) -> Result<TensorId, Stop> {
    let bytes = bytes(cx, w, "weights")?;
    let wanted = rows.checked_mul(layout.block / 8 * layout.bits);
    if wanted != Some(bytes.len()) {
        let (found, Layout { n, k, .. }) = (bytes.len(), layout);
        return Err(Stop::because(format!(
            "its weights have {found} bytes, which are not {n} times {k} weights"
        )));
    }
    // Less the middle is the same as with the highest bit flipped, in two's complement.
    let flip = match layout.bits {
        2 => 0xaa,
        4 => 0x88,
        _ => 0x80,
    };
    let signed: Vec<u8> = bytes.iter().map(|b| b ^ flip).collect();
    let dims = [rows, layout.block];
    if layout.bits == 8 {
        return cx.constant("codes", DType::I8, &dims, Data::from_bytes(&signed));
    }
    let packed = cx.constant("packed", DType::U8, &[signed.len()], Data::from_bytes(&signed))?;
    cx.inner("codes", Unpack { bits: layout.bits, dims: dims.to_vec() }, &[Some(packed)])
}

/// Zero points less the middle, as floats `[rows, 1]`: given as floats, or packed as the weights are.
fn zero_points(cx: &mut Context, zeros: TensorId, layout: &Layout, rows: usize) -> Result<TensorId, Stop> {
    let middle = f32::from(layout.middle());
    let values: Vec<f32> = match cx.const_floats(zeros) {
        Some(values) => values.iter().map(|v| v - middle).collect(),
        None => {
            let bytes = bytes(cx, zeros, "zero points")?;
            let per_byte = 8 / layout.bits;
            let mask = (1u16 << layout.bits) as u8;
            let mask = mask.wrapping_sub(1);
            let row = bytes.chunks(layout.blocks.div_ceil(per_byte));
            let one = |row: &[u8], i: usize| (row[i / per_byte] >> (i % per_byte * layout.bits)) & mask;
            let whole = row.filter(|row| row.len() == layout.blocks.div_ceil(per_byte));
            whole.flat_map(|row| (0..layout.blocks).map(move |i| f32::from(one(row, i)) - middle)).collect()
        }
    };
    if values.len() != rows {
        return Err(Stop::because(format!("it has {} zero points for {rows} blocks", values.len())));
    }
    cx.constant("zeros", DType::F32, &[rows, 1], Data::from_slice(&values))
}

/// Floats, one per block, as `[rows, 1]`.
fn column(cx: &mut Context, scales: TensorId, rows: usize, tag: &str) -> Result<TensorId, Stop> {
    let values = cx.const_floats(scales).filter(|values| values.len() == rows);
    let values = values.ok_or_else(|| {
        Stop::because(format!("its scales must be constants, one for each of {rows} blocks"))
    })?;
    cx.constant(tag, DType::F32, &[rows, 1], Data::from_slice(&values))
}

fn bytes(cx: &Context, id: TensorId, what: &str) -> Result<Vec<u8>, Stop> {
    match (cx.dtype(id), cx.data(id)) {
        (DType::U8, Some(data)) => Ok(data.bytes().to_vec()),
        _ => Err(Stop::because(format!("its {what} must be a constant of u8"))),
    }
}
