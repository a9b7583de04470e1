//! `?w=` and `?timeout=` of writes: on how many other nodes a write must be before it is answered as done.
//!
//! The write itself is never taken back: when there are too few copies in time the answer is 202 with how many there
//! are, and the rest follows as the nodes come back.

use std::time::Duration;

use kvs_cluster::contract::Needed;
use kvs_core::origin::Dot;
use kvs_store::commit::write::Outcome;

use crate::cluster::handle::Copied;
use crate::context::Node;
use crate::http::query::Query;
use crate::limits::COPIES_TIMEOUT_MAX;
use crate::problem::{Code, Problem};

/// The names of the parameters.
pub(crate) const W: &str = "w";
/// The names of the parameters.
pub(crate) const TIMEOUT: &str = "timeout";

/// How long a writer waits who does not say how long.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// What a writer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copies {
    /// How many; `None` for this node alone.
    needed: Option<Needed>,
    patience: Duration,
}

impl Copies {
    /// Reads the parameters.
    ///
    /// # Errors
    ///
    /// [`Code::BadQuery`].
    pub(crate) fn read(query: &Query<'_>) -> Result<Self, Problem> {
        let needed = match query.value(W) {
            None | Some("local") => None,
            Some("majority") => Some(Needed::Majority),
            Some("all") => Some(Needed::All),
            Some(text) => Some(Needed::AtLeast(text.parse().map_err(|_| {
                Problem::new(Code::BadQuery, "w takes local, majority, all, or how many other nodes")
            })?)),
        };
        let patience = query
            .value(TIMEOUT)
            .map(|text| patience_of(TIMEOUT, text))
            .transpose()?
            .unwrap_or(TIMEOUT_DEFAULT);
        Ok(Self { needed, patience })
    }

    /// Waits until what was written is where it must be; `None` when it is, otherwise on how many other nodes it is.
    pub(crate) async fn wait(&self, node: &Node, outcomes: &[Outcome]) -> Option<u32> {
        let needed = self.needed?;
        let last = outcomes.iter().filter_map(dot_of).max_by_key(|dot| dot.seq)?;
        let Some(cluster) = &node.cluster else {
            return matches!(needed, Needed::AtLeast(1..)).then_some(0);
        };
        match cluster.wait_for_copies(last, needed, self.patience).await {
            Copied::Enough => None,
            Copied::Only(count) => Some(count),
        }
    }
}

const fn dot_of(outcome: &Outcome) -> Option<Dot> {
    match outcome {
        Outcome::Created(written) | Outcome::Replaced(written) | Outcome::Deleted(written) => {
            Some(written.dot)
        }
        _ => None,
    }
}

/// Reads how long to wait, as `500ms` or `5s`.
pub(crate) fn patience_of(parameter: &str, text: &str) -> Result<Duration, Problem> {
    let parsed = match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Duration::from_millis),
        None => kvs_config::duration::parse_ttl(text).ok().map(Option::unwrap_or_default),
    };
    parsed.filter(|patience| *patience <= COPIES_TIMEOUT_MAX).ok_or_else(|| {
        let detail = format!(
            "{parameter} takes a duration such as 500ms or 5s, at most {} s",
            COPIES_TIMEOUT_MAX.as_secs()
        );
        Problem::new(Code::BadQuery, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::{Copies, TIMEOUT_DEFAULT};
    use crate::http::query::Query;
    use kvs_cluster::contract::Needed;
    use std::time::Duration;

    fn read(query: &str) -> Option<Copies> {
        Copies::read(&Query::read(Some(query), &["w", "timeout"]).unwrap()).ok()
    }

    #[test]
    fn the_parameters_say_how_many_and_how_long() {
        let copies = |needed, patience| Some(Copies { needed, patience });
        assert_eq!(read(""), copies(None, TIMEOUT_DEFAULT));
        assert_eq!(read("w=local"), copies(None, TIMEOUT_DEFAULT));
        assert_eq!(read("w=2&timeout=250ms"), copies(Some(Needed::AtLeast(2)), Duration::from_millis(250)));
        assert_eq!(read("w=all&timeout=9s"), copies(Some(Needed::All), Duration::from_secs(9)));
        assert_eq!(read("w=majority"), copies(Some(Needed::Majority), TIMEOUT_DEFAULT));
        for bad in ["w=", "w=-1", "w=most", "w=1&timeout=soon", "timeout=2h", "timeout=1d"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
