//! What is asked for, and in which form.

use super::*;
