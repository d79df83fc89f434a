#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "layout")]
mod layout;
mod lock;
mod replace;
mod same;

#[cfg(feature = "layout")]
pub use self::layout::{
    LAYOUT_MARKER, Layout, LayoutError, LayoutExport, LayoutFile, LayoutIndex, LayoutWriter,
    Referrers, StagedBlob,
};
pub use self::lock::{FileLock, LockWait};
pub use self::replace::{
    ReplaceOptions, create_private_folder, read_at_most, replace, sync_folder,
};
pub use self::same::{is_absent, is_named, is_same};
