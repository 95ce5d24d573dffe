//! Shapes of recurrent layers.

use super::super::*;
use super::dims::{Extent, agree};
use super::site::{Rule, Site};

/// The extents of all states, the last state and the last cell state, as many as the node gives.
pub(super) fn outputs(site: &Site, op: &Recurrent) -> Rule<Vec<Vec<Extent>>> {
    let [a, b, input] = site.ranked(0, "[T, N, I] or [N, T, I]")?;
    let (time, batch) = if op.batch_first { (b, a) } else { (a, b) };
    let [_, hidden] = site.ranked(2, "[D*G*H, H]")?;
    let directions = op.direction.count();
    if op.functions.len() != directions * op.cell.functions() {
        let (are, should) = (op.functions.len(), directions * op.cell.functions());
        return Err(format!("has {are} functions of gates, its cell needs {should}"));
    }
    if !(op.clip >= 0.0 && op.cell_clip >= 0.0) {
        return Err(format!("clips at {} and {}, both must be positive", op.clip, op.cell_clip));
    }
    let times = |n: usize| match hidden {
        Dim::Fixed(h) => match h.checked_mul(n) {
            Some(rows) => Ok(Some(Dim::Fixed(rows))),
            None => Err(format!("its hidden size {h} is too large")),
        },
        Dim::Free(_) => Ok(None),
    };
    let rows = times(directions * op.cell.gates())?;
    let bias = times(2 * op.cell.gates())?;
    let peepholes = times(3)?;
    let d = Dim::Fixed(directions);
    let state = if op.batch_first { [batch, d, hidden] } else { [d, batch, hidden] };
    check(site, 1, &[rows, Some(input)])?;
    check(site, 2, &[rows, Some(hidden)])?;
    let sums = times(op.cell.gates())?;
    let joined = site.optional(3)?.is_some_and(|b| b.shape.get(1).copied() == sums);
    check(site, 3, &[Some(d), if joined { sums } else { bias }])?;
    check(site, 4, &[Some(batch)])?;
    check(site, 5, &state.map(Some))?;
    check(site, 6, &state.map(Some))?;
    check(site, 7, &[Some(d), peepholes])?;
    let all = if op.batch_first { vec![batch, time, d, hidden] } else { vec![time, d, batch, hidden] };
    let shapes = [all, state.to_vec(), state.to_vec()];
    Ok(shapes.into_iter().take(site.count).map(|s| s.into_iter().map(Some).collect()).collect())
}

/// The extents of all states, the last state and the last cell state.
pub(super) fn integer_outputs(site: &Site, op: &IntegerLstm) -> Rule<Vec<Vec<Extent>>> {
    let [a, b, input] = site.ranked(0, "[T, N, I] or [N, T, I]")?;
    let batch = if op.batch_first { a } else { b };
    let [rows, hidden] = site.ranked(2, "[4*H, H]")?;
    if let (Dim::Fixed(rows), Dim::Fixed(hidden)) = (rows, hidden)
        && hidden.checked_mul(4) != Some(rows)
    {
        return Err(format!("its {hidden} hidden units have {rows} rows of weights, not four each"));
    }
    if op.cell_clip.is_nan() || op.cell_clip <= 0.0 {
        return Err(format!("clips its cell state at {}, that must be positive", op.cell_clip));
    }
    check(site, 1, &[Some(rows), Some(input)])?;
    check(site, 3, &[Some(rows)])?;
    let state = [Some(batch), Some(hidden)];
    check(site, 4, &state)?;
    check(site, 5, &state)?;
    Ok(vec![vec![Some(a), Some(b), Some(hidden)], state.to_vec(), state.to_vec()])
}

/// Fails unless input `i` is left out or has this shape.
fn check(site: &Site, i: usize, wanted: &[Extent]) -> Rule<()> {
    let Some(tensor) = site.optional(i)? else { return Ok(()) };
    let fits = |(&is, &want): (&Dim, &Extent)| want.is_none_or(|want| agree(is, want).is_some());
    if tensor.shape.rank() == wanted.len() && tensor.shape.iter().zip(wanted).all(fits) {
        return Ok(());
    }
    let (is, want) = (site.show(&tensor.shape), site.show_extents(wanted));
    Err(format!("input {i} ('{}') has the shape {is}, it must be {want}", tensor.name))
}
