//! Which nodes are quantized how: one file may mix all ways.

use super::QuantizeError;
use crate::graph::{Graph, Node};

/// How the weights of a node are stored and what it computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 8-bit weights and activations, whose scales calibration finds.
    Static,
    /// 8-bit weights and activations, whose scales are found while the network runs.
    Dynamic,
    /// Weights of so many bits (2 to 8); everything is computed in float.
    Weights(u8),
    /// As it is.
    Float,
}

/// The names of some nodes, or an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `*` stands for any characters, `?` for one.
    Name(String),
    /// The name of an operator, as `inspect` shows it, in any case.
    Operator(String),
}

impl Pattern {
    /// `op:Conv` is an operator, anything else names.
    pub fn parse(text: &str) -> Pattern {
        match text.strip_prefix("op:") {
            Some(op) => Pattern::Operator(op.to_string()),
            None => Pattern::Name(text.to_string()),
        }
    }

    /// True if it means the node.
    pub fn matches(&self, node: &Node) -> bool {
        match self {
            Pattern::Name(glob) => matches(glob.as_bytes(), node.name.as_bytes()),
            Pattern::Operator(op) => op.eq_ignore_ascii_case(node.op.name()),
        }
    }
}

/// Walks both at once; after a `*`, goes back to it when the rest does not fit. Bytes beyond ASCII are compared one by
/// one, so `?` stands for one of them.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                g += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (g, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|&c| c == b'*')
}

/// A mode for all nodes, and others for some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modes {
    /// Where no choice matches.
    pub default: Mode,
    /// Of those that match a node the last one counts.
    pub choices: Vec<(Pattern, Mode)>,
}

impl Modes {
    /// One mode for all nodes.
    pub const fn all(default: Mode) -> Modes {
        Modes { default, choices: Vec::new() }
    }

    /// The mode of a node.
    pub fn of(&self, node: &Node) -> Mode {
        let chosen = self.choices.iter().rev().find(|(pattern, _)| pattern.matches(node));
        chosen.map_or(self.default, |(_, mode)| *mode)
    }

    /// True if some node may have this mode.
    pub fn any(&self, wanted: impl Fn(Mode) -> bool) -> bool {
        wanted(self.default) || self.choices.iter().any(|(_, mode)| wanted(*mode))
    }

    /// Fails if a pattern means no node, or bits are not 2 to 8.
    pub(super) fn check(&self, graph: &Graph) -> Result<(), QuantizeError> {
        for (pattern, _) in &self.choices {
            if !graph.nodes.iter().any(|node| pattern.matches(node)) {
                let (Pattern::Name(text) | Pattern::Operator(text)) = pattern;
                return Err(QuantizeError::UnknownNode(text.clone()));
            }
        }
        let modes = self.choices.iter().map(|(_, mode)| *mode).chain([self.default]);
        for mode in modes {
            if let Mode::Weights(bits) = mode
                && !(2..=8).contains(&bits)
            {
                return Err(QuantizeError::Bits(bits));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (glob, name, fits) in [
            ("conv", "conv", true),
            ("conv", "conv1", false),
            ("conv*", "conv1/weights", true),
            ("*/fc?", "head/fc2", true),
            ("*/fc?", "head/fc22", false),
            ("*a*b*", "xxaxxabxx", true),
            ("*a*b", "xxaxxabxx", false),
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(glob.as_bytes(), name.as_bytes()), fits, "{glob} {name}");
        }
    }
}
