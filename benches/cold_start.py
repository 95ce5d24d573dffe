"""Session and first run of ONNX Runtime, to be held against `cargo bench --bench host`.

usage: python cold_start.py MODEL.onnx ...      (needs onnxruntime and numpy; free dimensions are 1, one thread)
"""
import statistics, sys, time
import numpy as np
import onnxruntime as ort

TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}

if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
    sys.exit(__doc__)
for path in sys.argv[1:]:
    times = []
    for _ in range(11):
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        start = time.perf_counter()
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        shapes = ([d if isinstance(d, int) else 1 for d in i.shape] for i in session.get_inputs())
        feeds = {i.name: np.zeros(s, TYPES[i.type]) for i, s in zip(session.get_inputs(), shapes)}
        session.run(None, feeds)
        times.append((time.perf_counter() - start) * 1e3)
    print(f"{path}: session and first run {statistics.median(times):.2f} ms")
