//! Einstein sums: products of tensors whose dimensions have names, as sums, transposes and matrix products.

use super::super::context::{Context, Stop};
use super::of_two;
use crate::graph::{BinaryKind, Clamp, Linear, MatMul, Reduce, ReduceKind, TensorId, Transpose, Unsqueeze};

/// The name of a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// One of those that an ellipsis stands for, counted from the left in the tensor that has most of them.
    Spread(usize),
    /// A letter.
    Named(char),
}

/// A tensor and the names of its dimensions.
#[derive(Clone, Debug)]
struct Term {
    id: TensorId,
    labels: Vec<Label>,
}

impl Term {
    fn has(&self, label: &Label) -> bool {
        self.labels.contains(label)
    }

    /// The labels that are kept.
    fn only(&self, keep: impl Fn(&Label) -> bool) -> Vec<Label> {
        self.labels.iter().copied().filter(|l| keep(l)).collect()
    }

    fn extent(&self, cx: &Context, label: Label) -> Option<usize> {
        cx.extent(self.id, self.labels.iter().position(|l| *l == label)?)
    }
}

pub(super) fn einsum(cx: &mut Context) -> Result<Vec<TensorId>, Stop> {
    let mut attrs = cx.attrs();
    let equation: String = attrs.text_or("equation", "")?.split_whitespace().collect();
    attrs.finish()?;
    let inputs = cx.inputs()?;
    for &id in &inputs {
        cx.need_float(id)?;
    }
    let (mut terms, output) = parse(cx, &equation, &inputs)?;
    check_extents(cx, &terms)?;
    let mut product = terms.remove(0);
    let count = terms.len();
    for (i, next) in terms.iter().enumerate() {
        let later = |l: &Label| output.contains(l) || terms[i + 1..].iter().any(|t| t.has(l));
        let tag = if count == 1 { "product".to_string() } else { format!("product{i}") };
        product = multiplied(cx, &tag, product, next.clone(), &later)?;
    }
    let product = summed(cx, "sum", product, &|l| output.contains(l))?;
    Ok(vec![ordered(cx, "ordered", &product, &output)?])
}

/// The named inputs, and the names of the output's dimensions.
fn parse(cx: &Context, equation: &str, inputs: &[TensorId]) -> Result<(Vec<Term>, Vec<Label>), Stop> {
    let wrong = |what: &str| Stop::because(format!("its equation '{equation}' {what}"));
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation, None),
    };
    let sides: Vec<&str> = left.split(',').collect();
    if sides.len() != inputs.len() {
        return Err(wrong("does not name all inputs"));
    }
    let named = |side: &str| side.replace("...", "").chars().count();
    let mut widest = 0;
    for (side, &id) in sides.iter().zip(inputs) {
        let (rank, letters) = (cx.rank(id), named(side));
        match rank.checked_sub(letters) {
            Some(rest) if rest == 0 || side.contains("...") => widest = widest.max(rest),
            _ => return Err(wrong("does not name the dimensions that its inputs have")),
        }
    }
    let labels = |side: &str, spread: usize| -> Result<Vec<Label>, Stop> {
        let spread = (widest - spread..widest).map(Label::Spread);
        let letters = |part: &str| part.chars().map(Label::Named).collect::<Vec<_>>();
        let labels: Vec<Label> = match side.split_once("...") {
            Some((before, behind)) => {
                letters(before).into_iter().chain(spread).chain(letters(behind)).collect()
            }
            None => letters(side),
        };
        match labels.iter().find(|l| matches!(l, Label::Named(c) if !c.is_ascii_alphabetic())) {
            Some(_) => Err(wrong("is made of other signs than letters, ',', '->' and one '...' per tensor")),
            None => Ok(labels),
        }
    };
    let mut terms = Vec::with_capacity(inputs.len());
    for (side, &id) in sides.iter().zip(inputs) {
        let labels = labels(side, cx.rank(id) - named(side))?;
        if (1..labels.len()).any(|i| labels[..i].contains(&labels[i])) {
            return Err(wrong("takes a diagonal, which is not supported"));
        }
        terms.push(Term { id, labels });
    }
    let mut all: Vec<Label> = terms.iter().flat_map(|t| t.labels.clone()).collect();
    all.sort_unstable();
    let output = match right {
        Some(right) => labels(right, if right.contains("...") { widest } else { 0 })?,
        // Names that stand there once, in order of the alphabet, behind those of an ellipsis.
        None => {
            let once = |l: &Label| all.iter().filter(|o| *o == l).count() == 1;
            let kept = |l: &Label| matches!(l, Label::Spread(_)) || once(l);
            let mut output: Vec<Label> = all.iter().copied().filter(kept).collect();
            output.dedup();
            output
        }
    };
    let repeats = (1..output.len()).any(|i| output[..i].contains(&output[i]));
    if repeats || output.iter().any(|l| !all.contains(l)) {
        return Err(wrong("gives out dimensions twice, or such that no input has"));
    }
    Ok((terms, output))
}

/// Refuses dimensions of one name that are not equally long.
fn check_extents(cx: &Context, terms: &[Term]) -> Result<(), Stop> {
    for (i, a) in terms.iter().enumerate() {
        for (b, &label) in terms[i + 1..].iter().flat_map(|b| a.labels.iter().map(move |l| (b, l))) {
            if let (Some(n), Some(m)) = (a.extent(cx, label), b.extent(cx, label))
                && n != m
            {
                return Err(Stop::because(format!("dimensions of one name are {n} and {m} long")));
            }
        }
    }
    Ok(())
}

/// The sum over all dimensions that are not kept.
fn summed(cx: &mut Context, tag: &str, term: Term, keep: &dyn Fn(&Label) -> bool) -> Result<Term, Stop> {
    let axes: Vec<usize> = (0..term.labels.len()).filter(|&i| !keep(&term.labels[i])).collect();
    if axes.is_empty() {
        return Ok(term);
    }
    let op = Reduce { kind: ReduceKind::Sum, axes, keep_dims: false };
    let id = cx.inner(tag, op, &[Some(term.id)])?;
    Ok(Term { id, labels: term.only(keep) })
}

/// The tensor with its dimensions in this order, which names all of them.
fn ordered(cx: &mut Context, tag: &str, term: &Term, order: &[Label]) -> Result<TensorId, Stop> {
    let perm: Option<Vec<usize>> =
        order.iter().map(|l| term.labels.iter().position(|own| own == l)).collect();
    let perm = perm.ok_or_else(|| Stop::because("its equation names a dimension that is gone"))?;
    match perm.is_sorted() {
        true => Ok(term.id),
        false => cx.inner(tag, Transpose { perm }, &[Some(term.id)]),
    }
}

/// The product of two tensors, summed over what neither the output nor a later factor has.
fn multiplied(
    cx: &mut Context,
    tag: &str,
    a: Term,
    b: Term,
    later: &dyn Fn(&Label) -> bool,
) -> Result<Term, Stop> {
    // Dimensions of one factor alone are summed before.
    let (first, second) = (a.clone(), b.clone());
    let a = summed(cx, &format!("{tag}_left"), a, &|l| later(l) || second.has(l))?;
    let b = summed(cx, &format!("{tag}_right"), b, &|l| later(l) || first.has(l))?;
    if a.labels.iter().all(|l| later(l) || !b.has(l)) {
        return elementwise(cx, tag, &a, &b);
    }
    // Weights stand on the right.
    let (a, b) = if cx.is_constant(a.id) && !cx.is_constant(b.id) { (b, a) } else { (a, b) };
    let batch = a.only(|l| b.has(l) && later(l));
    let along = a.only(|l| b.has(l) && !later(l));
    let (rows, columns) = (a.only(|l| !b.has(l)), b.only(|l| !a.has(l)));
    let labels = [&batch[..], &rows, &columns].concat();
    if batch.is_empty()
        && !rows.is_empty()
        && let Some(id) = by_weights(cx, tag, [&a, &b], [&rows, &along, &columns])?
    {
        return Ok(Term { id, labels });
    }
    let left = matrices(cx, &format!("{tag}_a"), &a, [&batch, &rows, &along])?;
    let right = matrices(cx, &format!("{tag}_b"), &b, [&batch, &along, &columns])?;
    let mut id = cx.inner(tag, MatMul { transpose_b: false }, &[Some(left), Some(right)])?;
    if rows.len() != 1 || columns.len() != 1 {
        let mut sizes = vec![0; batch.len()];
        for (term, labels) in [(&a, &rows), (&b, &columns)] {
            sizes.extend(labels.iter().map(|&l| size(term.extent(cx, l))));
        }
        id = viewed(cx, &format!("{tag}_apart"), id, &sizes)?;
    }
    Ok(Term { id, labels })
}

/// A length as Reshape takes it, -1 if it is not known.
fn size(extent: Option<usize>) -> i64 {
    extent.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1)
}

/// The same elements in another shape, of which one length may be left to find out.
fn viewed(cx: &mut Context, tag: &str, id: TensorId, sizes: &[i64]) -> Result<TensorId, Stop> {
    if sizes.iter().filter(|&&n| n == -1).count() > 1 {
        return Err(Stop::because(
            "more than one dimension that it joins or takes apart is free: give inputs shapes",
        ));
    }
    cx.viewed(tag, id, sizes)
}

/// The tensor as matrices: dimensions of the batch, then two groups that each become one dimension.
fn matrices(
    cx: &mut Context,
    tag: &str,
    term: &Term,
    [batch, first, second]: [&[Label]; 3],
) -> Result<TensorId, Stop> {
    let id = ordered(cx, tag, term, &[batch, first, second].concat())?;
    if first.len() == 1 && second.len() == 1 {
        return Ok(id);
    }
    let mut sizes = vec![0; batch.len()];
    for group in [first, second] {
        sizes.push(joined(cx, term, group)?);
    }
    viewed(cx, &format!("{tag}_joined"), id, &sizes)
}

/// The product of a group's lengths, -1 if it is not known.
fn joined(cx: &Context, term: &Term, group: &[Label]) -> Result<i64, Stop> {
    let mut product = Some(1usize);
    for &label in group {
        let extent = term.extent(cx, label);
        if extent == Some(0) {
            return Err(Stop::because("it joins dimensions of which one is 0 long"));
        }
        product = product.zip(extent).and_then(|(n, m)| n.checked_mul(m));
    }
    Ok(size(product))
}

/// The product with constant weights, which need no matrix on the left: rows may lie along any number of dimensions.
fn by_weights(
    cx: &mut Context,
    tag: &str,
    [a, b]: [&Term; 2],
    [rows, along, columns]: [&[Label]; 3],
) -> Result<Option<TensorId>, Stop> {
    let Some(dims) = cx.shape(b.id).dims().filter(|_| cx.is_constant(b.id)) else { return Ok(None) };
    let order: Vec<Label> = columns.iter().chain(along).copied().collect();
    let place = |l: &Label| b.labels.iter().position(|own| own == l);
    let Some(perm) = order.iter().map(place).collect::<Option<Vec<usize>>>() else { return Ok(None) };
    let product = |labels: &[Label]| {
        labels.iter().filter_map(place).try_fold(1usize, |n, axis| n.checked_mul(dims[axis]))
    };
    let (Some(n), Some(k)) = (product(columns), product(along)) else { return Ok(None) };
    if n == 0 || k == 0 {
        return Ok(None);
    }
    let weights = cx.reordered_weights(b.id, "nk", &dims, &perm, &[n, k])?;
    let mut x = ordered(cx, &format!("{tag}_rows"), a, &[rows, along].concat())?;
    if along.len() != 1 {
        let sizes = [vec![0; rows.len()], vec![joined(cx, a, along)?]].concat();
        x = viewed(cx, &format!("{tag}_row"), x, &sizes)?;
    }
    let y = cx.core(tag, Linear { clamp: Clamp::NONE }, &[Some(x), Some(weights), None])?;
    if columns.len() == 1 {
        return Ok(Some(y));
    }
    let mut sizes = vec![0; rows.len()];
    sizes.extend(columns.iter().map(|&l| size(b.extent(cx, l))));
    viewed(cx, &format!("{tag}_apart"), y, &sizes).map(Some)
}

/// The product where nothing is summed: each factor with dimensions of length 1 for those that it does not have.
fn elementwise(cx: &mut Context, tag: &str, a: &Term, b: &Term) -> Result<Term, Stop> {
    let labels = [a.labels.clone(), b.only(|l| !a.has(l))].concat();
    let mut factors = vec![];
    for (side, term) in [("a", a), ("b", b)] {
        let own: Vec<Label> = labels.iter().copied().filter(|l| term.has(l)).collect();
        let mut id = ordered(cx, &format!("{tag}_{side}"), term, &own)?;
        let axes: Vec<usize> = (0..labels.len()).filter(|&i| !term.has(&labels[i])).collect();
        if !axes.is_empty() {
            id = cx.inner(&format!("{tag}_{side}_wide"), Unsqueeze { axes }, &[Some(id)])?;
        }
        factors.push(Some(id));
    }
    let op = of_two(BinaryKind::Mul);
    Ok(Term { id: cx.inner(tag, op, &factors)?, labels })
}
