"""Compares what ONNX Runtime answers to exported models with what Ottava answers.

    python export.py OTTAVA MODEL...

Each model (.onnx, .tflite or .8va) becomes a .8va file, that one an .onnx file again, which ONNX Runtime runs with all of
its optimizations on random inputs, free dimensions 1. Printed is the greatest difference to `OTTAVA run` for each
output: of floats as a share of the greatest value, of integers in steps. Exits with 1 if a model is refused on the way
back, or a difference is above 1e-5 or one step. No test runs this; it needs numpy, onnx and onnxruntime.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

TYPES = {
    "f32": np.float32, "f16": np.float16, "f64": np.float64, "i64": np.int64, "i32": np.int32, "i16": np.int16,
    "i8": np.int8, "u8": np.uint8, "bool": np.bool_,
}


def ottava(command, *args):
    """Runs the command; what it complains of is an error."""
    done = subprocess.run([command, *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def random(rng, port):
    """Normal floats, any bytes, small wider integers: indices and lengths should stay within bounds."""
    shape = [d if isinstance(d, int) else 1 for d in port["shape"]]
    dtype = np.dtype(TYPES[port["dtype"]])
    if dtype.kind == "f":
        return np.asarray(rng.standard_normal(shape)).astype(dtype)
    low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.itemsize == 1 and dtype.kind != "b" else (0, 1)
    return np.asarray(rng.integers(low, high, shape, endpoint=True)).astype(dtype)


def difference(want, got):
    """0 for equal arrays, infinity for others' shapes or types."""
    if (want.shape, want.dtype) != (got.shape, got.dtype):
        return np.inf
    want, got = (a.astype(np.float64) for a in (want, got))
    far = np.abs(want - got)[(want != got) & ~(np.isnan(want) & np.isnan(got))].max(initial=0)
    return np.inf if np.isnan(far) else far


def compare(command, model, folder, rng):
    """The differences of all outputs, each with what is allowed."""
    file, back, given, answers = (folder / name for name in ("m.8va", "m.onnx", "in.npz", "out.npz"))
    ottava(command, "convert", model, "-o", file)
    told = json.loads(ottava(command, "inspect", file, "--json"))
    ottava(command, "convert", file, "-o", back)
    inputs = {port["name"]: random(rng, port) for port in told["inputs"]}
    np.savez(given, **inputs)
    ottava(command, "run", file, "--inputs", given, "--outputs", answers)
    wanted = np.load(answers)
    # A state's first value: zeros, unless the file has a default.
    defaults = {t.name: numpy_helper.to_array(t) for t in onnx.load(back).graph.initializer}
    for state in told.get("states", []):
        shape = [d if isinstance(d, int) else 1 for d in state["shape"]]
        inputs[state["name"]] = defaults.get(state["name"], np.zeros(shape, TYPES[state["dtype"]]))
    session = ort.InferenceSession(back, providers=["CPUExecutionProvider"])
    found = session.run(wanted.files, inputs)
    for name, got in zip(wanted.files, found):
        want = wanted[name]
        floats = want.dtype.kind == "f"
        scale = np.abs(want[np.isfinite(want)]).max(initial=1e-30) if floats else 1
        yield name, difference(want, got) / scale, 1e-5 if floats else 1


def main(command, *models):
    rng, failed = np.random.default_rng(0), False
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            try:
                for name, far, allowed in compare(command, model, pathlib.Path(folder), rng):
                    failed |= not far <= allowed
                    print(f"{model}\t{name}\t{far:.1e}{'' if far <= allowed else ' TOO FAR'}")
            except Exception as why:
                failed = True
                print(f"{model}\tFAILED\t{str(why).splitlines()[0][:200]}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
