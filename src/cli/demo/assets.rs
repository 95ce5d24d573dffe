//! What is built in: a network and handwritten digits. `assets/README.md` says where they are from.

use crate::data::{ImageOptions, NamedArray, Normalize};
use crate::graph::DType;

/// A convolutional network for 28x28 digits, in ONNX.
pub const NETWORK: &[u8] = include_bytes!("../../../assets/mnist_cnn.onnx");

const TEST_DIGITS: &[u8] = include_bytes!("../../../assets/test_digits.bin");
const TEST_LABELS: &[u8] = include_bytes!("../../../assets/test_labels.bin");
const CALIBRATION_DIGITS: &[u8] = include_bytes!("../../../assets/calibration_digits.bin");

/// Height and width of a digit.
const SIDE: usize = 28;

/// What the network was trained with: mean and standard deviation of MNIST.
pub fn normalization() -> ImageOptions {
    let normalize = Normalize { scale: 1.0 / 255.0, mean: vec![0.1307], std: vec![0.3081] };
    ImageOptions { normalize: Some(normalize), ..ImageOptions::default() }
}

/// Digits to classify.
pub fn test_digits() -> NamedArray {
    digits("test_digits", TEST_DIGITS)
}

/// Digits to calibrate on; none of them is a test digit.
pub fn calibration_digits() -> NamedArray {
    digits("calibration_digits", CALIBRATION_DIGITS)
}

/// What the test digits are.
pub fn labels() -> NamedArray {
    named("test_labels", &[TEST_LABELS.len()], TEST_LABELS)
}

fn digits(name: &str, pixels: &[u8]) -> NamedArray {
    named(name, &[pixels.len() / (SIDE * SIDE), 1, SIDE, SIDE], pixels)
}

fn named(name: &str, shape: &[usize], bytes: &[u8]) -> NamedArray {
    NamedArray { name: name.into(), dtype: DType::U8, shape: shape.into(), bytes: bytes.into() }
}
