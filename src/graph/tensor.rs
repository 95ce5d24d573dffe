//! Tensors of a graph: shape, element type, quantization and, for constants, bytes.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

/// The element type of a tensor. The numbers are those of the file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DType {
    /// IEEE 754 binary32.
    F32 = 1,
    /// IEEE 754 binary16.
    F16 = 2,
    /// Signed 8-bit integer.
    I8 = 3,
    /// Unsigned 8-bit integer.
    U8 = 4,
    /// Signed 16-bit integer.
    I16 = 5,
    /// Signed 32-bit integer.
    I32 = 6,
    /// Signed 64-bit integer.
    I64 = 7,
    /// One byte, 0 or 1.
    Bool = 8,
    /// IEEE 754 binary64: only inputs, outputs and what is cast from and to them; nothing computes in it.
    F64 = 9,
    /// The upper half of an IEEE 754 binary32: only constants, as weights.
    BF16 = 10,
}

impl DType {
    /// Every element type, in the order of its number.
    pub const ALL: [DType; 10] = [
        DType::F32,
        DType::F16,
        DType::I8,
        DType::U8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::Bool,
        DType::F64,
        DType::BF16,
    ];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::I8 | DType::U8 | DType::Bool => 1,
            DType::F16 | DType::BF16 | DType::I16 => 2,
            DType::F32 | DType::I32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    /// The type with this number in a file.
    pub fn from_code(code: u8) -> Option<DType> {
        DType::ALL.into_iter().find(|d| *d as u8 == code)
    }

    /// `f32`, `u8`, ... as people write it.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::I8 => "i8",
            DType::U8 => "u8",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::Bool => "bool",
            DType::F64 => "f64",
            DType::BF16 => "bf16",
        }
    }

    /// True for f32, f16, f64 and bf16.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::F64 | DType::BF16)
    }

    /// True for the 8-bit integers that can hold quantized activations.
    pub const fn is_8bit(self) -> bool {
        matches!(self, DType::U8 | DType::I8)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One dimension of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Known when the graph was made.
    Fixed(usize),
    /// Known when a session is made: an index into [`Graph::dims`](super::Graph::dims).
    Free(u32),
}

impl Dim {
    /// The extent, if it is known.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Dim::Fixed(n) => Some(n),
            Dim::Free(_) => None,
        }
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Dim {
        Dim::Fixed(n)
    }
}

/// The dimensions of a tensor, outermost first. Spatial tensors are NHWC.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// A shape without free dimensions.
    pub fn fixed(dims: &[usize]) -> Shape {
        Shape(dims.iter().map(|&d| Dim::Fixed(d)).collect())
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// All extents, if none is free.
    pub fn dims(&self) -> Option<Vec<usize>> {
        self.0.iter().map(|d| d.fixed()).collect()
    }

    /// Number of elements, if no dimension is free and the product fits.
    pub fn elements(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, d| n.checked_mul(d.fixed()?))
    }
}

impl Deref for Shape {
    type Target = [Dim];
    fn deref(&self) -> &[Dim] {
        &self.0
    }
}

/// How the integers of a tensor stand for reals: `real = scale * (q - zero_point)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quant {
    /// `None`: one scale for the tensor; `Some(a)`: one per index of dimension `a`.
    pub axis: Option<usize>,
    /// One scale, or as many as dimension `axis` is long; finite and positive.
    pub scale: Vec<f32>,
    /// As many as scales; within the range of the element type.
    pub zero_point: Vec<i32>,
}

impl Quant {
    /// One scale and zero point for the whole tensor.
    pub fn per_tensor(scale: f32, zero_point: i32) -> Quant {
        Quant { axis: None, scale: vec![scale], zero_point: vec![zero_point] }
    }

    /// One scale per index of `axis`, zero points 0.
    pub fn per_channel(axis: usize, scale: Vec<f32>) -> Quant {
        let zero_point = vec![0; scale.len()];
        Quant { axis: Some(axis), scale, zero_point }
    }

    /// Scale and zero point, if there is one for the whole tensor.
    pub fn single(&self) -> Option<(f32, i32)> {
        match (self.axis, self.scale.as_slice(), self.zero_point.as_slice()) {
            (None, [s], [z]) => Some((*s, *z)),
            _ => None,
        }
    }
}

/// Bytes of a constant: a view into storage that is shared, never copied (a mapped file or a vector).
#[derive(Clone)]
pub struct Data {
    storage: Arc<dyn AsRef<[u8]> + Send + Sync>,
    start: usize,
    len: usize,
}

impl Data {
    /// A copy of bytes, aligned to 64 bytes. As many zeros lie behind it, so that kernels that read whole vectors
    /// need no copy of their own.
    pub fn from_bytes(bytes: &[u8]) -> Data {
        let mut storage = AlignedBytes::zeroed(bytes.len().saturating_add(ALIGN));
        storage.as_mut()[..bytes.len()].copy_from_slice(bytes);
        Data { storage: Arc::new(storage), start: 0, len: bytes.len() }
    }

    /// All of these bytes, not copied.
    pub fn owned(bytes: AlignedBytes) -> Data {
        Data { len: bytes.len, start: 0, storage: Arc::new(bytes) }
    }

    /// The bytes of a slice of plain values.
    pub fn from_slice<T: bytemuck::NoUninit>(values: &[T]) -> Data {
        Data::from_bytes(bytemuck::cast_slice(values))
    }

    /// A view of `storage[start..start + len]`; `None` if that is out of range.
    pub fn view(storage: Arc<dyn AsRef<[u8]> + Send + Sync>, start: usize, len: usize) -> Option<Data> {
        let end = start.checked_add(len)?;
        (*storage).as_ref().get(start..end)?;
        Some(Data { storage, start, len })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &(*self.storage).as_ref()[self.start..self.start + self.len]
    }

    /// The bytes followed by whatever readable bytes of the storage come after them, at most `extra`.
    pub fn bytes_with_tail(&self, extra: usize) -> &[u8] {
        let all = (*self.storage).as_ref();
        let end = (self.start + self.len).saturating_add(extra).min(all.len());
        &all[self.start..end]
    }

    /// The same bytes and at most `extra` of those behind them, as a view.
    pub(crate) fn with_tail(&self, extra: usize) -> Data {
        Data { len: self.bytes_with_tail(extra).len(), ..self.clone() }
    }

    /// Tells whether some data is this one, without keeping it alive.
    pub(crate) fn downgrade(&self) -> WeakData {
        WeakData { storage: Arc::downgrade(&self.storage), start: self.start, len: self.len }
    }

    /// The values, if size and alignment fit.
    pub fn cast<T: bytemuck::AnyBitPattern>(&self) -> Option<&[T]> {
        bytemuck::try_cast_slice(self.bytes()).ok()
    }

    /// The values, copied if they are not aligned. Trailing bytes that make no whole value are left out.
    pub fn to_vec<T: bytemuck::AnyBitPattern>(&self) -> Vec<T> {
        self.bytes().chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
    }
}

/// Data that is there as long as somebody else keeps it.
pub(crate) struct WeakData {
    storage: Weak<dyn AsRef<[u8]> + Send + Sync>,
    start: usize,
    len: usize,
}

impl WeakData {
    /// The data, if it is still there.
    pub fn upgrade(&self) -> Option<Data> {
        Some(Data { storage: self.storage.upgrade()?, start: self.start, len: self.len })
    }

    /// True if it is this data: the same bytes at the same place. A weak reference keeps the place taken, so nothing
    /// else can have come there.
    pub fn is(&self, data: &Data) -> bool {
        let same = Weak::as_ptr(&self.storage).cast::<()>() == Arc::as_ptr(&data.storage).cast::<()>();
        same && (self.start, self.len) == (data.start, data.len)
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} bytes)", self.len)
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Data) -> bool {
        self.bytes() == other.bytes()
    }
}

/// Zeroed bytes whose start is aligned to 64: a cache line, the widest vector.
#[derive(Debug)]
pub struct AlignedBytes {
    /// Longer than needed, so that it holds an aligned start. Bytes, since these come zeroed from the system: no
    /// page is touched before it is used.
    room: Vec<u8>,
    start: usize,
    len: usize,
}

/// What the start is a multiple of.
const ALIGN: usize = 64;

impl AlignedBytes {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> AlignedBytes {
        let room = vec![0; len.saturating_add(ALIGN - 1)];
        let start = room.as_ptr().align_offset(ALIGN);
        AlignedBytes { room, start, len }
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> AlignedBytes {
        let mut a = AlignedBytes::zeroed(bytes.len());
        a.as_mut().copy_from_slice(bytes);
        a
    }
}

impl Clone for AlignedBytes {
    fn clone(&self) -> AlignedBytes {
        AlignedBytes::copy_of(self.as_ref())
    }
}

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.room[self.start..][..self.len]
    }
}

impl AsMut<[u8]> for AlignedBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.room[self.start..][..self.len]
    }
}

/// A value that flows through a graph: a constant, an input, or what a node computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Unique in its graph and not empty.
    pub name: String,
    /// At most [`MAX_RANK`](super::MAX_RANK) dimensions.
    pub shape: Shape,
    /// Element type.
    pub dtype: DType,
    /// Present where the integers stand for reals.
    pub quant: Option<Quant>,
    /// Present for constants: `shape.elements() * dtype.size()` bytes, little endian.
    pub data: Option<Data>,
}

impl Tensor {
    /// A value to be computed or given.
    pub fn value(name: impl Into<String>, dtype: DType, shape: Shape) -> Tensor {
        Tensor { name: name.into(), shape, dtype, quant: None, data: None }
    }

    /// A constant.
    pub fn constant(name: impl Into<String>, dtype: DType, dims: &[usize], data: Data) -> Tensor {
        Tensor { name: name.into(), shape: Shape::fixed(dims), dtype, quant: None, data: Some(data) }
    }

    /// The same tensor with quantization parameters.
    pub fn with_quant(mut self, quant: Quant) -> Tensor {
        self.quant = Some(quant);
        self
    }

    /// Bytes that the tensor's elements take, if its shape is known.
    pub fn byte_len(&self) -> Option<usize> {
        self.shape.elements()?.checked_mul(self.dtype.size())
    }
}
