"""The draws of the request kernels once more, in plain Python integers and floats."""

from __future__ import annotations

import math

from rolloutsim.sim.randomness import stream
from rolloutsim.sim.requests import ziggurat

LOW = 0xFFFF_FFFF
WORK, CHOICE, SPARE, SESSION = range(4)


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10: four words of 32 bits."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (q >> 32) ^ b ^ k0, q & LOW, (p >> 32) ^ d ^ k1, p & LOW
        k0, k1 = (k0 + 0x9E3779B9) & LOW, (k1 + 0xBB67AE85) & LOW
    return [a, b, c, d]


class Draws:
    """All draws of one run, by request, attempt and purpose."""

    def __init__(self, seed: int, run: int) -> None:
        key = stream(seed, run, "requests")
        low, high = key.low % 2**64, key.high % 2**64
        self.key, self.rest = [low & LOW, low >> 32], high & LOW

    def words(self, request: int, attempt: int, purpose: int, turn: int = 0) -> tuple[int, int]:
        use = ((turn * 4096 + attempt) * 4 + purpose) & LOW
        a, b, c, d = philox([request & LOW, (request >> 32) & LOW, use, self.rest], self.key)
        return a << 32 | b, c << 32 | d

    def exponential(self, word: int, request: int, attempt: int) -> float:
        wide, high = ziggurat._EXPONENTIAL_X, ziggurat._EXPONENTIAL_Y
        layer, x = (word >> 16) & 255, (word >> 24) * 2.0**-40
        x *= wide[layer]
        turn = 0
        while x >= wide[layer + 1]:
            turn += 1
            word, more = self.words(request, attempt, SPARE, turn)
            if layer == 0:
                return ziggurat._EXPONENTIAL_START - math.log(unit48(word))
            if high[layer] + (high[layer + 1] - high[layer]) * unit48(word) < math.exp(-x):
                break
            layer = (more >> 16) & 255
            x = (more >> 24) * 2.0**-40 * wide[layer]
        return float(x)

    def normal(self, word: int, request: int, attempt: int) -> float:
        wide, high = ziggurat._NORMAL_X, ziggurat._NORMAL_Y
        layer = (word >> 16) & 255
        x = ((word >> 24) * 2.0**-39 - 1.0) * wide[layer]
        turn = 0
        while abs(x) >= wide[layer + 1]:
            turn += 1
            word, more = self.words(request, attempt, SPARE, turn)
            if layer == 0:
                step = -math.log(unit48(word)) / ziggurat._NORMAL_START
                if -2.0 * math.log(unit48(more)) > step * step:
                    return math.copysign(ziggurat._NORMAL_START + step, x)
                continue
            if high[layer] + (high[layer + 1] - high[layer]) * unit48(word) < math.exp(-0.5 * x * x):
                break
            layer = (more >> 16) & 255
            x = ((more >> 24) * 2.0**-39 - 1.0) * wide[layer]
        return float(x)


def unit48(word: int) -> float:
    return ((word >> 16) + 0.5) * 2.0**-48


def unit32(part: int) -> float:
    return ((part & LOW) + 0.5) * 2.0**-32


def among(part: int, count: int) -> int:
    return ((part & LOW) * count) >> 32


def chance(first: int, second: int) -> float:
    return unit32((second & 0xFFFF) << 16 | (first & 0xFFFF))
