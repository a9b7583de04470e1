//! Seeds that ever failed, each with its story; they are always run first.

/// A seed with a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedSeed {
    /// The seed.
    pub seed: u64,
    /// What went wrong with it.
    pub story: &'static str,
}

/// The lines of `seeds.txt`: a number, then its story. Empty lines and lines that begin with `#` are left out.
///
/// # Errors
///
/// The line that does not begin with a number.
pub fn named() -> Result<Vec<NamedSeed>, &'static str> {
    let lines = include_str!("../seeds.txt").lines().map(str::trim);
    let stories = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    stories
        .map(|line| {
            let (number, story) = line.split_once(' ').unwrap_or((line, ""));
            number.parse().map(|seed| NamedSeed { seed, story: story.trim() }).map_err(|_| line)
        })
        .collect()
}
