"""Writes int16.npz: networks with 16-bit activations and 8-bit weights, inputs, and what LiteRT answers.

usage: python int16.py     (ai-edge-litert 2.3.0, flatbuffers, numpy)
"""
import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from streams import K, O, S, Net

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(16)
I16, FRACTION = np.int16, 1 / 32768
RELU, RELU_N1_TO_1, RELU6 = 1, 2, 3


def options(kind, **fields):
    o = getattr(S, f"{kind}OptionsT")()
    for name, value in fields.items():
        setattr(o, name, value)
    return o, getattr(K, f"{kind}Options")


class Wide(Net):
    """A network with one input, layer by layer."""

    def act(self, shape, scale, dtype=I16, zero=0):
        return self.tensor(dtype, shape, f"t{len(self.g.tensors)}", (scale, zero))

    def apply(self, code, inputs, out, kind=None, **fields):
        o, number = options(kind, **fields) if kind else (None, 0)
        self.op(code, inputs, [out], o, number)
        return out

    def weights(self, shape, axis, per_channel, x_scale):
        """Weights of some 1 / sqrt(k), and their scales."""
        n = shape[axis] if per_channel else 1
        scale = rng.uniform(0.5, 1.5, n).astype(np.float32) / 128 / np.sqrt(np.prod(shape) / shape[axis])
        w = self.tensor(np.int8, shape, f"w{len(self.g.tensors)}", (scale, 0), rng.integers(-127, 128, shape), axis=axis)
        return w, np.float32(x_scale) * scale

    def bias(self, n, scale, dtype=np.int64):
        values = np.round(rng.normal(0, 0.3, n) / scale)
        return self.tensor(dtype, (n,), f"b{len(self.g.tensors)}", (scale, 0), values, axis=0)

    def conv(self, x, xs, c, oc, kernel, out, scale, bias=np.int64, stride=1, dilation=1, same=True, act=0, each=True,
             groups=1):
        w, s = self.weights((oc, *kernel, c // groups), 0, each, xs)
        ids = [x, w] + ([self.bias(oc, s, bias)] if bias else [])
        y = self.act(out, scale)
        fields = dict(padding=0 if same else 1, strideH=stride, strideW=stride, fusedActivationFunction=act,
                      dilationHFactor=dilation, dilationWFactor=dilation,
                      quantizedBiasType=2 if bias is np.int32 else 0)
        return self.apply(O.CONV_2D, ids, y, "Conv2D", **fields)

    def depthwise(self, x, xs, c, multiplier, kernel, out, scale, stride=1, act=0):
        w, s = self.weights((1, *kernel, c * multiplier), 3, True, xs)
        ids = [x, w, self.bias(c * multiplier, s)]
        return self.apply(O.DEPTHWISE_CONV_2D, ids, self.act(out, scale), "DepthwiseConv2D", padding=0, strideH=stride,
                          strideW=stride, depthMultiplier=multiplier, fusedActivationFunction=act)

    def dense(self, x, xs, k, n, out, scale, bias=np.int64, each=False, act=0, keep=False):
        w, s = self.weights((n, k), 0, each, xs)
        ids = [x, w] + ([self.bias(n, s, bias)] if bias else [])
        return self.apply(O.FULLY_CONNECTED, ids, self.act(out, scale), "FullyConnected", fusedActivationFunction=act,
                          keepNumDims=keep, quantizedBiasType=2 if bias is np.int32 else 0)

    def done(self, inputs, outputs):
        self.g.inputs, self.g.outputs = inputs, outputs
        return self.bytes()


def conv(c, oc, kernel, out, scale=4e-4, xs=3e-4, size=(9, 7), **rest):
    n = Wide()
    x = n.act((2, *size, c), xs)
    return n.done([x], [n.conv(x, xs, c, oc, kernel, (2, *out, oc), scale, **rest)])


def depthwise(c, multiplier, stride=1, act=0):
    n = Wide()
    x = n.act((1, 8, 8, c), 3e-4)
    size = -(-8 // stride)
    out = (1, size, size, c * multiplier)
    return n.done([x], [n.depthwise(x, 3e-4, c, multiplier, (3, 3), out, 3e-4, stride, act)])


def dense(shape, n_out, keep=False, **rest):
    n = Wide()
    x = n.act(shape, 3e-4)
    out = (*shape[:-1], n_out) if keep else (int(np.prod(shape[:-1])), n_out)
    return n.done([x], [n.dense(x, 3e-4, shape[-1], n_out, out, 3e-4, keep=keep, **rest)])


def transposed(same, bias):
    n = Wide()
    x = n.act((1, 5, 6, 6), 3e-4)
    w, s = n.weights((4, 3, 4, 6), 0, True, 3e-4)
    out = (1, 10, 18, 4) if same else (1, 11, 19, 4)
    shape = n.tensor(np.int32, (4,), "shape", None, out)
    ids = [shape, w, x] + ([n.bias(4, s, bias)] if bias else [])
    return n.done([x], [n.apply(O.TRANSPOSE_CONV, ids, n.act(out, 3e-4), "TransposeConv", padding=0 if same else 1,
                                strideH=2, strideW=3, quantizedBiasType=2 if bias is np.int32 else 0)])


def pair(code, kind, shapes, scales, **fields):
    n = Wide()
    a, b = (n.act(shape, scale) for shape, scale in zip(shapes, scales))
    y = n.act(np.broadcast_shapes(*shapes), scales[2])
    return n.done([a, b], [n.apply(code, [a, b], y, kind, **fields)])


def one(code, shape, scales, kind=None, out=None, dtypes=(I16, I16), zeros=(0, 0), constants=(), **fields):
    n = Wide()
    x = n.act(shape, scales[0], dtypes[0], zeros[0]) if dtypes[0] != np.float32 else n.tensor(np.float32, shape, "x")
    ids = [x] + [n.tensor(np.int32, np.shape(c), f"c{i}", None, c) for i, c in enumerate(constants)]
    out = out if out is not None else shape
    y = n.act(out, scales[1], dtypes[1], zeros[1]) if dtypes[1] != np.float32 else n.tensor(np.float32, out, "y")
    return n.done([x], [n.apply(code, ids, y, kind, **fields)])


def joined():
    n = Wide()
    a, b = n.act((2, 3, 4), 3e-4), n.act((2, 3, 5), 3e-4)
    return n.done([a, b], [n.apply(O.CONCATENATION, [a, b], n.act((2, 3, 9), 3e-4), "Concatenation", axis=2)])


def mobile():
    """An image classifier: convolution, depthwise blocks with a residual sum, mean, a dense layer, softmax."""
    n = Wide()
    x = n.act((1, 16, 16, 3), 1 / 32768)
    h = n.conv(x, 1 / 32768, 3, 8, (3, 3), (1, 8, 8, 8), 1e-4, stride=2, act=RELU6)
    d = n.depthwise(h, 1e-4, 8, 1, (3, 3), (1, 8, 8, 8), 8e-5, act=RELU6)
    p = n.conv(d, 8e-5, 8, 8, (1, 1), (1, 8, 8, 8), 9e-5)
    r = n.apply(O.ADD, [h, p], n.act((1, 8, 8, 8), 1.2e-4), "Add", potScaleInt16=False)
    d = n.depthwise(r, 1.2e-4, 8, 2, (5, 5), (1, 4, 4, 16), 9e-5, stride=2, act=RELU)
    p = n.conv(d, 9e-5, 16, 24, (1, 1), (1, 4, 4, 24), 8e-5)
    axes = n.tensor(np.int32, (2,), "axes", None, [1, 2])
    m = n.apply(O.MEAN, [p, axes], n.act((1, 24), 3e-5), "Reducer", keepDims=False)
    f = n.dense(m, 3e-5, 24, 10, (1, 10), 5e-5)
    return n.done([x], [n.apply(O.SOFTMAX, [f], n.act((1, 10), FRACTION), "Softmax", beta=1.0)])


def enhance():
    """A speech network from floats to floats: dilated convolutions, a gate, a transposed convolution."""
    n = Wide()
    x = n.tensor(np.float32, (1, 1, 40, 2), "x")
    q = n.apply(O.QUANTIZE, [x], n.act((1, 1, 40, 2), 1e-4))
    h = n.conv(q, 1e-4, 2, 12, (1, 5), (1, 1, 20, 12), 1.1e-4, stride=2)
    h = n.apply(O.LEAKY_RELU, [h], n.act((1, 1, 20, 12), 1e-4), "LeakyRelu", alpha=0.2)
    pads = n.tensor(np.int32, (4, 2), "pads", None, [[0, 0], [0, 0], [4, 0], [0, 0]])
    padded = n.apply(O.PAD, [h, pads], n.act((1, 1, 24, 12), 1e-4), "Pad")
    a = n.conv(padded, 1e-4, 12, 12, (1, 3), (1, 1, 20, 12), 2e-4, dilation=2, same=False)
    b = n.conv(h, 1e-4, 12, 12, (1, 1), (1, 1, 20, 12), 2.0**-12)
    t = n.apply(O.TANH, [a], n.act((1, 1, 20, 12), FRACTION))
    s = n.apply(O.LOGISTIC, [b], n.act((1, 1, 20, 12), FRACTION))
    g = n.apply(O.MUL, [t, s], n.act((1, 1, 20, 12), 2.6e-5), "Mul")
    d = n.apply(O.SUB, [h, g], n.act((1, 1, 20, 12), 1.1e-4), "Sub", potScaleInt16=False)
    w, ws = n.weights((2, 1, 4, 12), 0, True, 1.1e-4)
    shape = n.tensor(np.int32, (4,), "shape", None, [1, 1, 40, 2])
    u = n.apply(O.TRANSPOSE_CONV, [shape, w, d, n.bias(2, ws)], n.act((1, 1, 40, 2), 1e-4), "TransposeConv",
                strideW=2, strideH=1, padding=0)
    return n.done([x], [n.apply(O.DEQUANTIZE, [u], n.tensor(np.float32, (1, 1, 40, 2), "y"), "Dequantize")])


def pool(code, same, act=0):
    size = (4, 4) if same else (3, 3)
    return one(code, (2, 7, 7, 5), (3e-4, 3e-4), "Pool2D", (2, *size, 5), padding=0 if same else 1, strideH=2,
               strideW=2, filterHeight=3, filterWidth=2 if same else 3, fusedActivationFunction=act)


MODELS = {
    "conv": conv(5, 7, (3, 3), (9, 7)),
    "conv_i32": conv(5, 7, (3, 3), (9, 7), bias=np.int32, act=RELU),
    "conv_strided": conv(33, 5, (2, 2), (5, 4), stride=2, act=RELU6),
    "conv_dilated": conv(4, 6, (3, 3), (5, 3), dilation=2, same=False, each=False),
    "conv_long": conv(300, 6, (1, 1), (9, 7), act=RELU_N1_TO_1),
    "conv_groups": conv(8, 6, (3, 3), (9, 7), groups=2),
    "depthwise": depthwise(19, 1),
    "depthwise_multiplied": depthwise(5, 3, 2, RELU6),
    "depthwise_one_channel": depthwise(1, 8),
    "dense": dense((3, 70), 11),
    "dense_each": dense((3, 600), 5, each=True, act=RELU),
    "dense_i32": dense((3, 70), 11, bias=np.int32),
    "dense_kept": dense((2, 3, 20), 8, keep=True, bias=None),
    "transposed_same": transposed(True, np.int64),
    "transposed_valid": transposed(False, np.int32),
    "transposed_no_bias": transposed(True, None),
    "add": pair(O.ADD, "Add", ((2, 3, 40), (2, 3, 40)), (3e-4, 5e-4, 7e-4), potScaleInt16=False),
    "add_relu": pair(O.ADD, "Add", ((2, 3, 40), (40,)), (3e-4, 2e-5, 2e-4), potScaleInt16=False,
                     fusedActivationFunction=RELU),
    "sub": pair(O.SUB, "Sub", ((2, 1, 40), (2, 3, 1)), (3e-4, 5e-4, 7e-4), potScaleInt16=False),
    "mul": pair(O.MUL, "Mul", ((2, 3, 40), (40,)), (3e-4, 2e-4, 9e-4), fusedActivationFunction=RELU6),
    "maximum": pair(O.MAXIMUM, "MaximumMinimum", ((2, 40), (40,)), (3e-4, 3e-4, 3e-4)),
    "minimum": pair(O.MINIMUM, "MaximumMinimum", ((2, 40), (2, 40)), (3e-4, 3e-4, 3e-4)),
    "average": pool(O.AVERAGE_POOL_2D, False),
    "average_same": pool(O.AVERAGE_POOL_2D, True, RELU),
    "max": pool(O.MAX_POOL_2D, True),
    "mean": one(O.MEAN, (2, 5, 5, 9), (3e-4, 1e-4), "Reducer", (2, 9), constants=[[1, 2]], keepDims=False),
    "mean_last": one(O.MEAN, (2, 5, 49), (3e-4, 2e-4), "Reducer", (2, 5, 1), constants=[[2]], keepDims=True),
    "sum": one(O.SUM, (2, 5, 9), (3e-4, 8e-4), "Reducer", (2, 9), constants=[[1]], keepDims=False),
    "softmax": one(O.SOFTMAX, (4, 30), (2e-4, FRACTION), "Softmax", beta=1.0),
    "softmax_long": one(O.SOFTMAX, (2, 3000), (5e-5, FRACTION), "Softmax", beta=1.0),
    "logistic": one(O.LOGISTIC, (20, 100), (2e-4, FRACTION)),
    "logistic_power": one(O.LOGISTIC, (20, 100), (2.0**-12, FRACTION)),
    "logistic_coarse": one(O.LOGISTIC, (20, 100), (0.5, FRACTION)),
    "tanh": one(O.TANH, (20, 100), (2e-4, FRACTION)),
    "tanh_power": one(O.TANH, (20, 100), (2.0**-11, FRACTION)),
    "leaky": one(O.LEAKY_RELU, (20, 100), (2e-4, 3e-4), "LeakyRelu", alpha=0.3),
    "relu": one(O.RELU, (20, 100), (2e-4, 3e-4)),
    "relu6": one(O.RELU6, (20, 100), (3e-4, 2e-4)),
    "i8_to_i16": one(O.QUANTIZE, (20, 100), (0.04, 3e-4), dtypes=(np.int8, I16), zeros=(-7, 0)),
    "i16_to_i8": one(O.QUANTIZE, (20, 100), (3e-4, 0.04), dtypes=(I16, np.int8), zeros=(0, -7)),
    "i16_to_i16": one(O.QUANTIZE, (20, 100), (3e-4, 2e-4)),
    "i16_to_i32": one(O.QUANTIZE, (20, 100), (3e-4, 1e-7), dtypes=(I16, np.int32)),
    "f32_to_i16": one(O.QUANTIZE, (20, 100), (0, 3e-5), dtypes=(np.float32, I16)),
    "i16_to_f32": one(O.DEQUANTIZE, (20, 100), (3e-4, 0), "Dequantize", dtypes=(I16, np.float32)),
    "transpose": one(O.TRANSPOSE, (2, 3, 5), (3e-4, 3e-4), "Transpose", (5, 2, 3), constants=[[2, 0, 1]]),
    "reshape": one(O.RESHAPE, (2, 3, 5), (3e-4, 3e-4), "Reshape", (5, 6), constants=[[5, 6]], newShape=[5, 6]),
    "joined": joined(),
    "mobile": mobile(),
    "enhance": enhance(),
}


def answers(model):
    it = Interpreter(model_content=model, num_threads=1)
    it.allocate_tensors()
    pack = {}
    for i, d in enumerate(it.get_input_details()):
        if d["dtype"] == np.float32:
            v = rng.normal(0, 0.5, d["shape"]).astype(np.float32)
        else:
            ends = np.iinfo(d["dtype"])
            v = rng.integers(ends.min, ends.max + 1, d["shape"]).astype(d["dtype"])
        it.set_tensor(d["index"], v)
        pack[f"in{i}"] = v
    it.invoke()
    pack |= {f"out{i}": it.get_tensor(d["index"]) for i, d in enumerate(it.get_output_details())}
    return {k: np.frombuffer(v.tobytes(), np.uint8) for k, v in pack.items()}


if __name__ == "__main__":
    pack = {}
    for name, model in MODELS.items():
        pack[f"{name}/model"] = np.frombuffer(model, np.uint8)
        pack |= {f"{name}/{k}": v for k, v in answers(model).items()}
    np.savez_compressed(os.path.join(HERE, "int16.npz"), **pack)
    print(len(MODELS), sum(len(m) for m in MODELS.values()))
