"""Depthwise layers one by one, beside what other runtimes' own profiles say about them, round by round in one run.

Peers: OpenVINO (get_profiling_info), for ONNX files ONNX Runtime (enable_profiling), for TensorFlow Lite files LiteRT
(its C library's profiler: the Python package has none). One thread each. A layer's time is its kernel alone, with the
requantization that a runtime fuses into it; conversions that a peer inserts around it are not counted. All figures are
medians over the rounds of each round's median (LiteRT tells means); the ratio is the fastest peer's time over Ottava's.

Needs numpy, openvino, onnx and onnxruntime or ai_edge_litert. Free dimensions are 1.
"""
import argparse, collections, ctypes, json, os, re, statistics, subprocess, tempfile
import numpy as np

RUNS = 40


def zeros(shape, dtype):
    return np.zeros([d if isinstance(d, int) and d > 0 else 1 for d in shape], dtype)


def ottava(path, binary, seconds):
    """Microseconds of each depthwise layer: `[(node, output shape, multiply-adds, time)]`."""
    command = [binary, "bench", path, "--threads", "1", "--seconds", str(seconds), "--per-layer", "--json"]
    layers = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["layers"]
    layers = [l for l in layers if l["kernel"].startswith("depthwise")]
    return [(l["node"], l["shape"], l["macs"], l["median_ms"] * 1e3) for l in layers]


def openvino(path):
    import openvino as ov
    core = ov.Core()
    model = core.read_model(path)
    model.reshape({i.any_name: [d.get_length() if d.is_static else 1 for d in i.partial_shape] for i in model.inputs})
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERF_COUNT": True, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def turn():
        times = collections.OrderedDict()
        for run in range(RUNS):
            request.infer()
            for p in request.get_profiling_info():
                if p.node_type == "GroupConvolution" and str(p.status).endswith("EXECUTED"):
                    times.setdefault(p.node_name, []).append(p.real_time.total_seconds() * 1e6)
        return [statistics.median(t) for t in times.values()]
    return turn


def onnxruntime(path):
    import onnx, onnxruntime as ort
    model = onnx.load(path)
    groups = {n.name for n in model.graph.node for a in n.attribute if a.name == "group" and a.i > 1}
    types = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}

    def turn():
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level, options.enable_profiling = 1, 3, True
        with tempfile.TemporaryDirectory() as folder:
            options.profile_file_prefix = os.path.join(folder, "profile")
            session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            feeds = {i.name: zeros(i.shape, types[i.type]) for i in session.get_inputs()}
            for run in range(RUNS):
                session.run(None, feeds)
            with open(session.end_profiling()) as file:
                events = json.load(file)
        times = collections.OrderedDict()
        for event in events:
            name = event["name"].removesuffix("_kernel_time")
            # Fused nodes are called after the convolution, with more behind its name.
            if name != event["name"] and any(re.fullmatch(re.escape(g) + r"(_quant|_nhwc|_token_\d+)*", name) for g in groups):
                times.setdefault(name, []).append(event["dur"])
        return [statistics.median(t) for t in times.values()]
    return turn


def litert(path):
    import ai_edge_litert
    library = ctypes.CDLL(os.path.join(os.path.dirname(ai_edge_litert.__file__), "libLiteRt.so"))
    pointer, size, keep = ctypes.c_void_p, ctypes.c_size_t, []

    def call(name, *arguments):
        status = getattr(library, "LiteRt" + name)(*arguments)
        assert status == 0, f"{name}: status {status}"

    def made(name, *arguments):
        result = pointer()
        call(name, *arguments, ctypes.byref(result))
        return result

    environment = made("CreateEnvironment", 0, None)
    model = made("CreateModelFromFile", environment, path.encode())
    options = made("CreateOptions")
    call("SetOptionsHardwareAccelerators", options, 1)  # the processor
    keep.append(ctypes.CFUNCTYPE(None, pointer)(lambda _: None))
    for group, text in ((b"runtime_options_string", b"enable_profiling = true\n"), (b"xnnpack", b"num_threads = 1\n")):
        keep.append(ctypes.create_string_buffer(text))
        call("AddOpaqueOptions", options, made("CreateOpaqueOptions", group, keep[-1], keep[0]))
    compiled = made("CreateCompiledModel", environment, model, options)
    profiler, signature = made("CompiledModelGetProfiler", compiled), made("GetModelSignature", model, size(0))

    def buffers(kind):
        count, result = size(), []
        call(f"GetNumSignature{kind}s", signature, ctypes.byref(count))
        for i in map(size, range(count.value)):
            tensor_type = ctypes.create_string_buffer(512)
            call("GetRankedTensorType", made(f"GetSignature{kind}TensorByIndex", signature, i), tensor_type)
            needs = made(f"GetCompiledModel{kind}BufferRequirements", compiled, size(0), i)
            result.append(made("CreateManagedTensorBufferFromRequirements", environment, tensor_type, needs))
        return size(count.value), (pointer * count.value)(*result)

    inputs, outputs = buffers("Input"), buffers("Output")

    def turn():
        call("RunCompiledModel", compiled, size(0), *inputs, *outputs)
        call("StartProfiler", profiler)
        for run in range(RUNS):
            call("RunCompiledModel", compiled, size(0), *inputs, *outputs)
        call("StopProfiler", profiler)
        summary = ctypes.c_char_p()
        call("GetProfileSummary", profiler, compiled, ctypes.byref(summary))
        call("ResetProfiler", profiler)
        # The first of its tables is in the order of execution: type, start, first, mean in milliseconds, ...
        table = summary.value.decode().split("Top by Computation Time")[0]
        return [float(m[1]) * 1e3 for m in re.finditer(r"\bDWConv\s+\S+\s+\S+\s+(\S+)", table)]
    return turn


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+", help="quantized networks, .onnx or .tflite")
    parser.add_argument("--ottava", default="target/release/ottava", help="the program (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each runtime (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of Ottava's turns (default: %(default)s)")
    args = parser.parse_args()
    for path in args.model:
        makers = {"OpenVINO": openvino, **({"ONNX Runtime": onnxruntime} if path.endswith(".onnx") else {"LiteRT": litert})}
        peers = {name: maker(path) for name, maker in makers.items()}
        layers, own, others = [], [], {name: [] for name in peers}
        for _ in range(args.rounds):
            layers = ottava(path, args.ottava, args.seconds)
            own.append([time for *_, time in layers])
            for name, turn in peers.items():
                others[name].append(turn())
        for name, rounds in list(others.items()):
            if any(len(times) != len(layers) for times in rounds):
                print(f"{name} is left out: it shows {len(rounds[0])} depthwise layers, not {len(layers)}")
                del others[name]
        print(f"\n{os.path.basename(path)}, medians of {args.rounds} rounds, microseconds\n")
        print("| layer | output | taps | Ottava | " + " | ".join(others) + " | best peer / Ottava |")
        print("|---" * (5 + len(others)) + "|")
        rows = [(name, "x".join(map(str, shape[1:])), round(macs / np.prod(shape))) for name, shape, macs, _ in layers]
        pick = [lambda times, i=i: times[i] for i in range(len(layers))] + [sum]
        for (name, shape, taps), of in zip(rows + [("all", "", "")], pick):
            ours = [of(times) for times in own]
            theirs = {peer: [of(times) for times in rounds] for peer, rounds in others.items()}
            ratio = statistics.median(min(t) / o for o, *t in zip(ours, *theirs.values())) if theirs else float("nan")
            figures = [f"{statistics.median(t):.1f}" for t in [ours, *theirs.values()]]
            print(f"| {name} | {shape} | {taps} | {' | '.join(figures)} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
