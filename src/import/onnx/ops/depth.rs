//! Blocks of pixels to channels and back.

use super::super::attrs::Attrs;
use super::super::context::{Context, Stop};
use crate::graph::{Dim, Reshape, TensorId, Transpose};

/// `[N, C, H, W]` with all but N known, and the block.
struct Blocks {
    batch: i64,
    dims: [i64; 3],
    block: i64,
}

fn blocks(cx: &Context, x: TensorId, block: i64) -> Result<Blocks, Stop> {
    let shape = cx.shape(x);
    let number = |d: Dim| d.fixed().and_then(|n| i64::try_from(n).ok());
    let known = match shape[..] {
        [n, c, h, w] => [c, h, w].map(number).into_iter().collect::<Option<Vec<i64>>>().map(|v| (n, v)),
        _ => {
            return Err(Stop::because(format!(
                "its input has rank {}, it must be [N, C, H, W]",
                shape.rank()
            )));
        }
    };
    let Some((n, dims)) = known else {
        return Err(Stop::because("its channels, height and width must be fixed: export the model so"));
    };
    if !(1..=1 << 15).contains(&block) {
        return Err(Stop::because(format!("attribute 'blocksize' is {block}")));
    }
    // Zero copies the batch.
    Ok(Blocks { batch: number(n).unwrap_or(0), dims: [dims[0], dims[1], dims[2]], block })
}

/// True for depth-column-row, the order in which the blocks come first.
fn blocks_first(attrs: &mut Attrs) -> Result<bool, Stop> {
    match attrs.text_or("mode", "DCR")? {
        "DCR" => Ok(true),
        "CRD" => Ok(false),
        other => Err(Stop::because(format!("attribute 'mode' is '{other}': not DCR or CRD"))),
    }
}

fn block_size(attrs: &mut Attrs) -> Result<i64, Stop> {
    attrs.int("blocksize")?.ok_or_else(|| Stop::because("attribute 'blocksize' is missing"))
}

/// Seen in six dimensions, reordered, seen in four.
fn moved(
    cx: &mut Context,
    x: TensorId,
    seen: [i64; 6],
    perm: [usize; 6],
    to: [i64; 4],
) -> Result<Vec<TensorId>, Stop> {
    let seen = cx.int_vector("blocks", &seen)?;
    let x = cx.inner("seen", Reshape { allow_zero: false }, &[Some(x), Some(seen)])?;
    let x = cx.core("moved", Transpose { perm: perm.to_vec() }, &[Some(x)])?;
    let to = cx.int_vector("shape", &to)?;
    cx.last("joined", Reshape { allow_zero: false }, &[Some(x), Some(to)])
}

pub(super) fn depth_to_space(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let block = block_size(&mut attrs)?;
    let first = blocks_first(&mut attrs)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let Blocks { batch: n, dims: [c, h, w], block: b } = blocks(cx, x, block)?;
    if c % (b * b) != 0 {
        return Err(Stop::because(format!("{c} channels are not blocks of {b} x {b}")));
    }
    let c = c / (b * b);
    let to = [n, c, h * b, w * b];
    match first {
        true => moved(cx, x, [n, b, b, c, h, w], [0, 3, 4, 1, 5, 2], to),
        false => moved(cx, x, [n, c, b, b, h, w], [0, 1, 4, 2, 5, 3], to),
    }
}

pub(super) fn space_to_depth(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let block = block_size(&mut attrs)?;
    let first = cx.opset() < 28 || blocks_first(&mut attrs)?;
    attrs.finish()?;
    let x = cx.input(0)?;
    let Blocks { batch: n, dims: [c, h, w], block: b } = blocks(cx, x, block)?;
    if h % b != 0 || w % b != 0 {
        return Err(Stop::because(format!("{h} x {w} pixels are not blocks of {b} x {b}")));
    }
    let seen = [n, c, h / b, b, w / b, b];
    let to = [n, c * b * b, h / b, w / b];
    match first {
        true => moved(cx, x, seen, [0, 3, 5, 1, 2, 4], to),
        false => moved(cx, x, seen, [0, 1, 3, 5, 2, 4], to),
    }
}
