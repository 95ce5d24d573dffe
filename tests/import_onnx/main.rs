//! ONNX in: real networks, versions of operators, what is refused, and files that lie.
#![cfg(feature = "import")]

#[path = "../common/mod.rs"]
mod common;

mod build;
mod control;
mod convolutions;
mod dynamic;
mod einsum;
mod elementwise;
mod external;
mod hostile;
mod models;
mod node_tests;
mod picks;
mod places;
mod products;
mod quantized;
mod samples;
mod shapes;
mod spectral;
mod structure;
mod transformers;
mod volumes;
