//! A quantized LSTM that is written as a Scan along a free dimension, as another project's exporter writes it.
#![cfg(feature = "import")]

mod common;

use common::shared;
use ottava::data::read_npz;
use ottava::import::{self, ImportOptions};
use ottava::{Model, SessionOptions, optimize};

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn the_references_answers() {
    let folder = shared("models/tract/onnx/test_cases/qlstm_3-2-3_T3_S1");
    let wanted = ["input", "output"].map(String::from);
    let arrays = read_npz(&folder.join("io.npz"), &wanted, 1 << 20).unwrap().arrays;
    let shapes = vec![("input".to_string(), arrays[0].shape().to_vec())];
    let options = ImportOptions { shapes, ..ImportOptions::default() };
    let graph = optimize::float(import::load(folder.join("model.onnx"), &options).unwrap()).unwrap();
    let mut session = Model::from_graph(graph).unwrap().session(&SessionOptions::default()).unwrap();
    let [input, output] = <[_; 2]>::try_from(arrays).unwrap().map(|a| a.into_bytes().unwrap());
    session.input_bytes_mut(0).unwrap().copy_from_slice(&input);
    session.run().unwrap();
    let want: Vec<f32> = output.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
    assert_eq!(session.output::<f32>(0).unwrap(), want);
}
