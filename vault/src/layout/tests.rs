#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const BLOCKS: u64 = 48;

fn pack(n: u8) -> PackId {
    PackId([n; 16])
}

#[derive(Clone, Debug)]
enum Change {
    Put(Extent),
    Truncate(u64),
}

fn change() -> impl Strategy<Value = Change> {
    let put = (0..BLOCKS, 0..10u64, 0..3u8, 0..20u64).prop_map(|(first, count, p, at)| {
        Change::Put(Extent { first, count: count.min(BLOCKS - first), pack: pack(p), at })
    });
    // Runs that lie at the same place in pack and document, so that neighbours do continue one another.
    let aligned = (0..BLOCKS, 1..10u64, 0..2u8).prop_map(|(first, count, p)| {
        Change::Put(Extent { first, count: count.min(BLOCKS - first), pack: pack(p), at: first })
    });
    prop_oneof![4 => put, 4 => aligned, 1 => (0..BLOCKS + 5).prop_map(Change::Truncate)]
}

proptest! {
    #[test]
    fn a_layout_is_a_table_of_blocks(changes in proptest::collection::vec(change(), 0..40)) {
        let mut layout = Layout::default();
        let mut table: Vec<Option<(PackId, u64)>> = vec![None; BLOCKS as usize];
        for change in changes {
            match change {
                Change::Put(run) => {
                    layout.put(run);
                    (0..run.count).for_each(|i| table[(run.first + i) as usize] = Some((run.pack, run.at + i)));
                }
                Change::Truncate(blocks) => {
                    layout.truncate(blocks);
                    table.iter_mut().skip(blocks as usize).for_each(|block| *block = None);
                }
            }
            let found: Vec<_> = (0..BLOCKS).map(|block| layout.find(block)).collect();
            prop_assert_eq!(&found, &table);
            prop_assert_eq!(layout.find(BLOCKS), None);
            // In order, apart, and no two neighbours that could be one.
            prop_assert!(Layout::from_extents(layout.extents().to_vec(), BLOCKS).is_some());
            prop_assert!(!layout.extents().windows(2).any(|pair| pair[0].is_continued_by(&pair[1])));
            let mut packs = layout.packs();
            packs.sort();
            let mut expected: Vec<_> = table.iter().flatten().map(|(pack, _)| *pack).collect();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(packs, expected);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        prop_assert_eq!(Extent::decode(&bytes).is_some(), bytes.len() >= EXTENT_BYTES);
    }
}

#[test]
fn what_is_put_in_order_is_one_extent() {
    let mut layout = Layout::default();
    (0..1000).for_each(|n| layout.put(Extent { first: n, count: 1, pack: pack(1), at: n }));
    assert_eq!(layout.extents(), [Extent { first: 0, count: 1000, pack: pack(1), at: 0 }]);
}

#[test]
fn extents_that_cannot_be_are_refused() {
    let e = |first, count, at| Extent { first, count, pack: pack(1), at };
    let from = |extents: &[Extent]| Layout::from_extents(extents.to_vec(), 100);
    assert!(from(&[e(0, 5, 0), e(5, 5, 50)]).is_some());
    assert!(from(&[e(0, 100, 0)]).is_some());
    for bad in [
        &[e(0, 0, 0)][..],
        &[e(0, 101, 0)],
        &[e(0, 5, 96)],
        &[e(u64::MAX, 2, 0)],
        &[e(0, u64::MAX, 1)],
        &[e(1, 2, u64::MAX)],
        &[e(0, 6, 0), e(5, 5, 50)],
        &[e(5, 5, 50), e(0, 5, 0)],
    ] {
        assert!(from(bad).is_none(), "{bad:?}");
    }
}
