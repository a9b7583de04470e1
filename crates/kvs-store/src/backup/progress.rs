//! How far a long work on a backup is, for those who watch it.

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A backup is written; its bytes are those of the JSON values.
    Write,
    /// A backup is verified; its bytes are those of the file.
    Verify,
    /// Records and history are restored; their bytes are those of the file, once for each of the two that it has.
    Load,
    /// The index tables are made from the restored records; the bytes are those of their JSON.
    Index,
}

/// How far a step is. A step may end without having been told to be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// How much of it is done, in bytes.
    pub done_bytes: u64,
    /// How much it is altogether, in bytes.
    pub total_bytes: u64,
}

/// Who watches; called for every block or so, on the working thread.
pub type Watcher<'a> = &'a mut dyn FnMut(Progress);
