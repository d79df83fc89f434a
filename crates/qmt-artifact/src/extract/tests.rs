//! Extraction from layers in memory.

use std::collections::HashMap;
use std::io::Write as _;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use qmt_oci_ref::{MediaType, Platform};

use super::*;
use crate::platform::HostPlatform;
use crate::source::LayerStream;

#[path = "tests/common.rs"]
mod common;

use common::*;

mod basics;
mod bombs;
mod breakouts;
mod bridge;
mod content;
mod format;
mod layers;
mod mutants;
mod names;
mod titles;
