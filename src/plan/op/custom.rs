//! Operators of the application.

use super::super::{PlanError, Planned};
use super::{Call, NodeView};
use crate::custom::{self, Input, MAX_INPUTS, Parameters};
use crate::graph::Custom;
use crate::run::{Io, Views};

pub(super) fn plan(v: NodeView<'_>, op: &Custom) -> Result<Planned, PlanError> {
    let found = custom::find(&op.name).map_err(|why| v.unsupported(why))?;
    let count = v.node.inputs.len();
    let ids = (0..count).map(|i| v.input(i)).collect::<Result<Vec<_>, _>>()?;
    let mut lens = [0; MAX_INPUTS];
    let mut inputs = Vec::with_capacity(count);
    for (i, len) in lens.iter_mut().enumerate().take(count) {
        let t = v.tensor(i)?;
        *len = v.dims(t)?.iter().product::<usize>() * t.dtype.size();
        inputs.push(Input { dtype: t.dtype, shape: &t.shape });
    }
    let kernel = found.kernel(&inputs, &Parameters::parse(&op.parameters)).map_err(|e| v.unsupported(e))?;
    macro_rules! step {
        ($n:literal) => {{
            let run = move |io: &mut Io<'_>| {
                let Views { mut inputs, outputs: [y], .. } = io.one::<$n>();
                for (x, len) in inputs.iter_mut().zip(lens) {
                    *x = &x[..len];
                }
                kernel(&inputs, y);
            };
            let call = Call { name: format!("custom {}", op.name), run };
            Ok(Planned::step(call, &ids, &v.node.outputs))
        }};
    }
    match count {
        1 => step!(1),
        2 => step!(2),
        3 => step!(3),
        4 => step!(4),
        _ => Err(v.unsupported(format!("it has {count} inputs, 1 to {MAX_INPUTS} are possible"))),
    }
}
