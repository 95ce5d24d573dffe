//! The whole job through the command: quantize, convert, run, bench, inspect, compare, verify, and the JSON that
//! scripts rely on.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{network, ottava, scratch};
use ottava::data::{Element, NamedArray, read_npz, write_npy, write_npz};
use ottava::graph::DType;
use serde_json::Value;
use std::path::{Path, PathBuf};

const NORMALIZE: [&str; 6] = ["--scale", "1/255", "--mean", "0.1307", "--std", "0.3081"];

/// Runs a command that must succeed, with `--json`.
fn json(args: &[&str]) -> Value {
    let outcome = ottava(&[args, &["--json"]].concat());
    assert_eq!(outcome.code, Some(0), "{args:?}: {}", outcome.err);
    assert!(outcome.err.is_empty(), "{args:?}: {}", outcome.err);
    serde_json::from_str(&outcome.out).unwrap()
}

fn has_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "no key {key} in {value}");
    }
}

fn asset(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)).unwrap()
}

/// The digits of an asset as an archive with one u8 array named like the network's input.
fn digits(name: &str) -> PathBuf {
    let bytes = asset(&format!("{name}.bin"));
    let path = scratch(&format!("{name}-{:?}.npz", std::thread::current().id()));
    let shape = vec![bytes.len() / 784, 1, 28, 28];
    write_npz(&path, &[NamedArray { name: "input".into(), dtype: DType::U8, shape, bytes }]).unwrap();
    path
}

/// The labels of the test digits.
fn labels() -> PathBuf {
    let bytes = asset("test_labels.bin");
    let path = scratch(&format!("labels-{:?}.npy", std::thread::current().id()));
    let (name, shape) = ("labels".into(), vec![bytes.len()]);
    write_npy(&path, &NamedArray { name, dtype: DType::U8, shape, bytes }).unwrap();
    path
}

fn quantized(name: &str, more: &[&str]) -> (PathBuf, Value) {
    let (data, out) = (digits("calibration_digits"), scratch(name));
    let args = ["quantize", network(), "-o", out.to_str().unwrap(), "--calibrate", data.to_str().unwrap()];
    let told = json(&[&args, &NORMALIZE[..], more].concat());
    (out, told)
}

/// One digit as a float archive, run through a model: the output's values.
fn outputs(model: &str) -> Vec<u8> {
    let pixels = asset("test_digits.bin");
    let real = |p: &u8| ((f32::from(*p) / 255.0 - 0.1307) / 0.3081).to_le_bytes();
    let array = NamedArray {
        name: "input".into(),
        dtype: DType::F32,
        shape: vec![1, 1, 28, 28],
        bytes: pixels[..784].iter().flat_map(real).collect(),
    };
    let id = format!("{:?}", std::thread::current().id());
    let (input, output) = (scratch(&format!("in-{id}.npz")), scratch(&format!("out-{id}.npz")));
    write_npz(&input, &[array]).unwrap();
    let told =
        json(&["run", model, "--inputs", input.to_str().unwrap(), "--outputs", output.to_str().unwrap()]);
    has_keys(&told, &["median_ms"]);
    let mut archive = read_npz(&output, &[], 1 << 20).unwrap();
    assert_eq!(archive.names, ["logits"]);
    let array = archive.arrays.remove(0);
    assert_eq!((array.element(), array.shape()), (Element::Tensor(DType::F32), &[1, 10][..]));
    array.into_bytes().unwrap()
}

#[test]
fn the_demo_keeps_its_promises() {
    let told = json(&["demo"]);
    has_keys(&told, &["float", "int8", "kernel"]);
    for side in ["float", "int8"] {
        has_keys(&told[side], &["accuracy", "bytes", "median_ms"]);
        assert!(told[side]["accuracy"].as_f64().unwrap() >= 0.97, "{told}");
        assert!(told[side]["median_ms"].as_f64().unwrap() > 0.0);
    }
    let bytes = |side: &str| told[side]["bytes"].as_u64().unwrap();
    assert!(bytes("int8") * 3 < bytes("float"), "{told}");
    assert!(!told["kernel"].as_str().unwrap().is_empty());
}

#[test]
fn the_demo_tells_a_story_and_keeps_files_if_asked() {
    let folder = scratch("kept");
    let story = ottava(&["demo", "--keep", folder.to_str().unwrap()]);
    assert_eq!(story.code, Some(0), "{}", story.err);
    for word in ["accuracy", "float", "int8", "Try next"] {
        assert!(story.out.contains(word), "{word}: {}", story.out);
    }
    let int8 = folder.join("mnist_cnn.8va");
    assert_eq!(json(&["verify", int8.to_str().unwrap()])["ok"], true);
    // What it says to try next can be tried.
    let commands: Vec<&str> = story.out.lines().filter_map(|l| l.strip_prefix("  ottava ")).collect();
    assert!(commands.len() >= 3, "{}", story.out);
    for command in commands {
        let outcome = ottava(&command.split_whitespace().collect::<Vec<_>>());
        assert_eq!(outcome.code, Some(0), "{command}: {}", outcome.err);
    }
}

#[test]
fn quantizing_pays_and_compares_well() {
    let (int8, told) = quantized("paid.8va", &["--strict"]);
    has_keys(&told, &["bytes_in", "bytes_out", "nodes_int8", "nodes_float", "seconds"]);
    assert_eq!(told["bytes_in"].as_u64().unwrap(), std::fs::metadata(network()).unwrap().len());
    assert_eq!(told["bytes_out"].as_u64().unwrap(), std::fs::metadata(&int8).unwrap().len());
    assert!(told["nodes_int8"].as_u64().unwrap() > 0);
    let (data, labels) = (digits("test_digits"), labels());
    let args = ["compare", network(), int8.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let more = ["--labels", labels.to_str().unwrap(), "--per-layer"];
    let told = json(&[&args, &more[..], &NORMALIZE].concat());
    has_keys(&told, &["a", "b", "agreement", "sqnr_db", "max_abs_error", "layers"]);
    for side in ["a", "b"] {
        has_keys(&told[side], &["bytes", "median_ms", "metrics"]);
        has_keys(&told[side]["metrics"], &["accuracy", "top5"]);
    }
    let accuracy = |side: &str| told[side]["metrics"]["accuracy"].as_f64().unwrap();
    assert!(accuracy("a") >= 0.98 && accuracy("b") >= accuracy("a") - 0.01, "{told}");
    assert!(told["agreement"].as_f64().unwrap() >= 0.98, "{told}");
    assert!(told["sqnr_db"].as_f64().unwrap() >= 20.0, "{told}");
    assert!(!told["layers"].as_array().unwrap().is_empty());
}

#[test]
fn converting_changes_no_bit() {
    let (float, packed) = (scratch("float.8va"), scratch("packed.8va"));
    let told = json(&["convert", network(), "-o", float.to_str().unwrap()]);
    has_keys(&told, &["bytes_in", "bytes_out", "nodes_int8", "nodes_float", "seconds"]);
    assert_eq!(told["nodes_int8"], 0);
    assert_eq!(outputs(network()), outputs(float.to_str().unwrap()));
    let (int8, _) = quantized("unpacked.8va", &[]);
    json(&["convert", int8.to_str().unwrap(), "-o", packed.to_str().unwrap(), "--pack", "auto"]);
    assert!(std::fs::metadata(&packed).unwrap().len() > std::fs::metadata(&int8).unwrap().len());
    assert_eq!(outputs(int8.to_str().unwrap()), outputs(packed.to_str().unwrap()));
}

#[test]
fn bench_tells_what_the_peers_script_reads() {
    let told =
        json(&["bench", network(), "--seconds", "0.05", "--threads", "1", "--shape", "input=1x1x28x28"]);
    let keys = ["median_ms", "min_ms", "p90_ms", "runs", "threads", "isa", "macs", "load_ms", "first_ms"];
    has_keys(&told, &keys);
    has_keys(&told, &["arena_bytes", "weights_bytes"]);
    let ms = |key: &str| told[key].as_f64().unwrap();
    assert!(0.0 < ms("min_ms") && ms("min_ms") <= ms("median_ms") && ms("median_ms") <= ms("p90_ms"));
    assert!(told["macs"].as_u64().unwrap() > 100_000 && told["runs"].as_u64().unwrap() >= 3);
    assert!(told.get("layers").is_none());
    let told = json(&["bench", network(), "--seconds", "0.05", "--per-layer"]);
    let layers = told["layers"].as_array().unwrap();
    assert_eq!(layers.iter().filter_map(|l| l["macs"].as_u64()).sum::<u64>(), told["macs"].as_u64().unwrap());
    for layer in layers {
        has_keys(layer, &["node", "kernel", "shape", "macs", "median_ms"]);
        assert!(layer["median_ms"].as_f64().unwrap() > 0.0, "{layer}");
    }
    let filled = ["bench", network(), "--seconds", "0.01", "--fill"];
    assert_eq!(ottava(&[&filled[..], &["input=0.5"]].concat()).code, Some(0));
    assert!(ottava(&[&filled[..], &["no=1"]].concat()).refused("input"));
    assert!(ottava(&["bench", network(), "--shape", "no=1"]).refused("input"));
}

#[test]
fn inspect_shows_every_node() {
    let told = json(&["inspect", network()]);
    has_keys(&told, &["nodes", "inputs", "outputs", "macs", "bytes"]);
    let nodes = told["nodes"].as_array().unwrap();
    assert!(nodes.iter().filter(|n| n["op"] == "Conv").count() == 2, "{told}");
    for node in nodes {
        has_keys(node, &["name", "op", "dtype", "kernel", "macs", "out_shape"]);
    }
    assert_eq!(told["inputs"][0]["name"], "input");
    let total: u64 = nodes.iter().map(|n| n["macs"].as_u64().unwrap()).sum();
    assert_eq!(total, told["macs"].as_u64().unwrap());
    let table = ottava(&["inspect", network()]).out;
    assert!(table.contains("Conv") && table.contains("multiply-adds"), "{table}");
}

#[test]
fn wrong_arrays_are_refused() {
    let input = scratch("wrong.npz");
    let output = scratch("never.npz");
    let run = |dtype: DType, name: &str, shape: &[usize]| {
        let bytes = vec![0; shape.iter().product::<usize>() * dtype.size()];
        write_npz(&input, &[NamedArray { name: name.into(), dtype, shape: shape.into(), bytes }]).unwrap();
        ottava(&[
            "run",
            network(),
            "--inputs",
            input.to_str().unwrap(),
            "--outputs",
            output.to_str().unwrap(),
        ])
    };
    assert!(run(DType::F32, "x", &[1, 1, 28, 28]).refused("'input'"), "another name");
    assert!(run(DType::U8, "input", &[1, 1, 28, 28]).refused("f32"), "another type");
    assert!(run(DType::F32, "input", &[1, 1, 28, 27]).refused("28"), "another shape");
    assert!(!output.exists());
    let model = scratch("never.8va");
    let calibrate = ["quantize", network(), "-o", model.to_str().unwrap(), "--calibrate"];
    let pixels = digits("calibration_digits");
    let outcome = ottava(&[&calibrate[..], &[pixels.to_str().unwrap()]].concat());
    assert!(outcome.refused("--scale"), "pixels without normalization: {}", outcome.err);
}

#[test]
fn damaged_files_do_not_verify() {
    let whole = scratch("whole.8va");
    json(&["convert", network(), "-o", whole.to_str().unwrap()]);
    assert_eq!(json(&["verify", whole.to_str().unwrap()])["ok"], true);
    let mut bytes = std::fs::read(&whole).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = scratch("damaged.8va");
    std::fs::write(&damaged, bytes).unwrap();
    let outcome = ottava(&["verify", damaged.to_str().unwrap(), "--json"]);
    assert!(outcome.refused(""), "{}", outcome.err);
    let told: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(told["ok"], false);
    assert!(!told["error"].as_str().unwrap().is_empty());
}

#[test]
fn onnx_comes_out_again() {
    let (whole, back) = (scratch("forth.8va"), scratch("back.onnx"));
    json(&["convert", network(), "-o", whole.to_str().unwrap()]);
    let (whole, to) = (whole.to_str().unwrap(), back.to_str().unwrap());
    assert_eq!(json(&["convert", whole, "-o", to])["bytes_out"], std::fs::metadata(&back).unwrap().len());
    let nodes = |model: &str| json(&["inspect", model])["nodes"].as_array().unwrap().len();
    assert_eq!(nodes(whole), nodes(to));
    std::fs::remove_file(&back).unwrap();
    assert!(ottava(&["convert", whole, "-o", to, "--pack", "scalar"]).refused("--pack"));
    assert!(!back.exists());
    let lite = scratch("back.tflite");
    assert!(ottava(&["convert", whole, "-o", lite.to_str().unwrap()]).refused("OUT.8va or OUT.onnx"));
    let nowhere = scratch("no folder/model.8va");
    assert!(ottava(&["convert", whole, "-o", nowhere.to_str().unwrap()]).refused("there is no such folder"));
}

#[test]
fn the_processor_is_described() {
    let told = json(&["cpu"]);
    has_keys(&told, &["isa", "features", "kernels"]);
    assert!(!told["kernels"].as_array().unwrap().is_empty());
}

#[test]
fn data_without_a_number_are_refused() {
    let (data, out) = (scratch("nan.npy"), scratch("from_nan.8va"));
    let bytes = f32::NAN.to_le_bytes().repeat(2 * 784);
    let array = NamedArray { name: "input".into(), dtype: DType::F32, shape: vec![2, 1, 28, 28], bytes };
    write_npy(&data, &array).unwrap();
    let (data, to) = (data.to_str().unwrap(), out.to_str().unwrap());
    assert!(ottava(&["quantize", network(), "-o", to, "--calibrate", data]).refused("no finite number"));
    assert!(!out.exists());
}
