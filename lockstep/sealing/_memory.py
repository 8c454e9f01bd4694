"""Memory for large contents."""

from __future__ import annotations

import ctypes
import io
import mmap
import sys

_WORTH_IT = 4 << 20


def reserve(size: int) -> io.BytesIO:
    """A buffer of `size` bytes to write into, whose value is then taken without a copy.

    Touching fresh memory page by page costs up to a fifth of the time of encrypting into it. So the kernel is
    asked for huge pages (Linux madvise(2), as numpy does for its arrays); where it has none, nothing changes.
    """
    buffer = io.BytesIO(bytes(size))
    if size < _WORTH_IT or not sys.platform.startswith("linux"):
        return buffer
    with buffer.getbuffer() as view:
        start = ctypes.addressof(ctypes.c_char.from_buffer(view))
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        length = start + size - first
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), mmap.MADV_HUGEPAGE)
    return buffer
