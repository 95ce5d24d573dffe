//! Calibration with a progress bar.

use super::failure::Failure;
use super::output::progress;
use crate::data::Dataset;
use crate::quantize::{Calibration, Options, Quantized, with_calibration};
use crate::report::feed;
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
        feed(session, &data.sample(sample)?)?;
        session.run_observed(&mut |tensor, bytes| calibration.observe(tensor, bytes))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(with_calibration(model.graph(), &calibration, options)?)
}
