//! What may happen in a schedule, and how often.

use crate::rules::{Rule, Rules};

/// What may happen in a schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) rules: Rules,
    pub(crate) nodes: u8,
    pub(crate) keys: u8,
    /// Ticks before everything is mended.
    pub(crate) steps: u32,
    /// Directories go back to an earlier moment.
    pub(crate) putback: bool,
    /// Nodes start anew, with all that they had.
    pub(crate) restarts: bool,
    /// Clocks run ahead by this much.
    pub(crate) ahead: &'static [i64],
    /// An empty node joins.
    pub(crate) joins: bool,
    /// How many times as often clocks go wrong and links are cut.
    pub(crate) storm: usize,
    /// How many times as often directories are put back.
    pub(crate) havoc: usize,
    /// Whether only the end is judged, not what nodes tell on the way.
    pub(crate) end_only: bool,
}

impl Weather {
    pub(crate) const FULL: Self = Self {
        rules: Rules::ALL,
        nodes: 3,
        keys: 2,
        steps: 160,
        putback: true,
        restarts: true,
        ahead: &[60, 300],
        joins: true,
        storm: 1,
        havoc: 1,
        end_only: false,
    };

    pub(crate) const fn without(self, rule: Rule) -> Self {
        Self { rules: self.rules.without(rule), ..self }
    }

    /// A weather by its name: parts joined by commas, each a change to the ordinary one. `no` and the name of a rule
    /// leaves that rule out.
    pub(crate) fn named(name: &str) -> Option<Self> {
        name.split(',').try_fold(Self::FULL, Self::with)
    }

    fn with(self, part: &str) -> Option<Self> {
        Some(match part {
            "full" => self,
            "four" => Self { nodes: 4, keys: 3, steps: 240, ..self },
            "long" => Self { steps: 500, ..self },
            "putback" => Self { ahead: &[], ..self },
            "ahead" => Self { putback: false, ..self },
            "behind" => Self { ahead: &[60, 300, -90], ..self },
            "slight" => Self { ahead: &[12, 20, -20], ..self },
            "farbehind" => Self { ahead: &[-300], ..self },
            "storm" => Self { storm: 4, ..self },
            "end" => Self { end_only: true, ..self },
            "havoc" => Self { havoc: 4, ..self },
            rule => {
                let is_meant =
                    |known: &&Rule| rule.strip_prefix("no") == Some(&format!("{known:?}").to_lowercase());
                self.without(*Rule::ALL.iter().find(is_meant)?)
            }
        })
    }
}
