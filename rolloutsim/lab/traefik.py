"""A real Traefik in front of the pods: it watches the emulated API and routes real HTTP."""

from __future__ import annotations

import json
from pathlib import Path

from rolloutsim.errors import ExecutorError
from rolloutsim.lab.children import Child, find_program, free_port
from rolloutsim.lab.objects import Object
from rolloutsim.lab.server import Server

__all__ = ["CLASS", "GATEWAY", "Traefik"]

CLASS = "traefik"
GATEWAY = "lab"
"""Name of the Gateway, in namespace default, that takes routes of all namespaces."""
_CONTROLLER = "traefik.io/gateway-controller"
_READY_S = 15.0

_RULES = (
    {
        "apiGroups": ["", "discovery.k8s.io", "networking.k8s.io", "gateway.networking.k8s.io"],
        "resources": ["*"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["*/status"], "verbs": ["update", "patch"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["update", "patch"]},
)


class Traefik:
    """Routes by HTTPRoute (Gateway `GATEWAY`) and by Ingress with the annotations of ingress-nginx.

    port : of 127.0.0.1, 0 for a free one. throttle_ms : least time between two configurations
    (providersThrottleDuration; Traefik's own default is 2 s).
    """

    def __init__(self, server: Server, directory: Path, *, port: int = 0, throttle_ms: int = 100) -> None:
        self._server, self._directory = server, directory
        self.port = port or free_port()
        self._throttle_ms = throttle_ms
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Where it takes requests."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait for its first configuration; raises ExecutorError."""
        program = find_program("traefik")
        if program is None:
            raise ExecutorError("traefik is not installed; pip install 'rolloutsim[lab]' brings it")
        for thing in self._objects():
            self._server.apply(thing)
        token = self._server.account("system:serviceaccount:kube-system:traefik", _RULES)
        path = self._directory / "traefik.json"
        path.touch(0o600)
        path.write_text(json.dumps(self._configuration(token)), encoding="utf-8")
        self._child = Child([program, f"--configFile={path}"], self._directory / "traefik.log")
        self._child.wait_until(self._is_programmed, _READY_S)

    def stop(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _is_programmed(self) -> bool:
        gateway = self._server.get("Gateway", GATEWAY) or {}
        conditions = (gateway.get("status") or {}).get("conditions") or ()
        return any(each["type"] == "Programmed" and each["status"] == "True" for each in conditions)

    def _objects(self) -> list[Object]:
        everywhere = {"namespaces": {"from": "All"}}
        listener = {"name": "web", "protocol": "HTTP", "port": self.port, "allowedRoutes": everywhere}
        return [
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "GatewayClass",
                "metadata": {"name": CLASS},
                "spec": {"controllerName": _CONTROLLER},
            },
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "metadata": {"name": GATEWAY, "namespace": "default"},
                "spec": {"gatewayClassName": CLASS, "listeners": [listener]},
            },
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "IngressClass",
                "metadata": {"name": "nginx"},
                "spec": {"controller": "k8s.io/ingress-nginx"},
            },
        ]

    def _configuration(self, token: str) -> Object:
        api: Object = {"endpoint": self._server.url, "token": token}
        if self._server.certificate is not None:
            api["certAuthFilePath"] = str(self._server.certificate)
        return {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "INFO"},
            "entryPoints": {"web": {"address": f"127.0.0.1:{self.port}"}},
            "providers": {
                "providersThrottleDuration": f"{self._throttle_ms}ms",
                "kubernetesGateway": api,
                "kubernetesIngressNGINX": {**api, "watchIngressWithoutClass": True},
            },
        }
