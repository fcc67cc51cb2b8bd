//! The names in one directory whose owner is to change, in the fastest order.

use std::ffi::CStr;

/// The position of a name in [`Names`]. Sorts by inode number: a file system stores inodes, with their owners, in that order, so
/// neighbours share a block. On ext4 this saves a fifth of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    inode: u64,
    start: usize,
}

/// The names in one directory, without an allocation for each.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The names, each with its terminator.
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Names {
    /// Removes all names.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    /// Adds the name of the object with this inode number.
    pub(crate) fn push(&mut self, inode: u64, name: &CStr) {
        let start = self.bytes.len();
        self.places.push(Place { inode, start });
        self.bytes.extend(name.to_bytes_with_nul());
    }

    /// Takes the positions, sorted.
    pub(crate) fn in_order(&mut self) -> Vec<Place> {
        self.places.sort_unstable();
        std::mem::take(&mut self.places)
    }

    /// The name at a position.
    pub(crate) fn at(&self, place: Place) -> &CStr {
        let rest = self.bytes.get(place.start..).unwrap_or_default();
        CStr::from_bytes_until_nul(rest).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_by_inode() {
        let mut names = Names::default();
        for (inode, name) in [(3, c"a"), (1, c"bcd"), (2, c"e"), (2, c"link-to-e")] {
            names.push(inode, name);
        }
        let order = names.in_order();
        let taken: Vec<&CStr> = order.iter().map(|place| names.at(*place)).collect();
        assert_eq!(taken, [c"bcd", c"e", c"link-to-e", c"a"]);
    }
}
