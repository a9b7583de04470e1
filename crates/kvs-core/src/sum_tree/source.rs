//! Where a tree reads single items from.

use std::ops::ControlFlow;

/// Told of one item: its key and the item; says whether to go on.
pub type Visitor<'a> = &'a mut dyn FnMut(&[u8], u128) -> ControlFlow<()>;

/// The records that a tree sums up.
pub trait Source {
    /// Why items could not be read.
    type Error;

    /// Visits the items of the keys `from <= key < to` in ascending order, until all are visited or the visitor breaks.
    ///
    /// # Errors
    ///
    /// The items could not be read; some may have been visited.
    fn visit(&mut self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), Self::Error>;
}
