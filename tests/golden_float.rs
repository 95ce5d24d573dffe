//! Float networks answer what the reference runtime answered.

mod common;
mod golden_support;

/// The largest error of every sample, relative to the range of the outputs (to a single one's size), is below 1e-4.
fn check(model: &str, golden: &str) {
    golden_support::replay(&golden_support::network(model), golden, |i, got, want| {
        let most = want.iter().fold(f32::MIN, |m, v| m.max(*v));
        let least = want.iter().fold(f32::MAX, |m, v| m.min(*v));
        let range = if want.len() == 1 { most.abs() } else { most - least };
        assert_eq!(got.len(), want.len(), "{golden}, output {i}");
        let error = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(error <= 1e-4 * range, "{golden}, output {i}: error {error}, range {range}");
    });
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
    lstm_mnist: "seeds/lstm_mnist.onnx", "seeds__lstm_mnist.onnx";
    ort_mnist: "ort_examples/mnist.onnx", "ort_examples__mnist.onnx";
    mnist_op13: "ort_quantized/mnist_fp32_op13.onnx", "ort_quantized__mnist_fp32_op13.onnx";
    efficientnet_lite0: "efficientnet_lite0/efficientnet_lite0_same.onnx",
        "efficientnet_lite0__efficientnet_lite0_same.onnx";
    silero_vad: "silero_vad/silero_vad_16k_op15.onnx", "silero_vad__silero_vad_16k_op15.onnx";
    unet_isbi: "unet_isbi/unet_isbi_fp32.onnx", "unet_isbi__unet_isbi_fp32.onnx";
}
