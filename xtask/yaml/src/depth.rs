//! A limit on nesting, enforced before the tree is built.

use std::collections::HashMap;

use saphyr_parser::Event;

/// The maximum nesting. Readers recurse, so depth costs stack. The deepest file of the tree has 11 levels.
pub(crate) const DEEPEST: usize = 64;

/// The nesting of the events so far, including that of aliased nodes.
#[derive(Default)]
pub(crate) struct Depth {
    /// Each open list or map: its anchor, 0 for none, and the height of its content so far.
    open: Vec<(usize, usize)>,
    /// The height of each anchored node.
    heights: HashMap<usize, usize>,
}

impl Depth {
    /// Whether the nesting stays within [`DEEPEST`] after `event`.
    pub(crate) fn admits(&mut self, event: &Event<'_>) -> bool {
        let height = match event {
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                self.open.push((*anchor, 0));
                0
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (anchor, inside) = self.open.pop().unwrap_or_default();
                self.heights.insert(anchor, inside + 1);
                inside + 1
            }
            Event::Alias(anchor) => self.heights.get(anchor).copied().unwrap_or(0),
            _ => 0,
        };
        if let Some((_, inside)) = self.open.last_mut() {
            *inside = height.max(*inside);
        }
        self.open.len() + height <= DEEPEST
    }
}
