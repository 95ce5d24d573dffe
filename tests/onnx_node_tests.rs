//! ONNX's own tests of single operators: whatever runs gives the standard's answers; the rest is refused.
#![cfg(feature = "import")]

mod common;

use common::shared;
use ottava::graph::DType;
use ottava::import::ImportOptions;
use ottava::import::onnx::{from_bytes, proto::*};
use ottava::{Model, Session, SessionOptions, optimize};
use prost::Message;
use std::path::Path;

/// What the standard's own runner allows: relative and absolute.
const TOLERANCE: (f64, f64) = (1e-3, 1e-7);

/// Cases that ran when this was written, of 744. More is better, fewer is a loss.
const PASSING: usize = 742;

/// Shape, element type and elements of a tensor.
struct Values {
    dims: Vec<usize>,
    dtype: DType,
    bytes: Vec<u8>,
}

impl Values {
    /// `None`: there is no such file, or it holds something that graphs here have no type for.
    fn read(folder: &Path, file: &str) -> Option<Values> {
        let bytes = std::fs::read(folder.join("test_data_set_0").join(file)).ok()?;
        let proto = TensorProto::decode(bytes.as_slice()).ok()?;
        let dtype = match proto.data_type {
            data_type::FLOAT => DType::F32,
            data_type::FLOAT16 => DType::F16,
            data_type::DOUBLE => DType::F64,
            data_type::INT64 => DType::I64,
            data_type::INT32 => DType::I32,
            data_type::INT8 => DType::I8,
            data_type::UINT8 => DType::U8,
            data_type::BOOL => DType::Bool,
            _ => return None,
        };
        let dims = proto.dims.iter().map(|&d| d as usize).collect();
        Some(Values { dims, dtype, bytes: proto.raw_data.unwrap_or_default().to_vec() })
    }

    fn floats(bytes: &[u8], dtype: DType) -> Option<Vec<f64>> {
        match dtype {
            DType::F32 => Some(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect()),
            DType::F64 => Some(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            DType::F16 => {
                Some(bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).into()).collect())
            }
            _ => None,
        }
    }

    /// Why an output is not this.
    fn differ(&self, dims: &[usize], dtype: DType, bytes: &[u8]) -> Option<String> {
        if (dims, dtype) != (&self.dims[..], self.dtype) {
            return Some(format!("is {dtype} {dims:?}, not {} {:?}", self.dtype, self.dims));
        }
        let (Some(got), Some(want)) = (Self::floats(bytes, dtype), Self::floats(&self.bytes, dtype)) else {
            return (bytes != self.bytes).then(|| "has other integers".to_string());
        };
        let close = |(a, b): (&f64, &f64)| {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE.1 + TOLERANCE.0 * b.abs()
        };
        let wrong = got.iter().zip(&want).position(|pair| !close(pair));
        wrong.map(|i| format!("has {} at {i}, not {}", got[i], want[i]))
    }
}

/// The case's network with its inputs from `first_constant` on as constants, as networks have them.
fn network(folder: &Path, first_constant: usize) -> Option<ModelProto> {
    let bytes = std::fs::read(folder.join("model.onnx")).ok()?;
    let mut model = ModelProto::decode(bytes.as_slice()).ok()?;
    let graph = model.graph.as_mut()?;
    for (i, input) in graph.input.iter().enumerate().skip(first_constant) {
        let bytes = std::fs::read(folder.join(format!("test_data_set_0/input_{i}.pb"))).ok()?;
        let data = TensorProto::decode(bytes.as_slice()).ok()?;
        graph.initializer.push(TensorProto { name: input.name.clone(), ..data });
    }
    Some(model)
}

/// What became of a case.
enum Outcome {
    Right,
    Wrong(String),
    Refused(String),
}

/// A session for the case's network, or why it is refused.
fn session(model: &ModelProto) -> Result<Session, String> {
    let graph = from_bytes(model.encode_to_vec(), &ImportOptions::default()).map_err(|e| e.to_string())?;
    let model = Model::from_graph(optimize::float(graph).map_err(|e| e.to_string())?);
    let session = model.and_then(|model| model.session(&SessionOptions::default()));
    session.map_err(|e| e.to_string())
}

/// Runs a case.
fn answer(folder: &Path, model: &ModelProto) -> Outcome {
    let graph = model.graph.as_ref().expect("a graph");
    let names: Vec<&str> = graph.input.iter().map(|i| i.name.as_str()).collect();
    let mut session = match session(model) {
        Ok(session) => session,
        Err(why) => return Outcome::Refused(why),
    };
    for i in 0..session.inputs().len() {
        let at = names.iter().position(|n| *n == session.inputs()[i].name).expect("an input of the case");
        let Some(given) = Values::read(folder, &format!("input_{at}.pb")) else {
            return Outcome::Refused(format!("input {at} has no comparable type"));
        };
        session.input_bytes_mut(i).expect("an input").copy_from_slice(&given.bytes);
    }
    if let Err(why) = session.run() {
        return Outcome::Refused(why.to_string());
    }
    for (i, port) in session.outputs().iter().enumerate() {
        let Some(want) = Values::read(folder, &format!("output_{i}.pb")) else {
            return Outcome::Wrong(format!("output {i} is of a type that graphs here don't have"));
        };
        let got = session.output_bytes(i).expect("an output");
        if let Some(what) = want.differ(&port.shape, port.dtype, got) {
            return Outcome::Wrong(format!("'{}' {what}", port.name));
        }
    }
    Outcome::Right
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn no_answer_is_wrong() {
    let (mut wrong, mut refused, mut passing) = (vec![], vec![], 0);
    for entry in std::fs::read_dir(shared("onnx_node_tests")).expect("a folder") {
        let folder = entry.expect("an entry").path();
        if !folder.is_dir() {
            continue;
        }
        let case = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let mut right = false;
        let mut why = String::new();
        for first_constant in [usize::MAX, 1, 0] {
            let Some(model) = network(&folder, first_constant) else { continue };
            match answer(&folder, &model) {
                Outcome::Right => right = true,
                Outcome::Wrong(what) => wrong.push(format!("{case}: {what}")),
                Outcome::Refused(what) => why = what,
            }
        }
        passing += usize::from(right);
        if !right {
            refused.push(format!("{case}: {why}"));
        }
    }
    refused.sort();
    println!("{passing} pass; refused are\n{}", refused.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passing >= PASSING, "{passing} pass");
}
