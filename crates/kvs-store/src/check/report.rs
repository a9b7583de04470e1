//! What a check found: how much there is, and what is wrong with it.

use crate::error::StoreError;
use crate::table::Table;

/// Most problems that a report lists; all are counted.
pub const PROBLEMS_LISTED_MAX: usize = 100;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    rows: [u64; Table::ALL.len()],
    /// Keys with a value.
    pub keys: u64,
    /// Bytes of their JSON as sent.
    pub bytes: u64,
    /// Keys with a tombstone, or with a value that expired.
    pub tombstones: u64,
    /// The first [`PROBLEMS_LISTED_MAX`] problems, one printable line each.
    pub problems: Vec<String>,
    /// How many problems there are, listed or not.
    pub problems_total: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        self.problems_total == 0
    }

    /// Each table and how many rows it holds.
    pub fn tables(&self) -> impl Iterator<Item = (Table, u64)> {
        Table::ALL.into_iter().zip(self.rows)
    }

    /// How many rows a table holds.
    #[must_use]
    pub fn rows(&self, table: Table) -> u64 {
        self.rows.get(table.index()).copied().unwrap_or_default()
    }

    pub(crate) fn count_row(&mut self, table: Table) {
        if let Some(rows) = self.rows.get_mut(table.index()) {
            *rows += 1;
        }
    }

    pub(crate) fn add_problem(&mut self, problem: impl ToString) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_LISTED_MAX {
            self.problems.push(problem.to_string());
        }
    }

    pub(crate) fn add_row_problem(&mut self, table: Table, key: &[u8], reason: impl Into<String>) {
        self.add_problem(StoreError::corrupt(table.name(), key, reason));
    }
}
