//! Small networks that use every integer kernel, made without importer or quantizer.

use super::nets::doubling;
use ottava::graph::*;

/// Deterministic noise.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(2).wrapping_add(1))
    }
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }
    pub fn unit(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 31) as f32
    }
    pub fn i8s(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| (self.next() % 255) as i32 as i8).map(|v| v.max(-127)).collect()
    }
}

/// Builds quantized nodes.
pub struct Net {
    pub b: GraphBuilder,
    pub noise: Noise,
    count: usize,
}

fn bytes(name: &str, scale: f32, zero: i32) -> Tensor {
    Tensor::value(name, DType::U8, Shape::default()).with_quant(Quant::per_tensor(scale, zero))
}

impl Net {
    pub fn new(seed: u64) -> Net {
        Net { b: GraphBuilder::new("net"), noise: Noise::new(seed), count: 0 }
    }

    fn name(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}{}", self.count)
    }

    pub fn dims(&self, id: TensorId) -> Vec<usize> {
        self.b.graph().tensor(id).shape.dims().unwrap()
    }

    pub fn quantize(&mut self, x: TensorId) -> TensorId {
        let name = self.name("quantize");
        self.b.node_as(&name, Quantize {}, &[x], bytes(&format!("{name}_q"), 0.02, 117)).unwrap()
    }

    pub fn dequantize(&mut self, x: TensorId, output: &str) -> TensorId {
        let name = self.name("dequantize");
        let template = Tensor::value(output, DType::F32, Shape::default());
        self.b.node_as(&name, Dequantize {}, &[x], template).unwrap()
    }

    /// Weights and bias of `oc` channels; the bias of every other node is f32.
    fn weights(&mut self, name: &str, dims: &[usize]) -> [TensorId; 2] {
        let (oc, n) = (dims[0], dims.iter().product());
        let w = Data::from_slice(&self.noise.i8s(n));
        let scales: Vec<f32> = (0..oc).map(|_| 0.001 + 0.002 * self.noise.unit()).collect();
        let w = Tensor::constant(format!("{name}_w"), DType::I8, dims, w);
        let (dtype, bias) = if self.count.is_multiple_of(2) {
            (DType::F32, Data::from_slice(&(0..oc).map(|_| self.noise.unit() - 0.5).collect::<Vec<f32>>()))
        } else {
            let steps = (0..oc).map(|_| self.noise.next() as i32 % 2000 - 1000);
            (DType::I32, Data::from_slice(&steps.collect::<Vec<i32>>()))
        };
        let b = Tensor::constant(format!("{name}_b"), dtype, &[oc], bias);
        [self.b.tensor(w.with_quant(Quant::per_channel(0, scales))), self.b.tensor(b)]
    }

    pub fn conv(
        &mut self,
        x: TensorId,
        oc: usize,
        kernel: [usize; 2],
        stride: usize,
        groups: usize,
    ) -> TensorId {
        let name = self.name("conv");
        let c = self.dims(x)[3];
        let [w, b] = self.weights(&name, &[oc, kernel[0], kernel[1], c / groups]);
        let [py, px] = kernel.map(|k| k / 2);
        let op = Conv {
            strides: [stride; 2],
            pads: [py, px, py, px],
            dilations: [1; 2],
            groups,
            clamp: Clamp::RELU,
        };
        let k = (kernel[0] * kernel[1] * c / groups) as f32;
        self.b.node_as(&name, op, &[x, w, b], bytes(&format!("{name}_y"), 0.002 * k.sqrt(), 3)).unwrap()
    }

    pub fn conv_transpose(&mut self, x: TensorId, oc: usize) -> TensorId {
        let name = self.name("up");
        let c = self.dims(x)[3];
        let [w, b] = self.weights(&name, &[oc, 2, 2, c]);
        self.b.node_as(&name, doubling(), &[x, w, b], bytes(&format!("{name}_y"), 0.02, 128)).unwrap()
    }

    pub fn linear(&mut self, x: TensorId, n: usize) -> TensorId {
        let name = self.name("linear");
        let k = *self.dims(x).last().unwrap();
        let [w, b] = self.weights(&name, &[n, k]);
        let op = Linear { clamp: Clamp::NONE };
        self.b.node_as(&name, op, &[x, w, b], bytes(&format!("{name}_y"), 0.02, 100)).unwrap()
    }

    pub fn same(
        &mut self,
        what: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
        scale: f32,
        zero: i32,
    ) -> TensorId {
        let name = self.name(what);
        self.b.node_as(&name, op, inputs, bytes(&format!("{name}_y"), scale, zero)).unwrap()
    }
}

/// A network of `[1, size, size, 3]` with one of everything that has an integer kernel.
pub fn one_of_everything(size: usize) -> Graph {
    let mut net = Net::new(7);
    let x = net.b.input("x", DType::F32, Shape::fixed(&[1, size, size, 3]));
    let q = net.quantize(x);
    let stem = net.conv(q, 20, [3, 3], 2, 1);
    let deep = net.conv(stem, 20, [3, 3], 1, 20);
    let wide = net.conv(deep, 20, [5, 5], 1, 20);
    let point = net.conv(wide, 20, [1, 1], 1, 1);
    let sum = net.same("add", Binary { kind: BinaryKind::Add, clamp: Clamp::NONE }, &[stem, point], 0.03, 9);
    let grouped = net.conv(sum, 12, [3, 3], 1, 4);
    let pool = Pool {
        kind: PoolKind::Max,
        kernel: [2; 2],
        strides: [2; 2],
        pads: [0; 4],
        dilations: [1; 2],
        ceil: false,
        count_include_pad: false,
    };
    let (scale, zero) = net.b.graph().tensor(grouped).quant.as_ref().unwrap().single().unwrap();
    let small = net.same("maxpool", pool.clone(), &[grouped], scale, zero);
    let mean = net.same("avgpool", Pool { kind: PoolKind::Average, ..pool }, &[grouped], 0.02, 30);
    let act = Unary { kind: UnaryKind::Sigmoid, alpha: 0.0, beta: 0.0 };
    let gate = net.same("sigmoid", act, &[mean], 1.0 / 256.0, 0);
    let gated =
        net.same("mul", Binary { kind: BinaryKind::Mul, clamp: Clamp::NONE }, &[small, gate], scale, zero);
    let join = net.same("concat", Concat { axis: 3 }, &[small, gated], scale, zero);
    let up = net.conv_transpose(join, 7);
    let shrink = net.conv(up, 16, [1, 7], 2, 1);
    let reduce = Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: false };
    let flat = net.same("mean", reduce, &[shrink], 0.02, 11);
    let logits = net.linear(flat, 10);
    let [w, b] = net.weights("sums", &[37, 16]);
    let real = Tensor::value("sums", DType::F32, Shape::default());
    let sums = net.b.node_as("sums", Linear { clamp: Clamp::RELU }, &[flat, w, b], real).unwrap();
    let prob = net.same("softmax", Softmax { axis: 1, log: false }, &[logits], 1.0 / 256.0, 0);
    let y = net.dequantize(prob, "y");
    let image = net.dequantize(up, "image");
    net.b.finish(&[y, image, sums]).unwrap()
}
