"""A plan: what a run would do, looked at before, and pinned to what was looked at.

It holds the policy and the pod template of the release, the objects as they were found, what the first
writes would change, what is missing or in the way, and what simulations expect. It holds no credentials and
no value of a Secret. A plan that was changed, is for another cluster or no longer fits the objects is
refused; the checksum finds mistakes, and not malice: what binds a policy to its vetting is a signed
certificate.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from rolloutsim.engine import State, from_json, to_json
from rolloutsim.errors import ExecutorError, InputError, Position
from rolloutsim.live.cluster import watched
from rolloutsim.live.journal import API_VERSION
from rolloutsim.live.port import Kubernetes, Ref
from rolloutsim.live.prediction import Prediction
from rolloutsim.live.preview import Change, fingerprint
from rolloutsim.live.release import Release, release_of
from rolloutsim.live.routers import router_for
from rolloutsim.live.workload import SlotPair, look
from rolloutsim.policy import digest
from rolloutsim.policy.model import Policy

__all__ = ["Found", "Plan", "PlanChanged", "changed_since", "found_now", "plan_text", "read_plan", "underway"]

KIND = "Plan"
AGAIN = "make it again with rolloutsim plan"


class PlanChanged(InputError):
    """A plan that is not as it was made."""


@dataclass(frozen=True, slots=True)
class Found:
    """One object as the plan found it; ``mark`` is a hash of what was asked of it, "" if it was not there."""

    object: str
    mark: str


@dataclass(frozen=True, slots=True)
class Plan:
    """See the module. ``cluster`` is the uid of the cluster, "" if it could not be read; ``made`` RFC 3339.

    ``stable`` is the revision that was stable, ``missing`` the rights that were lacking (as RBAC rules).
    ``certificate`` is the text of a certificate's file, "" for none.
    """

    rollout: str
    namespace: str
    context: str
    server: str
    cluster: str
    made: str
    release: Release
    stable: str
    found: tuple[Found, ...] = ()
    changes: tuple[Change, ...] = ()
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    certificate: str = ""

    @property
    def prediction(self) -> Prediction | None:
        return self.release.prediction

    @property
    def policy_digest(self) -> str:
        return digest(self.release.policy)


def found_now(api: Kubernetes, policy: Policy, namespace: str) -> tuple[Found, ...]:
    """The objects of a policy's target as they are. Raises `ApiError`."""
    refs = _refs(api, policy, namespace)
    objects = look(api, refs)
    return tuple(
        Found(str(ref), fingerprint(ref.kind, objects[ref]) if ref in objects else "") for ref in refs
    )


def changed_since(api: Kubernetes, plan: Plan) -> tuple[str, ...]:
    """The objects that somebody changed since the plan was made. Raises `ApiError`."""
    now = found_now(api, plan.release.policy, plan.namespace)
    before = {found.object: found.mark for found in plan.found}
    return tuple(found.object for found in now if before.get(found.object) != found.mark)


def underway(state: State) -> bool:
    """Whether a revision is being rolled out and nobody has aborted it."""
    status = state.status
    asked = state.facts.asked
    return bool(asked) and asked != status.stable and not status.abort


def _refs(api: Kubernetes, policy: Policy, namespace: str) -> tuple[Ref, ...]:
    return watched(SlotPair(api, policy, namespace), router_for(api, policy, namespace))


# --- the file -------------------------------------------------------------------------------------


def plan_text(plan: Plan) -> str:
    """The plan as it is written into a file."""
    content: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "made": plan.made,
        "rollout": plan.rollout,
        "namespace": plan.namespace,
        "cluster": {"context": plan.context, "server": plan.server, "uid": plan.cluster},
        "policyDigest": plan.policy_digest,
        "stable": plan.stable,
        "release": json.loads(plan.release.text("")),
        "objects": [to_json(found) for found in plan.found],
        "changes": [to_json(change) for change in plan.changes],
        "missingRights": list(plan.missing),
        "warnings": list(plan.warnings),
        "certificate": json.loads(plan.certificate) if plan.certificate else None,
    }
    return json.dumps({**content, "checksum": _checksum(content)}, indent=1, ensure_ascii=False) + "\n"


def read_plan(text: str, file: str = "") -> Plan:
    """A plan out of the text of its file.

    Raises
    ------
    PlanChanged : it is not as it was made.
    InputError : it is no plan, or of another version.
    """
    at = Position(file)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("the file is no plan: it is not JSON", at=at, fix=AGAIN) from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise InputError("the file is no plan", at=at, fix=AGAIN)
    if content.get("apiVersion") != API_VERSION:
        raise InputError("the plan is of another version", at=at, value=content.get("apiVersion"), fix=AGAIN)
    if content.pop("checksum", None) != _checksum(content):
        raise PlanChanged("the plan was changed after it was made", at=at, fix=AGAIN)
    try:
        release, _ = release_of(json.dumps(content["release"]))
        certificate = content["certificate"]
        plan = Plan(
            rollout=content["rollout"],
            namespace=content["namespace"],
            context=content["cluster"]["context"],
            server=content["cluster"]["server"],
            cluster=content["cluster"]["uid"],
            made=content["made"],
            release=release,
            stable=content["stable"],
            found=tuple(from_json(Found, one) for one in content["objects"]),
            changes=tuple(from_json(Change, one) for one in content["changes"]),
            missing=tuple(content["missingRights"]),
            warnings=tuple(content["warnings"]),
            certificate="" if certificate is None else json.dumps(certificate),
        )
    except (KeyError, TypeError, ValueError, ExecutorError) as error:
        raise InputError(f"the plan cannot be read: {error}", at=at, fix=AGAIN) from None
    if plan.policy_digest != content["policyDigest"]:
        raise PlanChanged("the plan's policy is not the one that it names", at=at, fix=AGAIN)
    return plan


def _checksum(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
