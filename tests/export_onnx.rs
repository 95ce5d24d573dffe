//! What is written as ONNX and read again answers with the same bits.

mod common;

use common::{integer, nets, recurrent, shared};
use ottava::graph::*;
use ottava::import::onnx::proto::{ModelProto, ValueInfoProto};
use ottava::import::{self, ImportOptions, onnx};
use ottava::{Limits, Model, SessionOptions, export, format, optimize};
use prost::Message;

/// Outputs for noise, as bytes with their types; the second run's, so that states count.
fn try_answers(graph: Graph) -> Result<Vec<(DType, Vec<u8>)>, ottava::Error> {
    let model = Model::from_graph(graph)?;
    let mut session = model.session(&SessionOptions::default())?;
    let inputs: Vec<DType> = session.inputs().iter().map(|p| p.dtype).collect();
    for (i, dtype) in inputs.into_iter().enumerate() {
        let bytes = session.input_bytes_mut(i)?;
        match dtype {
            DType::F32 => {
                let values = nets::noise(i as u64 + 3, bytes.len() / 4);
                bytes.copy_from_slice(bytemuck::cast_slice(&values));
            }
            DType::U8 | DType::I8 => {
                bytes.iter_mut().enumerate().for_each(|(i, b)| *b = (i * 31 % 251) as u8);
            }
            _ => bytes.fill(0),
        }
    }
    session.run()?;
    let ports = session.outputs().iter().enumerate();
    ports.map(|(i, p)| Ok((p.dtype, session.output_bytes(i)?.to_vec()))).collect()
}

fn answers(graph: Graph) -> Vec<(DType, Vec<u8>)> {
    try_answers(graph).unwrap()
}

fn read_again(graph: &Graph) -> Graph {
    let bytes = export::to_onnx(graph).unwrap();
    optimize::float(onnx::from_bytes(bytes, &ImportOptions::default()).unwrap()).unwrap()
}

/// The greatest difference, for floats as a share of the greatest value.
fn distance(a: &[(DType, Vec<u8>)], b: &[(DType, Vec<u8>)]) -> f32 {
    assert_eq!(a.len(), b.len());
    let mut most = 0f32;
    for ((dtype, a), (other, b)) in a.iter().zip(b) {
        assert_eq!((dtype, a.len()), (other, b.len()));
        if *dtype != DType::F32 {
            let far = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
            most = most.max(far.into());
            continue;
        }
        let [a, b] = [a, b].map(|v| bytemuck::pod_collect_to_vec::<u8, f32>(v));
        let scale = a.iter().filter(|v| v.is_finite()).fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
        for (a, b) in a.iter().zip(&b) {
            if a != b && !(a.is_nan() && b.is_nan()) {
                most = most.max(if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() / scale });
            }
        }
    }
    most
}

#[track_caller]
fn assert_round_trip(graph: Graph) {
    let graph = optimize::float(graph).unwrap();
    let again = read_again(&graph);
    let ports = |g: &Graph, ids: &[TensorId]| -> Vec<(String, DType)> {
        ids.iter().map(|&id| (g.tensor(id).name.clone(), g.tensor(id).dtype)).collect()
    };
    assert_eq!(ports(&graph, &graph.inputs), ports(&again, &again.inputs));
    assert_eq!(ports(&graph, &graph.outputs), ports(&again, &again.outputs));
    let integers = |g: &Graph| g.nodes.iter().filter(|n| g.tensor(n.outputs[0]).dtype.is_8bit()).count();
    assert!(integers(&again) >= integers(&graph), "integers stay integers");
    assert_eq!(answers(graph), answers(again));
}

#[test]
fn every_integer_kernel() {
    assert_round_trip(integer::one_of_everything(12));
}

macro_rules! shared_models {
    ($($test:ident: $model:literal;)*) => {$(
        #[test]
        #[cfg_attr(not(shared), ignore = "needs the shared test material")]
        fn $test() {
            let model = shared(concat!("models/", $model));
            assert_round_trip(import::load(model, &ImportOptions::default()).unwrap());
        }
    )*};
}

shared_models! {
    mlp: "seeds/mnist_mlp.onnx";
    mlp_quantized: "seeds/mnist_mlp_qdq.onnx";
    cnn: "seeds/mnist_cnn.onnx";
    cnn_quantized: "seeds/mnist_cnn_qdq.onnx";
    mnist_qoperator: "ort_quantized/mnist_qop_perch_s8s8.onnx";
    resnet18: "resnet18/resnet18_qdq.onnx";
    efficientnet: "ort_quantized/efflite0_qop_perch_au8.onnx";
    unet: "unet_isbi/unet_isbi_qdq_perch.onnx";
    squeezenet: "winml/SqueezeNet_fp16.onnx";
    keywords: "mlperf_tiny/kws_ref_model.tflite";
    autoencoder: "mlperf_tiny/ad01_int8.tflite";
    mobilenet_v2: "coral/mobilenet_v2_1.0_224_quant.tflite";
    lstm: "seeds/lstm_mnist.onnx";
    lstm_dynamic: "seeds/lstm_mnist_dynamic.onnx";
    sentences: "minilm/minilm_l6_dynamic.onnx";
}

/// States are plain inputs again: answers are those of a first run.
#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn integer_lstm() {
    for model in ["tflite_micro/trained_lstm_int8.tflite", "tflite_micro/micro_speech_lstm.tflite"] {
        let path = shared(&format!("models/{model}"));
        let graph = optimize::float(import::load(path, &ImportOptions::default()).unwrap()).unwrap();
        let again = read_again(&graph);
        assert_eq!(answers(graph)[0], answers(again)[0], "{model}");
    }
}

#[track_caller]
fn assert_close(graph: Graph, bound: f32) {
    let graph = optimize::float(graph).unwrap();
    let again = read_again(&graph);
    let far = distance(&answers(graph), &answers(again));
    assert!(far <= bound, "{far}");
}

#[test]
fn recurrent_layers() {
    for layer in recurrent::layers() {
        assert_round_trip(layer.graph(4, 2));
    }
}

#[test]
fn recurrent_layers_that_onnx_has_no_form_for_are_written_step_by_step() {
    for mut layer in recurrent::layers() {
        layer.op.cell_clip = 0.1;
        layer.op.clip = 0.5;
        let steps = layer.graph(4, 2);
        assert_close(steps, 2e-6);
    }
}

#[test]
#[cfg(feature = "quantize")]
fn recurrent_layers_with_bytes_for_weights() {
    use ottava::quantize::{Mode, Modes, Options, without_data};
    for layer in recurrent::layers() {
        let modes = Modes::all(Mode::Dynamic);
        let options = Options { modes, per_tensor: layer.op.batch_first, ..Options::default() };
        let graph = optimize::float(layer.graph(4, 2)).unwrap();
        let mut graph = without_data(&graph, &options).unwrap().graph;
        // Rows by themselves: a loop of the same integers. All together: ONNX Runtime's operator, or the loop.
        for &rows in RowQuant::ALL {
            for node in &mut graph.nodes {
                if let Op::Recurrent(op) = &mut node.op {
                    op.rows = rows;
                }
            }
            let again = read_again(&graph);
            let far = distance(&answers(graph.clone()), &answers(again));
            assert!(far <= 2e-6, "{:?} {rows:?} {far}", layer.op);
        }
    }
}

#[test]
fn lengths_of_sequences_and_peepholes() {
    for direction in Direction::ALL.iter().copied() {
        // The second one is written step by step.
        for cell_clip in [f32::INFINITY, 100.0] {
            let op = Recurrent { cell_clip, ..Recurrent::new(RecurrentCell::Lstm, direction) };
            let d = direction.count();
            let mut b = GraphBuilder::new("net");
            let x = b.input("x", DType::F32, Shape::fixed(&[5, 3, 2]));
            let w = b.f32s("w", &[d * 16, 2], &nets::noise(1, d * 32));
            let r = b.f32s("r", &[d * 16, 4], &nets::noise(2, d * 64));
            let bias = b.f32s("b", &[d, 16], &nets::noise(3, d * 16));
            let lengths = Tensor::constant("lengths", DType::I32, &[3], Data::from_slice(&[5i32, 2, 4]));
            let lengths = b.tensor(lengths);
            let peepholes = b.f32s("p", &[d, 12], &nets::noise(4, d * 12));
            let inputs =
                vec![Some(x), Some(w), Some(r), Some(bias), Some(lengths), None, None, Some(peepholes)];
            let node = Node { name: "layer".into(), op: op.into(), inputs, outputs: vec![] };
            let outputs = b.push(node, &["y", "h", "c"].map(String::from)).unwrap();
            assert_close(b.finish(&outputs).unwrap(), 2e-6);
        }
    }
}

#[test]
fn attention_over_shared_keys() {
    for (causal, first) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut b = GraphBuilder::new("net");
        let dims = |heads: usize, length: usize| match first {
            true => Shape::fixed(&[2, heads, length, 8]),
            false => Shape::fixed(&[2, length, heads, 8]),
        };
        let q = b.input("q", DType::F32, dims(4, 3));
        let k = b.input("k", DType::F32, dims(2, 5));
        let v = b.input("v", DType::F32, dims(2, 5));
        let mask = b.input("mask", DType::F32, Shape::fixed(&[2, 1, 3, 5]));
        let [q_heads_first, k_heads_first, v_heads_first] = [first; 3];
        let op = Attention { scale: 0.4, causal, q_heads_first, k_heads_first, v_heads_first };
        let y = b.node("attention", op, &[q, k, v, mask]).unwrap();
        assert_close(b.finish(&[y]).unwrap(), 2e-6);
    }
}

/// Whatever ONNX's own tests of operators hold goes to ONNX and back.
#[test]
#[cfg_attr(not(shared), ignore = "needs the shared test material")]
fn single_operators() {
    let (mut compared, mut wrong) = (0, vec![]);
    for entry in std::fs::read_dir(shared("onnx_node_tests")).unwrap() {
        let folder = entry.unwrap().path();
        let import = |bytes| onnx::from_bytes(bytes, &ImportOptions::default()).ok();
        let graph = std::fs::read(folder.join("model.onnx")).ok().and_then(import);
        let Some(graph) = graph.and_then(|g| optimize::float(g).ok()) else { continue };
        let Ok(want) = try_answers(graph.clone()) else { continue };
        let case = folder.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = match export::to_onnx(&graph) {
            Ok(bytes) => bytes,
            Err(why) => {
                wrong.push(format!("{case}: {why}"));
                continue;
            }
        };
        let again = onnx::from_bytes(bytes, &ImportOptions::default()).map_err(|e| e.to_string());
        let again = again.and_then(|g| optimize::float(g).map_err(|e| e.to_string()));
        match again.and_then(|g| try_answers(g).map_err(|e| e.to_string())) {
            Err(why) => wrong.push(format!("{case}: {why}")),
            Ok(got) if distance(&want, &got) > 2e-6 => {
                wrong.push(format!("{case}: {}", distance(&want, &got)));
            }
            Ok(_) => compared += 1,
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 490, "{compared} compared");
}

/// A choice between two sums, with a choice inside one of them.
fn branches() -> Graph {
    let mut b = GraphBuilder::new("net");
    let x = b.input("x", DType::F32, Shape::fixed(&[4]));
    let [one, two] = ["one", "two"].map(|name| b.input(name, DType::Bool, Shape::fixed(&[1])));
    let add = || nets::binary(BinaryKind::Add);
    let shared = b.node("shared", add(), &[x, x]).unwrap();
    let inner_yes = b.node("inner yes", nets::unary(UnaryKind::Exp), &[shared]).unwrap();
    let inner_no = b.node("inner no", nets::unary(UnaryKind::Tanh), &[shared]).unwrap();
    let inner = b.node("inner", Merge {}, &[two, inner_yes, inner_no]).unwrap();
    let yes = b.node("yes", add(), &[inner, x]).unwrap();
    let no = b.node("no", nets::unary(UnaryKind::Neg), &[shared]).unwrap();
    let [first, second] = ["first", "second"].map(|name| b.node(name, Merge {}, &[one, yes, no]).unwrap());
    let y = b.node("y", add(), &[first, second]).unwrap();
    b.finish(&[y]).unwrap()
}

#[test]
fn branches_become_graphs_of_their_own() {
    let graph = branches();
    let again = read_again(&graph);
    let answer = |graph: &Graph, flags: [bool; 2]| {
        let mut session =
            Model::from_graph(graph.clone()).unwrap().session(&SessionOptions::default()).unwrap();
        session.input_mut::<f32>(0).unwrap().copy_from_slice(&[0.5, -1.0, 2.0, 0.0]);
        for (i, flag) in flags.into_iter().enumerate() {
            session.input_bytes_mut(i + 1).unwrap()[0] = flag.into();
        }
        session.run().unwrap();
        session.output::<f32>(0).unwrap().to_vec()
    };
    for flags in [[false, false], [false, true], [true, false], [true, true]] {
        assert_eq!(answer(&graph, flags), answer(&again, flags), "{flags:?}");
    }
}

#[test]
fn branches_that_lie_too_deep_are_refused() {
    let mut b = GraphBuilder::new("net");
    let x = b.input("x", DType::F32, Shape::fixed(&[4]));
    let mut y = x;
    for i in 0..100 {
        let flag = b.input(&format!("flag{i}"), DType::Bool, Shape::fixed(&[1]));
        let more = b.node(&format!("more{i}"), nets::unary(UnaryKind::Exp), &[y]).unwrap();
        y = b.node(&format!("choice{i}"), Merge {}, &[flag, more, x]).unwrap();
    }
    let error = export::to_onnx(&b.finish(&[y]).unwrap()).unwrap_err();
    assert!(error.to_string().contains("branches lie in each other"), "{error}");
}

#[test]
fn states_are_inputs_and_outputs() {
    let mut b = GraphBuilder::new("net");
    let x = b.input("x", DType::F32, Shape::fixed(&[2]));
    let sum = b.input("sum", DType::F32, Shape::fixed(&[2]));
    let next = b.node("add", nets::binary(BinaryKind::Add), &[sum, x]).unwrap();
    let first = b.f32s("first", &[2], &[3.0, 4.0]);
    b.state(sum, next, Some(first));
    let proto = ModelProto::decode(&export::to_onnx(&b.finish(&[next]).unwrap()).unwrap()[..]).unwrap();
    let graph = proto.graph.unwrap();
    let names = |ports: &[ValueInfoProto]| ports.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&graph.input), ["x", "sum"]);
    assert_eq!(names(&graph.output).len(), 2);
    assert_ne!(graph.output[0].name, graph.output[1].name);
    let first = graph.initializer.iter().find(|t| t.name == "sum").unwrap();
    assert_eq!(first.raw_data.as_deref(), Some(bytemuck::cast_slice(&[3f32, 4.0])));
}

/// Such a graph makes a model, if none that runs: nothing is read past the end of its scales.
#[test]
fn scales_along_another_axis_are_refused() {
    let mut b = GraphBuilder::new("net");
    let x = b.input("x", DType::F32, Shape::fixed(&[3, 1, 2]));
    let mut weights = |name: &str, columns: usize| {
        let codes = Data::from_slice(&vec![1i8; 16 * columns]);
        let quant = Quant::per_channel(1, vec![0.5; columns]);
        b.tensor(Tensor::constant(name, DType::I8, &[16, columns], codes).with_quant(quant))
    };
    let (w, r) = (weights("w", 2), weights("r", 4));
    let op = Recurrent::new(RecurrentCell::Lstm, Direction::Forward);
    for op in [op.clone(), Recurrent { rows: RowQuant::Shared, ..op }] {
        let y = b.node(op.rows.name(), op, &[x, w, r]).unwrap();
        let mut graph = b.graph().clone();
        graph.outputs = vec![y];
        let error = export::to_onnx(&graph).unwrap_err().to_string();
        assert!(error.ends_with("needs one scale, or one for each row"), "{error}");
    }
}

/// Files that say other things than their writer meant, and still make a model.
#[test]
fn damaged_files_never_panic() {
    let limits = Limits { nodes: 64, tensors: 256, ..Limits::default() };
    let mut models = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds")).unwrap() {
        let file = std::fs::read(entry.unwrap().path()).unwrap();
        for at in 16..file.len() {
            for byte in [file[at].wrapping_add(1), file[at] ^ 0x80, 2, 255] {
                let mut damaged = file.clone();
                damaged[at] = byte;
                format::reseal(&mut damaged);
                let Ok(model) = Model::from_bytes(damaged, &limits) else { continue };
                models += 1;
                let _ = export::to_onnx(model.graph());
            }
        }
    }
    assert!(models > 1000, "{models}");
}

#[test]
fn what_has_no_form_is_named() {
    let mut b = GraphBuilder::new("net");
    let bytes = b.input("bytes", DType::U8, Shape::fixed(&[3]));
    let unpack = Unpack { bits: 6, dims: vec![4] };
    let y = b.node("codes", unpack, &[bytes]).unwrap();
    let error = export::to_onnx(&b.finish(&[y]).unwrap()).unwrap_err();
    assert_eq!((error.node.as_str(), error.op), ("codes", "Unpack"));
    assert_eq!(error.to_string(), "node 'codes' (Unpack) can't be written: 'bytes' is not constant");
}
