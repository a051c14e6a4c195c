"""ingress-nginx: a canary Ingress beside the main one, its weight in an annotation.

The rollout owns ``NAME-canary``: it creates it when it is not there and takes one over that already sends its
requests to the policy's canary Service. The API does not say whether a controller has read the annotations.

Source: ingress-nginx 1.15, "Canary annotations": ``canary-weight`` out of ``canary-weight-total``, which
counts only above 100; a canary belongs to a main Ingress of the same host, path and path type.
"""

from __future__ import annotations

from typing import Any

from rolloutsim.engine import Role
from rolloutsim.live.permissions import READ, Right
from rolloutsim.live.port import INGRESS, Kubernetes, NotFound, Object, Ref, Refused
from rolloutsim.live.routers.router import Weighed
from rolloutsim.live.routers.service import kubectl_patch, service_names
from rolloutsim.live.slots import Objects
from rolloutsim.live.state import OWNER_LABEL
from rolloutsim.live.writes import patch_read, settled, version_of
from rolloutsim.policy.model import Policy

__all__ = ["CanaryIngress"]

PREFIX = "nginx.ingress.kubernetes.io/"
CANARY, WEIGHT, TOTAL = f"{PREFIX}canary", f"{PREFIX}canary-weight", f"{PREFIX}canary-weight-total"
DEFAULT_TOTAL = 100
MANAGED_BY = "app.kubernetes.io/managed-by"


class CanaryIngress:
    """The canary Ingress of one policy. ``total`` is the policy's maximum weight."""

    def __init__(self, api: Kubernetes, policy: Policy, namespace: str, name: str, total: int) -> None:
        services = service_names(policy)
        self._api = api
        self._policy = policy
        self._main = Ref(INGRESS, namespace, name)
        self._ref = Ref(INGRESS, namespace, f"{name}-canary")
        self._stable, self._canary = services[Role.STABLE], services[Role.CANARY]
        self._total = total

    @property
    def watches(self) -> tuple[Ref, ...]:
        return (self._main, self._ref)

    @property
    def rights(self) -> tuple[Right, ...]:
        return (
            Right(INGRESS, READ, self._main.name),
            Right(INGRESS, (*READ, "patch", "delete"), self._ref.name),
            Right(INGRESS, ("create",)),
        )

    def read(self, objects: Objects) -> Weighed:
        main, canary = objects.get(self._main), objects.get(self._ref)
        if main is None:
            return Weighed(problem=f"{self._main} does not exist; create it")
        if canary is None:
            return Weighed(0)
        problem = self._foreign(canary)
        if problem:
            return Weighed(problem=problem)
        annotations = _annotations(canary)
        if annotations.get(CANARY) != "true":
            return Weighed(0)
        if _paths(canary) != self._canary_paths(main):
            why = f"{self._ref} has other hosts or paths than {self._main}; they are copied again"
            return Weighed(self._weight(annotations), False, why)
        return Weighed(self._weight(annotations))

    def set_weight(self, weight: int) -> Weighed:
        if not 0 <= weight <= self._total:
            raise Refused(f"the weight {weight} of {self._ref} is not between 0 and {self._total}")
        wanted = self._wanted(weight)
        return settled(lambda: self._set(weight, wanted))

    def clean_up(self) -> None:
        try:
            canary = self._api.get(self._ref)
        except NotFound:
            return
        metadata = canary["metadata"]
        created = (metadata.get("labels") or {}).get(MANAGED_BY) == "rolloutsim"
        if created and not self._foreign(canary) and not self._weight(_annotations(canary)):
            self._api.delete(self._ref, uid=metadata["uid"], resource_version=version_of(canary))

    def kubectl(self, weight: int) -> tuple[str, ...]:
        return (kubectl_patch(self._ref, {"metadata": {"annotations": self._wanted(weight)}}),)

    # --- writing ----------------------------------------------------------------------------------

    def _set(self, weight: int, wanted: dict[str, str]) -> Weighed:
        main = self._api.get(self._main)
        paths = self._canary_paths(main)
        if not paths:
            raise Refused(f"{self._main} sends no requests to {self._stable}; name it in the policy's target")
        try:
            canary = self._api.get(self._ref)
        except NotFound:
            if weight:
                self._api.create(self._ref, self._body(main, wanted))
            return Weighed(weight)
        problem = self._foreign(canary)
        if problem:
            raise Refused(problem)
        operations: list[Object] = []
        annotations = _annotations(canary)
        if not wanted.items() <= annotations.items() or (TOTAL in annotations and TOTAL not in wanted):
            kept = {key: value for key, value in annotations.items() if key != TOTAL}
            operations.append({"op": "add", "path": "/metadata/annotations", "value": {**kept, **wanted}})
        if _paths(canary) != paths:
            operations.append({"op": "add", "path": "/spec/rules", "value": self._rules(main)})
        if operations:
            patch_read(self._api, self._ref, canary, operations)
        return Weighed(weight)

    def _wanted(self, weight: int) -> dict[str, str]:
        if self._total >= DEFAULT_TOTAL:
            total = {TOTAL: str(self._total)} if self._total > DEFAULT_TOTAL else {}
            return {CANARY: "true", WEIGHT: str(weight), **total}
        if weight * DEFAULT_TOTAL % self._total:
            raise Refused(
                f"{weight} of {self._total} is not a whole percentage, and ingress-nginx ignores a total "
                "below 100; use a maxTrafficWeight of at least 100"
            )
        return {CANARY: "true", WEIGHT: str(weight * DEFAULT_TOTAL // self._total)}

    def _body(self, main: Object, annotations: dict[str, str]) -> Object:
        spec = main.get("spec", {})
        kept = {"ingressClassName": spec["ingressClassName"]} if "ingressClassName" in spec else {}
        return {
            "apiVersion": INGRESS.api_version,
            "kind": INGRESS.name,
            "metadata": {
                "name": self._ref.name,
                "namespace": self._ref.namespace,
                "labels": {OWNER_LABEL: self._policy.name, MANAGED_BY: "rolloutsim"},
                "annotations": annotations,
            },
            "spec": {**kept, "rules": self._rules(main)},
        }

    def _rules(self, main: Object) -> list[Object]:
        """The main Ingress's rules for the stable Service, with the canary Service in its place."""
        rules = []
        for rule in main.get("spec", {}).get("rules") or ():
            paths = [
                {**path, "backend": {"service": {**path["backend"]["service"], "name": self._canary}}}
                for path in rule.get("http", {}).get("paths") or ()
                if _backend(path) == self._stable
            ]
            if paths:
                rules.append({**rule, "http": {"paths": paths}})
        return rules

    # --- reading ----------------------------------------------------------------------------------

    def _canary_paths(self, main: Object) -> set[tuple[str, str, str, str]]:
        return _paths({"spec": {"rules": self._rules(main)}})

    def _foreign(self, canary: Object) -> str:
        """Why the canary Ingress is not ours to change; "" if it is."""
        owner = (canary["metadata"].get("labels") or {}).get(OWNER_LABEL, "")
        if owner not in ("", self._policy.name):
            return f"{self._ref} belongs to the rollout {owner}; it is left alone"
        if owner:
            return ""
        if {service for *_, service in _paths(canary)} != {self._canary}:
            return f"{self._ref} exists and does not send its requests to {self._canary}; rename it"
        return ""

    def _weight(self, annotations: dict[str, str]) -> int:
        """As the controller reads it, out of the policy's maximum; a number between two is rounded up."""
        whole = max(DEFAULT_TOTAL, _number(annotations.get(TOTAL, "")))
        share = min(whole, max(0, _number(annotations.get(WEIGHT, ""))))
        return -(-share * self._total // whole)


def _annotations(body: Object) -> dict[str, str]:
    return dict(body["metadata"].get("annotations") or {})


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


def _backend(path: Any) -> str:
    return str(path.get("backend", {}).get("service", {}).get("name", ""))


def _paths(body: Object) -> set[tuple[str, str, str, str]]:
    """Host, path, path type and Service of all paths."""
    return {
        (rule.get("host", ""), path.get("path", "/"), path.get("pathType", ""), _backend(path))
        for rule in body.get("spec", {}).get("rules") or ()
        for path in rule.get("http", {}).get("paths") or ()
    }
