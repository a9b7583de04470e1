//! The log: one line per event on standard output, as text for people or JSON for programs.
//!
//! What comes from outside may stand in an event (a path, a name in an error), so control characters are escaped in every
//! line: nobody can forge a line of the log or write escape sequences to an operator's terminal.

use std::io::{self, Write};

use kvs_config::choice::{LogFormat, LogLevel};
use kvs_config::config::Config;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use crate::error::ServerError;

/// Starts the log of this process as the configuration says.
///
/// # Errors
///
/// [`ServerError::Log`] when it was started before.
pub fn start(config: &Config) -> Result<(), ServerError> {
    let level = match config.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // What libraries say below a warning is about their insides.
    let filter = Targets::new().with_target("kvs", level).with_default(level.min(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false);
    let subscriber = match config.log_format {
        LogFormat::Text => Registry::default().with(boxed(lines.with_writer(stdout), filter)),
        LogFormat::Json => {
            Registry::default().with(boxed(lines.json().flatten_event(true).with_writer(stdout), filter))
        }
    };
    tracing::subscriber::set_global_default(subscriber).map_err(|error| ServerError::Log(error.to_string()))
}

fn boxed(
    layer: impl Layer<Registry> + Send + Sync,
    filter: Targets,
) -> Box<dyn Layer<Registry> + Send + Sync> {
    layer.with_filter(filter).boxed()
}

fn stdout() -> OneLine<io::Stdout> {
    OneLine(io::stdout())
}

/// Writes each event, which comes in one piece, as one line.
#[derive(Debug)]
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(&escape(event))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The event with control characters escaped, but for the newline at its end.
fn escape(event: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(event);
    let body = text.strip_suffix('\n').unwrap_or(&text);
    let mut line = String::with_capacity(body.len() + 1);
    for c in body.chars() {
        // Line and paragraph separators are no control characters and still break lines in some viewers.
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{OneLine, escape};
    use std::io::Write;

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let event = "WARN bad path a\n2026 INFO forged\u{1b}[31m\u{85}\u{2028}ü\n";
        let line = String::from_utf8(escape(event.as_bytes())).unwrap();
        assert_eq!(line, "WARN bad path a\\n2026 INFO forged\\u{1b}[31m\\u{85}\\u{2028}ü\n");
    }

    #[test]
    fn the_writer_takes_an_event_whole() {
        let mut out = OneLine(Vec::new());
        assert_eq!(out.write(b"a\tb\xff\n").unwrap(), 5);
        assert_eq!(out.0, "a\\tb\u{fffd}\n".as_bytes());
    }
}
