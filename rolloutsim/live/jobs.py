"""Metrics that are Kubernetes Jobs, such as a smoke test: create the Job, follow it to its end.

The name of a Job is a function of its run, metric and attempt, so that a second request, also one of another
executor after a crash, follows the Job that is there and creates no other. Complete is Successful, failed is
Failed (Argo Rollouts, ``metricproviders/job``).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import Measure, MeasureError, Outcome
from rolloutsim.live.measure import Question
from rolloutsim.live.port import (
    JOB,
    AlreadyExists,
    ApiError,
    Kubernetes,
    NotFound,
    Object,
    Ref,
    Refused,
    Throttled,
    Unknown,
    Unreachable,
)
from rolloutsim.policy.model import JobProvider

__all__ = ["JobRunner", "job_name"]

FIRST_LOOK_S = 1.0
LAST_LOOK_S = 15.0
KEPT_S = 24 * 3600
"""A finished Job removes itself after a day, unless its own spec says otherwise."""
MANAGED_BY = "app.kubernetes.io/managed-by"
LONGEST_NAME = 63


class JobRunner:
    """Runs Jobs in one namespace; ``labels`` are put on each, to find them by."""

    def __init__(self, api: Kubernetes, namespace: str, labels: dict[str, str]) -> None:
        self._api = api
        self._namespace = namespace
        self._labels = {**labels, MANAGED_BY: "rolloutsim"}

    def __call__(self, question: Question) -> Outcome:
        """The Job's outcome, after it ended.

        Raises
        ------
        ApiError : the Job cannot be created.
        """
        ref = Ref(JOB, self._namespace, job_name(question.request))
        job = self._begun(ref, question)
        if job is None:
            return MeasureError(f"{ref} exists and is not ours; remove it, or rename the metric")
        return self._followed(ref, job, question)

    def _begun(self, ref: Ref, question: Question) -> Object | None:
        """The Job, created now, before, or by a write of unknown fate; None if it is somebody else's."""
        try:
            return self._api.create(ref, self._body(ref, question))
        except (AlreadyExists, Unknown):
            job = self._api.get(ref)
            return job if job.get("metadata", {}).get("labels", {}).get(MANAGED_BY) == "rolloutsim" else None

    def _body(self, ref: Ref, question: Question) -> Object:
        provider = question.request.provider
        assert isinstance(provider, JobProvider)
        content: dict[str, Any] = json.loads(provider.spec_json)
        metadata = content.get("metadata") or {}
        spec = {"ttlSecondsAfterFinished": KEPT_S, **content.get("spec", {})}
        labels = {**(metadata.get("labels") or {}), **self._labels}
        return {
            "apiVersion": JOB.api_version,
            "kind": JOB.name,
            "metadata": {
                "name": ref.name,
                "namespace": ref.namespace,
                "labels": labels,
                "annotations": dict(metadata.get("annotations") or {}),
            },
            "spec": spec,
        }

    def _followed(self, ref: Ref, job: Object, question: Question) -> Outcome:
        pause_s = FIRST_LOOK_S
        while True:
            phase = _phase(job)
            if phase is not None:
                return phase
            if question.stopped.wait(pause_s):
                return self._stopped(ref)
            pause_s = min(pause_s * 1.5, LAST_LOOK_S)
            try:
                job = self._api.get(ref)
            except NotFound:
                return MeasureError(f"{ref} was removed before it ended; the measurement is lost")
            except (Unreachable, Throttled):
                continue

    def _stopped(self, ref: Ref) -> Outcome:
        """Suspended, so that its pods end; the Job itself stays, to be looked at."""
        try:
            self._api.merge_patch(ref, {"spec": {"suspend": True}})
        except ApiError as error:
            if not isinstance(error, Refused):
                return MeasureError(f"{ref} may still run: {error}")
        return MeasurementPhase.INCONCLUSIVE


def job_name(request: Measure) -> str:
    """A valid name that tells what the Job is, and ends in a digest where it had to be cut or changed."""
    wanted = f"{request.run}.{request.metric}.{request.attempt}"
    name = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")
    mark = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - len(mark) - 1].strip('-')}-{mark}"


def _phase(job: Object) -> MeasurementPhase | None:
    for condition in job.get("status", {}).get("conditions") or ():
        if condition.get("status") == "True":
            if condition.get("type") == "Complete":
                return MeasurementPhase.SUCCESSFUL
            if condition.get("type") == "Failed":
                return MeasurementPhase.FAILED
    return None
