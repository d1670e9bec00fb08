//! The Merkle tree of RFC 6962 over the entries' hashes, grown leaf by leaf. Must never keep more of it than
//! its right edge.
use crate::canonical::{digest_from_hex, hex, sha256};
use serde::{Deserialize, Serialize};

/// The right edge of the tree: the roots of its whole subtrees, largest first. It is all that is needed to go
/// on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Edge {
    size: u64,
    roots: Vec<Vec<u8>>,
}

/// An edge as it is stored between two checkpoints: its size and its subtrees' roots (hex).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoredEdge {
    /// Leaves.
    pub size: u64,
    /// Largest subtree first.
    pub roots: Vec<String>,
}

impl Edge {
    pub(crate) fn push(&mut self, leaf: &[u8]) {
        let mut node = sha256(&[&[0], leaf].concat());
        let mut size = self.size;
        while size & 1 == 1 {
            let Some(left) = self.roots.pop() else { break };
            node = parent(&left, &node);
            size >>= 1;
        }
        self.roots.push(node);
        self.size = self.size.saturating_add(1);
    }

    /// The root at this size; that of no leaves is the hash of nothing.
    pub(crate) fn root(&self) -> Vec<u8> {
        let mut roots = self.roots.iter().rev().cloned();
        let last = roots.next().unwrap_or_else(|| sha256(&[]));
        roots.fold(last, |right, left| parent(&left, &right))
    }

    pub(crate) fn store(&self) -> StoredEdge {
        StoredEdge { size: self.size, roots: self.roots.iter().map(|root| hex(root)).collect() }
    }

    /// An edge of that many subtrees. Whether it is the true one, its root tells.
    pub(crate) fn restore(stored: &StoredEdge) -> Option<Self> {
        let roots = stored.roots.iter().map(|root| digest_from_hex(root)).collect::<Option<Vec<_>>>()?;
        let whole = usize::try_from(stored.size.count_ones()).ok()?;
        (roots.len() == whole).then_some(Self { size: stored.size, roots })
    }
}

fn parent(left: &[u8], right: &[u8]) -> Vec<u8> {
    sha256(&[&[1], left, right].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962, section 2.1, as it is written there: split at the largest power of two.
    fn by_the_book(leaves: &[Vec<u8>]) -> Vec<u8> {
        match leaves {
            [] => sha256(&[]),
            [leaf] => sha256(&[&[0], leaf.as_slice()].concat()),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                parent(&by_the_book(&leaves[..split]), &by_the_book(&leaves[split..]))
            }
        }
    }

    #[test]
    fn an_edge_has_the_root_of_the_whole_tree_at_every_size_and_goes_on_where_it_was_stored() {
        let leaves: Vec<Vec<u8>> = (0..70_u8).map(|n| vec![n; 32]).collect();
        let mut edge = Edge::default();
        assert_eq!(edge.root(), by_the_book(&[]));
        for (n, leaf) in leaves.iter().enumerate() {
            edge = Edge::restore(&edge.store()).unwrap();
            edge.push(leaf);
            assert_eq!(edge.root(), by_the_book(&leaves[..=n]), "{n}");
        }
        let mut other = edge.store();
        other.roots.pop();
        assert_eq!(Edge::restore(&other), None);
    }

    #[test]
    fn the_roots_are_those_of_the_public_test_vectors() {
        // The vectors that implementations of certificate transparency share.
        let leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        let mut edge = Edge::default();
        for (leaf, root) in leaves.iter().zip(roots) {
            let bytes: Vec<u8> = (0..leaf.len() / 2)
                .map(|i| u8::from_str_radix(&leaf[2 * i..2 * i + 2], 16).unwrap())
                .collect();
            edge.push(&bytes);
            assert_eq!(hex(&edge.root()), root);
        }
    }
}
