//! Bytes seen as floats or integers and back: scratch and packed weights come as one kind of slice and hold several.

/// The floats that lie in `bytes`.
///
/// Panics if they don't lie aligned.
pub(crate) fn floats(bytes: &[u8]) -> &[f32] {
    // SAFETY: every bit pattern is a float.
    let (before, floats, _) = unsafe { bytes.align_to() };
    assert!(before.is_empty(), "floats lie aligned");
    floats
}

/// The floats that lie in `bytes`.
///
/// Panics if they don't lie aligned.
pub(crate) fn floats_mut(bytes: &mut [u8]) -> &mut [f32] {
    // SAFETY: every bit pattern is a float, and every float's bits are bytes.
    let (before, floats, _) = unsafe { bytes.align_to_mut() };
    assert!(before.is_empty(), "floats lie aligned");
    floats
}

/// The bytes of `floats`.
pub(crate) fn bytes_mut(floats: &mut [f32]) -> &mut [u8] {
    // SAFETY: every float's bits are bytes, and every bit pattern is a float.
    unsafe { floats.align_to_mut().1 }
}

/// The integers that lie in `bytes`.
///
/// Panics if they don't lie aligned.
pub(crate) fn ints(bytes: &[u8]) -> &[i32] {
    // SAFETY: every bit pattern is an integer.
    let (before, ints, _) = unsafe { bytes.align_to() };
    assert!(before.is_empty(), "integers lie aligned");
    ints
}
