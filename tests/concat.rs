//! Parts of concatenations are computed in place, and nobody sees a difference.

mod common;

use common::integer::Net;
use common::nets::{binary, conv, doubling, noise, pool, unary};
use ottava::graph::*;
use ottava::{Model, Session, SessionOptions};
use ottava_kernels::Isa;
use std::collections::HashMap;

/// Concatenations of what every kernel makes that can leave room between its rows; these parts and the wholes.
fn joined() -> (Net, Vec<TensorId>, Vec<TensorId>) {
    let mut net = Net::new(5);
    let x = net.b.input("x", DType::F32, Shape::fixed(&[2, 10, 14, 3]));

    let q = net.quantize(x);
    let [a, b, c, d] = [80, 5, 64, 65].map(|oc| net.conv(q, oc, [3, 3], 1, 1));
    let (scale, zero) = net.b.graph().tensor(a).quant.as_ref().unwrap().single().unwrap();
    let most = net.same("most", pool(PoolKind::Max), &[c], scale, zero);
    let mean = net.same("mean", pool(PoolKind::Average), &[c], scale, zero);
    let deep = net.conv(d, 65, [3, 3], 1, 65);
    let deep = net.same("deep", Requantize {}, &[deep], scale, zero);
    let down = net.conv(q, 16, [3, 3], 2, 1);
    let up = net.conv_transpose(down, 7);
    let gate = net.same("gate", unary(UnaryKind::Sigmoid), &[up], scale, zero);
    let linear = net.linear(c, 9);
    let linear = net.same("linear", Requantize {}, &[linear], scale, zero);
    // Short rows, requantized ones, tables and sums have places of their own.
    let sum = net.same("sum", binary(BinaryKind::Add), &[d, d], scale, zero);
    let bytes = vec![a, b, most, mean, deep, gate, linear];
    let inputs: Vec<_> = bytes.iter().copied().chain([sum]).collect();
    let whole = net.same("bytes", Concat { axis: 3 }, &inputs, scale, zero);

    let mut weights = |name: &str, dims: &[usize]| {
        let values = noise(dims[0] as u64, dims.iter().product());
        net.b.f32s(name, dims, &values)
    };
    let w = ["fa", "fb", "fc", "fd"].map(|name| weights(name, &[18, 3, 3, 3]));
    let (deep_w, up_w, lin_w) =
        (weights("fdeep", &[18, 3, 3, 1]), weights("fup", &[16, 2, 2, 3]), weights("flin", &[20, 18]));
    let b = &mut net.b;
    let f = w.map(|w| b.node("", conv(1, 1), &[x, w]).unwrap());
    let most = b.node("", pool(PoolKind::Max), &[f[1]]).unwrap();
    let deep = b.node("", conv(18, 1), &[f[1], deep_w]).unwrap();
    let linear = b.node("", Linear { clamp: Clamp::NONE }, &[f[1], lin_w]).unwrap();
    let reals = vec![f[0], deep, most, linear];
    let real = b.node("reals", Concat { axis: 3 }, &reals).unwrap();
    let ups = [(); 2].map(|()| b.node("", doubling(), &[x, up_w]).unwrap());
    let lines = b.node("channels", Concat { axis: 3 }, &ups).unwrap();
    let images = b.node("images", Concat { axis: 0 }, &f[2..]).unwrap();

    let parts = bytes.into_iter().chain(reals).chain(ups).chain(f[2..].iter().copied()).collect();
    (net, parts, vec![whole, real, lines, images])
}

fn session(model: &Model, isa: Isa, threads: usize) -> Session {
    let mut session = model.session(&SessionOptions { isa, threads, ..Default::default() }).unwrap();
    let x = session.input_mut::<f32>(0).unwrap();
    let values = noise(3, x.len());
    x.copy_from_slice(&values);
    session
}

fn kernels(session: &Session) -> Vec<&str> {
    session.steps().iter().filter(|s| s.op == "Concat").map(|s| s.kernel.as_str()).collect()
}

#[test]
fn parts_are_computed_in_place() {
    let (net, parts, wholes) = joined();
    let in_place = Model::from_graph(net.b.finish(&wholes).unwrap()).unwrap();
    // What a caller reads keeps a place of its own.
    let (net, _, _) = joined();
    let all: Vec<TensorId> = wholes.iter().chain(&parts).copied().collect();
    let copied = Model::from_graph(net.b.finish(&all).unwrap()).unwrap();
    for isa in Isa::available() {
        let mut copied = session(&copied, isa, 1);
        assert_eq!(kernels(&copied), ["concat-u8", "concat-f32", "concat-f32", "concat-f32"]);
        copied.run().unwrap();
        for threads in [1, 2, 3] {
            let mut session = session(&in_place, isa, threads);
            assert_eq!(kernels(&session), ["concat-u8", "view", "view", "view"]);
            session.run().unwrap();
            for i in 0..wholes.len() {
                let (whole, want) = (session.output_bytes(i).unwrap(), copied.output_bytes(i).unwrap());
                assert!(want.iter().any(|&byte| byte != want[0]), "output {i} says something");
                assert!(whole == want, "{isa}, {threads} threads, output {i}");
            }
        }
        let mut seen = HashMap::new();
        let mut session = session(&in_place, isa, 1);
        session.run_observed(&mut |id, bytes| drop(seen.insert(id, bytes.to_vec()))).unwrap();
        for (i, id) in all.iter().enumerate() {
            assert!(seen[id] == copied.output_bytes(i).unwrap(), "{isa}, observed output {i}");
        }
    }
}
