//! ONNX Runtime's own quantized test models answer what ONNX Runtime answers, or are refused by name.
//!
//! `data/ort_testdata.npz` holds inputs and answers, made by `data/ort_testdata.py`: once with the models run as they
//! are written, once with all of ONNX Runtime's optimizations. Both give the same.

mod common;

use common::shared;
use npyz::npz::NpzArchive;
use ottava::graph::{DType, Graph, Node, Op};
use ottava::import::{self, ImportOptions};
use ottava::{Model, SessionOptions, optimize};
use std::collections::BTreeSet;

/// What becomes of a model.
#[derive(Clone, Copy)]
enum Outcome {
    /// The bits of ONNX Runtime's answers, and no node computes in floats.
    Integer,
    /// The bits of ONNX Runtime's answers; these nodes compute in floats.
    Float(&'static [&'static str]),
    /// A product leaves as floats that ONNX Runtime sums as floats, too: within 2^-21 of the greatest answer.
    Summed,
    /// Float products between integers of 16 bits: ONNX Runtime adds in another order, and sums near a tie go to the
    /// other side. At most a step, which this is, in at most 2 % of the answers.
    Rounded(f64),
    /// Importing says this.
    Refused(&'static str),
}
use Outcome::*;

/// What turns sums of integers into floats, with scales that are inputs.
const SCALED: Outcome = Float(&["Binary", "Cast", "Binary"]);
const BIASED: Outcome = Float(&["Binary", "Cast", "Binary", "Binary"]);

const OUTCOMES: [(&str, Outcome); 35] = [
    ("conv.int4_weights.qdq", Integer),
    ("conv_qdq_s8s8", Integer),
    ("conv_qdq_u8u8", Integer),
    ("dynamic_quantize_matmul_int8", SCALED),
    ("dynamic_quantize_matmul_uint8", SCALED),
    ("float8/te.cast_fp8_1_fp32", Refused("FLOAT8E4M3FN")),
    // Integers of 16 bits.
    ("layout_transform_fix_transpose_without_dq.qdq", Float(&["Conv"])),
    ("layout_transform_reshape.qdq", Integer),
    ("matmul_integer_to_float_int8_bias", BIASED),
    ("matmul_integer_to_float_int8_bias_initializer_index1", BIASED),
    ("matmul_integer_to_float_int8_int8_bias", BIASED),
    ("matmul_integer_to_float_uint8_bias", BIASED),
    ("nnapi_internal_uint8_support", Integer),
    ("ort_github_issue_12151_neg_dq_axis", Integer),
    // A sum that nobody quantizes.
    ("qdq_with_multi_consumer_dq_nodes", Float(&["Binary", "Transpose"])),
    ("qnn_ctx_2_inputs_order_test", Integer),
    ("test_conv_follow_convtrans_s8", Integer),
    ("transform/fusion/constant_folding_dequantizelinear.qdq16", Summed),
    ("transform/fusion/constant_folding_dequantizelinear.qdq_contrib", Summed),
    // The same.
    ("transform/fusion/constant_folding_qdq_node_unit", Float(&["Binary"])),
    (
        "transform/fusion/constant_folding_qdq_node_unit.graph_output.qdq16_contrib",
        Float(&["Unsqueeze", "Binary"]),
    ),
    ("transform/fusion/constant_folding_qdq_node_unit.qdq_contrib", Float(&["Binary"])),
    ("transform/fusion/dynamic_quantize_matmul_bias", BIASED),
    ("transform/fusion/dynamic_quantize_matmul_bias_b_no_zp", BIASED),
    // Scales and answers of 16 bits.
    (
        "transform/fusion/matmul_integer_to_float16_int8",
        Float(&["Cast", "Cast", "Binary", "Cast", "Binary", "Cast"]),
    ),
    ("transform/fusion/qdq_fusion_int8", Integer),
    ("transform/fusion/qdq_fusion_zp_not_provided", Integer),
    ("transform/qdq_optimization/dup_qdq", Integer),
    ("transform/qdq_optimization/dup_qdq_float16", Float(&["Cast", "Cast"])),
    ("transform/qdq_with_multi_consumer_dq_nodes.fixed.qdq16", Rounded(0.377_327_05)),
    ("transform/qdq_with_multi_consumer_dq_nodes.fixed.qdq_contrib", Float(&["Binary", "Transpose"])),
    // An input with a scale per channel.
    ("transpose_optimizer_cancel_squeeze_per_axis_dq", Float(&["Binary"])),
    ("transpose_optimizer_empty_dq_q_at_graph_output", Integer),
    ("transpose_optimizer_qdq_fixup_unsqueeze_per_axis_dq", Float(&["Binary"])),
    // Dequantized constants, nothing else is quantized.
    ("transpose_optimizer_shared_initializers_broadcast", Float(&["Binary"; 5])),
];

type Npz = NpzArchive<std::io::BufReader<std::fs::File>>;

fn array<T: npyz::Deserialize>(npz: &mut Npz, name: &str) -> Vec<T> {
    let array = npz.by_name(name).unwrap().unwrap_or_else(|| panic!("there is no {name}"));
    array.into_vec().unwrap()
}

/// Exact in f64.
fn numbers(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        DType::F32 => bytes.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
        DType::F16 => bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f64()).collect(),
        DType::U8 => bytes.iter().map(|&b| f64::from(b)).collect(),
        other => panic!("an output is {other}"),
    }
}

/// Nodes that read or give floats, other than those that turn floats into integers or the other way.
fn float_nodes(graph: &Graph) -> Vec<&'static str> {
    let is_float = |node: &&Node| {
        let converts = matches!(
            node.op,
            Op::Quantize(_) | Op::Dequantize(_) | Op::DynamicQuantize(_) | Op::Requantize(_)
        );
        let mut touched = node.present_inputs().chain(node.outputs.iter().copied());
        !converts && touched.any(|t| graph.tensor(t).dtype.is_float())
    };
    graph.nodes.iter().filter(is_float).map(|n| n.op.name()).collect()
}

/// Every answer next to the reference's, and how each was made.
fn answers(npz: &mut Npz, name: &str, graph: &Graph) -> Vec<(f64, f64)> {
    let mut options = SessionOptions::default();
    for (i, &id) in graph.inputs.iter().enumerate() {
        let dims: Vec<i64> = array(npz, &format!("{name}|shape{i}"));
        let dims = dims.into_iter().map(|n| n as usize).collect();
        options.shapes.push((graph.tensor(id).name.clone(), dims));
    }
    let mut session = Model::from_graph(graph.clone()).unwrap().session(&options).unwrap();
    for i in 0..session.inputs().len() {
        let x: Vec<u8> = array(npz, &format!("{name}|in{i}"));
        session.input_bytes_mut(i).unwrap().copy_from_slice(&x);
    }
    session.run().unwrap();
    let mut pairs = vec![];
    for i in 0..session.outputs().len() {
        let dtype = session.outputs()[i].dtype;
        let got = numbers(dtype, session.output_bytes(i).unwrap());
        for way in ["plain", "fused"] {
            let bytes: Vec<u8> = array(npz, &format!("{name}|{way}{i}"));
            let want = numbers(dtype, &bytes);
            // Of large outputs every n-th element was kept, n odd.
            let kept: Vec<f64> = got.iter().copied().step_by(got.len().div_ceil(1024) | 1).collect();
            assert_eq!(kept.len(), want.len(), "{name}, output {i}");
            pairs.extend(kept.into_iter().zip(want));
        }
    }
    pairs
}

fn check(npz: &mut Npz, name: &str, outcome: Outcome) {
    let path = shared("models/ort_testdata/onnxruntime/test/testdata").join(format!("{name}.onnx"));
    let graph = match (import::load(path, &ImportOptions::default()), outcome) {
        (Err(e), Refused(why)) => return assert!(e.to_string().contains(why), "{name}: {e}"),
        (graph, _) => graph.unwrap_or_else(|e| panic!("{name}: {e}")),
    };
    let graph = optimize::float(graph).unwrap();
    let pairs = answers(npz, name, &graph);
    let greatest = pairs.iter().fold(0f64, |m, (_, want)| m.max(want.abs()));
    let differences: Vec<f64> = pairs.iter().map(|(got, want)| (got - want).abs()).collect();
    let most = differences.iter().fold(0f64, |m, d| m.max(*d));
    match outcome {
        Integer => assert_eq!((float_nodes(&graph), most), (vec![], 0.0), "{name}"),
        Float(nodes) => assert_eq!((float_nodes(&graph), most), (nodes.to_vec(), 0.0), "{name}"),
        Summed => assert!(most <= greatest * 2f64.powi(-21), "{name}: {most}"),
        Rounded(step) => {
            let moved = differences.iter().filter(|d| **d > 0.0).count();
            assert!(most <= step && moved * 50 <= pairs.len(), "{name}: {moved} differ, up to {most}");
        }
        Refused(why) => panic!("{name} is not refused for {why}"),
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn every_model() {
    let mut npz = Npz::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ort_testdata.npz")).unwrap();
    let stored: BTreeSet<String> =
        npz.array_names().filter_map(|n| Some(n.split_once('|')?.0.to_string())).collect();
    let listed: BTreeSet<String> = OUTCOMES.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(stored, listed);
    for (name, outcome) in OUTCOMES {
        check(&mut npz, name, outcome);
    }
}
