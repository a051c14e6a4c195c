"""The node: runs pods in the host process and writes their status."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator

from rolloutsim.lab.cluster import Cluster, Options
from rolloutsim.lab.kinds import Kind
from rolloutsim.lab.loop import Loop
from rolloutsim.lab.objects import Object, copied, label, time_text
from rolloutsim.lab.pods.profile import profile_of
from rolloutsim.lab.selectors import matches_selector
from rolloutsim.lab.store import Event

__all__ = ["NODE", "Kubelet"]

NODE = "emulator"
_PORT = 8080
_STATUS = Options("kubelet", strictness="Ignore", subresource="status")
_SPEC = Options("scheduler", strictness="Ignore")


class Kubelet:
    """Starts a backend for each pod, ends it with the pod, and keeps the pods' status."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods = cluster.kinds.named("Pod")
        self._loop = Loop("kubelet", cluster.store, self._keys, self._sync)
        self._running: dict[tuple[str, str], str] = {}
        self._states: dict[str, Object] = {}
        self._profiles: dict[str, Object] = {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start the host process and the loop."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rolloutsim.lab.pods.host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._listen, name="lab-kubelet-host", daemon=True)
        self._reader.start()
        self._loop.start()

    def stop(self) -> None:
        """End the loop and the host process with all pods."""
        self._loop.stop()
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if self._reader is not None:
                self._reader.join(5.0)
            if process.stdout is not None:
                process.stdout.close()

    def _keys(self, kind: Kind, event: Event) -> Iterator[tuple[str, str]]:
        meta = event.object["metadata"]
        if kind.kind == "Pod":
            yield meta["namespace"], meta["name"]
        elif kind.kind == "Deployment" and meta.get("annotations"):
            selector = event.object["spec"]["selector"]
            for pod in self._cluster.store.items(self._pods, meta["namespace"]):
                if matches_selector(selector, pod["metadata"].get("labels") or {}):
                    yield meta["namespace"], pod["metadata"]["name"]

    def _sync(self, namespace: str, name: str) -> float | None:
        pod = self._cluster.store.get(self._pods, namespace, name)
        known = self._running.get((namespace, name))
        if known is not None and (pod is None or pod["metadata"]["uid"] != known):
            self._send({"do": "stop", "id": known, "wait_s": 0})
            self._forget(known, (namespace, name))
            known = None
        if pod is None:
            return None
        uid = pod["metadata"]["uid"]
        if "deletionTimestamp" in pod["metadata"]:
            self._end(pod, known)
        elif known is None:
            self._begin(pod)
        else:
            self._refresh(pod)
            self._write_status(pod, uid)
        return None

    def _begin(self, pod: Object) -> None:
        meta, uid = pod["metadata"], pod["metadata"]["uid"]
        if not pod["spec"].get("nodeName"):
            bound = copied(pod)
            bound["spec"]["nodeName"] = NODE
            self._cluster.replace(self._pods, meta["namespace"], meta["name"], bound, _SPEC)
        self._running[meta["namespace"], meta["name"]] = uid
        profile = profile_of(pod, self._deployment(pod)).to_json()
        with self._lock:
            self._states[uid] = {"where": (meta["namespace"], meta["name"])}
            self._profiles[uid] = profile
        self._send(
            {
                "do": "start",
                "id": uid,
                "name": meta["name"],
                "service": label(pod, "app") or label(pod, "app.kubernetes.io/name") or meta["name"],
                "version": label(pod, "pod-template-hash") or label(pod, "rollouts-pod-template-hash") or "",
                "image": pod["spec"]["containers"][0]["image"],
                "ports": _ports(pod),
                "profile": profile,
            }
        )

    def _refresh(self, pod: Object) -> None:
        """Tell the pod how it has to behave, if that has changed."""
        uid = pod["metadata"]["uid"]
        profile = profile_of(pod, self._deployment(pod)).to_json()
        if self._profiles.get(uid) != profile:
            self._profiles[uid] = profile
            self._send({"do": "set", "id": uid, "profile": profile})

    def _end(self, pod: Object, known: str | None) -> None:
        meta, uid = pod["metadata"], pod["metadata"]["uid"]
        if known is None:
            self._cluster.delete(self._pods, meta["namespace"], meta["name"], {"gracePeriodSeconds": 0})
            return
        with self._lock:
            state = self._states[uid]
            if state.get("ends"):
                ended = state.get("ended", False)
            else:
                state["ends"], ended = True, False
                wait_s = min(self._profiles[uid]["shutdown_s"], meta.get("deletionGracePeriodSeconds", 30))
                self._send({"do": "stop", "id": uid, "wait_s": wait_s})
        if ended:
            self._forget(uid, (meta["namespace"], meta["name"]))
            self._cluster.delete(self._pods, meta["namespace"], meta["name"], {"gracePeriodSeconds": 0})

    def _forget(self, uid: str, where: tuple[str, str]) -> None:
        with self._lock:
            self._states.pop(uid, None)
            self._profiles.pop(uid, None)
            self._running.pop(where, None)

    def _deployment(self, pod: Object) -> Object | None:
        """The Deployment that a pod belongs to, if any."""
        namespace, name = pod["metadata"]["namespace"], ""
        for owner in pod["metadata"].get("ownerReferences") or ():
            replica_set = self._cluster.store.get(
                self._cluster.kinds.named("ReplicaSet"), namespace, owner["name"]
            )
            for above in (replica_set or {"metadata": {}})["metadata"].get("ownerReferences") or ():
                name = above["name"]
        return self._cluster.store.get(self._cluster.kinds.named("Deployment"), namespace, name)

    def _write_status(self, pod: Object, uid: str) -> None:
        with self._lock:
            state = dict(self._states.get(uid) or {})
        if "address" not in state:
            return
        status = _status(pod, state["address"], state.get("ready", False), state["since"], state["started"])
        if status != pod.get("status"):
            meta = pod["metadata"]
            self._cluster.replace(
                self._pods, meta["namespace"], meta["name"], {**copied(pod), "status": status}, _STATUS
            )

    def _send(self, command: Object) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            try:
                process.stdin.write(json.dumps(command) + "\n")
                process.stdin.flush()
            except (BrokenPipeError, ValueError):
                return  # the lab is ending

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            now = time_text(self._cluster.now_ms())
            with self._lock:
                state = self._states.get(told["id"])
                if state is None:
                    continue
                if told["event"] == "started":
                    state |= {"address": told["address"], "since": now, "started": now}
                elif told["event"] == "ended":
                    state["ended"] = True
                else:
                    state |= {"ready": told["event"] == "ready", "since": now}
            self._loop.add(state["where"])


def _ports(pod: Object) -> list[int]:
    declared = [
        port["containerPort"]
        for container in pod["spec"].get("containers") or ()
        for port in container.get("ports") or ()
    ]
    return sorted(set(declared)) or [_PORT]


def _status(pod: Object, address: str, ready: bool, since: str, started: str) -> Object:
    def condition(kind: str, holds: bool, at: str) -> Object:
        return {"type": kind, "status": "True" if holds else "False", "lastTransitionTime": at}

    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "127.0.0.1",
        "startTime": started,
        "observedGeneration": pod["metadata"].get("generation", 1),
        "conditions": [
            condition("PodScheduled", True, started),
            condition("Initialized", True, started),
            condition("ContainersReady", ready, since),
            condition("Ready", ready, since),
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": container["image"],
                "ready": ready,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": started}},
            }
            for container in pod["spec"]["containers"]
        ],
    }
