//! Raw bindings to the hybridrt C library, made by bindgen from its headers.
//!
//! The manual is `hybridrt/hybridrt.h`; the crate `hybridrt` is the safe way to use it.
#![no_std]
#![allow(non_camel_case_types)]

mod bindings;
pub use bindings::*;

/// The runtime half of the library, for tests and tools that host a runtime themselves.
#[cfg(feature = "runtime")]
pub mod runtime;
