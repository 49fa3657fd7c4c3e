# The compiled cffi module; everything that it holds is typed in hybridrt.native.
from typing import Any

ffi: Any
lib: Any
