"""Exponential and normal variates from one word: the ziggurat, with further words when it rejects.

Marsaglia, Tsang: "The ziggurat method for generating random variables", J. Stat. Softw. 5, 2000; the
layer and the place in it come from different bits (Doornik: "An improved ziggurat method", 2005). Bits
16..23 of a word choose one of 256 layers, bits 24..63 the place; the low 16 bits are left to others.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.requests.compiled import compiled, inlined
from rolloutsim.sim.requests.words import SPARE, words

__all__ = ["exponential", "normal", "unit48"]

LAYERS = 256
_EXPONENTIAL_START, _EXPONENTIAL_AREA = 7.69711747013104972, 0.0039496598225815571993
_NORMAL_START, _NORMAL_AREA = 3.6541528853610088, 0.00492867323399

Table = NDArray[np.float64]


def _layers(start: float, area: float, normal: bool) -> tuple[Table, Table]:
    """Right ends of the layers, widest first, and the density at each (up to its constant)."""

    def density(x: float) -> float:
        return math.exp(-0.5 * x * x) if normal else math.exp(-x)

    def inverse(y: float) -> float:
        return math.sqrt(-2.0 * math.log(y)) if normal else -math.log(y)

    x = np.zeros(LAYERS + 1)
    x[0], x[1] = area / density(start), start
    for i in range(2, LAYERS):
        x[i] = inverse(density(x[i - 1]) + area / x[i - 1])
    return x, np.array([density(value) for value in x])


_EXPONENTIAL_X, _EXPONENTIAL_Y = _layers(_EXPONENTIAL_START, _EXPONENTIAL_AREA, normal=False)
_NORMAL_X, _NORMAL_Y = _layers(_NORMAL_START, _NORMAL_AREA, normal=True)

_16, _24, _40 = np.uint64(16), np.uint64(24), np.uint64(40)
_LAYER, _1 = np.uint64(255), np.uint64(1)
_PLACE = 2.0**-40


@inlined
def unit48(word):  # type: ignore[no-untyped-def]
    """Uniform on (0, 1) from the upper 48 bits of a word."""
    return (np.float64(np.int64(word >> _16)) + 0.5) * 3.552713678800501e-15


@compiled
def _exponential_rest(layer, x, key, request, attempt):  # type: ignore[no-untyped-def]
    turn = 1
    while True:
        word, more = words(key, request, attempt, SPARE, turn)
        turn += 1
        if layer == 0:
            return _EXPONENTIAL_START - math.log(unit48(word))
        height = _EXPONENTIAL_Y[layer + _1] - _EXPONENTIAL_Y[layer]
        if _EXPONENTIAL_Y[layer] + height * unit48(word) < math.exp(-x):
            return x
        layer = (more >> _16) & _LAYER
        x = np.float64(np.int64(more >> _24)) * _PLACE * _EXPONENTIAL_X[layer]
        if x < _EXPONENTIAL_X[layer + _1]:
            return x


@inlined
def exponential(word, key, request, attempt):  # type: ignore[no-untyped-def]
    """An exponential variate of mean 1 from a word."""
    layer = (word >> _16) & _LAYER
    x = np.float64(np.int64(word >> _24)) * _PLACE * _EXPONENTIAL_X[layer]
    if x >= _EXPONENTIAL_X[layer + _1]:
        x = _exponential_rest(layer, x, key, request, attempt)
    return x


@compiled
def _normal_rest(layer, x, key, request, attempt):  # type: ignore[no-untyped-def]
    turn = 1
    while True:
        word, more = words(key, request, attempt, SPARE, turn)
        turn += 1
        if layer == 0:
            # Marsaglia's tail
            step = -math.log(unit48(word)) / _NORMAL_START
            if -2.0 * math.log(unit48(more)) > step * step:
                tail = _NORMAL_START + step
                return tail if x > 0.0 else -tail
            continue
        height = _NORMAL_Y[layer + _1] - _NORMAL_Y[layer]
        if _NORMAL_Y[layer] + height * unit48(word) < math.exp(-0.5 * x * x):
            return x
        layer = (more >> _16) & _LAYER
        x = (np.float64(np.int64(more >> _24)) * (2.0 * _PLACE) - 1.0) * _NORMAL_X[layer]
        if abs(x) < _NORMAL_X[layer + _1]:
            return x


@inlined
def normal(word, key, request, attempt):  # type: ignore[no-untyped-def]
    """A standard normal variate from a word."""
    layer = (word >> _16) & _LAYER
    x = (np.float64(np.int64(word >> _24)) * (2.0 * _PLACE) - 1.0) * _NORMAL_X[layer]
    if abs(x) >= _NORMAL_X[layer + _1]:
        x = _normal_rest(layer, x, key, request, attempt)
    return x
