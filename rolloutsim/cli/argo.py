"""The live verbs on a cluster with an installed Argo Rollouts controller: it decides, we send and follow."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rolloutsim.cli.cluster import Exit, Site, fail, say
from rolloutsim.errors import InputError, PolicyError, Position

if TYPE_CHECKING:
    from rolloutsim.cli.manner import Manner
    from rolloutsim.live.argo import View
    from rolloutsim.live.inbox import Verb
    from rolloutsim.live.plan import Plan
    from rolloutsim.live.port import Object, Ref
    from rolloutsim.policy.model import Policy

__all__ = ["bare_plan", "command", "follows", "preview_manifests", "run_manifests", "status", "undo"]

LOOK_AGAIN_S = 1.0


def follows(site: Site, name: str) -> bool:
    """Whether a rollout is the controller's: there is a Rollout of this name, and no state of ours."""
    from rolloutsim.live.port import CONFIG_MAP, Forbidden, NotFound, Ref

    try:
        site.api.get(Ref(CONFIG_MAP, site.namespace, f"rolloutsim-{name}"))
    except NotFound:
        try:
            site.api.get(_ref(site, name))
        except (NotFound, Forbidden):
            return False
        return True
    return False


def command(site: Site, name: str, verb: Verb) -> Exit:
    """Send a command as the controller's own command line does, and print the same by hand."""
    from rolloutsim.live.argo import command_writes

    writes = command_writes(verb, site.api.get(_ref(site, name)))
    say("by hand:")
    for write in writes:
        say(f"  {site.kubectl}{write.kubectl.removeprefix('kubectl')}")
    for write in writes:
        site.api.merge_patch(write.ref, write.patch, subresource=write.subresource)
    typer.echo(f"{verb} is sent to the controller; rolloutsim status {name} --watch")
    return Exit.FINE


def status(site: Site, name: str, watch: bool, form: str) -> Exit:
    """How the controller says that a Rollout stands."""
    last: View | None = None
    while True:
        view = _view(site, name)
        if view != last:
            sys.stdout.write(json.dumps(asdict(view)) + "\n" if form == "json" else _lines(name, view))
            sys.stdout.flush()
        last = view
        if not watch or view.at_rest or view.abort:
            return _code(view)
        try:
            time.sleep(LOOK_AGAIN_S)
        except KeyboardInterrupt:
            return Exit.INTERRUPTED


def undo(site: Site, name: str, to_revision: str) -> Exit:
    """Put the pod template of an earlier ReplicaSet back, as ``kubectl argo rollouts undo``."""
    from rolloutsim.live.argo.kinds import HASH_LABEL
    from rolloutsim.live.port import REPLICA_SET

    rollout = site.api.get(_ref(site, name))
    uid, asked = rollout["metadata"].get("uid"), rollout.get("status", {}).get("currentPodHash", "")
    number = "rollout.argoproj.io/revision"
    found: dict[int, Object] = {}
    for body in site.api.list(REPLICA_SET, site.namespace).items:
        metadata = body["metadata"]
        owned = any(owner.get("uid") == uid for owner in metadata.get("ownerReferences") or ())
        if owned and (metadata.get("labels") or {}).get(HASH_LABEL) != asked:
            found[int((metadata.get("annotations") or {}).get(number, 0))] = body
    wanted = int(to_revision) if to_revision.isdigit() else max(found, default=0)
    if wanted not in found:
        fail(f"the Rollout {name} has no other revision {to_revision}; it has {sorted(found)}", Exit.FAILED)
    template = json.loads(json.dumps(found[wanted]["spec"]["template"]))
    template.get("metadata", {}).get("labels", {}).pop(HASH_LABEL, None)
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    site.api.json_patch(_ref(site, name), patch)
    typer.echo(f"{name}: the template of revision {wanted} is asked for; rolloutsim status {name} --watch")
    return Exit.FINE


# --- manifests ------------------------------------------------------------------------------------


def bare_plan(site: Site, policy: Policy, certificate: str) -> Plan:
    """As much of a plan as leave to run needs."""
    from rolloutsim.cli.planning import namespace_of, now
    from rolloutsim.live.kubernetes import cluster_uid
    from rolloutsim.live.plan import Plan
    from rolloutsim.live.release import Release

    return Plan(
        rollout=policy.name,
        namespace=namespace_of(site, policy),
        context=site.context,
        server=site.server,
        cluster=cluster_uid(site.api),
        made=now().isoformat(timespec="seconds"),
        release=Release(policy, ""),
        stable="",
        certificate=certificate,
    )


def preview_manifests(site: Site, policy: Policy, files: Sequence[str], images: Sequence[str]) -> None:
    """Apply the manifests without keeping them, and print how the objects would differ."""
    from rolloutsim.cli.planning import namespace_of
    from rolloutsim.live.argo import apply_manifests
    from rolloutsim.live.port import NotFound
    from rolloutsim.live.preview import DryRun, differences

    dry = DryRun(site.api)
    apply_manifests(dry, _documents(files, policy.name, images), namespace_of(site, policy), dry_run=True)
    for ref, after in dry.written:
        try:
            before = site.api.get(ref)
        except NotFound:
            before = {}
        typer.echo(str(ref) + ("" if before else " (new)"))
        for path, change in differences(before, after):
            typer.echo(f"  {path}: {change}")
    say("the controller would take it from there; a plan file is for RolloutPolicy only")


def run_manifests(
    site: Site, policy: Policy, files: Sequence[str], images: Sequence[str], manner: Manner
) -> Exit:
    """Apply the manifests, follow what the controller does, and hold our engine's decisions against it.

    A manner that writes nothing applies nothing: it follows the next update that somebody asks for.
    """
    from rolloutsim.cli.executing import open_journal, stopping
    from rolloutsim.cli.planning import namespace_of
    from rolloutsim.live.argo import Follower, apply_manifests
    from rolloutsim.live.clock import SystemClock
    from rolloutsim.live.port import NotFound, Ref

    documents = _documents(files, policy.name, images)
    namespace = namespace_of(site, policy)
    ref = Ref(_ref(site, policy.name).kind, namespace, policy.name)
    follower = Follower(
        site.api,
        ref,
        policy,
        SystemClock(),
        journal=lambda manifest: open_journal(manner, manifest),
        told=lambda view: say(_lines(policy.name, view).rstrip()),
        note=say,
    )

    def put() -> None:
        for one in apply_manifests(site.api, documents, namespace):
            say(f"applied {one}")

    course: _Course | _Onlooking = _Course(put, wait=manner.wait)
    if not manner.writes:
        say("nothing is applied; waiting for an update that somebody else asks for")
        course = _Onlooking()
    try:
        course.before = site.api.get(ref).get("status", {}).get("currentPodHash", "")
    except NotFound:
        course.apply()
    with stopping(follower, manner.timeout_s) as stop:
        last = follower.follow(course.over)
    if follower.first_difference is not None:
        say(f"our engine would have done something else: {follower.first_difference}")
    if last is not None:
        typer.echo(_lines(policy.name, last).splitlines()[0])
    if stop.code is not None:
        say(f"the controller goes on: rolloutsim status {policy.name}, or rolloutsim abort {policy.name}")
        return stop.code
    return _code(last) if last is not None else Exit.WAITING


class _Course:
    """When to apply, and when a Rollout is over."""

    def __init__(self, put: Any, *, wait: bool) -> None:
        self.before = ""
        self._put = put
        self._wait = wait
        self._applied = False

    def apply(self) -> None:
        self._applied = True
        self._put()

    def over(self, view: View) -> bool:
        """Apply at the first look, so that the shadow begins before; over once what was asked for ended."""
        if not self._applied:
            self.apply()
            return False
        if view.asked == self.before:
            return False
        return view.at_rest or view.abort or (bool(view.pauses) and not self._wait)


class _Onlooking:
    """When an update that somebody else asks for is over."""

    before = ""

    def apply(self) -> None:
        """Nothing."""

    def over(self, view: View) -> bool:
        return view.asked != self.before and (view.at_rest or view.abort)


def _documents(files: Sequence[str], name: str, images: Sequence[str]) -> list[Mapping[str, Any]]:
    """The manifests as they stand in the files, with other images in the Rollout of this name."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from rolloutsim.cli.planning import read_text
    from rolloutsim.live.template import with_images

    found: list[Mapping[str, Any]] = []
    for file in files:
        try:
            parts = YAML(typ="safe", pure=True).load_all(read_text(Path(file)))
            found += [part for part in parts if isinstance(part, Mapping) and "kind" in part]
        except YAMLError:
            raise PolicyError("the file is not YAML", at=Position(file)) from None
    if not images:
        return found
    changed = []
    for document in found:
        if document["kind"] == "Rollout" and document["metadata"]["name"] == name:
            spec = document["spec"]
            if "template" not in spec:
                raise InputError(
                    f"the Rollout {name} takes its pods from elsewhere", fix="set the image there"
                )
            document = {**document, "spec": {**spec, "template": with_images(spec["template"], images)}}
        changed.append(document)
    return changed


# --- words ----------------------------------------------------------------------------------------


def _ref(site: Site, name: str) -> Ref:
    from rolloutsim.live.argo.kinds import ROLLOUT
    from rolloutsim.live.port import Ref

    return Ref(ROLLOUT, site.namespace, name)


def _view(site: Site, name: str) -> View:
    from rolloutsim.live.argo import view_of
    from rolloutsim.live.argo.kinds import ANALYSIS_RUN
    from rolloutsim.live.port import REPLICA_SET, SERVICE

    rollout = site.api.get(_ref(site, name))
    sets, services, runs = (
        site.api.list(kind, site.namespace).items for kind in (REPLICA_SET, SERVICE, ANALYSIS_RUN)
    )
    return view_of(rollout, sets, services, runs)


def _code(view: View) -> Exit:
    if view.abort or view.phase == "Degraded":
        return Exit.FAILED
    return Exit.WAITING if view.paused or (view.pauses and view.phase == "Paused") else Exit.FINE


def _lines(name: str, view: View) -> str:
    head = f"{name}  {view.phase or 'unknown'}"
    if view.step_index is not None:
        head += f"  step {view.step_index}"
    if view.weight is not None:
        head += f"  weight {view.weight}"
    lines = [head, f"  {view.message}"] if view.message else [head]
    lines.append("  executed by the Argo Rollouts controller")
    for one in view.revisions:
        role = "stable" if one.id == view.stable else "new" if one.id == view.asked else "old"
        lines.append(
            f"  {role:8} {one.id}  revision {one.number}  {one.available} of {one.desired} pods available"
        )
    lines += [f"  gate {one.metric} in {one.run} #{one.attempt}: {one.phase}" for one in view.taken[-5:]]
    return "\n".join(lines) + "\n"
