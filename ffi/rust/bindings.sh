#!/bin/sh
# Rewrites what is made from the C headers: hybridrt-sys/src/{bindings,runtime}.rs and the tables
# of its tests/layout. Needs bindgen 0.73 (`cargo install bindgen-cli`) and libclang
# (`pip install libclang`; set LIBCLANG_PATH to the folder of libclang.so if it is not found). That
# libclang brings no headers of its own, so the compiler's are named.
set -eu
cd "$(dirname "$0")"
include=../../native/include

generate() { # header output allow-pattern [more options]
    header=$1 output=$2 pattern=$3
    shift 3
    bindgen "$include/hybridrt/$header" --output "$output" \
        --allowlist-file ".*/hybridrt/($pattern)\\.h" --no-layout-tests --no-prepend-enum-name \
        --default-enum-style consts --use-core --merge-extern-blocks --no-doc-comments \
        --rust-target 1.85 --rust-edition 2024 --disable-header-comment \
        --raw-line "// Made by ffi/rust/bindings.sh from $header; do not edit." "$@" \
        -- -I "$include" -isystem "$(${CC:-cc} -print-file-name=include)"
    rustfmt --edition 2024 "$output"
}

generate hybridrt.h hybridrt-sys/src/bindings.rs 'abi|hybridrt'
generate runtime.h hybridrt-sys/src/runtime.rs runtime --raw-line 'use crate::*;' \
    --blocklist-file '.*/hybridrt/(abi|hybridrt)\.h'

# The tables name every field and constant, so that a test can compare them with what C says.
{
    echo "// Made by ffi/rust/bindings.sh from abi.h; do not edit."
    echo "fields! {"
    awk '/^pub struct hrt_/ { name = $3; body = ""; next }
         /^    pub [a-z_0-9]+:/ { sub(":", "", $2); body = body " " $2 ","; next }
         /^}/ { if (name != "" && body != "") print "    " name " {" body " }"; name = "" }' \
        hybridrt-sys/src/bindings.rs
    echo "}"
    echo "constants! {"
    sed -n 's/^pub const \(HRT_[A-Z0-9_]*\): \(hrt_[a-z_]*\) = .*/    \2 \1,/p' \
        hybridrt-sys/src/bindings.rs
    echo "}"
} | fold -s -w 96 | sed "s/ *$//" >hybridrt-sys/tests/layout/tables.rs
