//! TensorFlow Lite networks answer what LiteRT answered.
//!
//! Float networks: within 1e-4 of the outputs' range. Quantized ones: the same codes.

mod common;

use common::shared;
use npyz::npz::NpzArchive;
use ottava::graph::{DType, Graph};
use ottava::import::{self, ImportOptions};
use ottava::{Model, Session, SessionOptions, optimize};

type Npz = NpzArchive<std::io::BufReader<std::fs::File>>;

/// An array of a golden file: its bytes, and how many samples it has.
fn array<T: npyz::Deserialize + bytemuck::NoUninit>(npz: &mut Npz, name: &str) -> Option<(Vec<u8>, usize)> {
    let array = npz.by_name(name).unwrap()?;
    let samples = array.shape()[0] as usize;
    let values: Vec<T> = array.into_vec().unwrap();
    Some((bytemuck::cast_slice(&values).to_vec(), samples))
}

fn array_of(npz: &mut Npz, dtype: DType, name: &str) -> Option<(Vec<u8>, usize)> {
    match dtype {
        DType::F32 => array::<f32>(npz, name),
        DType::I8 => array::<i8>(npz, name),
        DType::U8 => array::<u8>(npz, name),
        other => panic!("no golden file has {other}"),
    }
}

fn imported(model: &str) -> Graph {
    import::load(shared(&format!("models/{model}.tflite")), &ImportOptions::default()).unwrap()
}

/// Runs every sample of a golden file and shows outputs (the session's, the reference's).
fn each_output(graph: Graph, model: &str, mut see: impl FnMut(DType, &[u8], &[u8])) {
    let model_ready = Model::from_graph(graph).unwrap();
    let mut session: Session = model_ready.session(&SessionOptions::default()).unwrap();
    let golden = shared(&format!("golden/{}.tflite.npz", model.replace('/', "__")));
    let mut npz = Npz::open(golden).unwrap();
    let types = |ports: &[ottava::run::Port]| ports.iter().map(|p| p.dtype).collect::<Vec<_>>();
    let (ins, outs) = (types(session.inputs()), types(session.outputs()));
    let read = |npz: &mut Npz, what: &str, types: &[DType]| -> Vec<(Vec<u8>, usize)> {
        let name = |i| format!("{what}_{i}");
        types.iter().enumerate().map(|(i, &t)| array_of(npz, t, &name(i)).unwrap()).collect()
    };
    let (inputs, outputs) = (read(&mut npz, "in", &ins), read(&mut npz, "out", &outs));
    let samples = inputs[0].1;
    assert!(samples > 0, "{model} has samples");
    let part = |(bytes, n): &(Vec<u8>, usize), s: usize| {
        bytes[s * bytes.len() / n..(s + 1) * bytes.len() / n].to_vec()
    };
    for s in 0..samples {
        for (i, x) in inputs.iter().enumerate() {
            session.input_bytes_mut(i).unwrap().copy_from_slice(&part(x, s));
        }
        // Each sample starts from fresh states.
        session.reset();
        session.run().unwrap();
        for (i, y) in outputs.iter().enumerate() {
            see(outs[i], session.output_bytes(i).unwrap(), &part(y, s));
        }
    }
}

/// The largest error, relative to the range of the outputs, is below this.
fn check_float(model: &str, bound: f32) {
    let graph = optimize::float(imported(model)).unwrap();
    each_output(graph, model, |_, got, want| {
        let reals = |bytes: &[u8]| -> Vec<f32> {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let (got, want) = (reals(got), reals(want));
        assert_eq!(got.len(), want.len());
        let range =
            want.iter().fold(f32::MIN, |m, v| m.max(*v)) - want.iter().fold(f32::MAX, |m, v| m.min(*v));
        let error = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(error <= bound * range, "{model}: error {error}, range {range}");
    });
}

/// The outputs are the reference's, and optimizing changes none of them.
fn check_quantized(model: &str) {
    let mut codes = 0;
    let mut plain = vec![];
    each_output(imported(model), model, |dtype, got, want| {
        assert_eq!(got.len(), want.len());
        plain.push(got.to_vec());
        let different = got.iter().zip(want).filter(|(a, b)| a != b).count();
        assert_eq!(different, 0, "{model}: of {} codes of {dtype}", got.len());
        codes += got.len();
    });
    assert!(codes > 0, "{model} has outputs");
    let mut optimized = vec![];
    let graph = optimize::float(imported(model)).unwrap();
    each_output(graph, model, |_, got, _| optimized.push(got.to_vec()));
    assert!(plain == optimized, "{model}: optimizing changed codes");
}

macro_rules! golden {
    ($($test:ident: $check:expr;)*) => {$(
        #[test]
        #[cfg_attr(not(shared), ignore = "needs the shared test material")]
        fn $test() {
            $check;
        }
    )*};
}

/// Another order of additions.
const FLOAT: f32 = 1e-4;

/// Despite its name this file has 8-bit weights. LiteRT brings the activations to 8 bits on the way as well, here
/// they stay reals.
const WEIGHTS_ONLY: f32 = 1e-3;

golden! {
    resnet8_float: check_float("mlperf_tiny/pretrainedResnet", FLOAT);
    dscnn_float: check_float("mlperf_tiny/kws_ref_model_float32", WEIGHTS_ONLY);
    mobilenet_vww_float: check_float("mlperf_tiny/vww_96_float", FLOAT);
    autoencoder_float: check_float("mlperf_tiny/ad01_fp32", FLOAT);
    lstm_float: check_float("tflite_micro/trained_lstm", FLOAT);
    resnet8: check_quantized("mlperf_tiny/pretrainedResnet_quant");
    resnet8_large: check_quantized("mlperf_tiny/pretrainedResnet_large_int8");
    dscnn: check_quantized("mlperf_tiny/kws_ref_model");
    mobilenet_vww: check_quantized("mlperf_tiny/vww_96_int8");
    autoencoder: check_quantized("mlperf_tiny/ad01_int8");
    streaming_wakeword: check_quantized("mlperf_tiny/str_ww_ref_model");
    mobilenet_v1_025_128: check_quantized("coral/mobilenet_v1_0.25_128_quant");
    mobilenet_v1_05_160: check_quantized("coral/mobilenet_v1_0.5_160_quant");
    mobilenet_v2: check_quantized("coral/mobilenet_v2_1.0_224_quant");
    hello_world: check_quantized("tflite_micro/hello_world_int8");
    micro_speech: check_quantized("tflite_micro/micro_speech_quantized");
    lstm: check_quantized("tflite_micro/trained_lstm_int8");
    micro_speech_lstm: check_quantized("tflite_micro/micro_speech_lstm");
}
