"""The C library for Python; everybody else imports from here, and nobody from the cffi module.

`library` turns statuses into exceptions, `structs` what goes in and out into plain records; `page`
reads the counters. `lane` is what a client does, `runtime` what a supervisor and a standby do: they
follow native/include/hybridrt/{hybridrt,runtime}.h, which is the manual. Calls release the GIL. An
object that owns a C handle is closed once; later calls raise ClosedError.
"""

from hybridrt.native.lane import Lane
from hybridrt.native.library import (
    ABI_VERSION,
    Buffer,
    check,
    error_of,
    ffi,
    keep_memory,
    layout,
    lib,
    plain,
    status_text,
    struct_size,
    version,
)
from hybridrt.native.page import Page, histogram_bucket, histogram_value_ns
from hybridrt.native.runtime import Runtime, Standby
from hybridrt.native.structs import (
    Event,
    Filter,
    Follow,
    Grant,
    Lease,
    Notice,
    Packed,
    RuntimeOptions,
    Settlement,
)

__all__ = [
    "ABI_VERSION",
    "Buffer",
    "Event",
    "Filter",
    "Follow",
    "Grant",
    "Lane",
    "Lease",
    "Notice",
    "Packed",
    "Page",
    "Runtime",
    "RuntimeOptions",
    "Settlement",
    "Standby",
    "check",
    "error_of",
    "ffi",
    "histogram_bucket",
    "histogram_value_ns",
    "keep_memory",
    "layout",
    "lib",
    "plain",
    "status_text",
    "struct_size",
    "version",
]
