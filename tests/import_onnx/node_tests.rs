//! ONNX's own tests of single operators: what comes in has the shapes and types that they expect.

use crate::common::shared;
use ottava::graph::{DType, Dim, Graph, infer};
use ottava::import::ImportOptions;
use ottava::import::onnx::{from_bytes, proto::*};
use prost::Message;
use std::path::Path;

fn tensor(folder: &Path, file: String) -> Option<TensorProto> {
    let bytes = std::fs::read(folder.join("test_data_set_0").join(file)).ok()?;
    TensorProto::decode(bytes.as_slice()).ok()
}

/// The test's network with all inputs but the first as constants, as networks have them.
fn with_constants(folder: &Path) -> Option<ModelProto> {
    let bytes = std::fs::read(folder.join("model.onnx")).ok()?;
    let mut model = ModelProto::decode(bytes.as_slice()).ok()?;
    let graph = model.graph.as_mut()?;
    for (i, input) in graph.input.iter().enumerate().skip(1) {
        let data = tensor(folder, format!("input_{i}.pb"))?;
        graph.initializer.push(TensorProto { name: input.name.clone(), ..data });
    }
    Some(model)
}

fn expected_dtype(data_type: i32) -> Option<DType> {
    Some(match data_type {
        data_type::FLOAT => DType::F32,
        data_type::FLOAT16 => DType::F16,
        data_type::DOUBLE => DType::F64,
        data_type::INT64 => DType::I64,
        data_type::INT32 => DType::I32,
        data_type::UINT8 => DType::U8,
        data_type::INT8 => DType::I8,
        data_type::INT16 => DType::I16,
        data_type::BOOL => DType::Bool,
        _ => return None,
    })
}

fn check(name: &str, folder: &Path, graph: &Graph) {
    for (i, &id) in graph.outputs.iter().enumerate() {
        let Some(expected) = tensor(folder, format!("output_{i}.pb")) else { continue };
        let found = graph.tensor(id);
        assert_eq!(Some(found.dtype), expected_dtype(expected.data_type), "{name} output {i}");
        assert_eq!(found.shape.rank(), expected.dims.len(), "{name} output {i}");
        for (dim, &expected) in found.shape.iter().zip(&expected.dims) {
            if let Dim::Fixed(dim) = dim {
                assert_eq!(*dim as i64, expected, "{name} output {i}: {}", graph.show_shape(&found.shape));
            }
        }
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn shapes_are_those_of_the_standard() {
    let root = shared("onnx_node_tests");
    let mut imported = vec![];
    for entry in std::fs::read_dir(root).expect("a folder") {
        let folder = entry.expect("an entry").path();
        let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_string();
        let Some(model) = with_constants(&folder) else { continue };
        if let Ok(mut graph) = from_bytes(model.encode_to_vec(), &ImportOptions::default()) {
            infer::check(&mut graph).unwrap_or_else(|e| panic!("{name}: {e}"));
            check(&name, &folder, &graph);
            imported.push(name);
        }
    }
    let count = |prefix: &str| imported.iter().filter(|n| n.starts_with(prefix)).count();
    for (operator, at_least) in
        [("test_convtranspose", 9), ("test_conv_", 4), ("test_maxpool_2d", 10), ("test_averagepool_", 14)]
    {
        assert!(count(operator) >= at_least, "{operator}: {} imported", count(operator));
    }
    assert!(imported.len() >= 340, "{} imported", imported.len());
}
