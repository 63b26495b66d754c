//! Which bytes of a block were written.

/// Half-open ranges inside a block: sorted, disjoint, never touching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(usize, usize)>);

impl Ranges {
    /// One range.
    pub fn of(from: usize, to: usize) -> Self {
        let mut ranges = Ranges::default();
        ranges.insert(from, to);
        ranges
    }

    /// Adds `from..to`.
    pub fn insert(&mut self, from: usize, to: usize) {
        if from >= to {
            return;
        }
        let first = self.0.partition_point(|range| range.1 < from);
        let behind = self.0.partition_point(|range| range.0 <= to);
        let merged = self.0[first..behind]
            .iter()
            .fold((from, to), |all, range| (all.0.min(range.0), all.1.max(range.1)));
        self.0.splice(first..behind, [merged]);
    }

    /// Takes out everything from `at` on.
    pub fn cut(&mut self, at: usize) {
        self.0.retain_mut(|range| {
            range.1 = range.1.min(at);
            range.0 < range.1
        });
    }

    /// Whether all of `from..to` is in.
    pub fn covers(&self, from: usize, to: usize) -> bool {
        from >= to || self.0.iter().any(|range| range.0 <= from && to <= range.1)
    }

    /// How many ranges there are, apart from one another.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many there would be with `from..to`.
    pub fn count_with(&self, from: usize, to: usize) -> usize {
        let first = self.0.partition_point(|range| range.1 < from);
        let behind = self.0.partition_point(|range| range.0 <= to);
        self.0.len() + 1 - (behind - first)
    }

    /// Whether nothing is in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `from..to` in order, in parts that are wholly in (`true`) or wholly out.
    pub fn split(&self, from: usize, to: usize) -> Vec<(bool, usize, usize)> {
        let mut parts = Vec::new();
        let mut at = from;
        for &(start, end) in &self.0 {
            let (start, end) = (start.max(from), end.min(to));
            if start >= end {
                continue;
            }
            if at < start {
                parts.push((false, at, start));
            }
            parts.push((true, start, end));
            at = end;
        }
        if at < to {
            parts.push((false, at, to));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_bytes(ops in proptest::collection::vec((0usize..40, 0usize..40, any::<bool>()), 0..20)) {
            let mut ranges = Ranges::default();
            let mut model = [false; 40];
            for (a, b, insert) in ops {
                if insert {
                    let expected = ranges.count_with(a, b.max(a + 1));
                    let mut with = ranges.clone();
                    with.insert(a, b.max(a + 1));
                    prop_assert_eq!(with.count(), expected);
                    ranges.insert(a, b);
                    (a..b).for_each(|i| model[i] = true);
                } else {
                    ranges.cut(a);
                    (a..40).for_each(|i| model[i] = false);
                }
                let parts = ranges.split(0, 40);
                let flat: Vec<bool> = parts.iter().flat_map(|&(is, from, to)| vec![is; to - from]).collect();
                prop_assert_eq!(&flat[..], &model[..]);
                prop_assert!(ranges.0.windows(2).all(|w| w[0].1 < w[1].0), "touching ranges are merged");
                prop_assert_eq!(ranges.covers(3, 9), model[3..9].iter().all(|&is| is));
            }
        }
    }
}
