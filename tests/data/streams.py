"""Writes streams.npz: networks that keep states, inputs step by step, and what LiteRT answers.

usage: python streams.py [DTLN.tflite KEYWORD_SCRAMBLED.tflite]     (ai-edge-litert 2.3.0, flatbuffers, numpy)
"""
import os
import sys

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as S
from ai_edge_litert.interpreter import Interpreter

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(11)
# Of what came later, so that the networks before keep their numbers.
more = np.random.default_rng(12)
TYPES = {np.float32: 0, np.int32: 2, np.uint8: 3, np.int64: 4, np.bool_: 6, np.int16: 7, np.int8: 9}


class Net:
    """A model, tensor by tensor."""

    def __init__(self):
        self.model = S.ModelT()
        self.model.version, self.model.description = 3, b"streams"
        self.model.operatorCodes, self.model.subgraphs, self.model.buffers = [], [], [S.BufferT()]
        self.graph()

    def graph(self):
        self.g = S.SubGraphT()
        self.g.tensors, self.g.operators, self.g.inputs, self.g.outputs, self.g.name = [], [], [], [], b"g"
        self.model.subgraphs.append(self.g)

    def tensor(self, dtype, shape, name, q=None, data=None, variable=False, axis=None):
        t = S.TensorT()
        t.type = 13 if dtype is None else TYPES[dtype]
        t.shape, t.name, t.isVariable, t.buffer = list(shape), name.encode(), variable, 0
        if data is not None:
            b = S.BufferT()
            b.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self.model.buffers.append(b)
            t.buffer = len(self.model.buffers) - 1
        if q:
            t.quantization = S.QuantizationParametersT()
            scales = np.atleast_1d(np.float32(q[0])).tolist()
            t.quantization.scale, t.quantization.zeroPoint = scales, [q[1]] * len(scales)
            t.quantization.quantizedDimension = axis or 0
        self.g.tensors.append(t)
        return len(self.g.tensors) - 1

    def op(self, code, inputs, outputs, options=None, kind=0, intermediates=None, version=1):
        c = S.OperatorCodeT()
        c.builtinCode, c.deprecatedBuiltinCode, c.version = code, min(code, 127), version
        self.model.operatorCodes.append(c)
        o = S.OperatorT()
        o.opcodeIndex = len(self.model.operatorCodes) - 1
        o.inputs, o.outputs, o.builtinOptions, o.builtinOptionsType = inputs, outputs, options, kind
        if intermediates:
            o.intermediates = intermediates
        self.g.operators.append(o)

    def bytes(self):
        b = flatbuffers.Builder(1024)
        b.Finish(self.model.Pack(b), b"TFL3")
        return bytes(b.Output())


O, K = S.BuiltinOperator, S.BuiltinOptions


def lstm(kind, batch, steps, inputs, hidden, time_major=False, clip=0.0, asymmetric=False):
    """kind: "int", "float", "hybrid"."""
    n = Net()
    integer, hybrid = kind == "int", kind == "hybrid"
    weight = np.float32 if kind == "float" else np.int8
    lead = (steps, batch) if time_major else (batch, steps)
    act = np.int8 if integer else np.float32
    x = n.tensor(act, (*lead, inputs), "x", (0.02, -7) if integer else None)
    ids = [x]

    def matrix(rows, columns):
        if kind == "float":
            return n.tensor(np.float32, (rows, columns), "w", None, rng.normal(0, 0.5, (rows, columns)))
        values = rng.integers(-127, 128, (rows, columns))
        return n.tensor(weight, (rows, columns), "w", (rng.uniform(0.004, 0.012), 0), values)

    ids += [matrix(hidden, inputs) for _ in range(4)] + [matrix(hidden, hidden) for _ in range(4)] + [-1] * 3
    for _ in range(4):
        if integer:
            ids.append(n.tensor(np.int32, (hidden,), "b", (1e-4, 0), rng.integers(-4000, 4000, hidden)))
        else:
            ids.append(n.tensor(np.float32, (hidden,), "b", None, rng.normal(0, 0.5, hidden)))
    ids += [-1, -1]
    out_q, cell_q = ((0.0078, 3), (2.0**-12, 0)) if integer else (None, None)
    ids.append(n.tensor(act, (batch, hidden), "h", out_q, variable=True))
    ids.append(n.tensor(np.int16 if integer else np.float32, (batch, hidden), "c", cell_q, variable=True))
    ids += [-1] * 4
    y = n.tensor(act, (*lead, hidden), "y", out_q)
    o = S.UnidirectionalSequenceLSTMOptionsT()
    o.fusedActivationFunction, o.cellClip, o.projClip, o.timeMajor = 4, clip, 0.0, time_major
    o.asymmetricQuantizeInputs = asymmetric
    between = None
    if integer:
        between = [n.tensor(np.int16, (), f"i{i}", (2.0**-12, 0)) for i in range(4)]
        between.append(n.tensor(np.int8, (), "i4", out_q))
    n.op(O.UNIDIRECTIONAL_SEQUENCE_LSTM, ids, [y], o, K.UnidirectionalSequenceLSTMOptions, between)
    n.g.inputs, n.g.outputs = [x], [y]
    return n.bytes()


def floats(n, *shape):
    return n.tensor(np.float32, shape, f"w{len(n.g.tensors)}", None, more.normal(0, 0.4, shape))


def state(n, *shape, dtype=np.float32, q=None):
    return n.tensor(dtype, shape, f"s{len(n.g.tensors)}", q, variable=True)


def svdf(kind, batch, inputs, units, rank, memory):
    """kind: "int", "float"."""
    n, features = Net(), units * rank
    if kind == "float":
        x, y = n.tensor(np.float32, (batch, inputs), "x"), n.tensor(np.float32, (batch, units), "y")
        ids = [x, floats(n, features, inputs), floats(n, features, memory), floats(n, units)]
        ids.append(state(n, batch, memory * features))
    else:
        x = n.tensor(np.int8, (batch, inputs), "x", (0.05, -3))
        y = n.tensor(np.int8, (batch, units), "y", (0.02, -128))
        codes = more.integers(-127, 128, (features, inputs)), more.integers(-2000, 2001, (features, memory))
        ids = [x, n.tensor(np.int8, (features, inputs), "w", (0.01, 0), codes[0])]
        ids.append(n.tensor(np.int16, (features, memory), "t", (5e-4, 0), codes[1]))
        ids.append(n.tensor(np.int32, (units,), "b", (5e-4 * 6e-4, 0), more.integers(-10**6, 10**6, units)))
        ids.append(state(n, batch, memory * features, dtype=np.int16, q=(6e-4, 0)))
    o = S.SVDFOptionsT()
    o.rank, o.fusedActivationFunction = rank, 1
    n.op(O.SVDF, ids, [y], o, K.SVDFOptions, version=1 if kind == "float" else 3)
    n.g.inputs, n.g.outputs = [x], [y]
    return n.bytes()


def rnn(kind, batch, steps, inputs, hidden):
    """kind: "step", "sequence", "time_major", "both", "merged"."""
    n, both = Net(), kind in ("both", "merged")
    shape = (steps, batch, inputs) if kind == "time_major" else (batch, steps, inputs)
    x = n.tensor(np.float32, (batch, inputs) if kind == "step" else shape, "x")
    ids = [x]
    for _ in range(1 + both):
        ids += [floats(n, hidden, inputs), floats(n, hidden, hidden), floats(n, hidden), state(n, batch, hidden)]
    lead = (batch,) if kind == "step" else shape[:2]
    wide = 2 * hidden if kind == "merged" else hidden
    ys = [n.tensor(np.float32, (*lead, wide), f"y{i}") for i in range(2 if kind == "both" else 1)]
    if kind == "step":
        o, code, number = S.RNNOptionsT(), O.RNN, K.RNNOptions
    elif both:
        o, code, number = S.BidirectionalSequenceRNNOptionsT(), O.BIDIRECTIONAL_SEQUENCE_RNN, K.BidirectionalSequenceRNNOptions
        o.mergeOutputs, ids = kind == "merged", ids + [-1] * 3
    else:
        o, code, number = S.SequenceRNNOptionsT(), O.UNIDIRECTIONAL_SEQUENCE_RNN, K.SequenceRNNOptions
    if kind != "step":
        o.timeMajor = kind == "time_major"
    o.fusedActivationFunction = 1 if kind == "time_major" else 4
    n.op(code, ids, ys, o, number)
    n.g.inputs, n.g.outputs = [x], ys
    return n.bytes()


def lstm_of(kind, batch, steps, inputs, hidden):
    """kind: "step", "both"."""
    n, both = Net(), kind == "both"
    x = n.tensor(np.float32, (batch, steps, inputs) if both else (batch, inputs), "x")
    ids = [x]
    for _ in range(1 + both):
        ids += [floats(n, hidden, inputs) for _ in range(4)] + [floats(n, hidden, hidden) for _ in range(4)]
        ids += [-1] * 3 + [floats(n, hidden) for _ in range(4)] + [-1] * 2
    ids += [state(n, batch, hidden) for _ in range(4 if both else 2)] + [-1] * (9 if both else 0)
    lead = (batch, steps) if both else (batch,)
    ys = [n.tensor(np.float32, (*lead, hidden), f"y{i}") for i in range(1 + both)]
    o = S.BidirectionalSequenceLSTMOptionsT() if both else S.LSTMOptionsT()
    o.fusedActivationFunction = 4
    if both:
        o.mergeOutputs, o.timeMajor = False, False
    code = O.BIDIRECTIONAL_SEQUENCE_LSTM if both else O.LSTM
    n.op(code, ids, ys, o, K.BidirectionalSequenceLSTMOptions if both else K.LSTMOptions)
    n.g.inputs, n.g.outputs = [x], ys
    return n.bytes()


def handle(n, name):
    r = n.tensor(None, (), name + "_handle")
    o = S.VarHandleOptionsT()
    o.container, o.sharedName = b"", name.encode()
    n.op(O.VAR_HANDLE, [], [r], o, K.VarHandleOptions)
    return r


def assign(n, r, value):
    n.op(O.ASSIGN_VARIABLE, [r, value], [], S.AssignVariableOptionsT(), K.AssignVariableOptions)


def read(n, r, dtype, shape, name, q=None):
    v = n.tensor(dtype, shape, name, q)
    n.op(O.READ_VARIABLE, [r], [v], S.ReadVariableOptionsT(), K.ReadVariableOptions)
    return v


def call_once(n):
    o = S.CallOnceOptionsT()
    o.initSubgraphIndex = 1
    n.op(O.CALL_ONCE, [], [], o, K.CallOnceOptions)


def add(n, a, b, dtype, shape, name, q=None):
    y = n.tensor(dtype, shape, name, q)
    n.op(O.ADD, [a, b], [y], S.AddOptionsT(), K.AddOptions)
    return y


def sums():
    """Two float variables: the running sum (from constants that the initialiser adds up) and the one before it."""
    n, shape = Net(), (1, 3)
    x = n.tensor(np.float32, shape, "x")
    call_once(n)
    total, last = handle(n, "total"), handle(n, "last")
    old = read(n, total, np.float32, shape, "old")
    assign(n, last, old)
    new = add(n, old, x, np.float32, shape, "new")
    assign(n, total, new)
    again = read(n, total, np.float32, shape, "again")
    y = add(n, again, read(n, last, np.float32, shape, "before"), np.float32, shape, "y")
    n.g.inputs, n.g.outputs = [x], [y, again]
    n.graph()
    a = n.tensor(np.float32, shape, "a", None, [[1, 2, 3]])
    b = n.tensor(np.float32, shape, "b", None, [[0.5, 0, -1]])
    assign(n, handle(n, "total"), add(n, a, b, np.float32, shape, "start"))
    return n.bytes()


def window():
    """An int8 ring buffer of four rows in front of a fully connected layer."""
    n, q = Net(), (0.05, 4)
    x = n.tensor(np.int8, (1, 1, 3), "x", q)
    call_once(n)
    r = handle(n, "rows")
    old = read(n, r, np.int8, (1, 4, 3), "old", q)
    all5 = n.tensor(np.int8, (1, 5, 3), "all", q)
    o = S.ConcatenationOptionsT()
    o.axis = 1
    n.op(O.CONCATENATION, [old, x], [all5], o, K.ConcatenationOptions, version=2)
    begin, size = (n.tensor(np.int32, (3,), "i", None, v) for v in ([0, 1, 0], [1, 4, 3]))
    new = n.tensor(np.int8, (1, 4, 3), "new", q)
    n.op(O.SLICE, [all5, begin, size], [new], S.SliceOptionsT(), K.SliceOptions, version=2)
    assign(n, r, new)
    flat = n.tensor(np.int8, (1, 12), "flat", q)
    shape = n.tensor(np.int32, (2,), "s", None, [1, 12])
    n.op(O.RESHAPE, [new, shape], [flat], S.ReshapeOptionsT(), K.ReshapeOptions)
    w = n.tensor(np.int8, (5, 12), "w", (0.01, 0), rng.integers(-127, 128, (5, 12)))
    b = n.tensor(np.int32, (5,), "b", (0.0005, 0), rng.integers(-500, 500, 5))
    y = n.tensor(np.int8, (1, 5), "y", (0.1, -3))
    n.op(O.FULLY_CONNECTED, [flat, w, b], [y], S.FullyConnectedOptionsT(), K.FullyConnectedOptions, version=4)
    n.g.inputs, n.g.outputs = [x], [y]
    n.graph()
    start = n.tensor(np.int8, (1, 4, 3), "start", q, rng.integers(-20, 20, (1, 4, 3)))
    assign(n, handle(n, "rows"), start)
    return n.bytes()


def orphan():
    """Reads a variable that nothing gives a value: refused, by LiteRT when it runs."""
    n = Net()
    x = n.tensor(np.float32, (1, 3), "x")
    v = read(n, handle(n, "nobody"), np.float32, (1, 3), "v")
    n.g.inputs, n.g.outputs = [x], [add(n, x, v, np.float32, (1, 3), "y")]
    return n.bytes()


def endless():
    """The graph that is called once calls itself."""
    n = Net()
    x = n.tensor(np.float32, (1, 3), "x")
    call_once(n)
    n.g.inputs, n.g.outputs = [x], [add(n, x, x, np.float32, (1, 3), "y")]
    n.graph()
    call_once(n)
    return n.bytes()


def custom():
    """An operator that LiteRT does not know, with options, over int8."""
    n = Net()
    x = n.tensor(np.int8, (1, 4), "x", (0.5, -3))
    y = n.tensor(np.int8, (1, 4), "y", (0.25, 7))
    n.op(O.CUSTOM, [x], [y])
    n.model.operatorCodes[-1].customCode = b"Shift"
    n.g.operators[-1].customOptions = [1, 0, 255]
    n.g.inputs, n.g.outputs = [x], [y]
    return n.bytes()


def answers(model, steps):
    it = Interpreter(model_content=model, num_threads=1)
    it.allocate_tensors()
    (x,), outs = it.get_input_details(), it.get_output_details()
    it.reset_all_variables()
    ins, got = [], [[] for _ in outs]
    for _ in range(steps):
        if x["dtype"] != np.float32:
            ends = np.iinfo(x["dtype"])
            v = rng.integers(ends.min, ends.max + 1, x["shape"]).astype(x["dtype"])
        else:
            v = rng.normal(0, 1, x["shape"]).astype(np.float32)
        it.set_tensor(x["index"], v)
        it.invoke()
        ins.append(v)
        for o, d in zip(got, outs):
            o.append(it.get_tensor(d["index"]).copy())
    bytes_of = lambda a: np.frombuffer(np.stack(a).tobytes(), np.uint8)
    return {"in0": bytes_of(ins)} | {f"out{i}": bytes_of(o) for i, o in enumerate(got)}


MODELS = {
    "int_lstm": lstm("int", 2, 3, 5, 20),
    "int_lstm_time_major_clipped": lstm("int", 3, 2, 33, 7, True, 1.5),
    "int_lstm_step": lstm("int", 1, 1, 64, 40),
    "float_lstm": lstm("float", 1, 1, 6, 9),
    "float_lstm_time_major": lstm("float", 2, 3, 6, 9, True, 0.7),
    "hybrid_lstm": lstm("hybrid", 2, 3, 16, 12),
    "sums": sums(),
    "window": window(),
}
MORE = {
    "svdf_float": svdf("float", 2, 6, 5, 2, 4),
    "svdf_int": svdf("int", 2, 24, 20, 1, 8),
    "svdf_int_rank": svdf("int", 1, 40, 16, 2, 10),
    "rnn_step": rnn("step", 2, 1, 6, 9),
    "rnn_sequence": rnn("sequence", 2, 3, 6, 9),
    "rnn_time_major": rnn("time_major", 2, 3, 6, 9),
    "rnn_both": rnn("both", 2, 3, 6, 9),
    "rnn_merged": rnn("merged", 2, 3, 6, 9),
    "lstm_step": lstm_of("step", 2, 1, 6, 9),
    "lstm_both": lstm_of("both", 2, 3, 6, 9),
}
REFUSED = {"orphan": orphan(), "endless": endless(), "custom": custom()}
if __name__ == "__main__":
    pack = {}
    for name, model in MODELS.items():
        pack[f"{name}/model"] = np.frombuffer(model, np.uint8)
        pack |= {f"{name}/{k}": v for k, v in answers(model, 6).items()}
    pack |= {f"{name}/model": np.frombuffer(model, np.uint8) for name, model in REFUSED.items()}
    for name, path in zip(["dtln", "keyword"], sys.argv[1:]):
        pack |= {f"{name}/{k}": v for k, v in answers(open(path, "rb").read(), 12).items()}
    for name, model in MORE.items():
        pack[f"{name}/model"] = np.frombuffer(model, np.uint8)
        pack |= {f"{name}/{k}": v for k, v in answers(model, 6).items()}
    np.savez_compressed(os.path.join(HERE, "streams.npz"), **pack)
    print({k: v.shape for k, v in pack.items()})
