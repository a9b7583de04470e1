//! The bounds of what is read and made, each with its reason.

/// Largest file of certificates or keys that is read, in bytes: the authorities of a whole system are a quarter of it.
pub const PEM_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Most certificates of one file.
pub const CERTIFICATES_MAX: usize = 1024;

/// Longest name of a node in a certificate, in bytes: the longest common name (RFC 5280, appendix A.1).
pub const NODE_NAME_BYTES_MAX: usize = 64;

/// Most names and addresses in one certificate, since each handshake carries them.
pub const HOSTS_MAX: usize = 64;

/// How long an authority is valid, in days: ten years, as replacing it means to visit every node.
pub const AUTHORITY_DAYS: u64 = 3652;

/// How long a node's certificate is valid unless told otherwise, in days: a little over two years.
pub const NODE_DAYS_DEFAULT: u64 = 825;

/// Days before today from which a new certificate is valid, for clocks that are behind.
pub(crate) const DAYS_BEFORE: u64 = 1;
