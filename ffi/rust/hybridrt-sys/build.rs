//! Finds the hybridrt C library through pkg-config and links it statically.
//!
//! Where it lies: `export PKG_CONFIG_PATH=$(hybridrt config pkgconfigdir)`. Crates that depend on
//! this one read `DEP_HYBRIDRT_INCLUDE`.

use std::env;
use std::path::Path;
use std::process::{Command, exit};

const HINT: &str = "run `export PKG_CONFIG_PATH=$(hybridrt config pkgconfigdir)` and build again";

fn main() {
    for name in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    for flag in pkg_config(&["--cflags-only-I"]).split_whitespace() {
        if let Some(folder) = flag.strip_prefix("-I") {
            println!("cargo:include={folder}");
        }
    }
    for flag in pkg_config(&["--static", "--libs"]).split_whitespace() {
        link(flag);
    }
}

/// Turns one linker flag into what cargo understands.
fn link(flag: &str) {
    if let Some(folder) = flag.strip_prefix("-L") {
        println!("cargo:rustc-link-search=native={folder}");
    } else if flag == "-lhybridrt" {
        println!("cargo:rustc-link-lib=static=hybridrt");
    } else if flag == "-pthread" {
        println!("cargo:rustc-link-lib=pthread");
    } else if let Some(name) = flag.strip_prefix("-l") {
        println!("cargo:rustc-link-lib={name}");
    } else if flag.ends_with(".a") {
        link_archive(Path::new(flag));
    }
}

/// Links an archive named by its path, and rebuilds whatever depends on it when it changes.
fn link_archive(path: &Path) {
    let folder = path.parent().unwrap_or(Path::new("."));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.strip_prefix("lib").unwrap_or(&stem);
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!("cargo:rustc-link-lib=static={name}");
    println!("cargo:rerun-if-changed={}", path.display());
}

fn pkg_config(options: &[&str]) -> String {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = match Command::new(&program)
        .args(options)
        .arg("hybridrt")
        .output()
    {
        Ok(output) => output,
        Err(error) => fail(&format!("cannot run {program}: {error}")),
    };
    if !output.status.success() {
        fail(String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fail(reason: &str) -> ! {
    eprintln!("hybridrt-sys: the hybridrt C library was not found: {reason}\n{HINT}");
    exit(1);
}
