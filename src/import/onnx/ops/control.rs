//! Branches and loops.
//!
//! The graph stays flat. Of a branch whose condition is known only the nodes of that branch are imported; otherwise
//! the nodes of both, and a `Merge` takes the value of the one that ran. Loops are unrolled: how often they run at most
//! must be known, and each round is one more copy of the body. Where the data end a loop, rounds behind that end are
//! branches that are not taken.

use super::super::context::{Context, Stop};
use super::axis;
use crate::graph::{Concat, DType, Data, Dim, Gather, Merge, Reshape, TensorId, Unsqueeze};

pub(super) fn branch(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let (then_branch, else_branch) = (attrs.graph("then_branch")?, attrs.graph("else_branch")?);
    attrs.finish()?;
    let condition = cx.input(0)?;
    if cx.dtype(condition) != DType::Bool {
        return Err(Stop::because(format!("its condition is {}, it must be bool", cx.dtype(condition))));
    }
    match cx.const_bool(condition) {
        Some(true) => return cx.body(then_branch, &[], "then"),
        Some(false) => return cx.body(else_branch, &[], "else"),
        None => {}
    }
    let one = cx.int_vector("one", &[1])?;
    let condition = cx.inner("condition", Reshape { allow_zero: false }, &[Some(condition), Some(one)])?;
    let a = cx.body(then_branch, &[], "then")?;
    let b = cx.body(else_branch, &[], "else")?;
    if a.len() != b.len() || a.len() < cx.named_outputs() {
        return Err(Stop::because(format!("its branches have {} and {} outputs", a.len(), b.len())));
    }
    let fit = a.iter().zip(&b).all(|(&a, &b)| merges(cx, a, b));
    cx.state.assumed += usize::from(!fit);
    let pick = |a, b| match (fit, cx.state.assume) {
        (true, _) => (Some(a), Some(b)),
        (false, true) => (Some(a), None),
        (false, false) => (None, Some(b)),
    };
    let values: Vec<(Option<TensorId>, Option<TensorId>)> =
        a.iter().zip(&b).map(|(&a, &b)| pick(a, b)).collect();
    let mut outputs = vec![];
    for (i, (a, b)) in values.into_iter().enumerate() {
        outputs.push(cx.inner(&format!("merge{i}"), Merge {}, &[Some(condition), a, b])?);
    }
    Ok(outputs)
}

/// True if one tensor can hold either value.
fn merges(cx: &Context, a: TensorId, b: TensorId) -> bool {
    let (a, b) = (cx.tensor(a), cx.tensor(b));
    let equal = |(a, b): (&Dim, &Dim)| a == b || a.fixed().is_none() || b.fixed().is_none();
    a.dtype == b.dtype
        && a.quant == b.quant
        && a.shape.rank() == b.shape.rank()
        && a.shape.iter().zip(b.shape.iter()).all(equal)
}

/// A loop unrolled may have this many rounds.
const MAX_ROUNDS: i64 = 1 << 14;

pub(super) fn repeat(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let body = attrs.graph("body")?;
    attrs.finish()?;
    let rounds = match cx.optional(0)? {
        None => i64::MAX,
        Some(id) => match cx.const_ints(id).as_deref() {
            Some(&[n]) => n,
            Some(_) => return Err(Stop::because("how often it runs is not one number")),
            None => {
                return Err(Stop::because(
                    "how often it runs must be a constant of integers or follow from shapes, which are given when the \
                     model is taken in (--shape NAME=AxB, ImportOptions::shapes)",
                ));
            }
        },
    };
    let mut going = match cx.optional(1)? {
        None => Going::Yes,
        Some(id) => Going::of(cx, "start", id)?,
    };
    let mut carried = (2..cx.node.input.len()).map(|i| cx.input(i)).collect::<Result<Vec<_>, _>>()?;
    let count = carried.len();
    let collects = (count..cx.node.output.len()).any(|i| cx.is_read(i));
    let mut collected: Vec<Vec<TensorId>> = vec![];
    let mut round = 0;
    while round < rounds && going != Going::No {
        if going != Going::Yes {
            open_end(rounds, collects)?;
        }
        if round == MAX_ROUNDS {
            return Err(Stop::because(format!("it runs more than {MAX_ROUNDS} times: it can't be unrolled")));
        }
        let tag = format!("round{round}");
        let mut inputs = vec![
            cx.constant(&format!("{tag}/number"), DType::I64, &[], Data::from_slice(&[round]))?,
            cx.constant(&format!("{tag}/going"), DType::Bool, &[], Data::from_bytes(&[1]))?,
        ];
        inputs.extend(&carried);
        let outputs = cx.body(body, &inputs, &tag)?;
        let (Some((&condition, outputs)), true) = (outputs.split_first(), outputs.len() > count) else {
            return Err(Stop::because(format!("its body gives {} values, too few", outputs.len())));
        };
        let (next, scanned) = outputs.split_at(count);
        match going {
            Going::Asked(open) => {
                for (i, (old, &new)) in carried.iter_mut().zip(next).enumerate() {
                    *old = kept(cx, &format!("{tag}/kept{i}"), open, new, *old)?;
                }
            }
            _ => carried = next.to_vec(),
        }
        collected.resize(scanned.len(), vec![]);
        for (all, &one) in collected.iter_mut().zip(scanned) {
            all.push(one);
        }
        round += 1;
        // A condition that nothing asks for need not be known.
        if round < rounds {
            going = going.after(cx, &tag, condition)?;
        }
    }
    if !collects {
        return Ok(carried);
    }
    for (i, all) in collected.into_iter().enumerate() {
        carried.push(stacked(cx, &format!("all{i}"), &all, 0)?);
    }
    if carried.len() < cx.named_outputs() {
        return Err(Stop::because("it never runs, so that what it collects has no shape"));
    }
    Ok(carried)
}

/// Whether a round of a loop runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Going {
    Yes,
    No,
    /// If this holds, a bool of one element.
    Asked(TensorId),
}

impl Going {
    fn of(cx: &mut Context, tag: &str, condition: TensorId) -> Result<Going, Stop> {
        match cx.const_bool(condition) {
            Some(true) => Ok(Going::Yes),
            Some(false) => Ok(Going::No),
            None if cx.dtype(condition) != DType::Bool => {
                Err(Stop::because(format!("its condition is {}, it must be bool", cx.dtype(condition))))
            }
            None => {
                let one = cx.int_vector(&format!("{tag}/one"), &[1])?;
                let inputs = [Some(condition), Some(one)];
                let asked = cx.inner(&format!("{tag}/asked"), Reshape { allow_zero: false }, &inputs)?;
                Ok(Going::Asked(asked))
            }
        }
    }

    /// Of the next round, where this one gives `condition`. A loop that has ended does not compute it.
    fn after(self, cx: &mut Context, tag: &str, condition: TensorId) -> Result<Going, Stop> {
        match (self, Going::of(cx, tag, condition)?) {
            (Going::Asked(open), Going::Yes) => Ok(Going::Asked(open)),
            (Going::Asked(open), Going::Asked(next)) => {
                let inputs = [Some(open), Some(next), Some(open)];
                Ok(Going::Asked(cx.inner(&format!("{tag}/going_on"), Merge {}, &inputs)?))
            }
            (_, next) => Ok(next),
        }
    }
}

/// Refuses a loop that ends when the data say so where all of its rounds can't stand in the graph.
fn open_end(rounds: i64, collects: bool) -> Result<(), Stop> {
    if collects {
        return Err(Stop::because(
            "whether it runs on depends on the data, so that what it collects has no fixed length: export the \
             model without that output or with a fixed number of rounds",
        ));
    }
    if rounds > MAX_ROUNDS {
        return Err(Stop::because(format!(
            "whether it runs on depends on the data: it must have a constant trip count of at most {MAX_ROUNDS} to be \
             unrolled"
        )));
    }
    Ok(())
}

/// What a round makes of a value if it runs, else the value.
fn kept(cx: &mut Context, tag: &str, open: TensorId, new: TensorId, old: TensorId) -> Result<TensorId, Stop> {
    if !merges(cx, new, old) {
        return Err(Stop::because(
            "whether it runs on depends on the data, and so does the shape of a value that it carries",
        ));
    }
    cx.inner(tag, Merge {}, &[Some(open), Some(new), Some(old)])
}

/// The values of all rounds as one tensor with a new dimension.
fn stacked(cx: &mut Context, tag: &str, all: &[TensorId], at: i64) -> Result<TensorId, Stop> {
    let Some(&first) = all.first() else {
        return Err(Stop::because("it never runs, so that what it collects has no shape"));
    };
    let axis = axis(at, cx.rank(first) + 1)?;
    let mut rows = Vec::with_capacity(all.len());
    for (i, &one) in all.iter().enumerate() {
        let op = Unsqueeze { axes: vec![axis] };
        rows.push(Some(cx.inner(&format!("{tag}/row{i}"), op, &[Some(one)])?));
    }
    cx.inner(tag, Concat { axis }, &rows)
}

/// A list of axes or directions, one per scanned tensor.
fn per_scan(given: Option<&[i64]>, count: usize, name: &str) -> Result<Vec<i64>, Stop> {
    match given {
        None => Ok(vec![0; count]),
        Some(given) if given.len() == count => Ok(given.to_vec()),
        Some(given) => {
            Err(Stop::because(format!("attribute '{name}' has {} values, not {count}", given.len())))
        }
    }
}

pub(super) fn scan(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let body = attrs.graph("body")?;
    let scanned = attrs.int_or("num_scan_inputs", 0)?;
    let [in_axes, in_directions, out_axes, out_directions] = [
        attrs.ints("scan_input_axes")?,
        attrs.ints("scan_input_directions")?,
        attrs.ints("scan_output_axes")?,
        attrs.ints("scan_output_directions")?,
    ];
    attrs.finish()?;
    let inputs = cx.inputs()?;
    let scanned = usize::try_from(scanned).ok().filter(|n| (1..=inputs.len()).contains(n));
    let scanned =
        scanned.ok_or_else(|| Stop::because("attribute 'num_scan_inputs' is not one of its inputs"))?;
    let (states, sequences) = inputs.split_at(inputs.len() - scanned);
    let collected = body.output.len().checked_sub(states.len());
    let collected = collected.ok_or_else(|| Stop::because("its body gives fewer values than it carries"))?;
    let in_axes = per_scan(in_axes, scanned, "scan_input_axes")?;
    let in_directions = per_scan(in_directions, scanned, "scan_input_directions")?;
    let out_axes = per_scan(out_axes, collected, "scan_output_axes")?;
    let out_directions = per_scan(out_directions, collected, "scan_output_directions")?;

    let mut rounds = None;
    let mut axes = vec![];
    for (&x, &given) in sequences.iter().zip(&in_axes) {
        let axis = axis(given, cx.rank(x))?;
        let len = cx.extent(x, axis).ok_or_else(|| {
            let name = &cx.tensor(x).name;
            Stop::because(format!(
                "it runs along dimension {axis} of '{name}', whose length is free: give it a length when the model is \
                 taken in (--shape NAME=AxB, ImportOptions::shapes)"
            ))
        })?;
        if *rounds.get_or_insert(len) != len {
            return Err(Stop::because("it runs along dimensions of different lengths"));
        }
        axes.push(axis);
    }
    let rounds = rounds.unwrap_or(0);
    if rounds as u64 > MAX_ROUNDS as u64 {
        return Err(Stop::because(format!("it runs more than {MAX_ROUNDS} times: it can't be unrolled")));
    }
    let mut carried = states.to_vec();
    let mut all: Vec<Vec<TensorId>> = vec![vec![]; collected];
    for round in 0..rounds {
        let tag = format!("round{round}");
        let mut inputs = carried.clone();
        for (i, &x) in sequences.iter().enumerate() {
            let at = if in_directions[i] == 0 { round } else { rounds - 1 - round };
            let at = Data::from_slice(&[at as i64]);
            let at = cx.constant(&format!("{tag}/at{i}"), DType::I64, &[], at)?;
            inputs.push(cx.inner(&format!("{tag}/in{i}"), Gather { axis: axes[i] }, &[Some(x), Some(at)])?);
        }
        let outputs = cx.body(body, &inputs, &tag)?;
        let (next, given) = outputs.split_at(states.len().min(outputs.len()));
        carried = next.to_vec();
        all.iter_mut().zip(given).for_each(|(all, &one)| all.push(one));
    }
    for (i, mut values) in all.into_iter().enumerate() {
        if out_directions[i] != 0 {
            values.reverse();
        }
        carried.push(stacked(cx, &format!("all{i}"), &values, out_axes[i])?);
    }
    Ok(carried)
}
