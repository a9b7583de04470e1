//! Pages of listings of accounts: by uuid, `limit` at a time, from behind a `cursor` that is the last uuid of the page
//! before. `next` alone says whether there is more.

use kvs_auth::subject::canonical_uuid;
use kvs_core::limits::RANGE_LIMIT_MAX;
use uuid::Uuid;

use crate::http::query::Query;
use crate::limits::RANGE_LIMIT_DEFAULT;
use crate::problem::{Code, Problem};

/// Which part of a listing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Most elements, 1..=[`RANGE_LIMIT_MAX`].
    pub(crate) limit: usize,
    /// The last one of the page before.
    pub(crate) after: Option<Uuid>,
}

impl Window {
    /// Reads `limit` and `cursor`.
    ///
    /// # Errors
    ///
    /// [`Code::BadQuery`], [`Code::BadCursor`].
    pub(crate) fn read(query: &Query<'_>) -> Result<Self, Problem> {
        let limit = match query.value("limit") {
            None => RANGE_LIMIT_DEFAULT,
            Some(text) => {
                let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let limit = text.parse().ok().filter(|limit| (1..=RANGE_LIMIT_MAX).contains(limit));
                limit.filter(|_| is_digits).ok_or_else(|| {
                    Problem::new(Code::BadQuery, format!("limit takes a number from 1 to {RANGE_LIMIT_MAX}"))
                })?
            }
        };
        let after = match query.value("cursor") {
            None => None,
            Some(text) => Some(canonical_uuid(text).ok_or_else(|| {
                Problem::new(Code::BadCursor, "cursor takes what next of the page before said")
            })?),
        };
        Ok(Self { limit, after })
    }

    /// The elements of this page out of all that come behind the cursor, by uuid; and the next cursor.
    pub(crate) fn cut<T>(&self, behind: impl Iterator<Item = (Uuid, T)>) -> (Vec<(Uuid, T)>, Option<Uuid>) {
        let mut page: Vec<(Uuid, T)> = behind.take(self.limit + 1).collect();
        let has_more = page.len() > self.limit;
        page.truncate(self.limit);
        let next = page.last().map(|(uuid, _)| *uuid).filter(|_| has_more);
        (page, next)
    }
}

#[cfg(test)]
mod tests {
    use super::Window;
    use crate::http::query::Query;
    use uuid::Uuid;

    fn window(query: &str) -> Option<Window> {
        Window::read(&Query::read(Some(query), &["limit", "cursor"]).unwrap()).ok()
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let all: Vec<Uuid> = (0..7).map(Uuid::from_u128).collect();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let window = Window { limit: 3, after };
            let behind = all.iter().filter(|uuid| after.is_none_or(|after| **uuid > after));
            let (page, next) = window.cut(behind.map(|uuid| (*uuid, ())));
            seen.extend(page.into_iter().map(|(uuid, ())| uuid));
            after = next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_window_is_bounded() {
        assert_eq!(window("").map(|window| window.limit), Some(100));
        assert_eq!(window("limit=1000").map(|window| window.limit), Some(1000));
        for query in ["limit=0", "limit=1001", "limit=+1", "limit=x", "cursor=x", "cursor="] {
            assert_eq!(window(query), None, "{query}");
        }
    }
}
