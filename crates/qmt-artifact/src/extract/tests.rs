//! Extraction from layers in memory.

use std::io::Write as _;

use bytes::Bytes;
use futures_util::stream;
use qmt_oci_ref::MediaType;
use qmt_oci_ref::manifest::platform;

use super::*;
use crate::platform::HostPlatform;
use crate::problem::ContentProblem;
use crate::tests::{TestRegistry, repository};

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
mod links;
mod mutants;
mod names;
mod titles;
mod untitled;
mod wasm_layers;
