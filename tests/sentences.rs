//! Sentence embeddings of a transformer that quantizes as it goes: the reference's answers, and how well they say which
//! sentences mean the same.
#![cfg(feature = "import")]

mod common;
mod golden_support;

use common::shared;
use npyz::NpyFile;
use ottava::report::{cosine, pooled, spearman};
use ottava::{Session, SessionOptions};
use ottava_kernels::Isa;

const MODEL: &str = "minilm/minilm_l6_dynamic.onnx";

/// Rounding decides bytes here, and bytes decide ranges: noise of 1e-7 on one layer's biases moves the reference's own
/// answers by up to 0.19. What is asked for is that nothing but the order of sums is different, so that on these samples
/// no byte is. Plain loops add the sums of float products in another order than vectors do.
#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn the_references_answers() {
    let model = golden_support::network(MODEL);
    for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::SCALAR) {
        let options = SessionOptions { isa, ..SessionOptions::default() };
        golden_support::replay_with(&model, "minilm__minilm_l6_dynamic.onnx", options, |_, got, want| {
            assert_eq!(got.len(), want.len());
            let error = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(error <= 1e-5, "{isa}: error {error}");
        });
    }
}

/// The values of a `.npy` file.
fn npy<T: npyz::Deserialize>(path: &str) -> Vec<T> {
    let file = std::fs::File::open(shared(path)).unwrap();
    NpyFile::new(std::io::BufReader::new(file)).unwrap().into_vec().unwrap()
}

/// The mean of a sentence's last hidden states.
fn embedding(session: &mut Session, ids: &[i64]) -> Vec<f32> {
    let dims = [1, ids.len()];
    session.reshape(&[("input_ids", &dims)]).unwrap();
    session.input_mut::<i64>(0).unwrap().copy_from_slice(ids);
    session.input_mut::<i64>(1).unwrap().fill(1);
    session.run().unwrap();
    pooled(session.output::<f32>(0).unwrap(), &session.outputs()[0].shape, None)
}

/// Spearman's correlation between cosines and people's scores on STS-B, English, test: 1379 pairs of sentences of 3 to 46
/// tokens, each run at its own length.
fn correlation() -> f64 {
    let model = golden_support::network(MODEL);
    let ids: Vec<i32> = npy("data/packed/stsb_test_ids_i32.npy");
    let scores: Vec<f32> = npy("data/packed/stsb_test_score_f32.npy");
    let sentences: Vec<Vec<i64>> = ids
        .chunks_exact(ids.len() / (2 * scores.len()))
        .map(|row| row.iter().filter(|id| **id != 0).map(|id| i64::from(*id)).collect())
        .collect();
    assert_eq!((scores.len(), sentences.len()), (1379, 2758));
    let mut session = model.session(&SessionOptions { plans: 64, ..SessionOptions::default() }).unwrap();
    let pairs = sentences.as_chunks().0.iter();
    let alike: Vec<f64> =
        pairs.map(|[a, b]| cosine(&embedding(&mut session, a), &embedding(&mut session, b))).collect();
    let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
    let correlation = spearman(&alike, &scores).unwrap();
    println!("Spearman {correlation:.4}");
    correlation
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn cosines_rank_pairs_as_people_do() {
    let correlation = correlation();
    assert!((0.819..0.821).contains(&correlation), "Spearman {correlation}; the reference has .8199");
}
