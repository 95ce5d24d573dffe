"""Makes patterns.npz, which tests/quantized_patterns.rs reads.

    python patterns.py OUT_FOLDER

Small quantized networks in the forms in which exporters write them: what stands between QuantizeLinear and
DequantizeLinear, in which order, and who reads it. Stored are the networks, inputs, and the answers of ONNX Runtime with
all of its optimizations. Scales are such that exact ties, where operators that it does not fuse round differently, don't
occur. Needs numpy, onnx and onnxruntime.
"""
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper


class Net:
    """A network under construction: every method adds nodes and returns the name of what they compute."""

    def __init__(self, seed, dtype=np.uint8):
        self.rng = np.random.default_rng(seed)
        self.dtype, self.lowest = dtype, np.iinfo(dtype).min
        self.nodes, self.constants, self.inputs, self.made = [], [], [], 0

    def name(self, stem="t"):
        self.made += 1
        return f"{stem}{self.made}"

    def constant(self, values, dtype=np.float32):
        name = self.name("c")
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def op(self, kind, *inputs, outputs=1, **attributes):
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, f"n{self.made}", **attributes))
        return names[0] if outputs == 1 else names

    def input(self, *shape):
        name = self.name("x")
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def q(self, x, scale=0.03, zero=None, dtype=None):
        dtype = dtype or self.dtype
        zero = (120 if dtype == np.uint8 else -9) if zero is None else zero
        return self.op("QuantizeLinear", x, self.constant(scale), self.constant(zero, dtype))

    def dq_like(self, codes):
        node = next(n for n in self.nodes if codes in n.output)
        while node.op_type != "QuantizeLinear":
            node = next(n for n in self.nodes if node.input[0] in n.output)
        return self.op("DequantizeLinear", codes, *node.input[1:])

    def dequantized(self, codes, parameters):
        return self.op("DequantizeLinear", codes, *parameters)

    def qdq(self, x, scale=0.03, zero=None):
        return self.dq_like(self.q(x, scale, zero))

    def weights(self, *shape, dtype=np.int8, axis=0, per_channel=True):
        info = np.iinfo(dtype)
        low = -127 if dtype == np.int8 else 0
        codes = self.rng.integers(low, info.max + 1, shape)
        n = shape[axis] if per_channel else 1
        scale = self.rng.uniform(0.002, 0.006, n).astype(np.float32)
        zero = np.zeros(n, dtype) if dtype == np.int8 else np.full(n, 120, dtype)
        if not per_channel:
            scale, zero = scale[0], zero[0]
        kept = {"axis": axis} if per_channel else {}
        names = self.constant(codes, dtype), self.constant(scale), self.constant(zero, dtype)
        return self.op("DequantizeLinear", *names, **kept), scale

    def bias(self, x_scale, w_scale, n):
        scale = np.float32(x_scale) * w_scale
        scale = np.broadcast_to(scale, (n,)) if np.ndim(scale) else scale
        steps = self.rng.integers(-2000, 2000, n)
        kept = {"axis": 0} if np.ndim(scale) else {}
        zero = np.zeros(np.shape(scale), np.int32)
        names = self.constant(steps, np.int32), self.constant(scale), self.constant(zero, np.int32)
        return self.op("DequantizeLinear", *names, **kept)

    def conv(self, x, c, o, k=3, pad=1, x_scale=0.03, groups=1, per_channel=True, **attributes):
        w, scale = self.weights(o, c // groups, k, k, per_channel=per_channel)
        b = self.bias(x_scale, scale, o)
        return self.op("Conv", x, w, b, pads=[pad] * 4, group=groups, **attributes)

    def model(self, *outputs, opset=17):
        values = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(self.nodes, "pattern", self.inputs, values, self.constants)
        sets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=sets)
        model.ir_version = 8
        return onnx.shape_inference.infer_shapes(model)


TYPES = ("u8", np.uint8), ("i8", np.int8)
PATTERNS = {}


def pattern(f):
    PATTERNS[f.__name__] = f
    return f


@pattern
def relu_before_quantize(n):
    y = n.op("Relu", n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8))
    return n.model(n.qdq(y, zero=n.lowest))


@pattern
def relu_behind_dequantize(n):
    y = n.op("Relu", n.qdq(n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8)))
    return n.model(n.qdq(n.conv(y, 8, 4)))


@pattern
def clip_between(n):
    y = n.op("Clip", n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8), n.constant(0.0), n.constant(2.5))
    return n.model(n.qdq(y))


@pattern
def clip_of_integers(n):
    """PyTorch writes 7-bit activations so."""
    codes = n.op("Clip", n.q(n.input(1, 4, 6, 6), zero=60), n.constant(0, np.uint8), n.constant(127, np.uint8))
    y = n.conv(n.dq_like(codes), 4, 8)
    codes = n.op("Clip", n.q(y, zero=60), n.constant(0, np.uint8), n.constant(127, np.uint8))
    return n.model(n.dq_like(codes))


@pattern
def weights_quantized_in_the_graph(n):
    x = n.qdq(n.input(1, 4, 6, 6))
    scale, zero = n.constant(n.rng.uniform(0.01, 0.02, 8)), n.constant(np.zeros(8), np.int8)
    w = n.op("QuantizeLinear", n.constant(n.rng.normal(0, 0.6, (8, 4, 3, 3))), scale, zero, axis=0)
    w = n.op("Clip", w, n.constant(-127, np.int8), n.constant(127, np.int8))
    w = n.op("DequantizeLinear", w, scale, zero, axis=0)
    return n.model(n.qdq(n.op("Conv", x, w)))


@pattern
def leaky_relu_between(n):
    y = n.qdq(n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8))
    return n.model(n.qdq(n.op("LeakyRelu", y, alpha=0.1)))


@pattern
def swish_in_pieces(n):
    y = n.qdq(n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8))
    gate = n.qdq(n.op("Sigmoid", y), 0.0039, n.lowest)
    return n.model(n.qdq(n.op("Mul", y, gate)))


@pattern
def flatten_to_gemm(n):
    y = n.qdq(n.conv(n.qdq(n.input(2, 4, 4, 4)), 4, 8))
    w, scale = n.weights(10, 128)
    y = n.op("Gemm", n.op("Flatten", y), w, n.bias(0.03, scale, 10), transB=1)
    return n.model(n.qdq(y, 0.1))


@pattern
def reshape_to_matmul_and_add(n):
    y = n.op("MaxPool", n.qdq(n.conv(n.qdq(n.input(2, 4, 4, 4)), 4, 8)), kernel_shape=[2, 2], strides=[2, 2])
    y = n.op("Reshape", y, n.constant([2, -1], np.int64))
    w, _ = n.weights(32, 10, axis=1)
    y = n.op("Add", n.op("MatMul", y, w), n.constant(n.rng.normal(0, 0.5, 10)))
    return n.model(n.qdq(y, 0.1))


@pattern
def matmul_of_sequences(n):
    w, scale = n.weights(16, 12, axis=1)
    y = n.op("MatMul", n.qdq(n.input(2, 5, 16)), w)
    return n.model(n.qdq(n.op("Add", n.bias(0.03, scale, 12), y)))


@pattern
def transpose_and_squeeze(n):
    y = n.qdq(n.conv(n.qdq(n.input(1, 4, 1, 6)), 4, 8))
    y = n.op("Transpose", n.op("Squeeze", y, n.constant([2], np.int64)), perm=[0, 2, 1])
    w, scale = n.weights(8, 5, axis=1)
    y = n.op("MatMul", y, w)
    return n.model(n.op("Unsqueeze", n.qdq(y), n.constant([1], np.int64)))


@pattern
def channels_last_around_every_convolution(n):
    """tf2onnx writes TensorFlow's networks so."""
    x = n.op("Transpose", n.qdq(n.input(1, 6, 6, 4)), perm=[0, 3, 1, 2])
    y = n.op("Transpose", n.op("Relu", n.conv(x, 4, 8)), perm=[0, 2, 3, 1])
    y = n.op("Transpose", n.qdq(y), perm=[0, 3, 1, 2])
    y = n.op("Transpose", n.conv(y, 8, 8, groups=8), perm=[0, 2, 3, 1])
    return n.model(n.qdq(y))


@pattern
def pad_before_quantize(n):
    y = n.op("Pad", n.qdq(n.input(1, 4, 6, 6)), n.constant([0, 0, 0, 0, 0, 0, 1, 1], np.int64))
    return n.model(n.qdq(n.conv(n.qdq(y), 4, 8, pad=0, strides=[2, 2])))


@pattern
def pad_behind_dequantize(n):
    y = n.op("Pad", n.qdq(n.input(1, 4, 6, 6)), n.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64), n.constant(0.0))
    return n.model(n.qdq(n.conv(y, 4, 8, pad=0)))


@pattern
def concat_of_one_scale(n):
    x = n.qdq(n.input(1, 4, 6, 6))
    y = n.op("Concat", n.qdq(n.conv(x, 4, 8)), n.qdq(n.conv(x, 4, 3)), axis=1)
    return n.model(n.qdq(n.conv(n.qdq(y), 11, 4)))


@pattern
def concat_of_several_scales(n):
    x = n.qdq(n.input(1, 4, 6, 6))
    y = n.op("Concat", n.qdq(n.conv(x, 4, 8), 0.02), n.qdq(n.conv(x, 4, 3), 0.05), x, axis=1)
    return n.model(n.qdq(y, 0.04))


@pattern
def concat_of_products(n):
    x = n.qdq(n.input(1, 4, 6, 6))
    y = n.op("Concat", n.conv(x, 4, 8), n.conv(x, 4, 3), axis=1)
    return n.model(n.qdq(y, 0.04))


@pattern
def max_pool_before_quantize(n):
    y = n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8)
    return n.model(n.qdq(n.op("MaxPool", n.op("Relu", y), kernel_shape=[2, 2], strides=[2, 2])))


@pattern
def max_pool_behind_dequantize(n):
    y = n.qdq(n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8))
    y = n.op("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return n.model(n.qdq(n.conv(y, 8, 4)))


@pattern
def average_pool_between(n):
    y = n.qdq(n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8))
    return n.model(n.qdq(n.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])))


@pattern
def global_average_pool_to_gemm(n):
    y = n.qdq(n.conv(n.qdq(n.input(2, 4, 6, 6)), 4, 8))
    y = n.op("Flatten", n.qdq(n.op("GlobalAveragePool", y), 0.02))
    w, scale = n.weights(10, 8)
    return n.model(n.qdq(n.op("Gemm", y, w, n.bias(0.02, scale, 10), transB=1)))


@pattern
def mean_between(n):
    y = n.qdq(n.conv(n.qdq(n.input(2, 4, 6, 6)), 4, 8))
    return n.model(n.qdq(n.op("ReduceMean", y, axes=[2, 3], keepdims=0), 0.02))


@pattern
def slices_between(n):
    y = n.qdq(n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8))
    ends = [n.constant(v, np.int64) for v in ([1, 2], [5, 8], [2, 1])]
    return n.model(n.qdq(n.conv(n.op("Slice", y, *ends), 6, 4)))


@pattern
def splits_between(n):
    y = n.qdq(n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8))
    a, b = n.op("Split", y, n.constant([5, 3], np.int64), outputs=2, axis=1)
    return n.model(n.qdq(n.conv(a, 5, 4)), n.qdq(n.conv(n.qdq(b), 3, 4)))


@pattern
def nearest_resize_between(n):
    y = n.qdq(n.conv(n.qdq(n.input(1, 4, 4, 4)), 4, 8))
    scales = n.constant([1, 1, 2, 2])
    y = n.op("Resize", y, "", scales, mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric")
    return n.model(n.qdq(n.conv(n.qdq(y), 8, 4)))


@pattern
def depth_to_space_between(n):
    y = n.op("DepthToSpace", n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8), blocksize=2)
    return n.model(n.qdq(y))


@pattern
def residual(n):
    x = n.qdq(n.input(1, 4, 6, 6))
    y = n.qdq(n.conv(x, 4, 8), 0.02)
    z = n.qdq(n.conv(y, 8, 8, x_scale=0.02), 0.04)
    return n.model(n.qdq(n.op("Relu", n.op("Add", y, z)), 0.05))


@pattern
def one_product_two_scales(n):
    y = n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8)
    a, b = n.qdq(y, 0.02), n.qdq(y, 0.05)
    return n.model(n.qdq(n.conv(a, 8, 4, x_scale=0.02)), n.qdq(n.conv(b, 8, 3, x_scale=0.05)))


@pattern
def one_sum_two_scales(n):
    x = n.qdq(n.input(1, 4, 6, 6))
    y = n.op("Add", x, n.qdq(n.conv(x, 4, 4), 0.0417))
    return n.model(n.qdq(y, 0.0213), n.qdq(n.conv(n.qdq(y, 0.05), 4, 3, x_scale=0.05)))


@pattern
def one_depthwise_two_scales(n):
    y = n.conv(n.qdq(n.input(1, 8, 6, 6)), 8, 8, groups=8)
    return n.model(n.qdq(y, 0.02), n.qdq(n.conv(n.qdq(y, 0.05), 8, 3, x_scale=0.05)))


@pattern
def one_product_quantized_twice_alike(n):
    y = n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8)
    return n.model(n.qdq(n.conv(n.qdq(y), 8, 4)), n.qdq(n.conv(n.qdq(y), 8, 3)))


@pattern
def dequantize_with_many_readers(n):
    y = n.qdq(n.conv(n.qdq(n.input(1, 4, 6, 6)), 4, 8))
    a = n.qdq(n.conv(y, 8, 8))
    b = n.qdq(n.op("MaxPool", y, kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    c = n.qdq(n.op("Sigmoid", y), 0.0039, n.lowest)
    return n.model(n.qdq(n.op("Add", a, b), 0.05), c, n.qdq(n.op("Mul", y, c)))


@pattern
def transposed_convolution(n):
    w, scale = n.weights(4, 6, 3, 3, per_channel=False)
    y = n.op("ConvTranspose", n.qdq(n.input(1, 4, 5, 5)), w, n.bias(0.03, scale, 6), strides=[2, 2], pads=[1, 1, 1, 1])
    return n.model(n.qdq(y))


@pattern
def convolution_of_sequences(n):
    w, scale = n.weights(6, 4, 3)
    y = n.op("Conv", n.qdq(n.input(2, 4, 9)), w, n.bias(0.03, scale, 6), pads=[1, 1])
    return n.model(n.qdq(n.op("Relu", y)))


@pattern
def unsigned_weights(n):
    w, _ = n.weights(8, 4, 3, 3, dtype=np.uint8, per_channel=False)
    return n.model(n.qdq(n.op("Conv", n.qdq(n.input(1, 4, 6, 6)), w)))


@pattern
def softmax_between(n):
    w, scale = n.weights(10, 16)
    y = n.qdq(n.op("Gemm", n.qdq(n.input(3, 16)), w, n.bias(0.03, scale, 10), transB=1))
    return n.model(n.qdq(n.op("Softmax", y, axis=1), 1 / 256, n.lowest))


@pattern
def constant_operand(n):
    """A sum with a quantized constant of another rank."""
    c = n.op("DequantizeLinear", n.constant(n.rng.integers(0, 255, (4, 1, 1)), np.uint8), n.constant(0.02), n.constant(99, np.uint8))
    return n.model(n.qdq(n.op("Add", n.qdq(n.input(1, 4, 6, 6)), c), 0.05))


@pattern
def product_of_activations(n):
    a, b = n.qdq(n.input(2, 5, 8)), n.qdq(n.input(2, 8, 6), 0.02)
    return n.model(n.qdq(n.op("MatMul", a, b), 0.0517))


@pattern
def table_of_bytes(n):
    """An embedding: rows of a quantized constant."""
    codes = n.constant(n.rng.integers(-127, 128, (20, 8)), np.int8)
    table = n.op("DequantizeLinear", codes, n.constant(0.02), n.constant(3, np.int8))
    rows = n.op("Gather", table, n.constant([[3, 7, 0], [19, 4, 4]], np.int64))
    w, scale = n.weights(8, 5, axis=1)
    y = n.op("Add", n.qdq(n.input(2, 3, 8)), n.qdq(rows))
    return n.model(n.qdq(n.op("MatMul", n.qdq(y), w)))


CONTRIB = {}


def contrib(f):
    CONTRIB[f.__name__] = f
    return f


def fused_conv(n, addend=False, **attributes):
    w, b = n.constant(n.rng.normal(0, 0.3, (8, 4, 3, 3))), n.constant(n.rng.normal(0, 0.3, 8))
    more = [n.input(1, 8, 6, 6)] if addend else []
    y = n.op("FusedConv", n.input(1, 4, 6, 6), w, b, *more, domain="com.microsoft", pads=[1] * 4, **attributes)
    return n.model(y)


@contrib
def convolution_with_relu(n):
    return fused_conv(n, activation="Relu")


@contrib
def convolution_with_sum_and_relu(n):
    return fused_conv(n, addend=True, activation="Relu")


@contrib
def convolution_with_leaky_relu(n):
    return fused_conv(n, activation="LeakyRelu", activation_params=[0.2])


@contrib
def convolution_with_clip(n):
    return fused_conv(n, activation="Clip", activation_params=[-0.5, 0.75])


@contrib
def convolution_with_hard_sigmoid(n):
    return fused_conv(n, activation="HardSigmoid", activation_params=[0.25, 0.4])


@contrib
def gemm_with_leaky_relu(n):
    w, b = n.constant(n.rng.normal(0, 0.3, (5, 8))), n.constant(n.rng.normal(0, 0.3, 5))
    y = n.op("FusedGemm", n.input(3, 8), w, b, domain="com.microsoft", transB=1, activation="LeakyRelu", activation_alpha=0.3)
    return n.model(y)


def matmul_n_bits(n, k, bits=4, block=32, zeros=False):
    rows, blocks = 6, -(-k // block)
    codes = n.constant(n.rng.integers(0, 256, (rows, blocks, block * bits // 8)), np.uint8)
    # Symmetric quantizers write negative scales.
    scales = n.constant(n.rng.uniform(0.01, 0.1, rows * blocks) * n.rng.choice([-1, 1], rows * blocks))
    packed = -(-blocks * bits // 8)
    more = [n.constant(n.rng.integers(0, 256, rows * packed), np.uint8)] if zeros else []
    about = {"K": k, "N": rows, "bits": bits, "block_size": block}
    return n.model(n.op("MatMulNBits", n.input(2, 3, k), codes, scales, *more, domain="com.microsoft", **about))


@contrib
def weights_of_4_bits(n):
    return matmul_n_bits(n, 96)


@contrib
def weights_of_4_bits_with_zero_points(n):
    return matmul_n_bits(n, 96, zeros=True)


@contrib
def weights_of_4_bits_in_part_of_a_block(n):
    return matmul_n_bits(n, 80, zeros=True)


@contrib
def weights_of_8_bits(n):
    return matmul_n_bits(n, 64, bits=8, zeros=True)


def quantized_parameters(n, *scales):
    return [name for s, z in scales for name in (n.constant(s), n.constant(z, np.uint8))]


@contrib
def choice_of_bytes(n):
    x = n.q(n.input(2, 3, 4))
    known = n.constant(n.rng.integers(0, 2, (3, 4)), np.bool_)
    other = n.constant(n.rng.integers(0, 256, (2, 3, 4)), np.uint8)
    own = next(node for node in n.nodes if x in node.output).input[1:]
    a, b = quantized_parameters(n, (0.02, 99)), quantized_parameters(n, (0.05, 110))
    return n.model(n.dequantized(n.op("QLinearWhere", known, x, *own, other, *a, *b, domain="com.microsoft"), b))


def attention(n, mask=None, past=False, dynamic=False, wide=False, steps=5, heads=2, depth=4, inputs=6, **attributes):
    """Projection and attention over bytes. `mask`: integers, which a computed tensor becomes where they are of one row."""
    width = heads * depth
    x = n.input(2, steps, inputs)
    if dynamic:
        x, x_scale, x_zero = n.op("DynamicQuantizeLinear", x, outputs=3)
    else:
        x_scale, x_zero = quantized_parameters(n, (0.03, 120))
        x = n.op("QuantizeLinear", x, x_scale, x_zero)
    w = n.constant(n.rng.integers(-127, 128, (inputs, 3 * width)), np.int8)
    w_scale = n.constant(n.rng.uniform(0.004, 0.01, 3 * width) if wide else 0.007)
    w_zero = n.constant(np.zeros(3 * width) if wide else 0, np.int8)
    bias = n.constant(n.rng.normal(0, 0.5, 3 * width))
    mask = "" if mask is None else n.constant(mask, np.int32)
    more = [mask, x_zero, w_zero]
    if past:
        more.append(n.input(2, 2, heads, 3, depth))
    made = n.op("QAttention", x, w, bias, x_scale, w_scale, *more, outputs=2 if past else 1,
                domain="com.microsoft", num_heads=heads, **attributes)
    return n.model(*made) if past else n.model(made)


@contrib
def attention_over_bytes(n):
    return attention(n)


@contrib
def attention_over_bytes_quantized_as_they_come(n):
    return attention(n, dynamic=True)


@contrib
def attention_over_bytes_with_scales_per_column(n):
    return attention(n, wide=True)


@contrib
def attention_to_what_came_before(n):
    return attention(n, unidirectional=1)


@contrib
def attention_with_lengths(n):
    return attention(n, mask=[3, 5], dynamic=True)


@contrib
def attention_with_a_mask(n):
    return attention(n, mask=[[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]])


@contrib
def attention_with_a_mask_per_query(n):
    return attention(n, mask=n.rng.integers(0, 2, (2, 5, 5)), mask_filter_value=-3.5)


@contrib
def attention_with_a_past(n):
    return attention(n, past=True, unidirectional=1, dynamic=True)


@contrib
def attention_with_its_own_scale_and_a_past(n):
    return attention(n, past=True, mask=n.rng.integers(0, 2, (2, 8)), wide=True, scale=0.3)


@contrib
def attention_over_floats(n):
    x, w, b = n.input(2, 5, 6), n.constant(n.rng.normal(0, 0.4, (6, 24))), n.constant(n.rng.normal(0, 0.4, 24))
    mask, added = n.constant([4, 5], np.int32), n.input(2, 2, 5, 5)
    return n.model(n.op("Attention", x, w, b, mask, "", added, domain="com.microsoft", num_heads=2))


@contrib
def mean_of_bytes(n):
    """ONNX Runtime names this operator but can't compute it: the answers are those of what it abbreviates."""
    x = n.q(n.input(2, 4, 5, 3))
    own = next(node for node in n.nodes if x in node.output).input[1:]
    to = quantized_parameters(n, (0.017, 99))
    y = n.op("QLinearReduceMean", x, *own, *to, domain="com.microsoft", axes=[2, -1], keepdims=0)
    return n.model(n.dequantized(y, to), opset=18)


def written_out(model):
    """The model with QLinearReduceMean as DequantizeLinear, ReduceMean and QuantizeLinear."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = []
    for node in model.graph.node:
        if node.op_type != "QLinearReduceMean":
            nodes.append(node)
            continue
        name, axes = node.output[0], list(node.attribute[0].ints)
        copy.graph.initializer.append(numpy_helper.from_array(np.asarray(axes, np.int64), name + ".axes"))
        nodes += [
            helper.make_node("DequantizeLinear", node.input[:3], [name + ".x"]),
            helper.make_node("ReduceMean", [name + ".x", name + ".axes"], [name + ".y"], keepdims=0),
            helper.make_node("QuantizeLinear", [name + ".y", *node.input[3:]], [name]),
        ]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def run(model, feeds):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(written_out(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def main(out):
    arrays = {}
    bytes_of = lambda array: np.frombuffer(array.tobytes(), np.uint8)
    cases = [(f"{stem}.{tag}", build, dtype) for stem, build in PATTERNS.items() for tag, dtype in TYPES]
    cases += [(f"contrib.{stem}", build, np.uint8) for stem, build in CONTRIB.items()]
    for seed, (case, build, dtype) in enumerate(cases):
        if case == "clip_of_integers.i8":
            continue
        net = Net(seed, dtype)
        model = build(net)
        arrays[f"{case}|model"] = np.frombuffer(model.SerializeToString(), np.uint8)
        feeds = {}
        for i, spec in enumerate(model.graph.input):
            dims = [d.dim_value for d in spec.type.tensor_type.shape.dim]
            feeds[spec.name] = net.rng.normal(0, 1.3, dims).astype(np.float32)
            arrays[f"{case}|in{i}"] = feeds[spec.name]
        for i, y in enumerate(run(model, feeds)):
            arrays[f"{case}|out{i}"] = y
    np.savez_compressed(out / "patterns.npz", **arrays)
    print(len(cases), "cases")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
