#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

fn attr(node: u8, version: u64) -> Attr {
    let tree = Tree::new(&"me".parse().unwrap());
    let link = tree.inode(SELF).unwrap().attr.clone();
    Attr { node: NodeId([node; 16]), version: Version(version), kind: Kind::File, ..link }
}

fn tree() -> Tree {
    Tree::new(&"me".parse().unwrap())
}

fn at(name: &str) -> Option<(INodeNo, Name)> {
    Some((ROOT, name.parse().unwrap()))
}

#[test]
fn a_foreign_version_gets_a_new_number_and_the_old_one_stays() {
    let mut tree = tree();
    let old = tree.seen(at("a"), attr(7, 1), |_| false);
    assert_eq!(tree.seen(at("a"), attr(7, 1), |_| false), old);
    let new = tree.seen(at("a"), attr(7, 2), |_| false);
    assert_ne!(old, new);
    assert!(tree.inode(old).unwrap().moved_on);
    assert_eq!(tree.inode(old).unwrap().attr.version, Version(1));
    assert_eq!(tree.child(ROOT, &"a".parse().unwrap()), Some(new));
}

#[test]
fn an_own_version_keeps_the_number() {
    let mut tree = tree();
    let ino = tree.seen(at("a"), attr(7, 1), |_| false);
    assert_eq!(tree.seen(at("a"), attr(7, 2), |_| true), ino, "while an own check-in is under way");
    tree.rebind(ino, attr(7, 2));
    assert_eq!(tree.seen(at("a"), attr(7, 1), |_| false), ino, "an answer that is older than the check-in");
    assert_eq!(tree.inode(ino).unwrap().attr.version, Version(2));
}

/// A server that calls a document by the root's id takes nobody's root away.
#[test]
fn only_a_folder_is_the_root() {
    let mut tree = tree();
    let root = Attr { kind: Kind::Folder, ..attr(9, 0) };
    tree.set_root(root.clone());
    assert_eq!(tree.seen(at("again"), root.clone(), |_| false), ROOT);
    let document = tree.seen(at("f"), Attr { kind: Kind::File, ..root }, |_| false);
    assert_ne!(document, ROOT);
    assert_eq!(tree.inode(ROOT).unwrap().attr.kind, Kind::Folder);
}

#[test]
fn a_rename_over_a_document_takes_its_node_along() {
    let mut tree = tree();
    let (source, target) =
        (tree.seen(at("new"), attr(1, 1), |_| false), tree.seen(at("doc"), attr(2, 5), |_| false));
    let (new, doc): (Name, Name) = ("new".parse().unwrap(), "doc".parse().unwrap());
    assert_eq!(tree.renamed((ROOT, &new), (ROOT, doc.clone())), (Some(source), Some(target)));
    tree.rebind(source, attr(2, 6));
    assert_eq!(tree.child(ROOT, &doc), Some(source));
    assert_eq!(tree.child(ROOT, &new), None);
    assert_eq!(tree.seen(at("doc"), attr(2, 6), |_| false), source);
    assert!(tree.inode(target).unwrap().moved_on);
}

proptest! {
    #[test]
    fn what_the_kernel_forgets_is_forgotten(
        ops in proptest::collection::vec((0u8..4, 1u64..4, 0u8..4, any::<bool>()), 0..60)
    ) {
        let mut tree = tree();
        let mut counts: HashMap<INodeNo, u64> = HashMap::new();
        for (node, version, name, remove) in ops {
            let name: Name = format!("n{name}").parse().unwrap();
            if remove {
                tree.removed(ROOT, &name);
            } else {
                *counts.entry(tree.seen(Some((ROOT, name)), attr(node, version), |_| false)).or_default() += 1;
            }
        }
        for (ino, count) in counts {
            prop_assert!(tree.inode(ino).is_some());
            prop_assert!(!tree.forget(ino, count - 1, false) || count == 1 && tree.inode(ino).is_none());
            tree.forget(ino, 1, false);
        }
        prop_assert_eq!(tree.len(), 2);
        prop_assert!(tree.children.is_empty() && tree.current.is_empty());
    }
}
