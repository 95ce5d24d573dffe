//! Einstein sums, against a loop over all indices. Values are small integers: floats are exact.

use crate::build::*;
use crate::control::session;
use std::collections::BTreeMap;

/// How long the dimension of this name is.
fn length(label: char) -> usize {
    match label {
        'b' => 2,
        'h' => 3,
        'i' => 4,
        'j' => 5,
        'k' => 2,
        _ => 3,
    }
}

fn dims(labels: &str) -> Vec<usize> {
    labels.chars().map(length).collect()
}

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) / 13 % 7) as f32 - 3.0).collect()
}

fn place(labels: &str, at: &BTreeMap<char, usize>) -> usize {
    labels.chars().fold(0, |i, l| i * length(l) + at[&l])
}

/// The sum over all names.
fn summed(inputs: &[&str], output: &str, values: &[Vec<f32>]) -> Vec<f32> {
    let mut names: Vec<char> = inputs.concat().chars().collect();
    names.sort_unstable();
    names.dedup();
    let mut y = vec![0.0; dims(output).iter().product()];
    for mut i in 0..names.iter().map(|&l| length(l)).product::<usize>() {
        let mut at = BTreeMap::new();
        for &name in &names {
            at.insert(name, i % length(name));
            i /= length(name);
        }
        let factors = inputs.iter().zip(values).map(|(labels, v)| v[place(labels, &at)]);
        y[place(output, &at)] += factors.product::<f32>();
    }
    y
}

fn as_i64(dims: &[usize]) -> Vec<i64> {
    dims.iter().map(|&d| d as i64).collect()
}

fn check(equation: &str, inputs: &[&str], output: &str) {
    let values: Vec<Vec<f32>> =
        inputs.iter().enumerate().map(|(i, l)| numbers(dims(l).iter().product(), i)).collect();
    let want = summed(inputs, output, &values);
    // All factors computed, and all but the first constant.
    for constants in [false, true] {
        let mut model = Builder::new(13);
        for (i, labels) in inputs.iter().enumerate() {
            let (name, dims) = (format!("x{i}"), as_i64(&dims(labels)));
            model = match constants && i > 0 {
                true => model.constant(floats(&name, &dims, &values[i])),
                false => model.input(&name, &dims),
            };
        }
        let names: Vec<String> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
        let model = model.node("Einsum", &names.join(" "), "y", &[text("equation", equation)]).output("y");
        let mut session = session(model.graph_of(), &[]).unwrap_or_else(|e| panic!("{equation}: {e}"));
        for (i, values) in values.iter().enumerate().take(session.inputs().len()) {
            session.input_mut::<f32>(i).unwrap().copy_from_slice(values);
        }
        session.run().unwrap();
        assert_eq!(session.outputs()[0].shape, dims(output), "{equation}");
        assert_eq!(session.output::<f32>(0).unwrap(), want, "{equation}, constants: {constants}");
    }
}

#[test]
fn equations_give_their_sums() {
    for equation in [
        "ij,jk->ik",
        "ij,jk->ki",
        "bij,bjk->bik",
        "bihk,bjhk->bhij",
        "bhij,bjhk->bihk",
        "bij,jk->bik",
        "ij,bjk->bik",
        "bij,hkj->bihk",
        "bijk,hjk->bih",
        "ij,ij->ij",
        "ij,ij->",
        "ij,ij->j",
        "i,j->ij",
        "ij,k->kji",
        "bij->bji",
        "bij->i",
        "bij->",
        "ij,jk,kh->ih",
        "bi,bj,bk->ijk",
        "bi,ij,h->bh",
        "j,j->",
        "bj,j->b",
        "j,bj->b",
    ] {
        let (left, output) = equation.split_once("->").unwrap();
        check(equation, &left.split(',').collect::<Vec<_>>(), output);
    }
    check("i j, j k", &["ij", "jk"], "ik");
    check("ji,kj", &["ji", "kj"], "ik");
    check("...ij,...jk->...ik", &["bhij", "bhjk"], "bhik");
    check("...j->j...", &["bij"], "jbi");
    check("...ij,...jk", &["bhij", "bhjk"], "bhik");
}

#[test]
fn products_with_weights_are_linear_layers() {
    let model = Builder::new(13).input("x", &[2, 5, 3, 4]).constant(counting("w", &[3, 4, 6]));
    let equation = text("equation", "bshd,hde->bse");
    let g = model.node("Einsum", "x w", "y", &[equation]).output("y").graph_of();
    assert_eq!(dims_of_weights(&g), [6, 12]);
}

fn dims_of_weights(g: &ottava::graph::Graph) -> Vec<usize> {
    crate::build::dims(g, only(g, "Linear").input(1).unwrap())
}

#[test]
fn equations_that_don_t_fit_are_refused() {
    let model = |equation: &str| {
        let model = Builder::new(13).input("x", &[3, 3]).input("y", &[3, 4]);
        model.node("Einsum", "x y", "z", &[text("equation", equation)]).output("z")
    };
    for (equation, why) in [
        ("ij->ij", "does not name all inputs"),
        ("ij,j->i", "does not name the dimensions"),
        ("ii,ij->j", "diagonal"),
        ("ij,jk->iz", "no input has"),
        ("ij,jk->ii", "twice"),
        ("ij,ij->i", "3 and 4 long"),
        ("i1,1k->ik", "other signs"),
    ] {
        let refusal = model(equation).refusal();
        assert!(refusal.contains(why), "{equation}: {refusal}");
    }
}
