//! Networks that came quantized are as right as in the runtime that they were made for.
//!
//! The figures are those of LiteRT and ONNX Runtime on the same samples. Where the inputs are the same bytes, so are
//! the answers. Whole test sets take seconds; of ImageNet's images every tenth is used.

mod common;

use common::shared;
use npyz::NpyFile;
use ottava::data::{Dataset, ImageOptions, InputSpec, Source};
use ottava::graph::DType;
use ottava::import::{self, ImportOptions};
use ottava::{Model, Session, SessionOptions, optimize};
use std::io::Read;

fn session(model: &str) -> Session {
    let graph = import::load(shared(&format!("models/{model}")), &ImportOptions::default()).unwrap();
    Model::from_graph(optimize::float(graph).unwrap()).unwrap().session(&SessionOptions::default()).unwrap()
}

/// The values of a `.npy` file.
fn npy<T: npyz::Deserialize>(path: &str) -> Vec<T> {
    let file = std::fs::File::open(shared(&format!("data/packed/{path}.npy"))).unwrap();
    NpyFile::new(std::io::BufReader::new(file)).unwrap().into_vec().unwrap()
}

/// Index of the greatest output, the first one among equals.
fn answer(session: &mut Session, x: &[u8]) -> usize {
    session.input_bytes_mut(0).unwrap().copy_from_slice(x);
    session.run().unwrap();
    let bytes = session.output_bytes(0).unwrap();
    let reals: Vec<f32> = match session.outputs()[0].dtype {
        DType::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
        DType::I8 => bytes.iter().map(|&b| f32::from(b as i8)).collect(),
        _ => bytes.iter().map(|&b| f32::from(b)).collect(),
    };
    (0..reals.len()).rev().max_by(|&i, &j| reals[i].total_cmp(&reals[j])).unwrap()
}

/// How many samples are classified right.
fn right(model: &str, x: &[u8], labels: &[u8]) -> usize {
    right_from(model, x, labels, |_| {})
}

/// The same, with something done to the session before each sample.
fn right_from(model: &str, x: &[u8], labels: &[u8], before: impl Fn(&mut Session)) -> usize {
    let (mut session, each) = (session(model), x.len() / labels.len());
    let mut right = 0;
    for (x, label) in x.chunks_exact(each).zip(labels) {
        before(&mut session);
        right += usize::from(answer(&mut session, x) == usize::from(*label));
    }
    right
}

/// CIFAR-10's pixels as the signed bytes that the networks take.
fn cifar(model: &str) -> usize {
    let x: Vec<u8> = npy("cifar10_test2000_x_u8");
    let signed: Vec<u8> = x.iter().map(|b| b ^ 0x80).collect();
    right(&format!("mlperf_tiny/{model}.tflite"), &signed, &npy::<u8>("cifar10_test2000_y_u8"))
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn resnet8_on_cifar10() {
    assert_eq!(cifar("pretrainedResnet_quant"), 1523, "76.15 % of 2000");
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn large_resnet8_on_cifar10() {
    assert_eq!(cifar("pretrainedResnet_large_int8"), 1618, "80.90 % of 2000");
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn keywords() {
    let x: Vec<i8> = npy("kws01_x_i8");
    let right = right("mlperf_tiny/kws_ref_model.tflite", bytemuck::cast_slice(&x), &npy::<u8>("kws01_y_u8"));
    assert_eq!(right, 902, "90.2 % of 1000");
}

/// Every tenth of the thousand images, as the reference had them but for the decoder's and the resizing's rounding.
fn imagenet(model: &str, size: usize, reference: usize) {
    let mut session = session(&format!("coral/{model}.tflite"));
    let options = ImageOptions { resize: Some((size * 8 + 3) / 7), ..ImageOptions::default() };
    let path = shared("data/imagenet_sample_256");
    let inputs = InputSpec::of(&session);
    let names: Vec<String> = inputs.iter().map(|i| i.name.clone()).collect();
    let mut data = Dataset::new(Source::open(&path, &names, u64::MAX).unwrap(), &inputs, &options).unwrap();
    assert_eq!(data.len(), 1000);
    // Class 0 is the background.
    let right = |i: &usize| answer(&mut session, &data.sample(*i).unwrap()[0]) == i + 1;
    let right = (0..1000).step_by(10).filter(right).count();
    assert!(right.abs_diff(reference) <= 2, "{model}: {right} of 100, the reference {reference}");
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn mobilenet_v1_quarter_on_imagenet() {
    imagenet("mobilenet_v1_0.25_128_quant", 128, 45);
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn mobilenet_v1_half_on_imagenet() {
    imagenet("mobilenet_v1_0.5_160_quant", 160, 68);
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn mobilenet_v2_on_imagenet() {
    imagenet("mobilenet_v2_1.0_224_quant", 224, 82);
}

/// The pixels and the digits of MNIST's test images.
fn mnist() -> (Vec<u8>, Vec<u8>) {
    let [images, labels] = ["t10k-images-idx3", "t10k-labels-idx1"].map(|name| {
        let file = std::fs::File::open(shared(&format!("data/mnist/{name}-ubyte.gz"))).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        bytes
    });
    (images[16..].to_vec(), labels[8..].to_vec())
}

/// How many of the 10,000 images LiteRT classifies right, going on from the states of the image before, and from fresh
/// states each time.
fn lstm(model: &str, x: &[u8], labels: &[u8], litert: [usize; 2]) {
    assert_eq!([right(model, x, labels), right_from(model, x, labels, Session::reset)], litert, "{model}");
}

/// Layers over integers.
#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn integer_lstm_on_mnist() {
    let (images, labels) = mnist();
    let signed: Vec<u8> = images.iter().map(|b| b ^ 0x80).collect();
    lstm("tflite_micro/trained_lstm_int8.tflite", &signed, &labels, [9190, 9849]);
    lstm("coral/keras_lstm_mnist_ptq.tflite", &images, &labels, [8716, 9793]);
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn float_lstm_on_mnist() {
    let (images, labels) = mnist();
    let x: Vec<f32> = images.iter().map(|&p| f32::from(p) / 255.0).collect();
    lstm("tflite_micro/trained_lstm.tflite", bytemuck::cast_slice(&x), &labels, [9205, 9853]);
}

/// Trained with quantization, its biases floats: all answers are ONNX Runtime's, which `data/mnist_mlp_qat_answers.txt`
/// holds.
#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn trained_with_quantization_on_mnist() {
    let (images, _) = mnist();
    let wanted = include_str!("data/mnist_mlp_qat_answers.txt").bytes().filter(u8::is_ascii_digit);
    let mut session = session("seeds/mnist_mlp_qat_qdq.onnx");
    let (mut checked, mut others) = (0, vec![]);
    for (i, (image, digit)) in images.chunks_exact(28 * 28).zip(wanted).enumerate() {
        let x: Vec<f32> = image.iter().map(|&p| (f32::from(p) / 255.0 - 0.1307) / 0.3081).collect();
        if answer(&mut session, bytemuck::cast_slice(&x)) != usize::from(digit - b'0') {
            others.push(i);
        }
        checked += 1;
    }
    assert_eq!(checked, 10_000);
    assert_eq!(others, [0; 0]);
}
