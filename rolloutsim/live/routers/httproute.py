"""Gateway API: the weights of an HTTPRoute's backends.

Every rule that sends requests to both the stable and the canary Service gets the same two weights; other
rules are the user's. ``Accepted`` and ``ResolvedRefs`` at the present generation verify that the controller
of every parent has computed the weights, which is all that the API can say: whether requests moved, only
requests tell.

Sources: Gateway API, HTTPRoute (``backendRefs[].weight``: default 1, a share of the sum within one rule) and
GEP-1364 (conditions of routes).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rolloutsim.engine import Role
from rolloutsim.live.permissions import READ, Right
from rolloutsim.live.port import HTTP_ROUTE, Kubernetes, Object, Ref, Refused
from rolloutsim.live.routers.router import Weighed
from rolloutsim.live.routers.service import service_names
from rolloutsim.live.slots import Objects
from rolloutsim.live.state import OWNER_LABEL
from rolloutsim.live.writes import patch_read, pointer, settled
from rolloutsim.policy.model import Policy

__all__ = ["RouteWeights"]

REQUIRED = ("Accepted", "ResolvedRefs")
PARTIAL = "PartiallyInvalid"


@dataclass(frozen=True, slots=True)
class Split:
    """Where one rule divides requests: indices of the rule and its two backends, and their weights.

    ``others``: the sum of the weights of further backends in the rule.
    """

    rule: int
    stable_at: int
    canary_at: int
    stable: int
    canary: int
    others: int

    def weight(self, total: int) -> int | None:
        """The weight of the canary out of ``total``, if it is a whole number."""
        whole = self.stable + self.canary
        if not whole or self.others or self.canary * total % whole:
            return None
        return self.canary * total // whole


class RouteWeights:
    """The weights of one HTTPRoute."""

    def __init__(self, api: Kubernetes, policy: Policy, namespace: str, name: str, total: int) -> None:
        services = service_names(policy)
        self._api = api
        self._policy = policy
        self._ref = Ref(HTTP_ROUTE, namespace, name)
        self._stable, self._canary = services[Role.STABLE], services[Role.CANARY]
        self._total = total

    @property
    def watches(self) -> tuple[Ref, ...]:
        return (self._ref,)

    @property
    def rights(self) -> tuple[Right, ...]:
        return (Right(HTTP_ROUTE, (*READ, "patch"), self._ref.name),)

    def read(self, objects: Objects) -> Weighed:
        route = objects.get(self._ref)
        if route is None:
            return Weighed(problem=f"{self._ref} does not exist; create it")
        splits = self._splits(route)
        if not splits:
            return Weighed(problem=self._no_split())
        if any(split.others for split in splits):
            return Weighed(problem=self._third_backend())
        weights = {split.weight(self._total) for split in splits}
        (weight,) = weights if len(weights) == 1 else (None,)
        if weight is None:
            # somebody wrote other numbers: a weight that no step has, which has to be set anew
            most = max(split.canary / max(1, split.stable + split.canary) for split in splits)
            why = f"{self._ref} has weights that are not this rollout's; they are set again"
            return Weighed(min(self._total, int(most * self._total) + 1), False, why)
        verified, problem = _verdict(self._ref, route)
        return Weighed(weight, verified, problem)

    def set_weight(self, weight: int) -> Weighed:
        if not 0 <= weight <= self._total:
            raise Refused(f"the weight {weight} of {self._ref} is not between 0 and {self._total}")
        return settled(lambda: self._set(weight))

    def clean_up(self) -> None:
        """Nothing: the route is the user's."""

    def kubectl(self, weight: int) -> tuple[str, ...]:
        """A JSON patch, since a merge patch would have to repeat the rules."""
        operations = self._operations(self._splits(self._api.get(self._ref)), weight)
        text = shlex.quote(json.dumps(operations, separators=(",", ":")))
        where, name = shlex.quote(self._ref.namespace), shlex.quote(self._ref.name)
        return (f"kubectl -n {where} patch httproute {name} --type=json -p {text}",)

    # --- writing ----------------------------------------------------------------------------------

    def _set(self, weight: int) -> Weighed:
        route = self._api.get(self._ref)
        owner = (route["metadata"].get("labels") or {}).get(OWNER_LABEL, "")
        if owner not in ("", self._policy.name):
            raise Refused(f"{self._ref} belongs to the rollout {owner}; it is left alone")
        splits = self._splits(route)
        if not splits:
            raise Refused(self._no_split())
        if any(split.others for split in splits):
            raise Refused(self._third_backend())
        stale = [s for s in splits if (s.stable, s.canary) != (self._total - weight, weight)]
        if stale:
            route = patch_read(self._api, self._ref, route, self._operations(stale, weight))
        return self.read({self._ref: route})

    def _operations(self, splits: list[Split], weight: int) -> list[Object]:
        operations: list[Object] = []
        for split in splits:
            for at, name, value in (
                (split.stable_at, self._stable, self._total - weight),
                (split.canary_at, self._canary, weight),
            ):
                backend = ("spec", "rules", split.rule, "backendRefs", at)
                operations += [
                    {"op": "test", "path": pointer(*backend, "name"), "value": name},
                    {"op": "add", "path": pointer(*backend, "weight"), "value": value},
                ]
        return operations

    # --- reading ----------------------------------------------------------------------------------

    def _splits(self, route: Object) -> list[Split]:
        """The rules that send requests to both Services."""
        found = []
        for index, rule in enumerate(route.get("spec", {}).get("rules") or ()):
            backends = rule.get("backendRefs") or []
            stable = self._index(backends, self._stable)
            canary = self._index(backends, self._canary)
            if stable is None or canary is None:
                continue
            weights = [int(backend.get("weight", 1)) for backend in backends]
            own = weights[stable] + weights[canary]
            found.append(Split(index, stable, canary, weights[stable], weights[canary], sum(weights) - own))
        return found

    def _index(self, backends: list[Mapping[str, Any]], service: str) -> int | None:
        for index, backend in enumerate(backends):
            is_service = backend.get("kind", "Service") == "Service" and not backend.get("group")
            here = backend.get("namespace", self._ref.namespace) == self._ref.namespace
            if is_service and here and backend.get("name") == service:
                return index
        return None

    def _no_split(self) -> str:
        return (
            f"no rule of {self._ref} sends requests to both {self._stable} and {self._canary}; "
            "add both to its backendRefs"
        )

    def _third_backend(self) -> str:
        return (
            f"a rule of {self._ref} gives weight to a third backend, so a weight would mean another share; "
            "remove it"
        )


def _verdict(ref: Ref, route: Object) -> tuple[bool | None, str]:
    """Whether every parent's controller has accepted this very generation; None: one does not say which."""
    generation = int(route["metadata"].get("generation", 0))
    entries = route.get("status", {}).get("parents") or []
    verdict: bool | None = True
    for parent in route.get("spec", {}).get("parentRefs") or ():
        name = parent.get("name", "")
        answers = [entry for entry in entries if _same_parent(entry.get("parentRef", {}), parent)]
        if not answers:
            return False, f"no controller has answered {ref} for its parent {name} yet"
        for entry in answers:
            said, why = _accepted(entry, generation)
            if said is False:
                return False, f"{ref} at its parent {name}: {why}"
            verdict = None if said is None else verdict
    if not route.get("spec", {}).get("parentRefs"):
        return False, f"{ref} has no parentRefs, so no Gateway serves it"
    return verdict, ""


def _accepted(entry: Mapping[str, Any], generation: int) -> tuple[bool | None, str]:
    conditions = {str(one.get("type")): one for one in entry.get("conditions") or ()}
    verdict: bool | None = True
    for kind in REQUIRED:
        condition = conditions.get(kind)
        if condition is None:
            return False, f"{kind} is not known yet"
        observed = condition.get("observedGeneration")
        if observed is None:
            # allowed by the schema, forbidden by the specification, and done all the same
            verdict = None
        elif int(observed) < generation:
            return False, "its controller has not seen the present weights yet"
        if condition.get("status") != "True":
            return False, f"{kind} is {condition.get('status')}: {condition.get('message', '')}"
    partial = conditions.get(PARTIAL, {})
    if partial.get("status") == "True":
        return False, f"{PARTIAL}: {partial.get('message', '')}"
    return verdict, ""


def _same_parent(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """The same Gateway and listener; a namespace that is left out is the route's own."""
    return (
        one.get("name") == other.get("name")
        and one.get("sectionName") == other.get("sectionName")
        and one.get("port") == other.get("port")
        and ("namespace" not in other or one.get("namespace") == other["namespace"])
    )
