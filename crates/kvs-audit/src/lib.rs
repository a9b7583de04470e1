//! The audit trail of a node: what was done, by whom, in a form that shows when it was bent.
