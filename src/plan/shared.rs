//! What all plans of one model share: bytes that are made of its constants alone, so that they are the same for every
//! shape of the inputs and every session.

use crate::graph::{Data, TensorId, WeakData};
use ottava_kernels::{Isa, SLACK};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What was made for a node or a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Made {
    /// Weights as a kernel reads them. A node may have several.
    Packed {
        /// Which of them.
        part: usize,
        /// Kernels of one instruction set agree on what a layout is.
        isa: Isa,
        /// Of the kernel.
        layout: u32,
        /// Bytes.
        len: usize,
    },
    /// The value of a tensor that is computed of constants.
    Folded,
    /// A constant with slack behind it.
    WithSlack,
}

/// What there is, and the data that it was made of.
struct Entry {
    of: Vec<WeakData>,
    made: WeakData,
}

/// Holds nothing alive: what no session uses any more is gone, and made again when it is wanted again.
#[derive(Default)]
pub(crate) struct Shared(Mutex<HashMap<(TensorId, Made), Entry>>);

impl Shared {
    /// What was made under this name of exactly this data, or else what `make` makes now. Constants that came with
    /// a shape are other data each time, and so is what is made of them.
    pub fn get_or_make<E>(
        &self,
        id: TensorId,
        what: Made,
        of: &[&Data],
        make: impl FnOnce() -> Result<Data, E>,
    ) -> Result<Data, E> {
        let found = self.find(id, what, of);
        if let Some(made) = found {
            return Ok(made);
        }
        // Made without the lock: another thread may be first, then its bytes are taken.
        let made = make()?;
        Ok(self.find(id, what, of).unwrap_or_else(|| {
            let of = of.iter().map(|data| data.downgrade()).collect();
            self.entries().insert((id, what), Entry { of, made: made.downgrade() });
            made
        }))
    }

    fn find(&self, id: TensorId, what: Made, of: &[&Data]) -> Option<Data> {
        let entries = self.entries();
        let entry = entries.get(&(id, what))?;
        let same = entry.of.len() == of.len() && entry.of.iter().zip(of).all(|(weak, data)| weak.is(data));
        entry.made.upgrade().filter(|_| same)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<(TensorId, Made), Entry>> {
        // An entry is whole or not there, whatever became of a thread that held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A constant that kernels can read beyond its end: in place, where that is possible.
    pub fn with_slack(&self, id: TensorId, data: &Data) -> Data {
        let long = data.with_tail(SLACK);
        let bytes = long.bytes();
        if bytes.len() == data.bytes().len() + SLACK
            && bytes.as_ptr().addr().is_multiple_of(super::arena::ALIGN)
        {
            return long;
        }
        let copy = || Ok::<_, std::convert::Infallible>(Data::from_bytes(data.bytes()).with_tail(SLACK));
        let Ok(copy) = self.get_or_make(id, Made::WithSlack, &[data], copy);
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::AlignedBytes;

    fn unaligned() -> Data {
        let bytes = AlignedBytes::copy_of(&[7; 200]);
        Data::view(std::sync::Arc::new(bytes), 4, 100).unwrap()
    }

    #[test]
    fn what_is_made_of_the_same_data_is_shared_as_long_as_it_is_used() {
        let (shared, data, id) = (Shared::default(), unaligned(), TensorId(3));
        let copy = shared.with_slack(id, &data);
        assert_eq!((copy.bytes().len(), &copy.bytes()[..100]), (100 + SLACK, data.bytes()));
        assert_eq!(shared.with_slack(id, &data).bytes().as_ptr(), copy.bytes().as_ptr());
        let other = unaligned();
        assert_ne!(
            shared.with_slack(id, &other).bytes().as_ptr(),
            copy.bytes().as_ptr(),
            "equal, not the same"
        );
        let weak = copy.downgrade();
        drop(copy);
        assert!(weak.upgrade().is_none(), "the store keeps nothing alive");
    }

    #[test]
    fn aligned_constants_with_room_behind_them_are_read_in_place() {
        let data = Data::from_bytes(&[1, 2, 3]);
        assert_eq!(Shared::default().with_slack(TensorId(0), &data).bytes().as_ptr(), data.bytes().as_ptr());
    }
}
