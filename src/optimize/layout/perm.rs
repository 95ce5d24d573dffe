//! Permutations of dimensions. `perm[i]` is the source dimension that becomes dimension `i`, as in Transpose.

use crate::graph::{Dim, Shape};

/// True if nothing moves.
pub(super) fn is_identity(perm: &[usize]) -> bool {
    perm.iter().enumerate().all(|(i, &p)| i == p)
}

/// True if the last storage dimension is seen as the second: channels first over channels last.
pub(super) fn is_channels_first(perm: &[usize]) -> bool {
    let n = perm.len();
    n >= 3 && perm[0] == 0 && perm[1] == n - 1 && perm[2..].iter().enumerate().all(|(i, &p)| p == i + 1)
}

/// The permutation that undoes `perm`.
pub(super) fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; perm.len()];
    for (i, &p) in perm.iter().enumerate() {
        inverse[p] = i;
    }
    inverse
}

/// `first`, then `second`.
pub(super) fn compose(first: &[usize], second: &[usize]) -> Vec<usize> {
    second.iter().map(|&i| first[i]).collect()
}

/// The items in their new order.
pub(super) fn apply<T: Copy>(perm: &[usize], items: &[T]) -> Vec<T> {
    perm.iter().map(|&p| items[p]).collect()
}

/// `perm` is a permutation of as many dimensions as `rank`.
pub(super) fn is_valid(perm: &[usize], rank: usize) -> bool {
    let mut seen = vec![false; rank];
    perm.len() == rank && perm.iter().all(|&p| p < rank && !std::mem::replace(&mut seen[p], true))
}

/// True if only dimensions of length 1 change places, so that the elements stay where they are.
pub(super) fn moves_only_ones(perm: &[usize], source: &Shape) -> bool {
    let mut long = perm.iter().filter(|&&p| source.get(p) != Some(&Dim::Fixed(1)));
    let Some(mut last) = long.next() else { return true };
    long.all(|p| std::mem::replace(&mut last, p) < p)
}

/// What is left of a view when dimensions go: `perm` of the view, `gone` dimensions of the view. Gives the source
/// dimensions that go (sorted) and the permutation of the others.
pub(super) fn without(perm: &[usize], gone: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut source_gone: Vec<usize> = gone.iter().map(|&a| perm[a]).collect();
    source_gone.sort_unstable();
    source_gone.dedup();
    let rank_of = |p: usize| p - source_gone.iter().filter(|&&g| g < p).count();
    let rest = perm.iter().enumerate().filter(|(a, _)| !gone.contains(a)).map(|(_, &p)| rank_of(p)).collect();
    (source_gone, rest)
}

/// The elements of a row-major array, reordered.
pub(super) fn transpose<T: Copy>(values: &[T], dims: &[usize], perm: &[usize]) -> Vec<T> {
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i] * dims[i];
    }
    let (dims, strides) = (apply(perm, dims), apply(perm, &strides));
    let mut index = vec![0; dims.len()];
    let mut out = Vec::with_capacity(values.len());
    let mut at = 0;
    for _ in 0..values.len() {
        out.push(values[at]);
        for a in (0..dims.len()).rev() {
            index[a] += 1;
            at += strides[a];
            if index[a] < dims[a] {
                break;
            }
            at -= strides[a] * dims[a];
            index[a] = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_a_cube() {
        let values: Vec<u32> = (0..24).collect();
        let perm = [2, 0, 1];
        let turned = transpose(&values, &[2, 3, 4], &perm);
        for (i, &v) in turned.iter().enumerate() {
            let (c, a, b) = (i / 6, i / 3 % 2, i % 3);
            assert_eq!(v as usize, a * 12 + b * 4 + c);
        }
        assert_eq!(transpose(&turned, &[4, 2, 3], &inverse(&perm)), values);
    }

    #[test]
    fn composition_is_one_after_the_other() {
        let to_first = [0, 3, 1, 2];
        let to_last = [0, 2, 3, 1];
        assert!(is_channels_first(&to_first) && !is_channels_first(&to_last));
        assert_eq!(inverse(&to_first), to_last);
        assert!(is_identity(&compose(&to_first, &to_last)));
        let dims = [1, 5, 6, 7];
        assert_eq!(
            apply(&compose(&[1, 0, 2, 3], &to_first), &dims),
            apply(&to_first, &apply(&[1, 0, 2, 3], &dims))
        );
    }

    #[test]
    fn dimensions_that_go_leave_a_permutation() {
        assert_eq!(without(&[0, 3, 1, 2], &[2, 3]), (vec![1, 2], vec![0, 1]));
        assert_eq!(without(&[0, 3, 1, 2], &[1]), (vec![3], vec![0, 1, 2]));
        assert_eq!(without(&[0, 3, 1, 2], &[3]), (vec![2], vec![0, 2, 1]));
    }

    #[test]
    fn ones_move_freely() {
        assert!(moves_only_ones(&[0, 3, 1, 2], &Shape::fixed(&[2, 1, 1, 8])));
        assert!(moves_only_ones(&[0, 3, 1, 2], &Shape::fixed(&[2, 5, 7, 1])));
        assert!(!moves_only_ones(&[0, 3, 1, 2], &Shape::fixed(&[2, 5, 7, 3])));
        assert!(!moves_only_ones(&[1, 0], &Shape(vec![Dim::Free(0), Dim::Fixed(2)])));
    }
}
