//! Modes: twelve bits, owner, group and others x create, delete, write and read, highest bit first.
//!
//! As text three groups with a dash for a missing right, `cdwr|---r|---r`; as a number 0..=4095 (that one is 3857).

use std::fmt;

/// One right of a class. The number is its bit within the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Right {
    /// Make keys: this one when it is not there, and those right below it.
    Create = 8,
    /// Delete it.
    Delete = 4,
    /// Overwrite it.
    Write = 2,
    /// Read it, its history and its metadata, and see it in listings.
    Read = 1,
}

impl Right {
    /// All of them, highest bit first.
    pub const ALL: [Self; 4] = [Self::Create, Self::Delete, Self::Write, Self::Read];

    const fn letter(self) -> char {
        match self {
            Self::Create => 'c',
            Self::Delete => 'd',
            Self::Write => 'w',
            Self::Read => 'r',
        }
    }
}

/// Which part of a mode speaks for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The owner of the key.
    Owner,
    /// A member of the key's group who is not its owner.
    Group,
    /// Anybody else.
    Others,
}

impl Class {
    /// All of them, highest bits first.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Group, Self::Others];

    const fn shift(self) -> u16 {
        match self {
            Self::Owner => 8,
            Self::Group => 4,
            Self::Others => 0,
        }
    }
}

/// Twelve bits of rights, 0..=4095.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u16);

impl Mode {
    /// Everything for the owner, reading for everybody: `cdwr|---r|---r`.
    pub const DEFAULT: Self = Self(3857);

    /// The mode of this number; `None` above 4095.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        if bits <= 4095 { Some(Self(bits)) } else { None }
    }

    /// The number, 0..=4095.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Reads the written form; exactly fourteen characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut groups = text.split('|');
        let mut bits = 0;
        for class in Class::ALL {
            let group = groups.next().filter(|group| group.len() == Right::ALL.len())?;
            for (letter, right) in group.bytes().zip(Right::ALL) {
                match char::from(letter) {
                    '-' => {}
                    letter if letter == right.letter() => bits |= (right as u16) << class.shift(),
                    _ => return None,
                }
            }
        }
        groups.next().is_none().then_some(Self(bits))
    }

    /// Whether it gives this class this right.
    #[must_use]
    pub const fn grants(self, class: Class, right: Right) -> bool {
        self.0 & ((right as u16) << class.shift()) != 0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for class in Class::ALL {
            if class != Class::Owner {
                formatter.write_str("|")?;
            }
            for right in Right::ALL {
                write!(formatter, "{}", if self.grants(class, right) { right.letter() } else { '-' })?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Mode, Right};

    #[test]
    fn text_and_number_say_the_same_for_all_modes() {
        for bits in 0..=4095 {
            let mode = Mode::from_bits(bits).unwrap();
            assert_eq!(Mode::parse(&mode.to_string()), Some(mode));
            assert_eq!(mode.bits(), bits);
        }
        assert_eq!(Mode::from_bits(4096), None);
    }

    #[test]
    fn the_default_is_what_the_contract_writes() {
        assert_eq!(Mode::DEFAULT.to_string(), "cdwr|---r|---r");
        assert_eq!(Mode::parse("cdwr|---r|---r").map(Mode::bits), Some(3857));
        assert!(Mode::DEFAULT.grants(Class::Others, Right::Read));
        assert!(!Mode::DEFAULT.grants(Class::Group, Right::Write));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "cdwr",
            "cdwr|cdwr",
            "cdwr|cdwr|cdwr|",
            "cdwr|cdwr|cdwr|cdwr",
            "rwdc|----|----",
            "CDWR|----|----",
            "cdwr|---r|--r",
            "cdwr|---r|----r",
            " cdwr|---r|---r",
            "cdwr|--\u{e9}|---r",
            "3857",
            "cddr|----|----",
        ] {
            assert_eq!(Mode::parse(text), None, "{text:?}");
        }
    }
}
