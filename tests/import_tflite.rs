//! TensorFlow Lite files that can't be taken in: refused with all that stands in the way, never a panic.

mod common;

use common::shared;
use ottava::graph::DType;
use ottava::import::{ImportError, ImportOptions, tflite};
use ottava::{Model, SessionOptions};
use ottava_kernels::Isa;

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

/// The numbers of a golden file as bytes of a type.
fn numbers(path: &std::path::Path, dtype: DType) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    let numbers = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|v| !v.is_empty());
    let numbers = numbers.map(|v| v.parse::<i32>().unwrap());
    match dtype {
        DType::I16 => numbers.flat_map(|v| i16::try_from(v).unwrap().to_le_bytes()).collect(),
        _ => numbers.flat_map(i32::to_le_bytes).collect(),
    }
}

/// Operators over 16-bit activations: not one of the answers is off by a step.
#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn sixteen_bit_operators_give_the_golden_answers() {
    let mut equal = 0;
    for folder in ["add", "conv", "leaky_relu", "pad", "quantize", "strided_slice", "sub", "transpose_conv"] {
        for entry in std::fs::read_dir(shared(&format!("models/tflite_micro/seanet/{folder}"))).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "tflite") {
                continue;
            }
            let graph =
                tflite::from_bytes(&std::fs::read(&path).unwrap(), &ImportOptions::default()).unwrap();
            let model = Model::from_graph(graph).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let golden = |what: String| path.with_file_name(format!("{name}_{what}.csv"));
            for isa in Isa::available() {
                let mut session = model.session(&SessionOptions { isa, ..Default::default() }).unwrap();
                let width = |dtype: DType| if dtype == DType::I16 { "int16" } else { "int32" };
                for i in 0..session.inputs().len() {
                    let dtype = session.inputs()[i].dtype;
                    let x = numbers(&golden(format!("input{i}_{}", width(dtype))), dtype);
                    session.input_bytes_mut(i).unwrap().copy_from_slice(&x);
                }
                session.run().unwrap();
                let dtype = session.outputs()[0].dtype;
                let want = numbers(&golden(format!("golden_{}", width(dtype))), dtype);
                assert_eq!(session.output_bytes(0).unwrap(), want, "{name} on {isa}");
            }
            equal += 1;
        }
    }
    assert_eq!(equal, 127);
}
