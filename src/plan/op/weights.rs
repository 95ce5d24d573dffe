//! Kernels with packed weights: one step for all of them.

use super::super::{Kernel, Made, Planner};
use super::{NodeView, PackedWeights};
use crate::graph::{AlignedBytes, DType, Data, TensorId};
use crate::run::{Io, Pool, Rows, RunError, Views};
use ottava_kernels::fconv::FConv;
use ottava_kernels::fconv_transpose::FConvTranspose;
use ottava_kernels::fdepthwise::FDepthwise;
use ottava_kernels::frow::FRow;
use ottava_kernels::{QConv, QConvTranspose, QDepthwise, QRow, QSparseRow};
use std::ops::Range;

/// What the step needs of a kernel. `Q*` kernels write u8, `F*` kernels f32; both are seen as bytes here.
pub(super) trait Weighted: Send + Sync + 'static {
    /// Bytes of an output element.
    fn output_size(&self) -> usize;
    fn kernel(&self) -> &'static str;
    fn layout(&self) -> u32;
    fn packed_len(&self) -> usize;
    fn accepts(&self, packed: &[u8]) -> bool;
    /// Parts of threads start at rows that are multiples of this.
    fn grain(&self) -> usize;
    fn scratch_len(&self) -> usize;
    fn run(&self, packed: &[u8], x: &[u8], y: &mut [u8], rows: Range<usize>, scratch: &mut [u8]);
    /// The convolution, if threads better share out its output channels than its rows.
    fn by_columns(&self) -> Option<&QConv> {
        None
    }
}

macro_rules! integer {
    ($($kernel:ty, $size:expr, $grain:expr, { $($more:item)* })*) => {$(
        impl Weighted for $kernel {
            fn output_size(&self) -> usize {
                $size(self)
            }
            fn kernel(&self) -> &'static str {
                self.kernel()
            }
            fn layout(&self) -> u32 {
                self.layout()
            }
            fn packed_len(&self) -> usize {
                self.packed_len()
            }
            fn accepts(&self, packed: &[u8]) -> bool {
                self.accepts(packed)
            }
            fn grain(&self) -> usize {
                $grain(self)
            }
            fn scratch_len(&self) -> usize {
                self.scratch_len()
            }
            fn run(&self, packed: &[u8], x: &[u8], y: &mut [u8], rows: Range<usize>, scratch: &mut [u8]) {
                self.run(packed, x, y, rows, scratch);
            }
            $($more)*
        }
    )*};
}
integer! {
    QConv, QConv::output_size, QConv::grain, {
        fn by_columns(&self) -> Option<&QConv> {
            QConv::by_columns(self).then_some(self)
        }
    }
    QDepthwise, |_| 1, QDepthwise::grain, {}
    QConvTranspose, |_| 1, |_| 1, {}
    QRow, QRow::output_size, |_| 1, {}
    QSparseRow, |_| 1, |_| 1, {}
}

macro_rules! float {
    ($($kernel:ty, $grain:expr;)*) => {$(
        impl Weighted for $kernel {
            fn output_size(&self) -> usize {
                4
            }
            fn kernel(&self) -> &'static str {
                self.kernel()
            }
            fn layout(&self) -> u32 {
                0
            }
            fn packed_len(&self) -> usize {
                self.packed_len() * 4
            }
            fn accepts(&self, _packed: &[u8]) -> bool {
                false
            }
            fn grain(&self) -> usize {
                $grain(self)
            }
            fn scratch_len(&self) -> usize {
                self.scratch_len() * 4
            }
            fn run(&self, packed: &[u8], x: &[u8], y: &mut [u8], rows: Range<usize>, scratch: &mut [u8]) {
                use bytemuck::{cast_slice, cast_slice_mut};
                self.run(cast_slice(packed), cast_slice(x), cast_slice_mut(y), rows, cast_slice_mut(scratch));
            }
        }
    )*};
}
float! {
    FConv, FConv::grain;
    FDepthwise, |_| 1;
    FRow, |_| 1;
    FConvTranspose, |_| 1;
}

/// How threads share out the output of a step.
pub(super) struct Split {
    /// Rows of the output: whatever the kernel's `run` counts.
    pub rows: usize,
    /// Elements from one row to the next.
    pub stride: usize,
    /// Multiply-adds of the whole.
    pub macs: u64,
    /// See [`Kernel::cost`].
    pub cost: u64,
}

impl Split {
    /// Computes the whole output. `scratch`: what [`scratch_of`] says, for every thread.
    pub fn run(
        &self,
        pool: &Pool,
        kernel: &impl Weighted,
        packed: &[u8],
        x: &[u8],
        y: &mut [u8],
        scratch: &mut [u8],
    ) {
        // Alone there is nothing to find out, which tiny products would feel.
        let Some((team, units)) = pool.sharing(self.cost) else {
            return kernel.run(packed, x, y, 0..self.rows, scratch);
        };
        if let Some(conv) = kernel.by_columns() {
            return conv.share_columns((team, units), packed, x, y, scratch);
        }
        let (count, grain, stride) = (self.rows, kernel.grain(), self.stride * kernel.output_size());
        let rows = Rows { count, grain, stride, y, scratch_len: scratch_of(kernel), scratch };
        team.split(rows, units, &|rows, y, scratch| kernel.run(packed, x, y, rows, scratch));
    }
}

/// Scratch of one thread: whole lines of cache, so that every thread's part is aligned.
fn scratch_of(kernel: &impl Weighted) -> usize {
    kernel.scratch_len().next_multiple_of(64)
}

/// How a kernel wants its weights.
pub(super) struct Packing {
    /// Which of the node's weights.
    pub part: usize,
    /// Of the kernel; 0: no file stores them.
    pub layout: u32,
    /// Bytes.
    pub len: usize,
}

/// The weights of node `v` (canonically the tensor `tensor`): those that the file brought in this layout, if they fit,
/// or else those that another plan of the model has, or else freshly packed ones.
pub(super) fn packed_for(
    p: &Planner<'_>,
    v: NodeView<'_>,
    tensor: TensorId,
    Packing { part, layout, len }: Packing,
    fits: impl Fn(&[u8]) -> bool,
    pack: impl FnOnce(&mut [u8]),
) -> PackedWeights {
    let stored = p.packed.get(&tensor).into_iter().flatten();
    let mut fitting = stored.filter(|s| s.layout == layout && fits(s.bytes.bytes()));
    fitting.next().cloned().unwrap_or_else(|| {
        let pack = || {
            let mut bytes = AlignedBytes::zeroed(len);
            pack(bytes.as_mut());
            Ok::<_, std::convert::Infallible>(Data::owned(bytes))
        };
        let constants: Vec<&Data> =
            v.node.present_inputs().filter_map(|id| p.graph.tensor(id).data.as_ref()).collect();
        let made = Made::Packed { part, isa: p.isa, layout, len };
        let Ok(bytes) = p.shared.get_or_make(v.node.outputs[0], made, &constants, pack);
        PackedWeights { tensor, layout, bytes }
    })
}

/// A step with packed weights.
pub(super) struct WeightStep<K> {
    kernel: K,
    packed: PackedWeights,
    split: Split,
    /// For people: in which type the weights are stored, if that is not what the kernel's name says.
    stored: &'static str,
}

impl<K: Weighted> WeightStep<K> {
    /// Takes the weights that the file brought in this kernel's layout, or packs them.
    pub fn new(
        p: &Planner<'_>,
        v: NodeView<'_>,
        weights: TensorId,
        kernel: K,
        split: Split,
        pack: impl FnOnce(&K, &mut [u8]),
    ) -> WeightStep<K> {
        let fits = |packed: &[u8]| kernel.accepts(packed);
        let packing = Packing { part: 0, layout: kernel.layout(), len: kernel.packed_len() };
        let packed = packed_for(p, v, weights, packing, fits, |to| pack(&kernel, to));
        let stored = match p.graph.tensor(weights).dtype {
            DType::F16 => ", f16 weights",
            DType::BF16 => ", bf16 weights",
            _ => "",
        };
        WeightStep { kernel, packed, split, stored }
    }

    /// The step of a node: from its first input to its output.
    pub fn planned(self, v: NodeView<'_>) -> Result<super::Planned, super::PlanError> {
        Ok(super::Planned::step(self, &[v.input(0)?], &v.node.outputs))
    }
}

impl<K: Weighted> Kernel for WeightStep<K> {
    fn name(&self) -> String {
        format!("{}{}", self.kernel.kernel(), self.stored)
    }
    fn macs(&self) -> u64 {
        self.split.macs
    }
    fn cost(&self) -> u64 {
        self.split.cost
    }
    fn weight_bytes(&self) -> usize {
        self.packed.bytes.bytes().len()
    }
    fn scratch_len(&self, threads: usize) -> usize {
        scratch_of(&self.kernel) * threads
    }
    fn packed(&self) -> Option<&PackedWeights> {
        (self.packed.layout != 0).then_some(&self.packed)
    }
    fn run(&self, io: &mut Io<'_>, pool: &Pool) -> Result<(), RunError> {
        let Views { inputs: [x], outputs: [y], scratch } = io.one();
        let packed = self.packed.bytes.bytes();
        self.split.run(pool, &self.kernel, packed, x, y, scratch);
        Ok(())
    }
}
