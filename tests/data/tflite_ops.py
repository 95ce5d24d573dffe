"""Writes tflite_ops.npz: networks of one TensorFlow Lite operator each, inputs, and what LiteRT answers.

usage: python tflite_ops.py     (ai-edge-litert 2.3.0, flatbuffers, numpy)
"""
import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from streams import K, O, S, Net

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(8)
F, I8, U8, I32, I64, B = np.float32, np.int8, np.uint8, np.int32, np.int64, np.bool_
Q = {I8: (0.03, -5), U8: (0.03, 120)}
IMAGE = (2, 5, 6, 8)
MODELS, FEED = {}, {}


def const(dtype, data):
    data = np.asarray(data)
    return dtype, data.shape, None, data


def case(name, code, inputs, outputs, kind=None, feed=None, version=1, **fields):
    """Tensors are (type, shape, quantization, data); one without data is an input of the network."""
    n, ids, given = Net(), [], []
    for i, t in enumerate(inputs):
        dtype, shape, q, data = (*t, None, None)[:4]
        ids.append(n.tensor(dtype, shape, f"in{i}", q, data))
        if data is None:
            given.append(ids[-1])
    made = [n.tensor(*(*t, None)[:2], f"out{i}", (*t, None)[2]) for i, t in enumerate(outputs)]
    options, number = None, 0
    if kind:
        options, number = getattr(S, f"{kind}OptionsT")(), getattr(K, f"{kind}Options")
        for field, value in fields.items():
            setattr(options, field, value)
    n.op(code, ids, made, options, number, version=version)
    n.g.inputs, n.g.outputs = given, made
    MODELS[name], FEED[name] = n.bytes(), feed


def q(dtype, other=None):
    return (other or Q).get(dtype)


def unary(name, code, kind=None, types=(F,), x=None, y=None, feed=None, **fields):
    for t in types:
        case(f"{name}_{t.__name__}", code, [(t, IMAGE, q(t, x))], [(t, IMAGE, q(t, y))], kind, feed, **fields)


NOT_NEGATIVE = {I8: (0.03, -128), U8: (0.03, 0)}
LATER = {I8: (0.05, -50), U8: (0.05, 78)}
UNIT = {I8: (1 / 128, 0), U8: (1 / 128, 128)}
unary("sin", O.SIN)
unary("cos", O.COS, "Cos")
unary("sign", O.SIGN, "Sign")
unary("square", O.SQUARE, "Square")
unary("zeros_like", O.ZEROS_LIKE, "ZerosLike", (F, I32))
unary("elu", O.ELU, None, (F, I8))
unary("gelu", O.GELU, "Gelu", (F, I8, U8), approximate=False)
unary("gelu_tanh", O.GELU, "Gelu", (F, I8, U8), approximate=True)
unary("relu_0_to_1", O.RELU_0_TO_1, None, (F, I8, U8))
unary("rsqrt", O.RSQRT, None, (F, I8), NOT_NEGATIVE, LATER, "positive")
unary("log_softmax", O.LOG_SOFTMAX, "LogSoftmax", (F, I8, U8), None, {I8: (16 / 256, 127), U8: (16 / 256, 255)})
unary("softmax_half", O.SOFTMAX, "Softmax", (F, I8), None, {I8: (1 / 256, -128)}, beta=0.5)
unary("l2_norm", O.L2_NORMALIZATION, "L2Norm", (F, I8, U8), None, UNIT)
case("softmax_i16", O.SOFTMAX, [(I8, (3, 9), (0.07, 2))], [(np.int16, (3, 9), (1 / 65536, -32768))], "Softmax", beta=1.0)

for name, kind, types in [("SQUARED_DIFFERENCE", "SquaredDifference", (F, I8, I32)), ("FLOOR_DIV", "FloorDiv", (F, I32)),
                          ("FLOOR_MOD", "FloorMod", (F, I32, I64))]:
    for t in types:
        case(f"{name.lower()}_{t.__name__}", getattr(O, name), [(t, IMAGE, q(t)), (t, (8,), q(t))],
             [(t, IMAGE, {I8: (0.06, -10)}.get(t))], kind, None if "SQUARED" in name else "not zero")
for name in ["Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual"]:
    code = "".join("_" + c if c.isupper() else c.upper() for c in name).lstrip("_").upper()
    for t in (F, I8, I32):
        case(f"{code.lower()}_{t.__name__}", getattr(O, code), [(t, IMAGE, q(t)), (t, (8,), q(t))], [(B, IMAGE)], name)
for name in ["LogicalAnd", "LogicalOr"]:
    case(name, O.LOGICAL_AND if name == "LogicalAnd" else O.LOGICAL_OR, [(B, IMAGE), (B, IMAGE)], [(B, IMAGE)], name)
case("logical_not", O.LOGICAL_NOT, [(B, IMAGE)], [(B, IMAGE)], "LogicalNot")
case("add_n", O.ADD_N, [(F, IMAGE)] * 3, [(F, IMAGE)], "AddN")

for name in ["SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"]:
    case(f"{name.lower()}_int32", getattr(O, name), [(I32, IMAGE), const(I32, [1, 3])], [(I32, (2, 6))], "Reducer",
         keepDims=False)
case("reduce_prod_float32", O.REDUCE_PROD, [(F, IMAGE), const(I32, [1])], [(F, (2, 6, 8))], "Reducer", keepDims=False)
for name in ["REDUCE_ANY", "REDUCE_ALL"]:
    case(name.lower(), getattr(O, name), [(B, IMAGE), const(I32, [1])], [(B, (2, 6, 8))], "Reducer", keepDims=False)
for t in (F, I8, I32):
    case(f"arg_max_{t.__name__}", O.ARG_MAX, [(t, IMAGE, q(t)), const(I32, 3)], [(I32, IMAGE[:3])], "ArgMax", outputType=2)
    case(f"arg_min_{t.__name__}", O.ARG_MIN, [(t, IMAGE, q(t)), const(I32, 3)], [(I32, IMAGE[:3])], "ArgMin", outputType=2)
for t in (F, I32):
    case(f"cumsum_{t.__name__}", O.CUMSUM, [(t, IMAGE), const(I32, 1)], [(t, IMAGE)], "Cumsum", exclusive=True,
         reverse=True)

PADS = const(I32, [[0, 0], [2, 1], [3, 3], [0, 0]])
for t in (F, I8):
    def moved(name, code, x, others, y, kind, **fields):
        case(f"{name}_{t.__name__}", code, [(t, x, q(t)), *others], [(t, y, q(t))], kind, **fields)

    moved("space_to_depth", O.SPACE_TO_DEPTH, (2, 4, 6, 3), [], (2, 2, 3, 12), "SpaceToDepth", blockSize=2)
    moved("depth_to_space", O.DEPTH_TO_SPACE, (2, 2, 3, 12), [], (2, 4, 6, 3), "DepthToSpace", blockSize=2)
    blocks, crops = const(I32, [2, 3]), const(I32, [[1, 1], [0, 3]])
    moved("space_to_batch", O.SPACE_TO_BATCH_ND, (2, 4, 6, 3), [blocks, crops], (12, 3, 3, 3), "SpaceToBatchND")
    moved("batch_to_space", O.BATCH_TO_SPACE_ND, (12, 3, 3, 3), [blocks, crops], (2, 4, 6, 3), "BatchToSpaceND")
    none = const(I32, [[0, 0], [0, 0]])
    moved("batch_to_space_whole", O.BATCH_TO_SPACE_ND, (12, 3, 3, 3), [blocks, none], (2, 6, 9, 3), "BatchToSpaceND")
    moved("mirror_reflect", O.MIRROR_PAD, (2, 4, 6, 3), [PADS], (2, 7, 12, 3), "MirrorPad", mode=0)
    moved("mirror_symmetric", O.MIRROR_PAD, (2, 4, 6, 3), [PADS], (2, 7, 12, 3), "MirrorPad", mode=1)
    whole = const(I32, [[0, 0], [4, 4], [0, 1], [0, 0]])
    moved("mirror_whole", O.MIRROR_PAD, (2, 4, 6, 3), [whole], (2, 12, 7, 3), "MirrorPad", mode=1)
    moved("tile", O.TILE, (2, 4, 3), [const(I32, [2, 1, 3])], (4, 4, 9), "Tile")
    moved("broadcast", O.BROADCAST_TO, (2, 1, 3), [const(I32, [4, 2, 5, 3])], (4, 2, 5, 3), "BroadcastTo", version=2)
    moved("reverse", O.REVERSE_V2, (2, 4, 3), [const(I32, [1])], (2, 4, 3), "ReverseV2")
    moved("gather_batch", O.GATHER, (2, 4, 3), [const(I32, [[1, 3, 0], [2, 2, 1]])], (2, 3, 3), "Gather", axis=1,
          batchDims=1)
    moved("gather_nd", O.GATHER_ND, (2, 4, 3), [const(I32, [[1, 3], [0, 2]])], (2, 3), "GatherNd")
    case(f"top_k_{t.__name__}", O.TOPK_V2, [(t, (3, 20), q(t)), const(I32, 5)], [(t, (3, 5), q(t)), (I32, (3, 5))],
         "TopKV2")
    for name, code, condition, b, kind in [("select", O.SELECT, (3, 4), (3, 4), "Select"),
                                           ("select_rows", O.SELECT, (3,), (3, 4), "Select"),
                                           ("select_v2", O.SELECT_V2, (3, 1), (4,), "SelectV2")]:
        case(f"{name}_{t.__name__}", code, [(B, condition), (t, (3, 4), q(t)), (t, b, q(t))], [(t, (3, 4), q(t))], kind)
    case(f"split_rest_{t.__name__}", O.SPLIT_V, [(t, (3, 9), q(t)), const(I32, [2, -1, 3]), const(I32, 1)],
         [(t, (3, n), q(t)) for n in (2, 4, 3)], "SplitV", numSplits=3)
    y = {I8: (0.1, 3)}.get(t)
    case(f"dense_computed_{t.__name__}", O.FULLY_CONNECTED, [(t, (4, 6), q(t)), (t, (5, 6), {I8: (0.03, 0)}.get(t))],
         [(t, (4, 5), y)], "FullyConnected", version=4)
    weights = rng.integers(0, 100, (4, 5)) if t == I8 else rng.normal(size=(4, 5))
    case(f"embedding_{t.__name__}", O.EMBEDDING_LOOKUP, [const(I32, [1, 3, 0]), (t, (4, 5), q(t), weights)],
         [(t, (3, 5), q(t))])
case("l2_pool", O.L2_POOL_2D, [(F, (1, 6, 6, 3))], [(F, (1, 3, 3, 3))], "Pool2D", strideH=2, strideW=2, filterHeight=2,
     filterWidth=2, padding=0)
case("scatter_nd", O.SCATTER_ND, [const(I32, [[1], [3], [1]]), (F, (3, 3)), const(I32, [5, 3])], [(F, (5, 3))], "ScatterNd")
case("one_hot_last", O.ONE_HOT, [(I32, (4,)), const(I32, 5), const(F, 3.0), const(F, 1.0)], [(F, (4, 5))], "OneHot",
     axis=-1)
case("one_hot_first", O.ONE_HOT, [(I32, (4,)), const(I32, 5), const(I8, 3), const(I8, 1)], [(I8, (5, 4))], "OneHot", axis=0)
case("fill", O.FILL, [const(I32, [2, 3]), (F, ())], [(F, (2, 3))], "Fill")
case("shape", O.SHAPE, [(F, (2, 3))], [(I32, (2,))], "Shape", outType=2)
case("rank", O.RANK, [(F, (2, 3))], [(I32, ())], "Rank")


def values(d, feed):
    shape, dtype = d["shape"], d["dtype"]
    if dtype == B:
        return rng.integers(0, 2, shape).astype(B)
    if dtype == F:
        v = rng.normal(0, 2, shape).astype(F)
    elif dtype in (I32, I64):
        v = rng.integers(-6, 7, shape).astype(dtype)
    else:
        v = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)
    if feed == "positive":
        v = np.abs(v) + F(0.1) if dtype == F else np.maximum(v, np.iinfo(dtype).min + 1)
    if feed == "not zero":
        v = np.where(v == 0, dtype(3), v)
    return v.astype(dtype)


def answers(model, feed):
    it = Interpreter(model_content=model, num_threads=1)
    it.allocate_tensors()
    pack = {}
    for i, d in enumerate(it.get_input_details()):
        pack[f"in{i}"] = values(d, feed)
        it.set_tensor(d["index"], pack[f"in{i}"])
    it.invoke()
    pack |= {f"out{i}": it.get_tensor(d["index"]) for i, d in enumerate(it.get_output_details())}
    return {k: np.frombuffer(np.ascontiguousarray(v).tobytes(), np.uint8) for k, v in pack.items()}


if __name__ == "__main__":
    pack = {}
    for name, model in MODELS.items():
        pack[f"{name}/model"] = np.frombuffer(model, np.uint8)
        try:
            pack |= {f"{name}/{k}": v for k, v in answers(model, FEED[name]).items()}
        except Exception as e:
            print(name, str(e)[:200])
    np.savez_compressed(os.path.join(HERE, "tflite_ops.npz"), **pack)
    print(len(MODELS), sum(len(m) for m in MODELS.values()))
