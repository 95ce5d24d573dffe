//! Embeddings: one vector per sample, and how alike two of them are.

/// Which positions of a sequence count.
pub type Mask = Vec<bool>;

/// The embedding in a model's output for one sample. An output `[1, positions, width]` is averaged over the
/// positions that `mask` marks (over all without one, or if it has another length); any other output is taken as
/// it is.
pub fn pooled(output: &[f32], shape: &[usize], mask: Option<&Mask>) -> Vec<f32> {
    let &[1, positions, width] = shape else { return output.to_vec() };
    if positions < 2 || width == 0 {
        return output.to_vec();
    }
    let mask = mask.filter(|m| m.len() == positions && m.contains(&true));
    let mut sum = vec![0f64; width];
    let mut count = 0.0;
    for (i, row) in output.chunks_exact(width).enumerate() {
        if mask.is_none_or(|m| m[i]) {
            count += 1.0;
            for (s, v) in sum.iter_mut().zip(row) {
                *s += f64::from(*v);
            }
        }
    }
    sum.iter().map(|s| (s / count) as f32).collect()
}

/// The cosine of the angle between two vectors; 1 for two zero vectors, 0 if only one is zero.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |x: &[f32], y: &[f32]| -> f64 { x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum() };
    let (aa, bb) = (dot(a, a), dot(b, b));
    match (aa == 0.0, bb == 0.0) {
        (true, true) => 1.0,
        (false, false) => dot(a, b) / (aa.sqrt() * bb.sqrt()),
        _ => 0.0,
    }
}

/// Spearman's rank correlation, equal values sharing their mean rank. `None` where there are fewer than two pairs
/// or one side is constant.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    let n = x.len();
    if n < 2 || n != y.len() {
        return None;
    }
    let (x, y) = (ranks(x), ranks(y));
    let mean = (n as f64 + 1.0) / 2.0;
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum() };
    let norm = (dot(&x, &x) * dot(&y, &y)).sqrt();
    (norm > 0.0).then(|| dot(&x, &y) / norm)
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let first = order.partition_point(|&i| values[i].total_cmp(&values[equal[0]]).is_lt());
        let mean = first as f64 + (equal.len() as f64 + 1.0) / 2.0;
        equal.iter().for_each(|&i| ranks[i] = mean);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_by_hand() {
        assert_eq!(cosine(&[3.0, 4.0], &[4.0, 3.0]), 0.96);
        assert_eq!(cosine(&[1.0, 0.0], &[-2.0, 0.0]), -1.0);
        assert_eq!((cosine(&[0.0], &[0.0]), cosine(&[0.0], &[1.0])), (1.0, 0.0));
    }

    #[test]
    fn spearman_by_hand() {
        // Ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24) = 0.8.
        let r = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[20.0, 10.0, 40.0, 30.0, 90.0]).unwrap();
        assert!((r - 0.8).abs() < 1e-12, "{r}");
        // Ranks 1.5 1.5 3 against 1 2 3: covariance 1.5, variances 1.5 and 2.
        let r = spearman(&[7.0, 7.0, 9.0], &[1.0, 2.0, 3.0]).unwrap();
        assert!((r - 1.5 / 3f64.sqrt()).abs() < 1e-12, "{r}");
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0], &[1.0]), None);
    }

    #[test]
    fn sequences_are_averaged_where_the_mask_says() {
        let output = [1.0, 2.0, 3.0, 4.0, 100.0, 100.0];
        let mask = vec![true, true, false];
        assert_eq!(pooled(&output, &[1, 3, 2], Some(&mask)), [2.0, 3.0]);
        assert_eq!(pooled(&output[..4], &[1, 2, 2], None), [2.0, 3.0]);
        assert_eq!(pooled(&output, &[1, 6], None), output);
    }
}
