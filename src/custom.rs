//! Operators that an application brings along.
//!
//! An operator is registered under a name, with a rule for its output and a kernel; from then on importers, the plan
//! and `.8va` files know it by that name. Nodes of an operator that is not registered are refused: the error says
//! which one is missing. An ONNX node of domain `d` and operator `Op` has the name `d.Op`, a custom operator of TensorFlow
//! Lite its own; that one's options are the parameter `options` ([`Parameters::bytes`]). Parameters of more than 65535
//! bytes can be run, but not written to a `.8va` file.
//!
//! A kernel sees bytes: each tensor's elements in row-major order, little endian, aligned to 64. It must not depend on
//! anything but its inputs, since a node of constants is computed once, when the network is loaded.

use crate::graph::{DType, Shape};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The most inputs that an operator may have.
pub const MAX_INPUTS: usize = 4;

/// What is known of an input.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Element type.
    pub dtype: DType,
    /// Its shape; dimensions may be free, but not when a kernel is made.
    pub shape: &'a Shape,
}

/// Computes the output's bytes from the inputs'.
pub type Kernel = Box<dyn Fn(&[&[u8]], &mut [u8]) + Send + Sync>;

/// An operator with one output.
pub trait CustomOp: Send + Sync {
    /// Element type and shape of the output.
    ///
    /// # Errors
    /// The inputs or parameters don't fit: what is wrong with them.
    fn output(&self, inputs: &[Input<'_>], parameters: &Parameters) -> Result<(DType, Shape), String>;

    /// What computes a node, made once for shapes that are bound. It may not allocate when it runs.
    ///
    /// # Errors
    /// As [`CustomOp::output`].
    fn kernel(&self, inputs: &[Input<'_>], parameters: &Parameters) -> Result<Kernel, String>;
}

/// A node's parameters: a name and a text for each, lists with commas between.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// From lines of `name=value`; others are left out.
    pub fn parse(text: &str) -> Parameters {
        let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.into(), value.into()));
        Parameters(text.lines().filter_map(pair).collect())
    }

    /// The text of a parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Bytes written with two hexadecimal digits each, if the parameter is there and is so: the options of a
    /// TensorFlow Lite operator are `options`.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let digits: Vec<u32> = self.text(name)?.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        Some(pairs.iter().map(|[high, low]| (high * 16 + low) as u8).collect())
    }

    /// A number, if the parameter is there and is one.
    pub fn float(&self, name: &str) -> Option<f32> {
        self.text(name)?.parse().ok()
    }

    /// Integers, if the parameter is there and all of it are.
    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.text(name)?.split(',').map(|v| v.parse().ok()).collect()
    }
}

static REGISTRY: RwLock<BTreeMap<String, Arc<dyn CustomOp>>> = RwLock::new(BTreeMap::new());

/// Makes an operator known to the process, in place of one that had its name.
pub fn register(name: impl Into<String>, op: Arc<dyn CustomOp>) {
    REGISTRY.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), op);
}

/// Forgets an operator; sessions that use it go on.
pub fn unregister(name: &str) {
    REGISTRY.write().unwrap_or_else(PoisonError::into_inner).remove(name);
}

/// True if the operator is known.
pub fn is_registered(name: &str) -> bool {
    REGISTRY.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
}

/// The operator, or what to do.
pub(crate) fn find(name: &str) -> Result<Arc<dyn CustomOp>, String> {
    let found = REGISTRY.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
    found.ok_or_else(|| {
        format!(
            "needs the operator '{name}', which is not registered: call ottava::custom::register before the model \
             is loaded"
        )
    })
}
