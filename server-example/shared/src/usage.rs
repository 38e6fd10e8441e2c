//! The used part of a bound. Each table with a bound in bytes counts with this type. So its bound is the
//! bound that the log of the server reports.

use std::iter::Sum;

use chatproto::hub::Used;

/// The used bytes of a table, and the most that peers can make it use. A [`Table`] can name another
/// unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The used bytes.
    pub bytes: usize,
    /// The bound.
    pub most: usize,
}

impl Usage {
    /// Nothing, of this bound.
    pub const fn of(most: usize) -> Self {
        Usage { bytes: 0, most }
    }

    /// Whether this many more bytes are within the bound.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.bytes.checked_add(bytes).is_some_and(|bytes| bytes <= self.most)
    }

    /// Adds bytes. The bound is not checked.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Takes off bytes that were added.
    pub fn subtract(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes, "{bytes} of {self:?} were never added");
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// A table, and how full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// As the README calls it; each table has another name.
    pub name: &'static str,
    /// The unit of the usage, in the plural.
    pub unit: &'static str,
    /// The used part.
    pub usage: Usage,
    /// The option that bounds it.
    pub option: Option<&'static str>,
}

impl Table {
    /// A table with a fixed bound in bytes.
    pub fn new(name: &'static str, usage: Usage) -> Self {
        Table { name, unit: "bytes", usage, option: None }
    }

    /// A table whose unit is not a byte.
    pub fn counted_in(self, unit: &'static str) -> Self {
        Table { unit, ..self }
    }

    /// A table of the server, which has an option.
    pub fn bounded_by(option: &'static str, name: &'static str, used: Used) -> Self {
        let usage = Usage { bytes: used.bytes, most: used.most };
        Table { option: Some(option), ..Table::new(name, usage) }
    }
}

/// Several tables as one.
impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(tables: I) -> Self {
        tables.fold(Usage::of(0), |sum, table| Usage {
            bytes: sum.bytes + table.bytes,
            most: sum.most + table.most,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_last_that_fits() {
        let mut usage = Usage::of(10);
        usage.add(4);
        assert!(usage.has_room(6) && !usage.has_room(7) && !usage.has_room(usize::MAX));
        usage.subtract(4);
        assert_eq!(usage, Usage::of(10));
        assert_eq!([Usage { bytes: 1, most: 2 }; 3].into_iter().sum::<Usage>().most, 6);
    }
}
