"""``forget``: remove what a finished rollout left in the cluster."""

from __future__ import annotations

import typer

from rolloutsim.cli.cluster import As, Context, Exit, Kubeconfig, Namespace, Site, connected, fail, say
from rolloutsim.cli.executing import holder_name
from rolloutsim.cli.run import Name

__all__ = ["forget"]


def forget(
    name: Name,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """Delete the state of a rollout that is over, its Lease, and what it created and nobody uses.

    Deployments with pods, Services and routes stay as they are. Exit code 6: it is not over.
    """
    with connected(kubeconfig, context, namespace, impersonate) as site:
        _forgotten(site, name)


def _forgotten(site: Site, name: str) -> None:
    from rolloutsim.live.asking import subject
    from rolloutsim.live.clock import SystemClock
    from rolloutsim.live.lease import Fenced, Lease
    from rolloutsim.live.plan import underway
    from rolloutsim.live.port import LEASE, Forbidden, NotFound, Ref
    from rolloutsim.live.routers import router_for
    from rolloutsim.live.state import StateStore
    from rolloutsim.live.workload import SlotPair

    about = subject(site.api, site.namespace, name)
    if underway(about.state):
        fail(f"{name} is rolling out {about.state.facts.asked}; promote it or abort it first", Exit.WAITING)
    lease = Lease(
        site.api,
        Ref(LEASE, site.namespace, f"rolloutsim-{name}"),
        holder_name(),
        now_ms=SystemClock().now_ms,
    )
    if holder := lease.acquire():
        fail(f"{name} is being executed by {holder}; wait for its end", Exit.WAITING)
    api = Fenced(site.api, lease.check)
    router_for(api, about.policy, site.namespace).clean_up()
    slots = SlotPair(api, about.policy, site.namespace)
    if not slots.clean_up():
        say(f"{slots.refs[1]} has pods, so it stays")
    StateStore(api, site.namespace, name).delete(about.saved)
    try:
        api.delete(lease.ref)
    except (Forbidden, NotFound) as error:
        lease.release()
        say(str(error))
    typer.echo(f"{name} is forgotten")
