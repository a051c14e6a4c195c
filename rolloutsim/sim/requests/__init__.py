"""Request fidelity: every request of a service through routing, balancing, queues, time-outs and retries.

`model` says in frozen data how requests are played: endpoint classes and their work, slots and queue of a
pod, balancing, the clients' patience, sessions. `plane.RequestPlane` plays them::

    plane = RequestPlane(requests, seed, run, lanes=((0, 1),), expected=..., bounds_ms=(5.0, 10.0, 25.0))
    pods = [plane.start_pod(version=0, warm=True) for _ in range(9)]
    plane.route([Route(1.0, tuple(pods))])
    plane.conditions([Lane(error_rate=0.02), Lane(error_rate=0.04)])
    plane.advance(15_000)
    plane.histogram  # (lanes, without and with error, buckets), counts so far

Between two calls of `advance` pods may start (`start_pod`), drain (a `route` without them; `load` says when
they are empty), be killed (`kill_pod`: what is on it is cut off, what is still sent to it is refused), be
forgotten (`remove_pod`) and slow down (`slow_pod`); routes and conditions may change. The state is then the
true one, and the counts are the same however time was sliced.

`fidelity.RequestDataPlane` is what a simulated world uses: it has the methods of
`rolloutsim.sim.dataplane.DataPlane`, and one more, `set_pods(version, ready, lingering, refusing)`, by which
the world says, before `change`, which pods it has: the ordinals of the ready ones, how many of the deleted
ones still serve what reaches them, and how many refuse it.

Importing this package is cheap; its modules `plane` and `fidelity` load the compiler.
"""

from __future__ import annotations

from rolloutsim.sim.requests.model import (
    Balancing,
    Client,
    Endpoint,
    Fidelity,
    Law,
    Pods,
    Requests,
    Sessions,
    Stickiness,
)

__all__ = ["Balancing", "Client", "Endpoint", "Fidelity", "Law", "Pods", "Requests", "Sessions", "Stickiness"]
