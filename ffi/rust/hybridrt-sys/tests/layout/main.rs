//! Every layout that Rust sees is the one the C compiler sees: tests/abi/layout.txt, both ways.

use std::collections::BTreeSet;
use std::mem::{align_of, offset_of, size_of};

use hybridrt_sys::*;

/// Size of a field, found through a pointer that is never followed.
fn size_behind<S, F>(_field: impl Fn(*const S) -> *const F) -> usize {
    size_of::<F>()
}

macro_rules! fields {
    ($($name:ident { $($field:ident,)* })*) => {
        fn structs() -> Vec<String> {
            let mut lines = Vec::new();
            $(
                lines.push(format!("struct {} size={} align={}", stringify!($name),
                    size_of::<$name>(), align_of::<$name>()));
                $(lines.push(format!("{} {} offset={} size={}", stringify!($name),
                    stringify!($field).trim_end_matches('_'), offset_of!($name, $field),
                    // SAFETY: a place is named, nothing is read.
                    size_behind(|at: *const $name| unsafe { &raw const (*at).$field })));)*
            )*
            lines
        }
    };
}

macro_rules! constants {
    ($($kind:ident $name:ident,)*) => {
        fn enums() -> Vec<String> {
            vec![$(format!("enum {} {}={}", stringify!($kind), stringify!($name), $name),)*]
        }
    };
}

include!("tables.rs");

/// The lines of layout.txt, with the struct's name put before each of its fields.
fn golden() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/abi/layout.txt");
    let text = std::fs::read_to_string(path).expect("tests/abi/layout.txt is in the repository");
    let mut owner = "";
    let mut lines = BTreeSet::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(field) = line.strip_prefix("  ") {
            lines.insert(format!("{owner} {field}"));
        } else {
            owner = line.split(' ').nth(1).unwrap_or_default();
            lines.insert(line.to_string());
        }
    }
    lines
}

/// Struct or enum that a line belongs to.
fn owner(line: &str) -> &str {
    let line = line
        .trim_start_matches("struct ")
        .trim_start_matches("enum ");
    line.split(' ').next().unwrap_or_default()
}

#[test]
fn rust_sees_the_layouts_that_c_sees() {
    let golden = golden();
    let shared: BTreeSet<&str> = golden.iter().map(|line| owner(line)).collect();
    let all = structs().into_iter().chain(enums());
    let seen = all.filter(|line| shared.contains(owner(line))).collect();
    let missing: Vec<_> = golden.difference(&seen).collect();
    let surplus: Vec<_> = seen.difference(&golden).collect();
    assert!(golden.len() > 100, "layout.txt is too short to be whole");
    assert!(
        missing.is_empty(),
        "in layout.txt, not in Rust: {missing:#?}"
    );
    assert!(
        surplus.is_empty(),
        "in Rust, not in layout.txt: {surplus:#?}"
    );
}
