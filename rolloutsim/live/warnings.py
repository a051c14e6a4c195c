"""What in the cluster would fight a rollout: said before it begins, in one sentence each.

Each finding has a way out. None of them is an error by itself, except an autoscaler on a slot, which the
workload refuses.

Sources: the labels and annotations that Argo CD (resource tracking) and Flux (kustomize-controller,
helm-controller) write; Kubernetes, HorizontalPodAutoscaler (``scaleTargetRef``); Gateway API (hostnames).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rolloutsim.live.permissions import READ, Right
from rolloutsim.live.port import AUTOSCALER, HTTP_ROUTE, INGRESS, Forbidden, Kubernetes, Object, Ref
from rolloutsim.live.routers import Router
from rolloutsim.live.slots import POD_HASH_LABEL, REVISION_POD_LABEL, Objects, route_ref, slot_refs
from rolloutsim.live.workload import look
from rolloutsim.policy.model import (
    Analysis,
    AnalysisStep,
    BlueGreen,
    Canary,
    PodHashArgument,
    Policy,
    PrometheusProvider,
)

__all__ = ["Warned", "analyses", "find_warnings", "warning_rights"]

GITOPS: Mapping[str, str] = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
"""Labels and annotations of tools that put an object back to what their files say."""
GITOPS_WRITERS: Mapping[str, str] = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
}
"""Field managers of the same tools."""
CANARY_ANNOTATION = "nginx.ingress.kubernetes.io/canary"
OWN_HASH = re.compile(r"(?<!rollouts_)\bpod_template_hash\b")


@dataclass(frozen=True, slots=True)
class Warned:
    """One finding: about which object, what would happen, and what to do."""

    about: str
    message: str

    def __str__(self) -> str:
        return f"{self.about}: {self.message}"


def warning_rights(policy: Policy) -> tuple[Right, ...]:
    """What looking for all of them needs; without a right, its findings are missing and said to be."""
    rights = [Right(AUTOSCALER, ("list",))]
    if policy.target.route:
        rights += [Right(INGRESS, ("list",)), Right(HTTP_ROUTE, READ[:2])]
    return tuple(rights)


def find_warnings(api: Kubernetes, policy: Policy, namespace: str, router: Router) -> tuple[Warned, ...]:
    """Everything of this module's list, about this policy's objects.

    Raises
    ------
    ApiError : the API cannot be reached.
    """
    slots = slot_refs(policy, namespace)
    objects = look(api, tuple(dict.fromkeys((*slots, *router.watches))))
    found = [*_owners(objects), *_labels(policy)]
    for search in (_autoscalers(api, slots), _same_host(api, policy, namespace, objects)):
        try:
            found += search
        except Forbidden as error:
            found.append(Warned("permissions", f"could not look for everything that may interfere: {error}"))
    return tuple(found)


def _owners(objects: Objects) -> Iterator[Warned]:
    for ref, body in objects.items():
        metadata = body["metadata"]
        marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
        tools = {tool for mark, tool in GITOPS.items() if mark in marks}
        managers = {str(entry.get("manager")) for entry in metadata.get("managedFields") or ()}
        tools |= {tool for manager, tool in GITOPS_WRITERS.items() if manager in managers}
        for tool in sorted(tools):
            yield Warned(
                str(ref),
                f"{tool} puts it back to what its files say; pause {tool} for it, or let it ignore "
                "replicas, the pod template, the selector and the weights",
            )


def _autoscalers(api: Kubernetes, slots: Iterable[Ref]) -> Iterator[Warned]:
    names = {ref.name: ref for ref in slots}
    for scaler in api.list(AUTOSCALER, next(iter(names.values())).namespace).items:
        target = scaler.get("spec", {}).get("scaleTargetRef", {})
        if target.get("kind") == "Deployment" and target.get("name") in names:
            yield Warned(
                str(names[target["name"]]),
                f"the autoscaler {scaler['metadata']['name']} changes its replicas too, so the rollout is "
                "refused; delete the autoscaler until the rollout is over",
            )


def _labels(policy: Policy) -> Iterator[Warned]:
    if policy.target.revision_label == POD_HASH_LABEL:
        yield Warned(
            policy.name,
            f"its Services select by {POD_HASH_LABEL}, so anybody else's change of a Deployment's template "
            "takes their pods away; give two Deployments a label of their own and name it in revisionLabel",
        )
    if any(_asks_own_hash(analysis) for analysis in analyses(policy)):
        yield Warned(
            policy.name,
            f"a query asks for pod_template_hash, but the id of a revision here is the label "
            f"{REVISION_POD_LABEL}; ask for rollouts_pod_template_hash",
        )


def analyses(policy: Policy) -> Iterator[Analysis]:
    """All analyses of a policy, steps first."""
    match policy.strategy:
        case Canary(steps=steps, background=background):
            yield from (step.analysis for step in steps if isinstance(step, AnalysisStep))
            yield from (background,) if background else ()
        case BlueGreen(pre_promotion=before, post_promotion=after):
            yield from (analysis for analysis in (before, after) if analysis)


def _asks_own_hash(analysis: Analysis) -> bool:
    return any(isinstance(argument, PodHashArgument) for argument in analysis.late) and any(
        isinstance(metric.provider, PrometheusProvider) and OWN_HASH.search(metric.provider.query)
        for metric in analysis.metrics
    )


# --- hosts ----------------------------------------------------------------------------------------


def _same_host(api: Kubernetes, policy: Policy, namespace: str, objects: Objects) -> Iterator[Warned]:
    ref = route_ref(policy, namespace)
    if ref is None or ref not in objects:
        return
    if ref.kind == HTTP_ROUTE:
        hosts = tuple(objects[ref].get("spec", {}).get("hostnames") or ("",))
        for ingress in api.list(INGRESS, namespace).items:
            if _overlap(hosts, _ingress_hosts(ingress)):
                yield Warned(
                    str(ref),
                    f"the Ingress {ingress['metadata']['name']} serves the same host, and a controller that "
                    "reads both lets the Ingress win without a word; delete it",
                )
        return
    hosts = tuple(_ingress_hosts(objects[ref]))
    for ingress in api.list(INGRESS, namespace).items:
        name = ingress["metadata"]["name"]
        annotations = ingress["metadata"].get("annotations") or {}
        other = name not in (ref.name, f"{ref.name}-canary")
        if (
            other
            and annotations.get(CANARY_ANNOTATION) == "true"
            and _overlap(hosts, _ingress_hosts(ingress))
        ):
            yield Warned(
                str(ref), f"the canary Ingress {name} is there for the same host; only one of two counts"
            )


def _ingress_hosts(ingress: Object) -> set[str]:
    rules = ingress.get("spec", {}).get("rules") or ()
    return {str(rule.get("host", "")) for rule in rules} or {""}


def _overlap(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether one name may fit both; "" is any host, ``*.`` any name below."""
    return any(_meets(one, other) for one in some for other in list(others))


def _meets(one: str, other: str) -> bool:
    if one == other or not one or not other:
        return True
    return _below(one, other) or _below(other, one)


def _below(host: str, wild: str) -> bool:
    return wild.startswith("*.") and host.removeprefix("*").endswith(wild[1:])
