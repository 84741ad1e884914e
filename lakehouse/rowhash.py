"""One 64-bit hash per delivered row, over its text: the order-free sum of a slice tells whether its content changed."""

import numba
import numpy as np
import pyarrow as pa

_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
"""Offset basis and prime of 64-bit FNV-1a (draft-eastlake-fnv, section 5)."""

_NULL = np.uint64(0x9E3779B97F4A7C15)
"""Mixed in for a null cell, so that null and empty text differ."""


def row_hashes(columns: list[pa.Array]) -> pa.Array:
    """The int64 hash of each row over text `columns`; nulls count, and so does which column a text stands in."""
    state = np.full(len(columns[0]), _OFFSET, np.uint64)
    for column in columns:
        text = column.cast(pa.large_string())
        _, offsets, data = text.buffers()
        starts = np.frombuffer(offsets, np.int64)[text.offset : text.offset + len(text) + 1]
        content = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
        present = np.ones(len(text), np.bool_) if not text.null_count else np.asarray(text.is_valid())
        _mix(state, starts, content, present)
    return pa.array(state.view(np.int64))


_READ_ONLY = (numba.types.Array(kind, 1, "C", readonly=True) for kind in (numba.int64, numba.uint8))
"""What comes from a file may not be written to; what may be is taken as well."""


@numba.njit(numba.void(numba.uint64[::1], *_READ_ONLY, numba.boolean[::1]), cache=True, nogil=True)
def _mix(state, starts, content, present):  # type: ignore[no-untyped-def]
    for row in range(len(state)):
        value = state[row]
        if present[row]:
            for place in range(starts[row], starts[row + 1]):
                value = (value ^ content[place]) * _PRIME
            value = (value ^ np.uint64(starts[row + 1] - starts[row])) * _PRIME
        else:
            value = (value ^ _NULL) * _PRIME
        state[row] = value ^ (value >> np.uint64(29))
