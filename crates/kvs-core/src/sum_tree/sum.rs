//! A set of items as their number and their sum.

/// How many items a set has, and their sum modulo 2^128.
///
/// Sums form a group: what was added can be taken away again, in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Sum {
    /// How many items.
    pub count: u64,
    /// Their sum modulo 2^128.
    pub total: u128,
}

impl Sum {
    /// The set of this one item.
    #[must_use]
    pub const fn of(item: u128) -> Self {
        Self { count: 1, total: item }
    }

    /// Both sets together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { count: self.count.wrapping_add(other.count), total: self.total.wrapping_add(other.total) }
    }

    /// This set without the other.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self { count: self.count.wrapping_sub(other.count), total: self.total.wrapping_sub(other.total) }
    }
}
