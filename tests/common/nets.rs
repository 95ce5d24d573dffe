//! Small things that networks in tests are made of.

// Not every test file uses all of them.
#![allow(dead_code)]

use ottava::graph::*;

/// Numbers in -1..1 that look random and are the same every time.
pub fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Operators of a kind.
pub fn count(graph: &Graph, wanted: fn(&Op) -> bool) -> usize {
    graph.nodes.iter().filter(|n| wanted(&n.op)).count()
}

/// A convolution with stride 1 and this border all around.
pub fn conv(groups: usize, pad: usize) -> Conv {
    Conv { strides: [1, 1], pads: [pad; 4], dilations: [1, 1], groups, clamp: Clamp::NONE }
}

/// Doubles height and width with a kernel of 2x2.
pub fn doubling() -> ConvTranspose {
    ConvTranspose {
        strides: [2; 2],
        pads: [0; 4],
        output_pads: [0; 2],
        dilations: [1; 2],
        groups: 1,
        clamp: Clamp::NONE,
    }
}

/// Windows of 3x3 around every pixel.
pub fn pool(kind: PoolKind) -> Pool {
    Pool {
        kind,
        kernel: [3, 3],
        strides: [1, 1],
        pads: [1; 4],
        dilations: [1; 2],
        ceil: false,
        count_include_pad: false,
    }
}

pub fn unary(kind: UnaryKind) -> Unary {
    Unary { kind, alpha: 0.0, beta: 0.0 }
}

pub fn clip(min: f32, max: f32) -> Unary {
    Unary { kind: UnaryKind::Clip, alpha: min, beta: max }
}

pub fn binary(kind: BinaryKind) -> Binary {
    Binary { kind, clamp: Clamp::NONE }
}

pub fn transpose(perm: &[usize]) -> Transpose {
    Transpose { perm: perm.to_vec() }
}
