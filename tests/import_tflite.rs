//! TensorFlow Lite files that can't be taken in: refused with all that stands in the way, never a panic.

mod common;

use common::shared;
use ottava::import::{ImportError, ImportOptions, tflite};
use ottava::{Model, SessionOptions};

fn file(model: &str) -> Vec<u8> {
    std::fs::read(shared(&format!("models/{model}.tflite"))).unwrap()
}

fn import(bytes: &[u8]) -> Result<(), ImportError> {
    tflite::from_bytes(bytes, &ImportOptions::default()).map(drop)
}

#[test]
fn tables_that_point_nowhere_are_damage() {
    for bytes in
        [&b"\x08\0\0\0TFL3"[..], b"\xff\xff\xff\xffTFL3\0\0\0\0", b"\x08\0\0\0TFL3\xff\xff\xff\x7f", b""]
    {
        assert!(matches!(import(bytes), Err(ImportError::Damaged { .. })), "{bytes:?}");
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn all_unsupported_operators_are_named() {
    let Err(ImportError::Unsupported { problems }) = import(&file("tflite_micro/audio_preprocessor_int8"))
    else {
        panic!("there is no such operator here");
    };
    let named = |op: &str| problems.iter().any(|p| p.op == op);
    assert!(named("CUSTOM SignalWindow") && named("CUSTOM SignalFilterBankLog"), "{problems:?}");
    let reason = &problems.iter().find(|p| p.op == "CUSTOM SignalWindow").unwrap().reason;
    assert!(reason.contains("'SignalWindow' is not registered"), "{reason}");
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn cut_off_files_are_refused() {
    let bytes = file("tflite_micro/hello_world_int8");
    for len in 0..bytes.len() {
        assert!(import(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
    }
}

/// Any byte may change: what comes out is a network or an error.
#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn damaged_bytes_never_panic() {
    let (bytes, mut refused) = (file("tflite_micro/hello_world_int8"), 0);
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            refused += usize::from(import(&damaged).is_err());
        }
    }
    assert!(refused > bytes.len() / 4, "{refused} of {} were refused", 3 * bytes.len());
}

/// The numbers of a golden file.
fn numbers(path: &std::path::Path) -> Vec<i16> {
    let text = std::fs::read_to_string(path).unwrap();
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|v| !v.is_empty())
        .map(|v| v.parse().unwrap())
        .collect()
}

/// 16-bit activations can be moved, and give the golden answers; operators that compute with them are refused by name.
#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn sixteen_bit_networks_are_moved_or_refused_by_name() {
    let (mut refused, mut equal) = (0, 0);
    for folder in ["add", "conv", "leaky_relu", "pad", "quantize", "strided_slice", "sub", "transpose_conv"] {
        for entry in std::fs::read_dir(shared(&format!("models/tflite_micro/seanet/{folder}"))).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "tflite") {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            if !matches!(folder, "pad" | "strided_slice") {
                let error = import(&bytes).unwrap_err().to_string();
                assert!(error.contains("i16"), "{}: {error}", path.display());
                refused += 1;
                continue;
            }
            let graph = tflite::from_bytes(&bytes, &ImportOptions::default()).unwrap();
            let model = Model::from_graph(graph).unwrap();
            let mut session = model.session(&SessionOptions::default()).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let golden = |what: &str| numbers(&path.with_file_name(format!("{name}_{what}_int16.csv")));
            session.input_mut::<i16>(0).unwrap().copy_from_slice(&golden("input0"));
            session.run().unwrap();
            assert_eq!(session.output::<i16>(0).unwrap(), golden("golden"), "{name}");
            equal += 1;
        }
    }
    assert_eq!((refused, equal), (74, 53));
}
