//! Families of metrics whose labels have a few known values.
//!
//! In scope: a cell for each value, made when it is first needed, so that counting looks into no map and a value that never came
//! is not in the text. Not in scope: which families there are.

use std::sync::OnceLock;

use prometheus::{IntCounter, IntCounterVec};

/// A family with one label.
pub(super) struct Cells<T> {
    names: &'static [&'static str],
    made: Vec<OnceLock<T>>,
    make: Box<dyn Fn(&'static str) -> T + Send + Sync>,
}

impl<T> Cells<T> {
    /// A family of these values; `make` gives what is counted in for one of them.
    pub(super) fn new(names: &'static [&'static str], make: impl Fn(&'static str) -> T + Send + Sync + 'static) -> Self {
        Self { names, made: names.iter().map(|_| OnceLock::new()).collect(), make: Box::new(make) }
    }

    /// The cell at this place of the values; where there are fewer, the last.
    pub(super) fn get(&self, index: usize) -> &T {
        let index = index.min(self.made.len() - 1);
        self.made[index].get_or_init(|| (self.make)(self.names[index]))
    }
}

/// A family with two labels.
pub(super) struct Grid {
    family: IntCounterVec,
    rows: &'static [&'static str],
    columns: &'static [&'static str],
    cells: Vec<OnceLock<IntCounter>>,
}

impl Grid {
    /// A family of these values of its first and its second label.
    pub(super) fn new(family: IntCounterVec, rows: &'static [&'static str], columns: &'static [&'static str]) -> Self {
        let cells = (0..rows.len() * columns.len()).map(|_| OnceLock::new()).collect();
        Self { family, rows, columns, cells }
    }

    /// The cell at these places of the values; where there are fewer, the last.
    pub(super) fn cell(&self, row: usize, column: usize) -> &IntCounter {
        let (row, column) = (row.min(self.rows.len() - 1), column.min(self.columns.len() - 1));
        let cell = &self.cells[row * self.columns.len() + column];
        cell.get_or_init(|| self.family.with_label_values(&[self.rows[row], self.columns[column]]))
    }
}
