//! What recurrent layers are made of: cells, directions, the functions of their gates.

use super::attr::{Attr, AttrField, text_enum};
use super::op::Recurrent;

text_enum! {
    /// What a recurrent layer computes per time step, and the order of its gates in weights and biases.
    RecurrentCell {
        /// Long short-term memory; gates: input, output, forget, cell.
        Lstm = "lstm",
        /// Gated recurrent unit; gates: update, reset, hidden.
        Gru = "gru",
        /// One function of input and state; one gate.
        Rnn = "rnn",
    }
}

impl RecurrentCell {
    /// Gates: the weights have `gates * hidden` rows per direction.
    pub const fn gates(self) -> usize {
        match self {
            RecurrentCell::Lstm => 4,
            RecurrentCell::Gru => 3,
            RecurrentCell::Rnn => 1,
        }
    }

    /// Functions per direction.
    pub const fn functions(self) -> usize {
        match self {
            RecurrentCell::Lstm => 3,
            RecurrentCell::Gru => 2,
            RecurrentCell::Rnn => 1,
        }
    }

    /// Outputs: the sequence of states, the last state, the last cell state.
    pub const fn outputs(self) -> usize {
        match self {
            RecurrentCell::Lstm => 3,
            RecurrentCell::Gru | RecurrentCell::Rnn => 2,
        }
    }
}

text_enum! {
    /// How inputs and states become bytes for products with weights in i8.
    RowQuant {
        /// Each row with its own scale and zero point, as `DynamicQuantize` finds them.
        Each = "each",
        /// All rows of a product with one scale and zero point, as `DynamicQuantize` finds them.
        Shared = "shared",
        /// Each row in 127 steps on either side of 0.
        Symmetric = "symmetric",
        /// Each row with its own scale and zero point, as TensorFlow Lite finds them.
        Asymmetric = "asymmetric",
    }
}

text_enum! {
    /// Which way a recurrent layer goes through time.
    Direction {
        /// From the first step to the last.
        Forward = "forward",
        /// From the last step (of each sequence) to the first.
        Reverse = "reverse",
        /// Both, each with its own weights: forward comes first.
        Bidirectional = "bidirectional",
    }
}

impl Direction {
    /// How many there are.
    pub const fn count(self) -> usize {
        match self {
            Direction::Forward | Direction::Reverse => 1,
            Direction::Bidirectional => 2,
        }
    }
}

text_enum! {
    /// Functions of gates.
    GateKind {
        /// 1 / (1 + exp(-x))
        Sigmoid = "sigmoid",
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// max(x, 0)
        Relu = "relu",
        /// alpha * x + beta
        Affine = "affine",
        /// x if x >= 0 else alpha * x
        LeakyRelu = "leaky_relu",
        /// x if x > alpha else 0
        ThresholdedRelu = "thresholded_relu",
        /// alpha * tanh(beta * x)
        ScaledTanh = "scaled_tanh",
        /// min(max(alpha * x + beta, 0), 1)
        HardSigmoid = "hard_sigmoid",
        /// x if x >= 0 else alpha * (exp(x) - 1)
        Elu = "elu",
        /// x / (1 + |x|)
        Softsign = "softsign",
        /// ln(1 + exp(x))
        Softplus = "softplus",
    }
}

impl GateKind {
    /// True if the function reads `alpha`, and if it reads `beta`.
    pub const fn parameters(self) -> [bool; 2] {
        match self {
            GateKind::Affine | GateKind::ScaledTanh | GateKind::HardSigmoid => [true, true],
            GateKind::LeakyRelu | GateKind::ThresholdedRelu | GateKind::Elu => [true, false],
            GateKind::Sigmoid | GateKind::Tanh | GateKind::Relu | GateKind::Softsign | GateKind::Softplus => {
                [false, false]
            }
        }
    }
}

/// The function of a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateFunction {
    /// Which one.
    pub kind: GateKind,
    /// First parameter, finite; 0 where the function has none.
    pub alpha: f32,
    /// Second parameter, finite; 0 where the function has none.
    pub beta: f32,
}

impl From<GateKind> for GateFunction {
    /// Parameters 0.
    fn from(kind: GateKind) -> GateFunction {
        GateFunction { kind, alpha: 0.0, beta: 0.0 }
    }
}

/// As text: `sigmoid tanh leaky_relu:0.01 affine:1:0`, the parameters that a function has behind its name.
impl AttrField for Vec<GateFunction> {
    fn to_attr(&self) -> Attr {
        let one = |f: &GateFunction| match f.kind.parameters() {
            [true, true] => format!("{}:{}:{}", f.kind.name(), f.alpha, f.beta),
            [true, false] => format!("{}:{}", f.kind.name(), f.alpha),
            _ => f.kind.name().to_string(),
        };
        Attr::Text(self.iter().map(one).collect::<Vec<_>>().join(" "))
    }

    fn from_attr(attr: &Attr) -> Option<Vec<GateFunction>> {
        let Attr::Text(text) = attr else { return None };
        text.split(' ').map(parse).collect()
    }
}

fn parse(text: &str) -> Option<GateFunction> {
    let mut parts = text.split(':');
    let name = parts.next()?;
    let kind = GateKind::ALL.iter().copied().find(|k| k.name() == name)?;
    let mut parameter = |there: bool| match there {
        true => parts.next()?.parse().ok().filter(|v: &f32| v.is_finite()),
        false => Some(0.0),
    };
    let [alpha, beta] = kind.parameters();
    let function = GateFunction { kind, alpha: parameter(alpha)?, beta: parameter(beta)? };
    parts.next().is_none().then_some(function)
}

impl Recurrent {
    /// A layer with the usual functions (sigmoid and tanh), no clipping, time first.
    pub fn new(cell: RecurrentCell, direction: Direction) -> Recurrent {
        let each: &[GateKind] = match cell {
            RecurrentCell::Lstm => &[GateKind::Sigmoid, GateKind::Tanh, GateKind::Tanh],
            RecurrentCell::Gru => &[GateKind::Sigmoid, GateKind::Tanh],
            RecurrentCell::Rnn => &[GateKind::Tanh],
        };
        Recurrent {
            cell,
            direction,
            batch_first: false,
            functions: each.repeat(direction.count()).into_iter().map(GateFunction::from).collect(),
            clip: f32::INFINITY,
            cell_clip: f32::INFINITY,
            couple_forget: false,
            reset_after: false,
            rows: RowQuant::Each,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_survive_as_text() {
        let all: Vec<GateFunction> = GateKind::ALL
            .iter()
            .map(|&kind| {
                let [alpha, beta] = kind.parameters();
                let value = |there: bool, v: f32| if there { v } else { 0.0 };
                GateFunction { kind, alpha: value(alpha, 0.1), beta: value(beta, -1.0e-20) }
            })
            .collect();
        assert_eq!(Vec::<GateFunction>::from_attr(&all.to_attr()), Some(all));
    }

    #[test]
    fn other_texts_are_no_functions() {
        for text in
            ["", "tanh ", "tan", "tanh:1", "elu", "elu:", "elu:nan", "elu:inf", "affine:1", "affine:1:2:3"]
        {
            assert_eq!(Vec::<GateFunction>::from_attr(&Attr::Text(text.to_string())), None, "{text}");
        }
        assert_eq!(Vec::<GateFunction>::from_attr(&Attr::Int(1)), None);
    }
}
