"""The kinds that the emulator serves, and how each behaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rolloutsim.lab.schema import ANY, Node
from rolloutsim.lab.shapes import SHAPES, shaped

__all__ = ["KINDS", "Kind", "Kinds"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object.

    custom : defined by a CustomResourceDefinition: no strategic merge patch, no update without a
        resourceVersion.
    status, scale : it has that subresource. generation : the server counts changes of the spec.
    unconditional : a PUT needs no resourceVersion. put_creates : a PUT of a missing object makes it.
    virtual : a question that is answered and not kept.
    """

    group: str
    version: str
    kind: str
    plural: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    custom: bool = False
    status: bool = False
    scale: bool = False
    generation: bool = False
    unconditional: bool = True
    put_creates: bool = False
    virtual: bool = False

    @property
    def api_version(self) -> str:
        """``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """``pods`` or ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def schema(self) -> Node:
        """What its objects look like."""
        return SHAPES.get(self.kind, _OPEN)


_OPEN = Node("object", fields=shaped(spec=ANY, status=ANY).fields, open=True)
_GATEWAY, _RBAC, _ARGO = "gateway.networking.k8s.io", "rbac.authorization.k8s.io", "argoproj.io"


def _core(kind: str, plural: str, *short: str, **behaviour: bool) -> Kind:
    return Kind("", "v1", kind, plural, short, **behaviour)


def _custom(group: str, version: str, kind: str, plural: str, *short: str, **behaviour: bool) -> Kind:
    return Kind(
        group, version, kind, plural, short, custom=True, generation=True, unconditional=False, **behaviour
    )


_BUILT_IN = (
    _core("Namespace", "namespaces", "ns", namespaced=False, status=True),
    _core("Node", "nodes", "no", namespaced=False, status=True),
    _core("Pod", "pods", "po", status=True, generation=True),
    _core("Service", "services", "svc", status=True, put_creates=True),
    _core("Endpoints", "endpoints", "ep", put_creates=True),
    _core("ConfigMap", "configmaps", "cm"),
    _core("Secret", "secrets"),
    _core("ServiceAccount", "serviceaccounts", "sa"),
    _core("Event", "events", "ev", put_creates=True),
    Kind("apps", "v1", "Deployment", "deployments", ("deploy",), status=True, scale=True, generation=True),
    Kind("apps", "v1", "ReplicaSet", "replicasets", ("rs",), status=True, scale=True, generation=True),
    Kind("batch", "v1", "Job", "jobs", status=True, generation=True),
    Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", ("hpa",), status=True),
    Kind("networking.k8s.io", "v1", "Ingress", "ingresses", ("ing",), status=True, generation=True),
    Kind("networking.k8s.io", "v1", "IngressClass", "ingressclasses", namespaced=False, generation=True),
    Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", generation=True),
    Kind("coordination.k8s.io", "v1", "Lease", "leases", unconditional=False, put_creates=True),
    Kind(_RBAC, "v1", "Role", "roles"),
    Kind(_RBAC, "v1", "RoleBinding", "rolebindings"),
    Kind(_RBAC, "v1", "ClusterRole", "clusterroles", namespaced=False),
    Kind(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    *(
        Kind("authorization.k8s.io", "v1", kind, kind.lower() + "s", namespaced=False, virtual=True)
        for kind in ("SelfSubjectAccessReview", "SelfSubjectRulesReview")
    ),
    Kind(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        ("crd",),
        namespaced=False,
        status=True,
        generation=True,
    ),
)

_DEFINED = (
    _custom(_GATEWAY, "v1", "GatewayClass", "gatewayclasses", "gc", namespaced=False, status=True),
    _custom(_GATEWAY, "v1", "Gateway", "gateways", "gtw", status=True),
    _custom(_GATEWAY, "v1", "HTTPRoute", "httproutes", status=True),
    _custom(_GATEWAY, "v1", "GRPCRoute", "grpcroutes", status=True),
    _custom(_GATEWAY, "v1", "TLSRoute", "tlsroutes", status=True),
    _custom(_GATEWAY, "v1", "BackendTLSPolicy", "backendtlspolicies", "btlspolicy", status=True),
    _custom(_GATEWAY, "v1beta1", "ReferenceGrant", "referencegrants", "refgrant"),
    # Argo Rollouts' own definitions: rollouts have status and scale, analysis runs no subresource.
    _custom(_ARGO, "v1alpha1", "Rollout", "rollouts", "ro", status=True, scale=True),
    _custom(_ARGO, "v1alpha1", "AnalysisTemplate", "analysistemplates", "at"),
    _custom(
        _ARGO, "v1alpha1", "ClusterAnalysisTemplate", "clusteranalysistemplates", "cat", namespaced=False
    ),
    _custom(_ARGO, "v1alpha1", "AnalysisRun", "analysisruns", "ar"),
    _custom(_ARGO, "v1alpha1", "Experiment", "experiments", "exp"),
)

KINDS: tuple[Kind, ...] = (*_BUILT_IN, *_DEFINED)
"""All of them, built-in ones first."""


class Kinds:
    """Finds a kind by its name or by its place in the API."""

    def __init__(self, kinds: Iterable[Kind] = KINDS) -> None:
        self.all = tuple(kinds)
        self._named: Mapping[str, Kind] = {kind.kind: kind for kind in self.all}
        self._placed = {(kind.group, kind.version, kind.plural): kind for kind in self.all}

    def named(self, name: str) -> Kind:
        """The kind with this name; ValueError if there is none."""
        found = self._named.get(name)
        if found is None:
            raise ValueError(f"no kind {name!r} here; there are {', '.join(self._named)}")
        return found

    def placed(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind at a place, or None."""
        return self._placed.get((group, version, plural))

    def groups(self) -> dict[str, list[str]]:
        """Versions of each group, in order of appearance."""
        found: dict[str, list[str]] = {}
        for kind in self.all:
            versions = found.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        return found
