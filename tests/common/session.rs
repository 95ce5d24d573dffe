//! Sessions, fed and asked.

use super::nets::noise;
use ottava::Session;

/// Fills float input `i` with numbers that are the same every time.
pub fn feed(session: &mut Session, i: usize, seed: u64) {
    let x = session.input_mut::<f32>(i).unwrap();
    let values = noise(seed, x.len());
    x.copy_from_slice(&values);
}

/// Runs; the bytes of all outputs.
pub fn answers(session: &mut Session) -> Vec<Vec<u8>> {
    session.run().unwrap();
    (0..session.outputs().len()).map(|i| session.output_bytes(i).unwrap().to_vec()).collect()
}
