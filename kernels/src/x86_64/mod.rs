//! The operations of x86-64 instruction sets on 16 columns.

mod avx2;
mod avx2_wide;
mod avx512vnni;
mod avxvnni;
mod byte_sums;
mod epilogue;
pub(crate) mod sparse;

use crate::Isa;
use crate::isa::Level;
use crate::qconv::ladder::Ladder;

/// The micro-kernels of an instruction set; none where plain loops run. `has_min`: some weight is -128.
pub(crate) fn ladder(isa: Isa, has_min: bool) -> Option<&'static Ladder> {
    match isa.level() {
        Level::Avx512Vnni => Some(&avx512vnni::LADDER),
        Level::AvxVnni => Some(&avxvnni::LADDER),
        Level::Avx2 if has_min => Some(&avx2_wide::LADDER),
        Level::Avx2 => Some(&avx2::LADDER),
        _ => None,
    }
}
