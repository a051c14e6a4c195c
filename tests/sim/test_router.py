"""Where requests go."""

from __future__ import annotations

import pytest

from rolloutsim.engine import Role
from rolloutsim.sim.router import Router, Routing

READY = {"v1": 10, "v2": 1}


def weighted(weight, **options):
    return Router(Routing.WEIGHT, weight=weight, services={Role.STABLE: "v1", Role.CANARY: "v2"}, **options)


def test_by_weight():
    assert weighted(5).shares("v1", "v2", READY) == pytest.approx((0.95, 0.05, 0.0))
    assert weighted(50, max_weight=1000).shares("v1", "v2", READY) == pytest.approx((0.95, 0.05, 0.0))
    assert weighted(12, granularity=5.0).shares("v1", "v2", READY) == pytest.approx((0.9, 0.1, 0.0))


def test_a_service_without_pods_fails_its_share():
    assert weighted(5).shares("v1", "v2", {"v1": 10}) == pytest.approx((0.95, 0.0, 0.0))


def test_after_promotion_all_goes_by_the_stable_service():
    router = weighted(0)
    router.services[Role.STABLE] = "v2"
    assert router.shares("v1", "v2", READY) == (0.0, 0.0, 1.0)


def test_by_pods():
    shares = Router(Routing.PODS).shares("v1", "v2", READY)
    assert shares == pytest.approx((10 / 11, 0.0, 1 / 11))
    assert Router(Routing.PODS).shares("v1", "v2", {}) == (0.0, 0.0, 0.0)


def test_by_selector():
    router = Router(Routing.SELECTOR, services={Role.ACTIVE: "v1", Role.PREVIEW: "v2"})
    assert router.shares("v1", "v2", READY) == (1.0, 0.0, 0.0)
    router.services[Role.ACTIVE] = "v2"
    assert router.shares("v1", "v2", READY) == (0.0, 0.0, 1.0)
