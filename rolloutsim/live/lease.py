"""Who may act: one executor per rollout, by a Lease, and a fence around every write.

A contender takes a Lease over only after it has watched it *unchanged* for the whole duration by its own
clock, so the clocks of two machines need not agree. A holder stops earlier: ``margin_s`` before the
duration is over, counted from the moment at which its last successful renewal was *sent*, which is longer
than one write may take. Between the two nobody acts.

Source: client-go ``tools/leaderelection`` (record observed by the local clock, ``leaseTransitions``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rolloutsim.live.port import (
    LEASE,
    AlreadyExists,
    Conflict,
    Kubernetes,
    NotFound,
    Object,
    Ref,
    Refused,
)
from rolloutsim.live.writes import version_of

__all__ = ["Fenced", "Fencing", "Lease", "LeaseLost"]

DURATION_S = 15
MARGIN_S = 5


class LeaseLost(Refused):
    """This executor may not act (any more): another one may hold the Lease."""


@dataclass(frozen=True, slots=True, order=True)
class Fencing:
    """The fencing token: grows with every change of holder; 0 is before the first one."""

    transitions: int
    resource_version: str


class Lease:
    """One executor's hold on one rollout.

    Parameters
    ----------
    holder : the identity of this very process; another process never has the same.
    now_ms : ms since the epoch by a clock that never goes back and counts on while the machine sleeps.
    """

    def __init__(
        self,
        api: Kubernetes,
        ref: Ref,
        holder: str,
        *,
        now_ms: Callable[[], int],
        duration_s: int = DURATION_S,
        margin_s: int = MARGIN_S,
        labels: dict[str, str] | None = None,
    ) -> None:
        if not 0 < margin_s < duration_s:
            raise ValueError(f"the margin ({margin_s} s) has to lie inside the duration ({duration_s} s)")
        self.ref = ref
        self.holder = holder
        self._api = api
        self._now_ms = now_ms
        self._duration_ms = duration_s * 1000
        self._margin_ms = margin_s * 1000
        self._labels = labels or {}
        self._seen: tuple[str, int] | None = None
        """The resourceVersion of another's Lease and when we first saw it."""
        self._sent_at: int | None = None
        self._token = Fencing(0, "")

    # --- state ------------------------------------------------------------------------------------

    @property
    def token(self) -> Fencing:
        """The fencing token of the present hold.

        Raises
        ------
        LeaseLost : it is not held, or not for long enough any more.
        """
        self.check()
        return self._token

    @property
    def remaining_ms(self) -> int:
        """For how long this executor may still start a write; 0: it may not."""
        if self._sent_at is None:
            return 0
        return max(0, self._sent_at + self._duration_ms - self._margin_ms - self._now_ms())

    @property
    def renew_at_ms(self) -> int:
        """When the next renewal is due: after a third of the duration."""
        return self._now_ms() if self._sent_at is None else self._sent_at + self._duration_ms // 3

    def check(self) -> None:
        """Raise `LeaseLost` unless this executor may start a write now."""
        if self.remaining_ms <= 0:
            raise LeaseLost(
                f"{self.ref} is not held by this executor, so it does not act; "
                "another one may be in charge: see rolloutsim status"
            )

    # --- writes -----------------------------------------------------------------------------------

    def acquire(self) -> str:
        """Try once to get the Lease; "" on success, else the identity of the holder who may still act.

        Call it again, about every two seconds, to wait for a holder that died.

        Raises
        ------
        ApiError : the API cannot be reached, or refuses.
        """
        sent_at = self._now_ms()
        try:
            found = self._api.get(self.ref)
        except NotFound:
            return self._created(sent_at)
        holder = str(found.get("spec", {}).get("holderIdentity") or "")
        if holder and holder != self.holder and not self._expired(found):
            return holder
        try:
            self._took(self._api.replace(self.ref, self._held(found)), sent_at)
        except Conflict:
            return holder or "another executor"
        return ""

    def renew(self) -> None:
        """Extend the hold. After an error it goes on to run out by itself, and may be tried again.

        Raises
        ------
        LeaseLost : another executor has it.
        ApiError : the API cannot be reached; until `remaining_ms` is 0 the hold stands.
        """
        self.check()
        sent_at = self._now_ms()
        found = self._api.get(self.ref)
        if str(found.get("spec", {}).get("holderIdentity") or "") != self.holder:
            self._sent_at = None
            self.check()
        try:
            self._took(self._api.replace(self.ref, self._held(found)), sent_at)
        except Conflict:
            # somebody wrote in between; the next renewal will see who
            return

    def release(self) -> None:
        """Let the next executor in at once. Without a hold this does nothing."""
        if self.remaining_ms <= 0:
            self._sent_at = None
            return
        self._sent_at = None
        found = self._api.get(self.ref)
        spec = found.get("spec", {})
        if spec.get("holderIdentity") == self.holder:
            self._api.replace(self.ref, {**found, "spec": {**spec, "holderIdentity": ""}})

    def _created(self, sent_at: int) -> str:
        metadata = {"name": self.ref.name, "namespace": self.ref.namespace, "labels": self._labels}
        body: Object = {"apiVersion": LEASE.api_version, "kind": LEASE.name, "metadata": metadata}
        try:
            self._took(self._api.create(self.ref, self._held(body)), sent_at)
        except AlreadyExists:
            return "another executor"
        return ""

    def _expired(self, found: Object) -> bool:
        """Has the Lease of another stood still for its whole duration, by our clock?"""
        version, now = version_of(found), self._now_ms()
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
        duration_s = found["spec"].get("leaseDurationSeconds")
        return now - self._seen[1] >= (duration_s * 1000 if duration_s else self._duration_ms)

    def _held(self, body: Object) -> Object:
        """The Lease as it reads when it is ours; on the resourceVersion that was read."""
        spec: dict[str, Any] = dict(body.get("spec", {}))
        stamp = datetime.fromtimestamp(self._now_ms() / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if spec.get("holderIdentity") != self.holder:
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
            spec["acquireTime"] = stamp
        spec.update(
            holderIdentity=self.holder, renewTime=stamp, leaseDurationSeconds=self._duration_ms // 1000
        )
        return {**body, "spec": spec}

    def _took(self, written: Object, sent_at: int) -> None:
        self._sent_at = sent_at
        self._token = Fencing(int(written["spec"]["leaseTransitions"]), version_of(written))


class Fenced:
    """A `Kubernetes` whose writes are refused unless ``check`` lets them pass at that moment."""

    def __init__(self, api: Kubernetes, check: Callable[[], None]) -> None:
        self._api = api
        self._check = check
        self.get, self.list, self.watch = api.get, api.list, api.watch

    def create(self, ref: Ref, body: Object, *, dry_run: bool = False) -> Object:
        self._check()
        return self._api.create(ref, body, dry_run=dry_run)

    def merge_patch(self, ref: Ref, patch: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        self._check()
        return self._api.merge_patch(ref, patch, subresource=subresource, dry_run=dry_run)

    def json_patch(
        self, ref: Ref, operations: Sequence[Object], *, subresource: str = "", dry_run: bool = False
    ) -> Object:
        self._check()
        return self._api.json_patch(ref, operations, subresource=subresource, dry_run=dry_run)

    def apply(self, ref: Ref, body: Object, *, dry_run: bool = False) -> Object:
        self._check()
        return self._api.apply(ref, body, dry_run=dry_run)

    def replace(self, ref: Ref, body: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        self._check()
        return self._api.replace(ref, body, subresource=subresource, dry_run=dry_run)

    def delete(self, ref: Ref, *, uid: str = "", resource_version: str = "", dry_run: bool = False) -> None:
        self._check()
        self._api.delete(ref, uid=uid, resource_version=resource_version, dry_run=dry_run)
