//! Seeds that ever failed, each with its story; they are always run first.

use crate::profile::Profile;
use crate::world::Options;

/// A seed with a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedSeed {
    /// The seed.
    pub seed: u64,
    /// The profile that it is run with.
    pub profile: Profile,
    /// What went wrong with it.
    pub story: &'static str,
}

impl NamedSeed {
    /// How it is run: as it was when it failed, before logs travelled by trees.
    #[must_use]
    pub const fn options(&self, options: Options) -> Options {
        Options { profile: Some(self.profile), has_no_trees: true, ..options }
    }
}

/// The lines of `seeds.txt`: a number, with a profile and a colon before it unless that is the ordinary one, then its
/// story. Empty lines and lines that begin with `#` are left out.
///
/// # Errors
///
/// The line that does not begin so.
pub fn named() -> Result<Vec<NamedSeed>, &'static str> {
    let lines = include_str!("../seeds.txt").lines().map(str::trim);
    let stories = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    stories
        .map(|line| {
            let (number, story) = line.split_once(' ').unwrap_or((line, ""));
            let (profile, number) = number.split_once(':').unwrap_or((Profile::Ordinary.name(), number));
            let profile = Profile::from_name(profile).ok_or(line)?;
            let seed = number.parse().map_err(|_| line)?;
            Ok(NamedSeed { seed, profile, story: story.trim() })
        })
        .collect()
}
