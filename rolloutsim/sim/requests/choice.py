"""Where a request goes and how much work it is: route, pod, endpoint class.

Routing by weight is random, as in Envoy and ingress-nginx, or exact by smooth weighted round robin, as in
nginx's upstreams, Traefik and HAProxy. Balancing among the pods of a route is random, round robin, least
connections (ties from a random place on), or the better of two random choices.
"""

from __future__ import annotations

import math

import numpy as np

from rolloutsim.sim.requests.compiled import compiled, index, inlined
from rolloutsim.sim.requests.layout import (
    BUSY,
    COLD,
    DETERMINISTIC,
    EXPONENTIAL,
    FACTOR,
    LAW,
    MEAN,
    QUEUED,
    RANDOM,
    READY,
    ROUND_ROBIN,
    SIGMA,
    TIMES,
    TWO_CHOICES,
    UPTO,
    WARM_MS,
)
from rolloutsim.sim.requests.words import SPARE, share32, words
from rolloutsim.sim.requests.ziggurat import exponential, normal, unit48

__all__ = ["among", "pace", "pod_of", "route_of", "work_of"]

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
SETTLED = 100.0
"""A pod is warm after this many of its warming times."""


@inlined
def among(part, count):  # type: ignore[no-untyped-def]
    """One of ``count`` by the low 32 bits of a word."""
    return ((part & _LOW) * np.uint64(count)) >> _32


@inlined
def route_of(word, shares, exact, owed):  # type: ignore[no-untyped-def]
    """The route of an attempt; as many as there are routes if it finds none."""
    routes = len(shares)
    if exact:
        best, before, all_of_it = 0, 0.0, shares[routes - 1]
        for route in range(routes):
            owed[route] += shares[route] - before
            before = shares[route]
            if owed[route] > owed[best]:
                best = route
        owed[best] -= all_of_it
        return best if all_of_it > 0.0 else routes
    u = share32(word >> _32)
    passed = np.int64(0)
    for each in range(routes):
        passed += np.int64(u >= shares[each])
    return passed


@inlined
def pod_of(word, route, balancing, members, sizes, pods, cursors):  # type: ignore[no-untyped-def]
    """A pod of a route that has at least one."""
    size = sizes[route]
    if size == 1:
        return index(members[route, 0])
    if balancing == ROUND_ROBIN:
        at = cursors[route]
        at = at if at < size else 0
        cursors[route] = at + 1
        return index(members[route, index(at)])
    first = among(word >> _32, size)
    pod = index(members[route, first])
    if balancing == RANDOM:
        return pod
    if balancing == TWO_CHOICES:
        other = index(members[route, among(word, size)])
        less = pods[other, BUSY] + pods[other, QUEUED] < pods[pod, BUSY] + pods[pod, QUEUED]
        return other if less else pod
    least = pods[pod, BUSY] + pods[pod, QUEUED]
    for step in range(1, size):
        at = np.int64(first) + step
        other = index(members[route, index(at if at < size else at - size)])
        load = pods[other, BUSY] + pods[other, QUEUED]
        pod = other if load < least else pod
        least = load if load < least else least
    return pod


@compiled
def _tail_of(key, number, attempt, lane, tails):  # type: ignore[no-untyped-def]
    """What multiplies the work of an attempt that may be in a tail of its lane."""
    u = unit48(words(key, number, attempt, SPARE, 0)[0])
    for each in range(tails.shape[1]):
        if u < tails[lane, each, UPTO]:
            return tails[lane, each, TIMES]
    return 1.0


@inlined
def work_of(word, class_word, key, number, attempt, lane, classes, work, tails):  # type: ignore[no-untyped-def]
    """Work of an attempt in ms, on a warm pod of factor 1."""
    kind = index(0)
    if len(classes) > 1:
        u = share32(class_word)
        for each in range(len(classes) - 1):
            kind += index(u >= classes[each])
    law, mean = work[lane, kind, LAW], work[lane, kind, MEAN]
    if tails[lane, 0, UPTO] > 0.0:
        mean *= _tail_of(key, number, attempt, lane, tails)
    if law == EXPONENTIAL:
        return mean * exponential(word, key, number, attempt)
    if law == DETERMINISTIC:
        return mean
    sigma = work[lane, kind, SIGMA]
    return mean * math.exp(sigma * normal(word, key, number, attempt) - 0.5 * sigma * sigma)


@inlined
def pace(pod, t, pods):  # type: ignore[no-untyped-def]
    """What the work of a request that begins now is multiplied by on this pod."""
    factor = pods[pod, FACTOR]
    if pods[pod, COLD] > 0.0:
        age = (t - pods[pod, READY]) / pods[pod, WARM_MS]
        if age < SETTLED:
            factor *= 1.0 + pods[pod, COLD] * math.exp(-age)
    return factor
