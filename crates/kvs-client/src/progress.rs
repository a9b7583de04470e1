//! The progress bar of long work, on standard error, and only when that is a terminal.
//!
//! Its numbers are for the eye: what was done is in the reports.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar, or nothing where nobody looks.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar over `bytes` bytes of input; without a total it shows what has passed.
    #[must_use]
    pub fn over_bytes(bytes: Option<u64>) -> Self {
        match bytes {
            Some(bytes) => Self::with_style(
                ProgressBar::new(bytes),
                "{bar:32} {percent:>3} %  {bytes}/{total_bytes}  {msg}  {eta} left",
            ),
            None => Self::with_style(ProgressBar::new_spinner(), "{spinner} {bytes}  {msg}"),
        }
    }

    /// A count that grows, without a known end.
    #[must_use]
    pub fn counting() -> Self {
        Self::with_style(ProgressBar::new_spinner(), "{spinner} {msg}  {elapsed}")
    }

    /// No bar, wherever standard error goes.
    #[must_use]
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    fn with_style(bar: ProgressBar, template: &str) -> Self {
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Moves the bar to `position` and shows `message` beside it.
    pub fn show(&self, position: u64, message: String) {
        if !self.0.is_hidden() {
            self.0.set_position(position);
            self.0.set_message(message);
        }
    }

    /// Moves the bar to `done` of `total` and shows `message` beside it: for work in steps, each with its own total.
    pub fn show_part(&self, done: u64, total: u64, message: &'static str) {
        if !self.0.is_hidden() {
            self.0.set_length(total);
            self.0.set_position(done);
            self.0.set_message(message);
        }
    }

    /// Says that the work waits because the node asked for it.
    pub(crate) fn show_pause(&self, pause: Duration) {
        if !self.0.is_hidden() {
            self.0.set_message(format!("the node asked to wait {} s", pause.as_secs_f32().ceil()));
            self.0.tick();
        }
    }

    /// Removes the bar from the terminal.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}
