"""Which latency bucket a time falls into, without a search: by the leading bits of the number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["BucketIndex", "bucket_index"]

_MANTISSA = 52
_FINEST = 20
_SMALLEST_MS = 2.0**-20


@dataclass(frozen=True, slots=True, eq=False)
class BucketIndex:
    """``first[(bits >> shift) - base]`` is the first bucket that a time with these bits may fall into.

    ``bounds`` ends with infinity.
    """

    bounds: NDArray[np.float64]
    first: NDArray[np.int64]
    shift: int
    base: int


def bucket_index(bounds: Sequence[float]) -> BucketIndex:
    """The index of rising positive bounds.

    Raises
    ------
    ValueError : the bounds do not rise, are not positive, or lie closer than a millionth of themselves.
    """
    if any(not (0.0 < a < b < math.inf) for a, b in pairwise(bounds)) or any(b <= 0.0 for b in bounds):
        raise ValueError(f"the bounds of buckets are positive and rise, not {tuple(bounds)}")
    for bits in range(2, _FINEST + 1):
        shift = _MANTISSA - bits
        cells = [_bits(bound) >> shift for bound in bounds]
        if len(set(cells)) == len(cells):
            break
    else:
        raise ValueError(f"the bounds of buckets lie too close together: {tuple(bounds)}")
    base = (_bits(min([_SMALLEST_MS, *bounds])) >> shift) - 1
    size = (max(cells, default=base) - base) + 2
    # a bound belongs to the bucket below it: the cells after its own begin with the next bucket
    first = np.searchsorted(np.array(cells) - base, np.arange(size), side="left").astype(np.int64)
    return BucketIndex(np.array([*bounds, math.inf]), first, shift, base)


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))
