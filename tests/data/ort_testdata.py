"""Makes ort_testdata.npz, which tests/ort_testdata.rs reads.

    python ort_testdata.py ONNX_RUNTIME_TESTDATA OUT_FOLDER

Runs the quantized models among ONNX Runtime's own test data on random inputs, once as they are written (nothing
fused) and once with all of its optimizations, and stores inputs and outputs as bytes; large outputs are sampled. The
models themselves are not stored. Needs numpy, onnx and onnxruntime.
"""
import csv
import pathlib
import sys

import numpy as np
import onnxruntime as ort

# Free dimensions by name; others are 1.
DIMS = {"M": 3, "K": 8, "N": 4, "C": 4, "batch_size": 2}
# Inputs repeat themselves after so many elements: they compress well.
PERIOD = 509
# Of larger outputs every n-th element is kept.
SAMPLES = 1024

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}


def random_input(rng, spec):
    shape = [d if isinstance(d, int) else DIMS.get(d, 1) for d in spec.shape]
    dtype = DTYPES[spec.type]
    if "scale" in spec.name:
        pattern = rng.uniform(0.001, 0.02, PERIOD)
    elif np.issubdtype(dtype, np.floating):
        pattern = rng.normal(0, 1, PERIOD)
    elif "zero_point" in spec.name or spec.name.endswith("zp"):
        pattern = rng.integers(0, 9, PERIOD)
    else:
        info = np.iinfo(dtype)
        pattern = rng.integers(info.min, info.max + 1, PERIOD)
    return np.resize(pattern, shape).astype(dtype)


def sampled(array):
    flat = np.ascontiguousarray(array).reshape(-1)
    step = max(1, -(-flat.size // SAMPLES)) | 1
    return flat[::step]


def session(path, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def bytes_of(array):
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def main(root, out):
    levels = {"plain": ort.GraphOptimizationLevel.ORT_DISABLE_ALL, "fused": ort.GraphOptimizationLevel.ORT_ENABLE_ALL}
    arrays = {}
    for row in csv.DictReader(open(root / "INDEX.tsv"), delimiter="\t"):
        name = row["path"].removeprefix("onnxruntime/test/testdata/").removesuffix(".onnx")
        rng = np.random.default_rng(len(name))
        feeds = None
        for key, level in levels.items():
            runner = session(root / row["path"], level)
            if feeds is None:
                feeds = {spec.name: random_input(rng, spec) for spec in runner.get_inputs()}
                for i, x in enumerate(feeds.values()):
                    arrays[f"{name}|shape{i}"] = np.array(x.shape, np.int64)
                    arrays[f"{name}|in{i}"] = bytes_of(x)
            for i, y in enumerate(runner.run(None, feeds)):
                arrays[f"{name}|{key}{i}"] = bytes_of(sampled(y))
                arrays[f"{name}|len{i}"] = np.array([y.size], np.int64)
    np.savez_compressed(out / "ort_testdata.npz", **arrays)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
