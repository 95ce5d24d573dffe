//! Integer convolutions are computed to the bit as their definition says, on every instruction set.

mod convolution;
mod definition;
mod dynamic;
mod reals;
mod transpose;
