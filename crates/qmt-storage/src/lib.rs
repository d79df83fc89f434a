#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod files;
#[cfg(feature = "layout")]
mod layout;
mod lock;
mod replace;

#[cfg(feature = "layout")]
pub use self::layout::{
    LAYOUT_MARKER, Layout, LayoutError, LayoutExport, LayoutFile, LayoutIndex, LayoutWriter,
    Referrers, StagedBlob,
};
pub use self::lock::{FileLock, LockWait};
pub use self::replace::{ReplaceOptions, replace};
