//! Float networks answer what the reference runtime answered.

mod common;

use common::shared;
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

/// Runs every sample; the largest error, relative to the range of the outputs, is below 1e-4.
fn check(model: &str, golden: &str) {
    let graph = import::load(shared(&format!("models/{model}")), &ImportOptions::default()).unwrap();
    let graph = optimize::float(graph).unwrap();
    let model = Model::from_graph(graph).unwrap();
    let mut npz = Npz::open(shared(&format!("golden/{golden}.npz"))).unwrap();
    let mut session = None;
    let mut sample = 0;
    loop {
        let mut inputs = Vec::new();
        while let Some(x) = array(&mut npz, &format!("in_{}", inputs.len())) {
            inputs.push(x);
        }
        if sample * inputs[0].1 >= inputs[0].0.len() {
            break;
        }
        let session = session.get_or_insert_with(|| model.session(&SessionOptions::default()).unwrap());
        for (i, (values, each)) in inputs.iter().enumerate() {
            session.input_mut::<f32>(i).unwrap().copy_from_slice(&values[sample * each..][..*each]);
        }
        session.run().unwrap();
        for i in 0..session.outputs().len() {
            let (want, each) = array(&mut npz, &format!("out_{i}")).unwrap();
            let want = &want[sample * each..][..each];
            let got = session.output::<f32>(i).unwrap();
            assert_eq!(got.len(), want.len());
            let range =
                want.iter().fold(f32::MIN, |m, v| m.max(*v)) - want.iter().fold(f32::MAX, |m, v| m.min(*v));
            let error = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(
                error <= 1e-4 * range,
                "{golden}, sample {sample}, output {i}: error {error}, range {range}"
            );
        }
        sample += 1;
    }
    assert!(sample > 0, "{golden} has samples");
}

macro_rules! golden {
    ($($test:ident: $model:literal, $golden:literal;)*) => {$(
        #[test]
        #[cfg_attr(not(shared), ignore = "needs the shared test material")]
        fn $test() {
            check($model, $golden);
        }
    )*};
}

golden! {
    mnist_mlp: "seeds/mnist_mlp.onnx", "seeds__mnist_mlp.onnx";
    mnist_cnn: "seeds/mnist_cnn.onnx", "seeds__mnist_cnn.onnx";
    ort_mnist: "ort_examples/mnist.onnx", "ort_examples__mnist.onnx";
    mnist_op13: "ort_quantized/mnist_fp32_op13.onnx", "ort_quantized__mnist_fp32_op13.onnx";
    efficientnet_lite0: "efficientnet_lite0/efficientnet_lite0_same.onnx",
        "efficientnet_lite0__efficientnet_lite0_same.onnx";
    unet_isbi: "unet_isbi/unet_isbi_fp32.onnx", "unet_isbi__unet_isbi_fp32.onnx";
}
