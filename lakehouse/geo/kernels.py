"""How the kernels of this package are compiled: from their annotations, when the module is imported; then kept on disk.

Numba keeps the machine code in `NUMBA_CACHE_DIR`, else beside the module, else in the user's own cache folder. A helper
must stand in the same file as its kernels: only a change of that file makes them compile again.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar, cast, get_args, get_type_hints

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])


def _array(kind: Any, dimensions: int = 1, *, readonly: bool = False) -> Any:
    return numba.types.Array(kind, dimensions, "C", readonly=readonly)


# Contiguous arrays; those in `In` are only read, so that an Arrow buffer will do.
Floats = Annotated[NDArray[np.float64], _array(numba.float64)]
FloatsIn = Annotated[NDArray[np.float64], _array(numba.float64, readonly=True)]
Ints = Annotated[NDArray[np.int64], _array(numba.int64)]
IntsIn = Annotated[NDArray[np.int64], _array(numba.int64, readonly=True)]
Indexes = Annotated[NDArray[np.int32], _array(numba.int32)]
IndexesIn = Annotated[NDArray[np.int32], _array(numba.int32, readonly=True)]
Grid = Annotated[NDArray[np.int32], _array(numba.int32, 2)]
GridIn = Annotated[NDArray[np.int32], _array(numba.int32, 2, readonly=True)]
EdgesIn = Annotated[NDArray[np.float64], _array(numba.float64, 2, readonly=True)]
Rows = Annotated[NDArray[np.float64], _array(numba.float64, 2)]

_SCALARS = {int: numba.int64, float: numba.float64, bool: numba.boolean}


def kernel(function: Function) -> Function:
    """Compile a function that returns nothing and writes into its last arguments; it runs without the GIL."""
    hints = get_type_hints(function, include_extras=True)
    types = [_SCALARS.get(hint) or get_args(hint)[1] for name, hint in hints.items() if name != "return"]
    compiled = numba.njit(numba.void(*types), cache=True, nogil=True, error_model="numpy")(function)
    return cast(Function, compiled)


def helper(function: Function) -> Function:
    """Compile a function into the kernels that call it; nothing else may call it."""
    return cast(Function, numba.njit(error_model="numpy", inline="always")(function))
