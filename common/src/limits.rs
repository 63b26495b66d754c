//! The numbers that both ends agree on. Each has a test where it is enforced.

/// Plaintext bytes in a block: the unit of sealing and of change.
pub const BLOCK_SIZE: usize = 64 * 1024;

/// Longest file or folder name in bytes, as Linux's `NAME_MAX`.
pub const NAME_MAX: usize = 255;

/// Longest user id or node name in bytes.
pub const UID_MAX: usize = 64;

/// Longest path below a home in bytes, as Linux's `PATH_MAX` without its final NUL.
pub const PATH_MAX: usize = 4095;

/// Deepest nesting of folders below a home.
pub const DEPTH_MAX: usize = 128;

/// Largest extended attribute value in bytes, as Linux's `XATTR_SIZE_MAX`.
pub const XATTR_VALUE_MAX: usize = 64 * 1024;

/// Longest extended attribute name in bytes, as Linux's `XATTR_NAME_MAX`.
pub const XATTR_NAME_MAX: usize = 255;

/// All names and values of one document's attributes together, in bytes.
pub const XATTR_TOTAL_MAX: usize = 256 * 1024;

/// Largest document in bytes (1 TiB).
pub const DOCUMENT_MAX: u64 = 1 << 40;

/// Largest document under the flag `integrity` in bytes (64 GiB): its record holds a hash of every block.
pub const INTEGRITY_MAX: u64 = 1 << 36;

/// Most bytes in one data frame of a check-in body.
pub const FRAME_MAX: usize = 1024 * 1024;

/// Most ranges of one block, apart from one another, that a check-in may bring; who has more fills the gaps between them.
pub const RANGES_MAX: usize = 1024;

/// Most bytes that one ranged read of the mount may ask for.
pub const READ_MAX: usize = 8 * 1024 * 1024;

/// Most entries in one answer to a listing.
pub const LIST_MAX: u32 = 1024;

/// Longest target of a symbolic link in bytes.
pub const SYMLINK_MAX: usize = 4095;
