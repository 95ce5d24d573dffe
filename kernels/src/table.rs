//! Functions of one byte as tables of 256 entries: activations, requantization.

use crate::Isa;

/// `y[i] = table[x[i]]`, of the same length.
pub fn table(isa: Isa, table: &[u8; 256], x: &[u8], y: &mut [u8]) {
    assert_eq!(x.len(), y.len());
    let _ = isa;
    for (y, &x) in y.iter_mut().zip(x) {
        *y = table[usize::from(x)];
    }
}

/// `x[i] = table[x[i]]`.
pub fn table_inplace(isa: Isa, table: &[u8; 256], x: &mut [u8]) {
    let _ = isa;
    for x in x {
        *x = table[usize::from(*x)];
    }
}
