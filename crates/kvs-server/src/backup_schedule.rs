//! When backups are made: a cron expression in local time.
//!
//! Source: `backup_schedule` of the configuration; five fields (minute, hour, day, month, weekday) or a nickname such as
//! `@daily`. A time that passes while the node is not running is not made up for.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Local, TimeZone};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use kvs_config::config::Config;
use kvs_store::clock::Clock;

use crate::context::Node;
use crate::error::ServerError;
use crate::limits::SCHEDULE_LOOK_INTERVAL;

/// A schedule that has a next time.
#[derive(Debug, Clone)]
pub(crate) struct Schedule(Cron);

impl Schedule {
    /// The schedule of a configuration; `None` when backups are off.
    ///
    /// # Errors
    ///
    /// [`ServerError::Schedule`]: the expression is none, or names a day that never comes.
    pub(crate) fn of(config: &Config, clock: &dyn Clock) -> Result<Option<Self>, ServerError> {
        if !config.backup_enabled {
            return Ok(None);
        }
        let schedule = Self::parse(&config.backup_schedule)?;
        match schedule.next_ms(clock.now_ms()) {
            Some(_) => Ok(Some(schedule)),
            None => Err(refused(&config.backup_schedule, "it names a day that never comes".to_owned())),
        }
    }

    fn parse(expression: &str) -> Result<Self, ServerError> {
        if !expression.is_ascii() {
            return Err(refused(expression, "it has other characters than those of ASCII".to_owned()));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        parser.parse(expression).map(Self).map_err(|error| refused(expression, error.to_string()))
    }

    /// The first time after `now_ms`, both in ms since 1970; `None` when there is none.
    pub(crate) fn next_ms(&self, now_ms: u64) -> Option<u64> {
        next_ms(&self.0, &Local, now_ms)
    }
}

fn next_ms<Z: TimeZone + Clone>(cron: &Cron, zone: &Z, now_ms: u64) -> Option<u64> {
    let now: DateTime<Z> = zone.timestamp_millis_opt(i64::try_from(now_ms).ok()?).single()?;
    let next = cron.find_next_occurrence(&now, false).ok()?;
    u64::try_from(next.timestamp_millis()).ok()
}

fn refused(schedule: &str, reason: String) -> ServerError {
    ServerError::Schedule { schedule: schedule.to_owned(), reason }
}

/// Makes backups by the schedule, for ever. A backup that fails is logged and tried again at the next time.
pub(crate) async fn keep(node: Arc<Node>, schedule: Schedule) {
    while let Some(next_ms) = schedule.next_ms(node.clock.now_ms()) {
        wait_until(&node, next_ms).await;
        let making = Arc::clone(&node);
        let made =
            tokio::task::spawn_blocking(move || making.backups.make(making.vault.own(), &making.clock));
        if let Err(error) = made.await {
            tracing::error!(%error, "a backup ended early");
        }
    }
    tracing::error!("the schedule of the backups has no further time");
}

/// Waits by the wall clock, which may be set meanwhile: looks at it again every so often.
async fn wait_until(node: &Node, at_ms: u64) {
    loop {
        let left = Duration::from_millis(at_ms.saturating_sub(node.clock.now_ms()));
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(SCHEDULE_LOOK_INTERVAL)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Schedule, next_ms};
    use chrono::Utc;

    const MINUTE_MS: u64 = 60_000;
    const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

    fn next(expression: &str, now_ms: u64) -> Option<u64> {
        next_ms(&Schedule::parse(expression).unwrap().0, &Utc, now_ms)
    }

    #[test]
    fn five_fields_and_nicknames_are_schedules() {
        assert_eq!(next("0 0 * * *", 1), Some(DAY_MS));
        assert_eq!(next("0 0 * * *", DAY_MS), Some(2 * DAY_MS));
        assert_eq!(next("*/15 * * * *", 1), Some(15 * MINUTE_MS));
        assert_eq!(next("@daily", 1), Some(DAY_MS));
        // The first of January 1970 was a Thursday.
        assert_eq!(next("30 2 * * SUN", 0), Some(3 * DAY_MS + 150 * MINUTE_MS));
    }

    #[test]
    fn anything_else_is_refused() {
        for expression in
            ["", "daily", "0 0 * *", "0 0 0 * * *", "60 * * * *", "0 0 32 * *", "0 0 * * é", "* * * * * * *"]
        {
            assert!(Schedule::parse(expression).is_err(), "{expression}");
        }
    }

    #[test]
    fn a_day_that_never_comes_has_no_next_time() {
        let never = Schedule::parse("0 0 30 2 *");
        assert!(never.is_err() || never.is_ok_and(|never| never.next_ms(0).is_none()));
    }
}
