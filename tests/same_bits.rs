//! The same bits on every instruction set, for any number of threads.

mod common;

use common::integer::{Noise, one_of_everything};
use common::parts::parts;
use ottava::graph::DType;
use ottava::{Model, SessionOptions};
use ottava_kernels::Isa;
use ottava_kernels::isa::Level;

fn outputs(model: &Model, isa: Isa, threads: usize) -> Vec<Vec<u8>> {
    let mut session = model.session(&SessionOptions { isa, threads, ..Default::default() }).unwrap();
    let mut noise = Noise::new(3);
    session.input_mut::<f32>(0).unwrap().iter_mut().for_each(|x| *x = noise.unit() * 5.0 - 2.5);
    session.run().unwrap();
    let types: Vec<DType> = session.outputs().iter().map(|port| port.dtype).collect();
    let output = |(i, dtype)| {
        let mut bytes = session.output_bytes(i).unwrap().to_vec();
        if dtype == DType::F32 {
            bytes.chunks_exact_mut(4).for_each(one_nan);
        }
        bytes
    };
    types.into_iter().enumerate().map(output).collect()
}

/// What is not a number has bits that say where it came from: these are no promise.
fn one_nan(bytes: &mut [u8]) {
    if f32::from_le_bytes(bytes.try_into().unwrap()).is_nan() {
        bytes.copy_from_slice(&f32::NAN.to_le_bytes());
    }
}

#[test]
fn every_instruction_set_and_thread_count_gives_the_scalar_bits() {
    for size in [32, 75, 160] {
        let model = Model::from_graph(one_of_everything(size)).unwrap();
        let want = outputs(&model, Isa::SCALAR, 1);
        let spread: std::collections::HashSet<&u8> = want[1].iter().collect();
        assert!(spread.len() > 50, "the network has something to say: {} values", spread.len());
        for isa in Isa::available() {
            for threads in [1, 2, 3] {
                assert!(outputs(&model, isa, threads) == want, "{isa}, {threads} threads, {size} pixels");
            }
        }
    }
}

#[test]
fn so_do_all_families_of_operators() {
    for (name, graph) in parts() {
        let outs: Vec<String> = graph.outputs.iter().map(|&id| graph.tensor(id).name.clone()).collect();
        let model = Model::from_graph(graph).unwrap();
        let want = outputs(&model, Isa::SCALAR, 1);
        for isa in Isa::available() {
            for threads in [1, 3] {
                let got = outputs(&model, isa, threads);
                for ((got, want), out) in got.iter().zip(&want).zip(&outs) {
                    assert!(got == want, "{name}: '{out}' on {isa}, {threads} threads");
                    assert!(want.iter().any(|b| *b != want[0]) || want.len() < 8, "{name}: '{out}' is flat");
                }
            }
        }
    }
}

#[test]
fn a_product_behind_a_relu_reads_no_weights_of_zeros() {
    let Some(isa) = Isa::new(Level::Avx512Vnni) else { return };
    let (_, graph) = parts().into_iter().find(|(name, _)| *name == "products of one row").unwrap();
    let model = Model::from_graph(graph).unwrap();
    let mut session = model.session(&SessionOptions { isa, ..Default::default() }).unwrap();
    let kernels: Vec<String> = session.steps().iter().map(|step| step.kernel.clone()).collect();
    let row = ["gemv 1x64 avx512vnni", "gemv sparse 1x128 avx512vnni"];
    assert_eq!(kernels[1..], [row[0], row[1], row[1], row[0]], "the last one's inputs may be less than zero");
    session.input_mut::<f32>(0).unwrap().fill(0.3);
    session.run().unwrap();
    let zeros =
        |i: usize, s: &ottava::Session| s.output_bytes(i).unwrap().iter().filter(|&&b| b == 0).count();
    assert!(zeros(0, &session) > 20, "some of {} are zero", zeros(0, &session));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn no_instruction_set_of_this_machine_is_skipped() {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = flags.lines().find(|l| l.starts_with("flags")).unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
    for (flag, level) in
        [("avx2", Level::Avx2), ("avx_vnni", Level::AvxVnni), ("avx512_vnni", Level::Avx512Vnni)]
    {
        assert_eq!(has(flag), Isa::new(level).is_some(), "{flag}");
    }
}

#[test]
fn observing_changes_nothing() {
    let graph = one_of_everything(64);
    let model = Model::from_graph(graph.clone()).unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    session.input_mut::<f32>(0).unwrap().fill(0.7);
    session.run().unwrap();
    let want = session.output_bytes(0).unwrap().to_vec();
    let mut seen = Vec::new();
    session.run_observed(&mut |id, bytes| seen.push((id, bytes.len()))).unwrap();
    assert_eq!(session.output_bytes(0).unwrap(), want);
    let computed = graph.nodes.iter().flat_map(|n| &n.outputs).count();
    assert_eq!(seen.len(), computed + 1, "each node's output and the input");
    for (id, len) in seen {
        assert_eq!(graph.tensor(id).byte_len(), Some(len));
    }
}
