//! Calibration with a progress bar.

use super::failure::Failure;
use super::output::progress;
use crate::data::Dataset;
use crate::graph::DType;
use crate::quantize::{Calibration, Options, Quantized, with_calibration};
use crate::report::{feed, fit};
use crate::{Model, Session};

/// Learns ranges on all samples with a session of the float model, then quantizes.
pub(super) fn calibrate(
    model: &Model,
    session: &mut Session,
    data: &mut Dataset,
    options: &Options,
) -> Result<Quantized, Failure> {
    let bar = progress("calibrating", data.len());
    let mut calibration = Calibration::new(model.graph(), options.method);
    for sample in 0..data.len() {
        let sample = fit(session, data, sample)?;
        feed(session, &sample)?;
        session.run_observed(&mut |tensor, bytes| calibration.observe(tensor, bytes))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    // Without this the whole network would quietly stay float.
    for &input in &model.graph().inputs {
        let tensor = model.graph().tensor(input);
        if tensor.dtype == DType::F32 && !calibration.has_seen(input) {
            let name = &tensor.name;
            return Err(Failure::refused(format!(
                "the calibration data for input '{name}' hold no finite number: check how they were made"
            )));
        }
    }
    Ok(with_calibration(model.graph(), &calibration, options)?)
}
