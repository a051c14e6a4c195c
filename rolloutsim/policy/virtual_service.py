"""Do the routes of an Istio VirtualService lead to both versions? Checked when the object is in the files.

Source: argoproj/argo-rollouts, pkg/apis/rollouts/validation/validation_references.go
(``ValidateVirtualService``) and rollout/trafficrouting/istio (``ValidateHTTPRoutes`` and its siblings).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rolloutsim.policy.document import Bundle, Document, Path
from rolloutsim.policy.shape import Fields, Leaf, ListOf, check_shape

__all__ = ["check_virtual_services"]

DESTINATION = Fields({"host": Leaf.TEXT, "subset": Leaf.TEXT}, open=True)
MATCH = Fields({"port": Leaf.INTEGER, "sniHosts": ListOf(Leaf.TEXT)}, open=True)
ROUTE = Fields(
    {
        "name": Leaf.TEXT,
        "match": ListOf(MATCH),
        "route": ListOf(Fields({"destination": DESTINATION}, open=True)),
    },
    open=True,
)
PROTOCOLS = {"http": "routes", "tls": "tlsRoutes", "tcp": "tcpRoutes"}
"""A list of routes of a VirtualService, and the field of the Rollout that names some of them."""
OBJECT = Fields(
    {"spec": Fields(dict.fromkeys(PROTOCOLS, ListOf(ROUTE)), open=True)}, required=("spec",), open=True
)


def check_virtual_services(document: Document, bundle: Bundle, path: Path, canary: Mapping[str, Any]) -> None:
    """Check the VirtualServices that ``trafficRouting.istio`` of the canary at ``path`` names.

    Raises
    ------
    PolicyError : a route that the Rollout names is missing, one of several is not named, or a route to be
        split does not lead to both the stable and the canary version.
    """
    istio = canary.get("trafficRouting", {}).get("istio", {})
    one = istio.get("virtualService")
    named: list[tuple[Path, Mapping[str, Any]]] = [] if one is None else [(("virtualService",), one)]
    named += [
        (("virtualServices", index), each) for index, each in enumerate(istio.get("virtualServices", []))
    ]
    for place, reference in named:
        # The name may carry a namespace behind a dot.
        name, _, namespace = reference["name"].partition(".")
        found = bundle.find("VirtualService", name, namespace.partition(".")[0] or document.namespace)
        if found is None:
            continue
        check_shape(found, OBJECT)
        where = (*path, "trafficRouting", "istio", *place)
        if not any(protocol in found.spec for protocol in PROTOCOLS):
            why = f"{found.label} has no HTTP, TCP or TLS routes"
            raise document.error((*where, "name"), why, reference["name"])
        for protocol, field in PROTOCOLS.items():
            routes = found.spec.get(protocol)
            if routes is None:
                continue
            for index in _split_routes(document, (*where, field), canary, reference, protocol, routes):
                _check_destinations(found, ("spec", protocol, index, "route"), canary, routes[index])


def _split_routes(
    document: Document,
    where: Path,
    canary: Mapping[str, Any],
    reference: Mapping[str, Any],
    protocol: str,
    routes: Sequence[Mapping[str, Any]],
) -> list[int]:
    """Positions of the routes whose weights the controller sets."""
    wanted = reference.get(PROTOCOLS[protocol], [])
    if wanted:
        found = []
        for index, each in enumerate(wanted):
            matching = [at for at, route in enumerate(routes) if _is_meant(protocol, each, route)]
            if not matching:
                why = f"the VirtualService has no such {protocol} route"
                raise document.error((*where, index), why, each if isinstance(each, str) else None)
            found += matching[:1] if protocol == "http" else matching
        return found
    managed = {route["name"] for route in canary["trafficRouting"].get("managedRoutes", [])}
    own = [at for at, route in enumerate(routes) if protocol != "http" or route.get("name") not in managed]
    if len(own) > 1:
        why = f"the VirtualService has {len(own)} {protocol} routes, and none is named here"
        raise document.error(where, why, fix=f"name those to be split in {PROTOCOLS[protocol]}")
    if protocol == "http":
        return [at for at, route in enumerate(routes) if not route.get("name")][:1]
    return [0] if routes else []


def _is_meant(protocol: str, wanted: Any, route: Mapping[str, Any]) -> bool:
    if protocol == "http":
        return bool(route.get("name", "") == wanted)
    matches = route.get("match", [])
    ports = {match.get("port", 0) for match in matches}
    if len(ports) > 1 or wanted.get("port", 0) not in (ports or {0}):
        return False
    hosts = {host for match in matches for host in match.get("sniHosts", [])}
    return protocol == "tcp" or set(wanted.get("sniHosts", [])) == hosts


def _check_destinations(
    found: Document, path: Path, canary: Mapping[str, Any], route: Mapping[str, Any]
) -> None:
    """A route to be split leads to both versions: to two Services, or to two subsets of one."""
    rule = canary["trafficRouting"]["istio"].get("destinationRule")
    destinations = [each.get("destination", {}) for each in route.get("route", [])]
    if rule is None:
        there = {destination.get("host", "").partition(".")[0] for destination in destinations}
        needed = [("Service", canary.get(field, "")) for field in ("canaryService", "stableService")]
    else:
        there = {destination.get("subset", "") for destination in destinations}
        needed = [("subset", rule.get(field, "")) for field in ("canarySubsetName", "stableSubsetName")]
    for kind, name in needed:
        if not name or name not in there:
            raise found.error(path, f"the route has no destination with the {kind} {name!r}", fix="add it")
