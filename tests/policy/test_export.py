"""Export: what is written means the same when it is read back, and what it does not keep is listed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rolloutsim.errors import PolicyError
from rolloutsim.policy import canonical, digest, load_policy, load_policy_text
from rolloutsim.policy.export import Exported, Loss, export_policy, read_manifests
from rolloutsim.policy.export_yaml import duration_text, yaml_text
from rolloutsim.policy.metric import canonical_json
from rolloutsim.policy.model import (
    Analysis,
    AnalysisStep,
    BlueGreen,
    Canary,
    ExperimentAnalysis,
    ExperimentStep,
    ExperimentTemplate,
    FieldArgument,
    IntOrPercent,
    JobProvider,
    Metric,
    OtherProvider,
    Pause,
    PluginStep,
    PodHashArgument,
    Policy,
    ProgressThreshold,
    PrometheusProvider,
    RangeQuery,
    Recreate,
    Retention,
    RollingUpdate,
    SecretArgument,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
    SetWeight,
    Target,
    TrafficRouting,
    WebProvider,
)
from rolloutsim.policy.yaml_source import read_documents
from tests.engine.chaos import Chaos, histories
from tests.policy.policy_manifests import ARTICLE, BLUE_GREEN, CANARY, SCENARIOS, changed

FILES = sorted(ARTICLE.glob("*.yaml")) + sorted((SCENARIOS / "policies").glob("*.yaml"))
OWN_FORM = {"Rollout": "argo", "RolloutPolicy": "native", "Deployment": "native"}

# --- policies as the loader makes them ------------------------------------------------------------

names = st.sampled_from(["a", "b-1", "yes", "0x1", "1.5", "null"])
old_numbers = st.sampled_from(
    ["010", "0o17", "1_000", "0b11", "1e3", ".5", "-.INF", "1:30", "2026-01-05", "=", "~"]
)
"""Texts that a reader of YAML 1.1, such as kubectl, takes for something else when they are not quoted."""
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
braces = st.sampled_from(["{{", "}}", "{{x}}", "{{args.hash}}", "{{args.gone}}", "{{{args.hash}}}", "{ {"])
wild = st.lists(st.one_of(texts, braces), min_size=1, max_size=3).map("".join)
settings_json = st.dictionaries(st.sampled_from(["method", "body"]), wild | st.just("POST"), max_size=2).map(
    canonical_json
)
durations = st.sampled_from([1, 250, 1_000, 59_000, 60_000, 5_400_000, 90_061_000])
late = st.lists(
    st.sampled_from(
        [
            PodHashArgument("hash", latest=True),
            PodHashArgument("old", latest=False),
            FieldArgument("app", "metadata.labels['app']"),
            SecretArgument("token", "credentials", "token"),
        ]
    ),
    unique=True,
).map(tuple)
labels = st.sampled_from(["api", "yes", "{{", 'q"uote', "two\nlines", "tab\t", "{{args.hash}}", "a{{b}}"])
queries = st.one_of(
    labels.map(lambda label: f"sum(rate(http_requests_total{{service={json.dumps(label)}}}[2m]))"),
    st.just('sum(\n  up{job="a"} # why\n)'),
)
providers = st.one_of(
    st.builds(
        PrometheusProvider,
        query=queries,
        address=st.sampled_from(["", "http://prometheus:9090", "on"]),
        timeout_ms=st.sampled_from([30_000, 1_000]),
        range_query=st.sampled_from([None, RangeQuery("now() - duration('5m')", "now()", 90_000)]),
        settings_json=st.sampled_from(["{}", '{"headers":[{"key":"X","value":"1"}],"insecure":true}']),
    ),
    st.builds(
        WebProvider,
        url=wild,
        json_path=st.sampled_from(["{$}", "{$.data}"]),
        timeout_ms=st.sampled_from([10_000, 2_000]),
        settings_json=settings_json,
    ),
    wild.map(lambda text: JobProvider(canonical_json({"spec": {"args": [text, 1, 0.5, True, []]}}))),
    st.builds(OtherProvider, st.sampled_from(["datadog", "plugin/x/y"]), settings_json),
)
conditions = st.one_of(st.just(""), labels.map(lambda label: f"string(result) != {json.dumps(label)}"))


@st.composite
def metrics(draw: st.DrawFn, *, endless: bool) -> Metric:
    failures, inconclusive = draw(st.integers(0, 2)), draw(st.integers(0, 1))
    interval = draw(st.none() | durations)
    count = draw(st.sampled_from([None, 5] if endless else [5])) if interval is not None else None
    return Metric(
        name=draw(names),
        provider=draw(providers),
        interval_ms=interval,
        initial_delay_ms=draw(st.just(0) | durations),
        count=count,
        success_condition=draw(conditions),
        failure_condition=draw(conditions),
        failure_limit=failures,
        inconclusive_limit=inconclusive,
        consecutive_error_limit=draw(st.sampled_from([0, 4, 9])),
        consecutive_success_limit=draw(st.integers(0, 2)),
    )


def analyses(*, endless: bool) -> st.SearchStrategy[Analysis]:
    return st.builds(
        Analysis,
        st.lists(metrics(endless=endless), min_size=1, max_size=2, unique_by=lambda m: m.name).map(tuple),
        late,
        st.lists(wild, max_size=2, unique=True).map(tuple),
        st.lists(
            st.builds(Retention, wild, st.integers(0, 9)), max_size=2, unique_by=lambda r: r.pattern
        ).map(tuple),
        st.sampled_from([(), (), ("one",), ("one", "two")]),
    )


finite = analyses(endless=False)
amounts = st.sampled_from([IntOrPercent(25, percent=True), IntOrPercent(3), IntOrPercent(40, percent=True)])
delays = st.sampled_from([None, 0, 20_000, 30_000])
pauses = st.sampled_from([None, 0, 1_000, 300_000, 5_400_000]).map(Pause)
common_steps = st.one_of(
    st.builds(SetWeight, st.sampled_from([0, 10, 100])), pauses, st.builds(AnalysisStep, finite)
)
scales = st.sampled_from(
    [SetCanaryScale(replicas=2), SetCanaryScale(weight=30), SetCanaryScale(match_traffic_weight=True)]
)
experiments = st.builds(
    lambda analyses, required: ExperimentStep(
        (ExperimentTemplate("a", canary=True), ExperimentTemplate("b", canary=False, weight=0)),
        tuple(ExperimentAnalysis(f"check-{n}", one, required) for n, one in enumerate(analyses)),
    ),
    st.lists(analyses(endless=True), max_size=2),
    st.booleans(),
)
mesh_steps = experiments | st.sampled_from(
    [
        SetHeaderRoute("beta", '[{"headerName":"x","headerValue":{"exact":"on"}}]'),
        SetHeaderRoute("beta"),
        SetMirrorRoute("copy", '[{"path":{"prefix":"/"}}]', 35),
        PluginStep("org/wait", '{"seconds":5}'),
        ExperimentStep(
            (ExperimentTemplate("a", canary=False, replicas=3, weight=5),),
            duration_ms=300_000,
            scale_down_delay_ms=0,
        ),
    ]
)
ISTIO = TrafficRouting(
    ("istio",),
    managed_routes=("beta", "copy"),
    settings_json='{"istio":{"virtualService":{"name":"api","routes":["primary"]}}}',
)
NGINX = TrafficRouting(("nginx",), settings_json='{"nginx":{"stableIngress":"api"}}')
GATEWAY = TrafficRouting(
    ("plugins/argoproj-labs/gatewayAPI",),
    1000,
    settings_json='{"plugins":{"argoproj-labs/gatewayAPI":{"httpRoute":"api","namespace":"default"}}}',
)


@st.composite
def canaries(draw: st.DrawFn, routing: TrafficRouting | None, steps: st.SearchStrategy[Any]) -> Canary:
    routed = routing is not None
    dynamic = routed and draw(st.booleans())
    background = draw(st.none() | analyses(endless=True))
    return Canary(
        steps=tuple(draw(st.lists(steps, max_size=4))),
        max_surge=draw(amounts),
        max_unavailable=draw(amounts),
        stable_service="api" if routed else "",
        canary_service="api-canary" if routed else "",
        routing=routing,
        background=background,
        starting_step=draw(st.sampled_from([None, 2])) if background else None,
        scale_down_delay_ms=(30_000 if dynamic else draw(delays.filter(lambda d: d is not None)))
        if routed
        else None,
        scale_down_delay_revision_limit=draw(st.sampled_from([None, 0, 1])),
        abort_scale_down_delay_ms=draw(delays) if routed else None,
        dynamic_stable_scale=dynamic,
        min_pods_per_replica_set=draw(st.sampled_from([None, 2])) if routed else None,
        progress_threshold=draw(
            st.sampled_from([None, ProgressThreshold(50, percent=True), ProgressThreshold(2, percent=False)])
        ),
        extra_json=draw(st.sampled_from(["{}", '{"canaryMetadata":{"labels":{"role":"on"}}}'])),
    )


@st.composite
def blue_greens(draw: st.DrawFn) -> BlueGreen:
    automatic = draw(st.booleans())
    return BlueGreen(
        active_service="api",
        preview_service=draw(st.sampled_from(["", "api-preview"])),
        preview_replica_count=draw(st.sampled_from([None, 0, 1])),
        auto_promotion_enabled=automatic,
        auto_promotion_ms=draw(st.sampled_from([0, 60_000])) if automatic else 0,
        scale_down_delay_ms=draw(delays.filter(lambda d: d is not None)),
        scale_down_delay_revision_limit=draw(st.sampled_from([None, 0])),
        abort_scale_down_delay_ms=draw(delays),
        pre_promotion=draw(st.none() | finite),
        post_promotion=draw(st.none() | finite),
        max_unavailable=draw(amounts),
    )


def policies(strategies: st.SearchStrategy[Any], *, kind: str, target: Target) -> st.SearchStrategy[Policy]:
    window = st.just(None) if kind == "RolloutPolicy" else st.sampled_from([None, 0, 3])
    return st.builds(
        Policy,
        name=st.sampled_from(["api", "1", "on"]),
        strategy=strategies,
        replicas=st.integers(0, 6),
        namespace=st.sampled_from(["default", "shop"]),
        kind=st.just(kind),
        min_ready_ms=st.sampled_from([0, 5_000]),
        progress_deadline_ms=st.sampled_from([30_000, 600_000]),
        progress_deadline_abort=st.booleans(),
        revision_history_limit=st.sampled_from([1, 10]),
        rollback_window_revisions=window,
        paused=st.booleans(),
        target=st.just(target),
    )


rollouts = policies(
    st.one_of(
        canaries(None, common_steps),
        canaries(NGINX, common_steps | scales),
        canaries(GATEWAY, common_steps | scales),
        canaries(ISTIO, common_steps | scales | mesh_steps),
        canaries(ISTIO, common_steps).map(lambda canary: replace(canary, ping_pong=("ping", "pong"))),
        blue_greens(),
    ),
    kind="Rollout",
    target=Target(),
)
PLAIN = Target(("api-a", "api-b"), "api", revision_label="slot")
native_strategies = st.one_of(
    canaries(None, common_steps),
    blue_greens(),
    st.builds(RollingUpdate, amounts, amounts),
    st.just(Recreate()),
).map(lambda s: replace(s, extra_json="{}") if isinstance(s, Canary | BlueGreen) else s)
routed_natives = canaries(TrafficRouting(("httproute",), verifies=True), common_steps | scales).map(
    lambda canary: replace(canary, extra_json="{}")
)
natives = st.one_of(
    policies(native_strategies, kind="RolloutPolicy", target=PLAIN),
    policies(native_strategies, kind="RolloutPolicy", target=Target(("api",), "api")),
    policies(routed_natives, kind="RolloutPolicy", target=replace(PLAIN, route="httproute/api")),
)
thorough = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def decided(policy: Policy, history: Sequence[Any]) -> list[Any]:
    """All that the engine decides about a history."""
    chaos = Chaos(policy)
    chaos.play(history)
    return chaos.journal


# --- there and back -------------------------------------------------------------------------------


@thorough
@given(rollouts)
def test_a_rollout_comes_back_with_its_digest(policy: Policy) -> None:
    exported = export_policy(policy, "argo")
    assert digest(exported.policy) == digest(policy), difference(policy, exported.policy)
    assert not [loss for loss in exported.losses if loss.decides]
    assert (exported.policy.name, exported.policy.namespace) == (policy.name, policy.namespace)
    assert exported.policy.paused == policy.paused
    assert exported.text == export_policy(policy, "argo").text


@thorough
@given(natives)
def test_a_rollout_policy_comes_back_with_its_digest(policy: Policy) -> None:
    exported = export_policy(policy, "native")
    assert digest(exported.policy) == digest(policy), difference(policy, exported.policy)
    assert exported.losses == ()


@thorough
@given(rollouts | natives, st.sampled_from(["argo", "native"]), histories)
def test_without_a_loss_that_decides_every_decision_is_the_same(
    policy: Policy, form: str, history: list[Any]
) -> None:
    if form == "argo" and isinstance(policy.strategy, Recreate):
        return
    exported = export_policy(policy, form)
    if digest(exported.policy) != digest(policy):
        assert exported.losses
    if any(loss.decides for loss in exported.losses):
        return
    assert decided(exported.policy, history) == decided(policy, history)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("with_originals", [True, False])
def test_the_policies_of_the_project_come_back(path: Path, with_originals: bool) -> None:
    policy = load_policy(path)
    if policy.kind not in OWN_FORM:
        return
    exported = export_policy(policy, OWN_FORM[policy.kind], read_manifests(path) if with_originals else ())
    assert digest(exported.policy) == digest(policy)
    assert not [loss for loss in exported.losses if loss.decides]


def difference(policy: Policy, other: Policy) -> str:
    return f"{canonical(policy)}\n{canonical(other)}"


# --- Argo Rollouts --------------------------------------------------------------------------------


def documents(exported: Exported) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(exported.text))


def from_text(text: str, tmp_path: Path, form: str = "argo") -> Exported:
    path = tmp_path / "manifest.yaml"
    path.write_text(text, encoding="utf-8")
    return export_policy(load_policy(path), form, read_manifests(path))


def test_what_the_policy_does_not_hold_comes_from_the_files(tmp_path: Path) -> None:
    labelled = changed(CANARY, "metadata:\n  name: api\n", "metadata:\n  name: api\n  labels: {team: web}\n")
    template = "template: {metadata: {labels: {app: api, tier: '1'}}, spec: {containers: [{name: c}]}}"
    text = changed(labelled, "template: {metadata: {labels: {app: api}}}", template)
    rollout, analysis = documents(from_text(text, tmp_path))
    assert rollout["metadata"] == {"name": "api", "labels": {"team": "web"}}
    assert rollout["spec"]["template"]["metadata"]["labels"] == {"app": "api", "tier": "1"}
    assert rollout["spec"]["template"]["spec"]["containers"] == [{"name": "c"}]
    assert analysis["metadata"]["name"] == "errors"
    assert "args" not in analysis["spec"]
    assert 'service="api"' in analysis["spec"]["metrics"][0]["provider"]["prometheus"]["query"]


def test_without_the_files_placeholders_are_losses() -> None:
    exported = export_policy(load_policy_text(BLUE_GREEN), "argo")
    assert [loss.path for loss in exported.losses] == [
        "Rollout spec.template",
        "Service api",
        "Service api-preview",
    ]
    assert "image.invalid" in exported.text


def test_other_objects_of_the_files_are_kept(tmp_path: Path) -> None:
    config = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata: {on: 'off'}\n"
    exported = from_text(CANARY + config, tmp_path)
    assert documents(exported)[-1] == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "notes"},
        "data": {"on": "off"},
    }


def test_equal_analyses_share_a_template_and_late_arguments_stay() -> None:
    exported = export_policy(load_policy(SCENARIOS / "policies" / "canary-success-rate.yaml"), "argo")
    templates = [document for document in documents(exported) if document["kind"] == "AnalysisTemplate"]
    assert [template["spec"]["args"] for template in templates] == [[{"name": "canary-hash"}]]
    steps = documents(exported)[0]["spec"]["strategy"]["canary"]["steps"]
    given_arguments = [step["analysis"]["args"] for step in steps if "analysis" in step]
    assert (
        given_arguments
        == [
            [{"name": "canary-hash", "valueFrom": {"podTemplateHashValue": "Latest"}}],
        ]
        * 3
    )


def test_different_analyses_of_one_template_get_two_names(tmp_path: Path) -> None:
    other = """\
        - analysis:
            templates: [{templateName: errors}]
            args: [{name: service, value: other}]
"""
    finite_template = changed(CANARY, "      interval: 1m\n", "      interval: 1m\n      count: 2\n")
    text = changed(finite_template, "        - pause: {duration: 5m}\n", other)
    kinds = [(d["kind"], d["metadata"]["name"]) for d in documents(from_text(text, tmp_path))]
    assert kinds == [("Rollout", "api"), ("AnalysisTemplate", "errors"), ("AnalysisTemplate", "errors-2")]


def test_braces_out_of_a_value_come_back() -> None:
    text = changed(CANARY, "value: api\n", 'value: "{{not a tag}}"\n')
    policy = load_policy_text(text)
    exported = export_policy(policy, "argo")
    assert digest(exported.policy) == digest(policy)
    assert documents(exported)[1]["spec"]["args"] == [{"name": "open-braces", "value": "{{"}]


def test_a_route_becomes_the_router_that_moves_it() -> None:
    path = SCENARIOS / "policies" / "httproute-canary.yaml"
    exported = export_policy(load_policy(path), "argo", read_manifests(path))
    canary = documents(exported)[0]["spec"]["strategy"]["canary"]
    assert canary["trafficRouting"]["plugins"] == {
        "argoproj-labs/gatewayAPI": {"httpRoute": "api", "namespace": "default"}
    }
    (decisive,) = [loss for loss in exported.losses if loss.decides]
    assert decisive.path == "strategy.routing.verifies"
    assert decisive.why.endswith("Argo Rollouts takes a weight as set once the write is answered")
    services = {
        d["metadata"]["name"]: d["spec"]["selector"] for d in documents(exported) if d["kind"] == "Service"
    }
    assert services == {"api-stable": {"app": "api"}, "api-canary": {"app": "api"}}


def test_the_slots_become_one_rollout() -> None:
    path = ARTICLE / "blue-green.yaml"
    exported = export_policy(load_policy(path), "argo", read_manifests(path))
    rollout, service = documents(exported)
    assert rollout["spec"]["selector"] == {"matchLabels": {"app": "api"}}
    assert rollout["spec"]["template"]["spec"]["containers"][0]["image"] == "myregistry/api:1.4.2"
    assert service["spec"]["selector"] == {"app": "api"}
    assert {"Deployment 'api-blue'", "Deployment 'api-green'"} < {loss.path for loss in exported.losses}


def test_a_rolling_update_becomes_a_canary_without_steps() -> None:
    exported = export_policy(load_policy(ARTICLE / "all-at-once.yaml"), "argo")
    assert documents(exported)[0]["spec"]["strategy"] == {"canary": {"maxSurge": "100%", "maxUnavailable": 0}}
    assert [loss.path for loss in exported.losses if loss.decides] == ["strategy"]


def test_recreate_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"Argo Rollouts cannot; export it as a RolloutPolicy"):
        export_policy(Policy("api", Recreate()), "argo")


def test_a_policy_that_no_manifest_can_hold_is_refused() -> None:
    nothing_moves = Canary(max_surge=IntOrPercent(0), max_unavailable=IntOrPercent(0))
    with pytest.raises(PolicyError, match="cannot be written: MaxSurge and MaxUnavailable"):
        export_policy(Policy("api", nothing_moves), "argo")


def test_a_difference_that_nobody_thought_of_is_a_loss() -> None:
    exported = export_policy(Policy("api", Canary(steps=(Pause(1_500),))), "argo")
    expected = Loss("strategy.steps[0].duration_ms", "is 1500 and reads back as 1000", decides=True)
    assert expected in exported.losses


def test_fields_that_a_policy_does_not_hold_are_losses(tmp_path: Path) -> None:
    history = changed(
        CANARY, "  replicas: 4\n", "  replicas: 4\n  analysis: {successfulRunHistoryLimit: 1}\n"
    )
    text = changed(
        history, "        args:\n", "        analysisRunMetadata: {labels: {a: b}}\n        args:\n"
    )
    assert "analysisRunMetadata" in [loss.path for loss in from_text(text, tmp_path).losses]
    assert "analysis" not in [loss.path for loss in from_text(text, tmp_path).losses]
    without_files = export_policy(load_policy_text(text), "argo")
    assert {"analysis", "analysisRunMetadata"} < {loss.path for loss in without_files.losses}


# --- RolloutPolicy --------------------------------------------------------------------------------


def test_what_a_rollout_policy_cannot_say_is_left_out_and_listed() -> None:
    steps = (
        SetWeight(10),
        SetCanaryScale(replicas=2),
        SetHeaderRoute("beta", "[]"),
        PluginStep("wait"),
        Pause(None),
    )
    canary = Canary(
        steps, stable_service="api", canary_service="next", routing=ISTIO, scale_down_delay_ms=30_000
    )
    exported = export_policy(Policy("api", canary, rollback_window_revisions=2), "native")
    strategy = exported.policy.strategy
    assert isinstance(strategy, Canary)
    assert strategy.steps == (SetWeight(10), Pause(None))
    assert [loss.path for loss in exported.losses if loss.decides] == [
        "rollback_window_revisions",
        "strategy.steps[2]",
        "strategy.steps[3]",
        "strategy.routing",
        "strategy.steps",
        "strategy.scale_down_delay_ms",
    ]


@pytest.mark.parametrize(("routing", "route"), [(NGINX, "ingress/api"), (GATEWAY, "httproute/api")])
def test_routers_that_move_a_route(routing: TrafficRouting, route: str) -> None:
    canary = Canary(
        (SetWeight(10),),
        stable_service="api",
        canary_service="next",
        routing=routing,
        scale_down_delay_ms=30_000,
    )
    exported = export_policy(Policy("api", canary), "native")
    assert exported.policy.target.route == route
    (decisive,) = [loss for loss in exported.losses if loss.decides]
    assert decisive.path == "strategy.routing.verifies"
    assert decisive.why.startswith("a RolloutPolicy's route is read back: ")
    strategy = exported.policy.strategy
    assert isinstance(strategy, Canary)
    assert strategy.routing is not None
    assert strategy.routing.max_weight == routing.max_weight


def test_secrets_need_a_template() -> None:
    secret = SecretArgument("token", "credentials", "token")
    metric = Metric("up", WebProvider("http://api", settings_json='{"body":"{{args.token}}"}'))
    policy = Policy(
        "api",
        BlueGreen("api", pre_promotion=Analysis((metric,), (secret,)), scale_down_delay_ms=30_000),
        kind="RolloutPolicy",
        target=Target(("a", "b"), "api"),
    )
    exported = export_policy(policy, "native")
    assert digest(exported.policy) == digest(policy)
    assert [document["kind"] for document in documents(exported)] == ["RolloutPolicy", "AnalysisTemplate"]


# --- text -----------------------------------------------------------------------------------------

plain_content = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | texts | names | old_numbers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | names, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(texts | old_numbers, plain_content, min_size=1, max_size=4))
def test_texts_come_back_as_texts(content: dict[str, Any]) -> None:
    text = yaml_text([content])
    assert list(YAML(typ="safe", pure=True).load_all(text)) == [content]
    (node,) = read_documents(text, "text")
    assert as_plain(node) == content


@pytest.mark.parametrize(
    "text", ["1:30", "10:20:30.5", "on", "NO", "y", "~", "010", "1_000", "1e3", ".inf", "=", ""]
)
def test_what_yaml_1_1_takes_for_something_else_is_quoted(text: str) -> None:
    quoted = yaml_text([{"a": text}]).removeprefix("a: ").strip()
    assert quoted in (f'"{text}"', f"'{text}'")


def as_plain(node: Any) -> Any:
    if isinstance(node.value, tuple):
        return [as_plain(item) for item in node.value]
    if hasattr(node.value, "items"):
        return {key: as_plain(item) for key, item in node.value.items()}
    return node.value


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (250, "250ms"),
        (1_500, "1500ms"),
        (90_000, "1m30s"),
        (3_600_000, "1h"),
        (90_061_000, "25h1m1s"),
    ],
)
def test_durations(milliseconds: int, text: str) -> None:
    assert duration_text(milliseconds) == text
