//! A bounded reader over bytes from outside: every step says when the bytes end.
//!
//! All decoders of the project read through it, so that no index arithmetic on foreign bytes is written twice. All
//! integers are big-endian, so that keys sort as numbers do and formats read the same everywhere.

use uuid::Uuid;

/// The bytes ended before the value did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes end early")]
pub struct EndsEarly;

/// A reading position in a slice.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    ///
    /// [`EndsEarly`]; the position stays.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], EndsEarly> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(EndsEarly)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    ///
    /// [`EndsEarly`]; the position stays.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], EndsEarly> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(EndsEarly)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next byte.
    ///
    /// # Errors
    ///
    /// [`EndsEarly`]; the position stays.
    pub fn u8(&mut self) -> Result<u8, EndsEarly> {
        self.array().map(u8::from_be_bytes)
    }

    /// The next two bytes as a number.
    ///
    /// # Errors
    ///
    /// [`EndsEarly`]; the position stays.
    pub fn u16(&mut self) -> Result<u16, EndsEarly> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four bytes as a number.
    ///
    /// # Errors
    ///
    /// [`EndsEarly`]; the position stays.
    pub fn u32(&mut self) -> Result<u32, EndsEarly> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next eight bytes as a number.
    ///
    /// # Errors
    ///
    /// [`EndsEarly`]; the position stays.
    pub fn u64(&mut self) -> Result<u64, EndsEarly> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next sixteen bytes as a uuid.
    ///
    /// # Errors
    ///
    /// [`EndsEarly`]; the position stays.
    pub fn uuid(&mut self) -> Result<Uuid, EndsEarly> {
        self.array().map(Uuid::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, EndsEarly};

    #[test]
    fn numbers_are_big_endian_and_reading_stops_at_the_end() {
        let mut cursor = Cursor::new(&[1, 0, 2, 0, 0, 0, 3, 9]);
        assert_eq!((cursor.u8(), cursor.u16(), cursor.u32()), (Ok(1), Ok(2), Ok(3)));
        assert_eq!(cursor.u16(), Err(EndsEarly));
        assert_eq!(cursor.rest(), &[9]);
        assert_eq!(cursor.take(2), Err(EndsEarly));
        assert_eq!(cursor.take(1), Ok(&[9][..]));
        assert_eq!(cursor.u8(), Err(EndsEarly));
    }
}
