//! What a full disk left of the engine.

/// How the engine must be treated before writing goes on after a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterFull {
    /// Nothing was written: it is as it was.
    GoOn,
    /// A write was cut short: it must be opened again.
    Reopen,
}
