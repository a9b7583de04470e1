//! The Prometheus text format: families of samples with help and type.
//!
//! Source: the Prometheus exposition format, version 0.0.4.

use std::fmt::Write;

use crate::metrics::Distribution;

/// The media type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A document being written.
#[derive(Debug, Default)]
pub(crate) struct MetricsText(String);

/// What a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows while the process runs.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// What the numbers of a distribution count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds, shown as seconds.
    Nanoseconds,
    /// Things.
    Count,
}

impl MetricsText {
    /// Opens a family. `help` is one line without backslashes.
    fn family(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// A family of one sample.
    pub(crate) fn single(&mut self, kind: Kind, name: &str, help: &str, value: impl Into<Number>) {
        self.labelled(kind, name, help, std::iter::once((String::new(), value)));
    }

    /// A family of samples, each with its labels written as `name="value",...`; values need no escapes.
    pub(crate) fn labelled<V: Into<Number>>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        samples: impl Iterator<Item = (String, V)>,
    ) {
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.family(name, help, word);
        for (labels, value) in samples {
            let value = value.into().0;
            if labels.is_empty() {
                self.line(format_args!("{name} {value}"));
            } else {
                self.line(format_args!("{name}{{{labels}}} {value}"));
            }
        }
    }

    /// A family of distributions.
    pub(crate) fn distributions(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        samples: impl Iterator<Item = (String, Distribution)>,
    ) {
        self.family(name, help, "histogram");
        for (labels, distribution) in samples {
            let comma = if labels.is_empty() { "" } else { "," };
            for (end, count) in &distribution.buckets {
                let end = shown(*end, unit);
                self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"{end}\"}} {count}"));
            }
            let count = distribution.count;
            self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"));
            let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            self.line(format_args!("{name}_sum{braces} {}", shown(distribution.sum, unit)));
            self.line(format_args!("{name}_count{braces} {count}"));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        writeln!(self.0, "{line}").unwrap_or_default();
    }

    /// The document.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// A number as it is written.
#[derive(Debug)]
pub(crate) struct Number(String);

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self(number.to_string())
    }
}

fn shown(value: u64, unit: Unit) -> String {
    match unit {
        Unit::Count => value.to_string(),
        Unit::Nanoseconds => {
            let (seconds, rest) = (value / 1_000_000_000, value % 1_000_000_000);
            let shown = format!("{seconds}.{rest:09}");
            shown.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, MetricsText, Unit, shown};
    use crate::metrics::Distribution;

    #[test]
    fn samples_are_written_as_the_format_says() {
        let mut text = MetricsText::default();
        text.single(Kind::Gauge, "kvs_keys", "Keys.", 5_u64);
        let samples = [("route=\"kv_get\"".to_owned(), 7_u64)];
        text.labelled(Kind::Counter, "kvs_requests_total", "Requests.", samples.into_iter());
        let distribution =
            Distribution { buckets: vec![(50_000, 1), (1_000_000_000, 2)], count: 3, sum: 1_500_000_000 };
        text.distributions(
            "kvs_seconds",
            "Times.",
            Unit::Nanoseconds,
            std::iter::once((String::new(), distribution)),
        );
        assert_eq!(
            text.into_text(),
            "# HELP kvs_keys Keys.\n# TYPE kvs_keys gauge\nkvs_keys 5\n\
             # HELP kvs_requests_total Requests.\n# TYPE kvs_requests_total counter\nkvs_requests_total{route=\"kv_get\"} 7\n\
             # HELP kvs_seconds Times.\n# TYPE kvs_seconds histogram\nkvs_seconds_bucket{le=\"0.00005\"} 1\n\
             kvs_seconds_bucket{le=\"1\"} 2\nkvs_seconds_bucket{le=\"+Inf\"} 3\nkvs_seconds_sum 1.5\nkvs_seconds_count 3\n"
        );
    }

    #[test]
    fn nanoseconds_are_shown_as_seconds() {
        assert_eq!(shown(0, Unit::Nanoseconds), "0");
        assert_eq!(shown(1, Unit::Nanoseconds), "0.000000001");
        assert_eq!(shown(10_000_000_000, Unit::Nanoseconds), "10");
        assert_eq!(shown(10, Unit::Count), "10");
    }
}
