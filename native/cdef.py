"""Write the C source of hybridrt._native: the headers are its cdef, nothing is typed again.

Usage: cdef.py OUTPUT INCLUDE_DIRECTORY COMPILER... (run by src/hybridrt/meson.build)
"""

import subprocess
import sys

import cffi

MODULE = "hybridrt._native"
HEADER = "hybridrt/runtime.h"  # includes the other two


def declarations(include: str, compiler: list[str]) -> str:
    """Return the declarations of the three headers, as the preprocessor leaves them."""
    command = [*compiler, "-E", "-P", "-DHRT_CDEF", f"-I{include}", f"{include}/{HEADER}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main(output: str, include: str, *compiler: str) -> None:
    """Emit the module's C source; compiling it against the real headers verifies the cdef."""
    ffi = cffi.FFI()
    ffi.cdef(declarations(include, list(compiler)))
    ffi.set_source(MODULE, f"#include <{HEADER}>", py_limited_api=True)
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
