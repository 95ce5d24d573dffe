//! TensorFlow Lite files that can't be taken in: refused with all that stands in the way, never a panic.

mod common;

use common::shared;
use ottava::import::{ImportError, ImportOptions, tflite};

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
    let Err(ImportError::Unsupported { problems }) = import(&file("tflite_micro/trained_lstm_int8")) else {
        panic!("there is no such operator here");
    };
    assert_eq!(problems[0].node, "UNIDIRECTIONAL_SEQUENCE_LSTM_0");
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
