"""``rbac``: the rights of an executor in a cluster, as manifests."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from rolloutsim.cli.inputs import Argo, ArgoOption
from rolloutsim.cli.plan import PolicyFile
from rolloutsim.errors import InputError

if TYPE_CHECKING:
    from rolloutsim.live.port import Kubernetes, Object
    from rolloutsim.policy.model import Policy

__all__ = ["rbac", "rbac_manifests", "yaml_text"]

GROUP = "rbac.authorization.k8s.io"


def rbac(
    policy: PolicyFile,
    account: Annotated[str, typer.Option(help="The service account.")] = "rolloutsim",
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="The namespace.", show_default="the policy's")
    ] = "",
    argo: ArgoOption = Argo.MASTER,
) -> None:
    """Print a service account, the smallest Role that runs this policy, and their binding. Offline."""
    from rolloutsim.cli.inputs import one_policy

    chosen = one_policy(policy, argo)
    if chosen.kind == "Rollout":
        raise InputError("the Argo Rollouts controller executes a Rollout", fix="it has its own rights")
    sys.stdout.write(yaml_text(rbac_manifests(chosen, namespace or chosen.namespace, account)))


def rbac_manifests(policy: Policy, namespace: str, account: str) -> list[Object]:
    """The service account, the Role and the binding.

    Raises
    ------
    ExecutorError : the policy has no part that an executor could act on.
    """
    from rolloutsim.live.cluster import needed_rights
    from rolloutsim.live.permissions import role
    from rolloutsim.live.routers import router_for
    from rolloutsim.live.workload import SlotPair

    nobody = cast("Kubernetes", None)  # rights follow from names; no cluster is asked
    slots, router = SlotPair(nobody, policy, namespace), router_for(nobody, policy, namespace)
    name = f"rolloutsim-{policy.name}"
    metadata = {"name": name, "namespace": namespace}
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": namespace},
        },
        role(name, namespace, needed_rights(policy, namespace, slots, router)),
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    ]


def yaml_text(documents: list[dict[str, Any]]) -> str:
    """Several documents as YAML."""
    from io import StringIO

    from ruamel.yaml import YAML

    out = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.explicit_start = True
    yaml.dump_all(documents, out)
    return out.getvalue()
