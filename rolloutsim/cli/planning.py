"""From a policy and a pod template to a plan: what ``plan`` writes and ``run POLICY`` makes on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rolloutsim.cli.cluster import Exit, Site, fail, say
from rolloutsim.errors import ExecutorError, InputError, Position

if TYPE_CHECKING:
    from rolloutsim.engine import State
    from rolloutsim.live.permissions import Missing
    from rolloutsim.live.plan import Plan
    from rolloutsim.live.port import Object
    from rolloutsim.live.prediction import Prediction
    from rolloutsim.live.state import Saved
    from rolloutsim.live.traffic_probe import TrafficProbe
    from rolloutsim.live.workload import SlotPair
    from rolloutsim.policy.model import Policy

__all__ = ["described", "fields_of", "lacking", "make_plan", "namespace_of", "now", "read_text"]


def now() -> datetime:
    """The time of day, for what people and certificates read."""
    return datetime.now(UTC)  # noqa: TID251 - a certificate's end and a plan's date are times of day


def read_text(path: Path) -> str:
    """The text of a file. Raises InputError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", at=Position(str(path))) from None
    except UnicodeDecodeError:
        raise InputError("the file is not text", at=Position(str(path))) from None


def namespace_of(site: Site, policy: Policy) -> str:
    """The flag's, else the one that the policy names, else the context's."""
    return policy.namespace if policy.namespace != "default" and not site.chosen else site.namespace


def make_plan(
    site: Site,
    policy: Policy,
    *,
    images: Sequence[str],
    template: Path | None,
    certificate: str,
    prediction: Prediction | None,
    probe: TrafficProbe | None = None,
) -> Plan:
    """Look at the cluster and write down what a run would do. Nothing is written there.

    Raises
    ------
    ExecutorError : the cluster cannot be read, or refuses what the policy needs.
    InputError : the release is not named, or not there.
    """
    from rolloutsim.live.cluster import needed_rights
    from rolloutsim.live.kubernetes import cluster_uid
    from rolloutsim.live.permissions import missing_rights
    from rolloutsim.live.plan import Plan, found_now
    from rolloutsim.live.port import Forbidden
    from rolloutsim.live.preview import preview
    from rolloutsim.live.release import Release
    from rolloutsim.live.routers import router_for
    from rolloutsim.live.state import StateStore
    from rolloutsim.live.warnings import find_warnings
    from rolloutsim.live.workload import SlotPair, look

    if probe is not None and not _divides(policy):
        raise InputError("--traffic-probe checks the weights of a canary's route, and this policy has none")
    namespace = namespace_of(site, policy)
    slots, router = SlotPair(site.api, policy, namespace), router_for(site.api, policy, namespace)
    missing = missing_rights(site.api, namespace, needed_rights(policy, namespace, slots, router))
    found = StateStore(site.api, namespace, policy.name).read()
    stable = _stable(site, policy, namespace, slots, found)
    content = _template(slots, stable, images, template)
    try:
        revision = slots.identify(content, stable)
    except Forbidden:
        if missing:
            lacking(missing)
        raise
    _check(policy, found, stable, revision)
    full = slots.occupied(look(site.api, slots.refs), revision, stable)
    if full:
        fail(full, Exit.WAITING)
    fields = fields_of(policy, namespace, content)
    release = Release(policy, revision, {revision: content}, fields, prediction, probe)
    warnings = [str(warning) for warning in find_warnings(site.api, policy, namespace, router)]
    warnings += _literal_secrets(content)
    try:
        changes = preview(site.api, release, namespace, stable)
    except Forbidden as error:
        if not missing:
            raise
        changes = ()
        warnings.append(f"the first writes could not be tried: {error}")
    return Plan(
        rollout=policy.name,
        namespace=namespace,
        context=site.context,
        server=site.server,
        cluster=cluster_uid(site.api),
        made=now().isoformat(timespec="seconds"),
        release=release,
        stable=stable,
        found=found_now(site.api, policy, namespace),
        changes=changes,
        missing=tuple(one.rule for one in missing),
        warnings=tuple(warnings),
        certificate=certificate,
    )


def _divides(policy: Policy) -> bool:
    """Whether a route of the policy divides requests by weight."""
    from rolloutsim.policy.model import Canary

    return isinstance(policy.strategy, Canary) and policy.strategy.routing is not None


def lacking(missing: Sequence[Missing]) -> NoReturn:
    """Name the rights that an account lacks, as rules for a Role; exit code 4."""
    say("rights are missing; add to a Role:")
    for one in missing:
        say(f"  {one.rule}")
    fail("nothing was begun, since it could not be ended without these rights", Exit.CLUSTER)


def _stable(site: Site, policy: Policy, namespace: str, slots: SlotPair, found: Saved | None) -> str:
    """The stable revision by the state in the cluster, else by what users reach."""
    from rolloutsim.live.recovery import snapshot
    from rolloutsim.live.routers import router_for
    from rolloutsim.live.workload import look

    if found is not None and found.state is not None:
        return found.state.status.stable
    router = router_for(site.api, policy, namespace)
    objects = look(site.api, tuple(dict.fromkeys((*slots.refs, *router.watches))))
    return snapshot(policy, slots.read(objects), router.read(objects), 0).stable


def _template(slots: SlotPair, stable: str, images: Sequence[str], file: Path | None) -> Object:
    from rolloutsim.live.slots import holding
    from rolloutsim.live.template import template_in, with_images
    from rolloutsim.live.workload import look

    if file is not None:
        return with_images(template_in(read_text(file), str(file)), images)
    if not images:
        raise InputError("what is to be released?", fix="give --image IMAGE or --template FILE")
    objects = look(slots.api, slots.refs)
    read = slots.read(objects)
    slot = holding(read, stable) if stable else next((one for one in read if one.exists), None)
    if slot is None:
        raise ExecutorError("no Deployment of the policy's target is there; create one (0 replicas will do)")
    body = objects[slot.ref]
    return with_images(body["spec"]["template"], images)


def _check(policy: Policy, found: Saved | None, stable: str, revision: str) -> None:
    """Refuse what cannot begin now."""
    from rolloutsim.live.plan import underway

    state: State | None = found.state if found is not None else None
    if state is not None and underway(state) and state.facts.asked != revision:
        fail(
            f"{policy.name} is rolling out {state.facts.asked}; promote, abort or resume that one first",
            Exit.WAITING,
        )
    if revision == stable:
        fail(f"{revision} is the stable revision of {policy.name} already: nothing to release", Exit.USAGE)


def fields_of(policy: Policy, namespace: str, template: Object) -> tuple[tuple[str, str], ...]:
    """The values of the fields that arguments of the policy name, as a Rollout would have them."""
    from rolloutsim.live.template import field_values
    from rolloutsim.live.warnings import analyses
    from rolloutsim.policy.model import FieldArgument

    late = [argument for analysis in analyses(policy) for argument in analysis.late]
    paths = dict.fromkeys(argument.path for argument in late if isinstance(argument, FieldArgument))
    document = {
        "metadata": {"name": policy.name, "namespace": namespace},
        "spec": {"replicas": policy.replicas, "template": template},
    }
    return field_values(tuple(paths), document)


SUSPICIOUS = ("PASSWORD", "SECRET", "TOKEN", "PRIVATE_KEY", "API_KEY")


def _literal_secrets(template: Object) -> Iterator[str]:
    """Values that look like secrets stand in the template itself, and so in the plan and in the state."""
    for container in template.get("spec", {}).get("containers") or ():
        for variable in container.get("env") or ():
            name = str(variable.get("name", ""))
            if variable.get("value") and any(part in name.upper() for part in SUSPICIOUS):
                yield (
                    f"the pod template spells out {name} of the container {container.get('name')}, so the "
                    "plan and the state hold it too; let it come from a Secret (valueFrom.secretKeyRef)"
                )


# --- words ----------------------------------------------------------------------------------------


def described(plan: Plan) -> Iterator[str]:
    """The plan for people."""
    from rolloutsim.engine.steps import step_text
    from rolloutsim.policy.model import Canary

    policy = plan.release.policy
    yield f"rollout    {plan.rollout} in namespace {plan.namespace} of {plan.context} ({plan.server})"
    yield f"cluster    {plan.cluster or 'uid hidden'}"
    yield f"revision   {plan.stable or 'none'} → {plan.release.revision}"
    yield f"policy     {plan.policy_digest}"
    strategy = policy.strategy
    if isinstance(strategy, Canary) and strategy.steps:
        yield "steps      " + ", ".join(map(step_text, strategy.steps))
    yield "objects"
    changed = {change.object: change for change in plan.changes}
    for found in plan.found:
        change = changed.get(found.object)
        new = " (new)" if not found.mark else ""
        yield f"  {found.object}{new}" + ("" if change else ": unchanged at first")
        if change is not None:
            yield from (f"    {line}" for line in change.lines)
    yield "rights     " + ("all there" if not plan.missing else "missing; add to a Role:")
    yield from (f"  {rule}" for rule in plan.missing)
    yield from (f"warning    {warning}" for warning in plan.warnings)
    if plan.release.probe is not None:
        yield f"probe      each weight, with requests to {plan.release.probe}"
    yield from _foreseen(plan.prediction)
    yield "certificate " + ("in the plan" if plan.certificate else "none: run needs --unvetted REASON")


def _foreseen(prediction: Prediction | None) -> Iterator[str]:
    if prediction is None:
        yield "prediction none: give --scenario"
        return
    what = "a good release" if prediction.healthy else "a bad release"
    shares = ", ".join(f"{name} {share:.0%}" for name, share in prediction.foreseen.outcomes)
    played = f"{prediction.runs} runs, seed {prediction.seed}"
    yield f"prediction {what} ({prediction.scenario}), {played}: {shares}"
    length, bad = prediction.foreseen.duration_s, prediction.foreseen.bad_requests
    yield f"  duration {length.p50 / 60:.1f} min (5–95 %: {length.p05 / 60:.1f}–{length.p95 / 60:.1f})"
    yield f"  bad requests {bad.p50:.0f} (5–95 %: {bad.p05:.0f}–{bad.p95:.0f})"
