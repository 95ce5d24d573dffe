//! Networks, inputs and what the reference runtime answered.

use crate::common::shared;
use npyz::npz::NpzArchive;
use ottava::import::{self, ImportOptions};
use ottava::{Model, SessionOptions, optimize};

type Npz = NpzArchive<std::io::BufReader<std::fs::File>>;

/// Array `name`, and the elements of one sample.
fn array(npz: &mut Npz, name: &str) -> Option<(Vec<f32>, usize)> {
    let array = npz.by_name(name).unwrap()?;
    let samples = array.shape()[0] as usize;
    let values: Vec<f32> = array.into_vec().unwrap();
    let each = values.len() / samples;
    Some((values, each))
}

/// A network of the shared material, imported and optimized.
pub fn network(model: &str) -> Model {
    let graph = import::load(shared(&format!("models/{model}")), &ImportOptions::default()).unwrap();
    Model::from_graph(optimize::float(graph).unwrap()).unwrap()
}

/// Runs every sample of a golden file; `check` is told the output's index, what came out and what should have.
pub fn replay(model: &Model, golden: &str, mut check: impl FnMut(usize, &[f32], &[f32])) {
    let mut npz = Npz::open(shared(&format!("golden/{golden}.npz"))).unwrap();
    let all = |npz: &mut Npz, kind: &str| -> Vec<(Vec<f32>, usize)> {
        (0..).map_while(|i| array(npz, &format!("{kind}_{i}"))).collect()
    };
    let (inputs, outputs) = (all(&mut npz, "in"), all(&mut npz, "out"));
    let mut session = model.session(&SessionOptions::default()).unwrap();
    assert_eq!((session.inputs().len(), session.outputs().len()), (inputs.len(), outputs.len()), "{golden}");
    let samples = inputs[0].0.len() / inputs[0].1;
    assert!(samples > 0, "{golden} has samples");
    for sample in 0..samples {
        for (i, (values, each)) in inputs.iter().enumerate() {
            session.input_mut::<f32>(i).unwrap().copy_from_slice(&values[sample * each..][..*each]);
        }
        session.run().unwrap();
        for (i, (want, each)) in outputs.iter().enumerate() {
            let got = session.output::<f32>(i).unwrap();
            assert_eq!(got.len(), *each, "{golden}, output {i}");
            check(i, got, &want[sample * each..][..*each]);
        }
    }
}
