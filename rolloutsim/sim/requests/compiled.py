"""How the kernels are compiled: cached, without the interpreter's lock, and without reference counts.

The kernels allocate nothing, so the arrays that their caller holds need not be counted each time one is
handed on; counting them took most of the time. `inlined` functions are copied into their callers.

The cache of a kernel notices changes of its own file only: after a change of a file whose functions it calls,
delete the ``*.nbi`` files in ``__pycache__``.

Numbers that are used as an index are made unsigned by `index`: signed ones cost a test for negative ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["compiled", "index", "inlined"]

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
compiled = njit(**_OPTIONS)
inlined = njit(**_OPTIONS, inline="always")
index = np.uint64
