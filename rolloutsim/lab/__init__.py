"""An emulated Kubernetes cluster on this machine's loopback, to try and to test rollouts without a real one.

`Server` is the API server: plain Python, HTTP on 127.0.0.1, a bearer token. It keeps the real one's
semantics where a rollout can feel them (resourceVersions, conflicts, the four patches, server-side apply,
subresources, selectors, watches with bookmarks and 410, RBAC), for the kinds in `rolloutsim.lab.kinds`. It is
an emulator and says so in ``/version``. It contains no controllers: nothing happens to a Deployment unless
somebody does it. The whole that moves, with controllers, pods that answer, Traefik and Prometheus, is
`rolloutsim.lab.lab.Lab`, which ``rolloutsim lab up`` starts.

>>> from rolloutsim.lab import Server
>>> server = Server().start()                     # or: with Server() as server:
>>> _ = server.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}})
>>> server.get("ConfigMap", "a")["data"]
{'k': 'v'}
>>> server.stop()

Clients use ``server.url`` with ``Authorization: Bearer`` ``server.token``, or ``server.kubeconfig(path)``.
kubectl sends a token over TLS only: ``Server(certificate=C, key=K)`` with ``C, K = self_signed(directory)``.

In the same process, without HTTP, permissions or callbacks (all give copies, all are safe from any thread):

* ``create(kind, object)``, ``apply(object)`` (create or replace, with status), ``get(kind, name,
  namespace)``, ``list(kind, namespace, labels)``, ``patch(kind, name, merge_patch, namespace)``,
  ``write_status(kind, name, status, namespace)`` (replaces it), ``delete(kind, name, namespace)``;
* ``after_write(callback)``: ``callback(kind, object)`` runs synchronously inside each *HTTP* request that
  wrote something, after the write and before the answer is sent. The writes it makes itself call nothing.
* ``requests``: what was asked, as `Seen` (user, method, url, code), oldest first.

Permissions: ``server.account("robot", rules, namespace)`` gives a token for a user who may do only that
(RBAC rules as in a Role); a service account's token is
``server.account("system:serviceaccount:NAMESPACE:NAME")`` and may do what the Role and RoleBinding objects in
the cluster say. What is not allowed gets the real server's 403.

Faults: ``server.faults.slow(2.0, count=3, method="PATCH", path="/httproutes/")``, ``faults.answer(429, 1,
retry_after_s=1)`` (``acted=True``: the write happened all the same), ``faults.lose(1)`` (the connection ends
without an answer, after the write), ``cut_watches()``, ``expire_history()`` (410), ``stop()`` and ``start()``
(down, and back on the same port with the same objects). ``Server(now_ms=clock)`` replaces the clock,
``self_signed(directory, days=-1)`` makes a certificate that has expired.
"""

from rolloutsim.lab.certificates import self_signed
from rolloutsim.lab.refusals import Refused
from rolloutsim.lab.server import Seen, Server

__all__ = ["Refused", "Seen", "Server", "self_signed"]
