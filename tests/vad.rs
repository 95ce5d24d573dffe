//! Voice activity detection with a network that has branches and a state: the answers over a whole recording.
#![cfg(feature = "import")]

mod common;

use common::shared;
use ottava::import::{self, ImportOptions};
use ottava::{Model, SessionOptions, optimize};

/// Samples that a frame has, and those of the frame before it that the network sees in front of them.
const FRAME: usize = 512;
const CONTEXT: usize = 64;

/// 16-bit mono samples of a WAV file, from -1 to 1.
fn samples() -> Vec<f32> {
    let bytes = std::fs::read(shared("data/vad/test.wav")).expect("a recording");
    let data = bytes.windows(4).position(|w| w == b"data").expect("a data chunk") + 8;
    bytes[data..].as_chunks().0.iter().map(|b| f32::from(i16::from_le_bytes(*b)) / 32768.0).collect()
}

/// Share of frames with speech, mean probability and number of times that speech begins.
fn statistics(model: &str) -> (f64, f64, usize) {
    let graph = import::load(shared(&format!("models/silero_vad/{model}.onnx")), &ImportOptions::default());
    let graph = graph.unwrap_or_else(|e| panic!("{model}: {e}"));
    let model = Model::from_graph(optimize::float(graph).expect("it optimizes")).expect("it is valid");
    let shapes =
        vec![("input".to_string(), vec![1, FRAME + CONTEXT]), ("state".to_string(), vec![2, 1, 128])];
    let mut session = model.session(&SessionOptions { shapes, ..Default::default() }).expect("it plans");
    let input = |name: &str| session.inputs().iter().position(|p| p.name == name).expect("an input");
    let (audio, state, rate) = (input("input"), input("state"), input("sr"));
    session.input_mut::<i64>(rate).expect("the rate")[0] = 16000;
    let mut frames = samples();
    let count = frames.len() / FRAME;
    frames.splice(0..0, [0.0; CONTEXT]);
    let mut probabilities = vec![];
    for i in 0..count {
        let frame = &frames[i * FRAME..][..FRAME + CONTEXT];
        session.input_mut::<f32>(audio).expect("samples").copy_from_slice(frame);
        session.run().expect("it runs");
        probabilities.push(f64::from(session.output::<f32>(0).expect("a probability")[0]));
        let next = session.output::<f32>(1).expect("a state").to_vec();
        session.input_mut::<f32>(state).expect("a state").copy_from_slice(&next);
    }
    let speech: Vec<bool> = probabilities.iter().map(|p| *p > 0.5).collect();
    let onsets = (0..count).filter(|&i| speech[i] && (i == 0 || !speech[i - 1])).count();
    let share = speech.iter().filter(|s| **s).count() as f64 / count as f64;
    (share, probabilities.iter().sum::<f64>() / count as f64, onsets)
}

/// `wanted`: what the reference runtime has on the same file.
fn check(model: &str, wanted: (f64, f64, usize)) {
    let (share, mean, onsets) = statistics(model);
    assert!((share - wanted.0).abs() < 5e-5, "{model}: {share} of the frames are speech");
    assert!((mean - wanted.1).abs() < 5e-5, "{model}: the mean probability is {mean}");
    assert_eq!(onsets, wanted.2, "{model}");
}

const FLOAT: (f64, f64, usize) = (0.7744, 0.77833, 30);

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn branches_on_the_sample_rate() {
    check("silero_vad_op18_ifless", FLOAT);
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn branches_on_shapes_around_a_recurrent_layer() {
    check("silero_vad_16k_op15", FLOAT);
}

/// The reference's own dynamic quantization of the same network hears almost nothing: bytes are too coarse for the
/// transform that it begins with. What is asked for is the same loss.
#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn products_that_quantize_as_they_go() {
    check("silero_vad_16k_dynamic", (0.00533, 0.05169, 10));
}
