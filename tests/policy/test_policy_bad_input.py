"""What a user can get wrong, and that the message names the line, the place, the value and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolloutsim.errors import PolicyError
from rolloutsim.policy import load_policies, load_policy, load_policy_text
from tests.policy.policy_manifests import BLUE_GREEN, CANARY, DEPLOYMENT, NATIVE, changed, line_of

STEP = "spec.strategy.canary.steps"
METRIC = "spec.metrics[0]"


def error_in(text: str) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        load_policy_text(text, "policy.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "path", "parts"),
    [
        ("setWeight: 20", "setWieght: 20", f"{STEP}[0].setWieght", ["did you mean 'setWeight'?"]),
        ("setWeight: 20", "setWeight: 101", f"{STEP}[0].setWeight", ["between 0 and 100", "(got 101)"]),
        ("setWeight: 20", "setWeight: -1", f"{STEP}[0].setWeight", ["between 0 and 100", "(got -1)"]),
        ("setWeight: 20", "setWeight: '20'", f"{STEP}[0].setWeight", ["whole number", "remove the quotes"]),
        ("setWeight: 20", "setWeight: 20.5", f"{STEP}[0].setWeight", ["whole number", "20.5"]),
        ("setWeight: 20", "setWeight: yes", f"{STEP}[0].setWeight", ["whole number", "True"]),
        ("setWeight: 20", "setWeight: 4294967296", f"{STEP}[0].setWeight", ["32 bits"]),
        ("duration: 5m", "duration: 5x", f"{STEP}[1].pause.duration", ["'5x'", "5m or 1h30m"]),
        ("duration: 5m", "duration: -5m", f"{STEP}[1].pause.duration", ["'-5m'"]),
        ("duration: 5m", "duration: 1d", f"{STEP}[1].pause.duration", ["'1d'"]),
        ("duration: 5m", "duration: 1.5", f"{STEP}[1].pause.duration", ["whole number or text", "1.5"]),
        ("{duration: 5m}", "", f"{STEP}[1]", ["Step must have one of", "'pause: {}'"]),
        ("replicas: 4", "replicas: four", "spec.replicas", ["whole number", "'four'"]),
        ("replicas: 4", "replicas: -4", "spec.replicas", ["greater than or equal to 0", "-4"]),
        ("replicas: 4", "minReadySeconds: 600", "spec.progressDeadlineSeconds", ["minReadySeconds"]),
        ("value: api", "valueFrom: {}", "spec.strategy.canary.analysis.args[0].valueFrom", ["is empty"]),
        ("value: api", "valueFrom: {podTemplateHashValue: latest}", "", ["Latest or Stable", "'latest'"]),
        ("strategy:\n", "strategy: {}\n  x:\n", "spec.x", ["unknown field"]),
        ("    canary:\n", "    canary: null\n    blueGreen:\n", "", ["unknown field 'steps'"]),
        ("- setWeight: 20", "- null", f"{STEP}[0]", ["an item of the list is empty"]),
        ("- setWeight: 20", "- setWeight: [20]", f"{STEP}[0].setWeight", ["whole number, not a list"]),
        ("- setWeight: 20", "- setWeight: {}", f"{STEP}[0].setWeight", ["whole number, not a mapping"]),
        ("templates:\n          - templateName: errors", "templates: 5", "", ["expected a list"]),
        (
            "replicas: 4",
            "restartAt: 2030-01-31T12:00:00",
            "spec.restartAt",
            ["no time zone", "end it with Z"],
        ),
        ("interval: 1m", "interval: 1m\n      count: -1", f"{METRIC}.count", ["count must be >= 0"]),
        ("labels: {app: api}}", "labels: {app: api}}, spec: {restartPolicy: Never}", "", ["Always"]),
        (
            "steps:",
            "replicaProgressThreshold: {type: pods, value: 1}\n      steps:",
            "spec.strategy.canary.replicaProgressThreshold.type",
            ["Percent or Pods"],
        ),
        (
            "- setWeight: 20",
            "- experiment: {templates: [], analyses: [{name: a, templateName: gone}]}",
            f"{STEP}[0].experiment.analyses[0].templateName",
            ["no AnalysisTemplate 'gone'"],
        ),
        (
            "- setWeight: 20",
            "- experiment: {templates: [], duration: 5}",
            f"{STEP}[0].experiment.duration",
            ["write 5s"],
        ),
        (
            "- setWeight: 20",
            "- experiment: {templates: [], duration: soon}",
            f"{STEP}[0].experiment.duration",
            ["invalid duration", "'soon'"],
        ),
        ("replicas: 4", "restartAt: soon", "spec.restartAt", ["'soon'"]),
        ("labels: {app: api}", "labels: {app: web}", "spec.template.metadata.labels", ["does not match"]),
        ("canary:", "cannary:", "spec.strategy.cannary", ["did you mean 'canary'?"]),
        ("canary:", "canary: 5\n    other:", "spec.strategy.canary", ["a mapping", "5"]),
        ("templateName: errors", "templateName: erors", "", ["no AnalysisTemplate 'erors'", "'errors'?"]),
        ("value: api", "value: 5", "spec.strategy.canary.analysis.args[0].value", ["quotes", '"5"']),
        (
            "- name: service\n            value: api",
            "- name: other\n            value: api",
            "",
            ["'service'"],
        ),
        (
            "args:\n    - name: service\n  metrics",
            "metrics",
            "",
            ["{{args.service}}", "spec.args of Analysis"],
        ),
        ("{{args.service}}", "{{ .Values.x }}", f"{METRIC}.provider.prometheus.query", ["{{ .Values.x }}"]),
        ("{{args.service}}", "{{args.service", f"{METRIC}.provider.prometheus.query", ["close it with }}"]),
        ("value: api", "value: 1.10", "spec.strategy.canary.analysis.args[0].value", ['quotes: "1.10"']),
        ("value: api", "value: y", "spec.strategy.canary.analysis.args[0].value", ['quotes: "y"']),
        ("interval: 1m", "interval: 60", f"{METRIC}.interval", ["duration", "write 60s"]),
        ("interval: 1m", "interval: '60'", f"{METRIC}.interval", ["missing unit", "write 60s"]),
        ("interval: 1m", "interval: 10us", f"{METRIC}.interval", ["shorter than 1 ms"]),
        ("interval: 1m", "count: 3", f"{METRIC}.count", ["interval must be specified"]),
        ("interval: 1m", "count: many", f"{METRIC}.count", ["'many'", "silently"]),
        ("interval: 1m", "failureLimit: -2", f"{METRIC}.failureLimit", ["failureLimit must be >= -1"]),
        ("prometheus:", "prometeus:", f"{METRIC}.provider.prometeus", ["did you mean 'prometheus'?"]),
        ("  provider:\n", "  x:\n", f"{METRIC}.x", ["unknown field 'x'", "known here: name, interval"]),
        ("kind: Rollout", "kind: Rolout", "kind", ["did you mean 'Rollout'?"]),
        ("kind: Rollout", "knid: Rollout", "kind", ["no kind"]),
        ("argoproj.io/v1alpha1", "argoproj.io/v1", "apiVersion", ["argoproj.io/v1alpha1"]),
        ("name: api", "label: api", "metadata.name", ["no name"]),
        ("spec:", "sepc:", "sepc", ["did you mean 'spec'?"]),
    ],
)
def test_a_damaged_rollout_is_named(old: str, new: str, path: str, parts: list[str]) -> None:
    text = changed(CANARY, old, new)
    error = error_in(text)
    if path:
        assert error.path == path
    assert error.at.file == "policy.yaml"
    assert error.at.line > 0
    assert error.at.column > 0
    assert str(error).startswith(f"policy.yaml:{error.at.line}:{error.at.column}: ")
    for part in parts:
        assert part in str(error)


@pytest.mark.parametrize(
    ("old", "new", "marked"),
    [
        ("setWeight: 20", "setWieght: 20", "setWieght"),
        ("setWeight: 20", "setWeight: 101", "101"),
        ("duration: 5m", "duration: 5x", "5x"),
        ("result[0] < 0.05", "result[0] <", "result[0] <"),
        ("templateName: errors", "templateName: erors", "erors"),
        ("interval: 1m", "interval: '60'", "'60'"),
    ],
)
def test_line_and_column_point_at_the_value(old: str, new: str, marked: str) -> None:
    text = changed(CANARY, old, new)
    at = error_in(text).at
    assert at.line == line_of(text, marked)
    assert text.split("\n")[at.line - 1][at.column - 1 :].startswith(marked)


def test_a_condition_that_does_not_parse_shows_a_caret() -> None:
    error = error_in(changed(CANARY, "result[0] < 0.05", "result[0] < < 0.05"))
    assert error.path == f"{METRIC}.successCondition"
    lines = str(error).split("\n")
    assert lines[1] == "result[0] < < 0.05"
    assert lines[2].index("^") == lines[1].index("< 0.05")


@pytest.mark.parametrize("query", ["sum(rate(x[2m])", "sum(rate(x))", "sum by (le (x)", "nosuchfunction(x)"])
def test_a_query_that_does_not_compile_is_named(query: str) -> None:
    text = changed(CANARY, 'sum(rate(http_requests_total{service="{{args.service}}"}[2m]))', query)
    error = error_in(text)
    assert error.path == f"{METRIC}.provider.prometheus.query"
    assert error.at.line == line_of(text, query)
    assert "the query does not compile" in str(error)
    assert query in str(error)


def test_a_query_that_is_not_supported_is_named() -> None:
    query = "(" * 500 + "up" + ")" * 500
    text = changed(CANARY, 'sum(rate(http_requests_total{service="{{args.service}}"}[2m]))', query)
    error = error_in(text)
    assert "the query cannot be evaluated in a simulation" in str(error)
    assert error.at.line == line_of(text, query)


@pytest.mark.parametrize("service", ["api", "api-preview"])
def test_a_missing_service_is_named(service: str) -> None:
    text = changed(BLUE_GREEN, f"metadata: {{name: {service}}}", "metadata: {name: web}")
    error = error_in(text)
    assert f"no Service {service!r} in the files" in str(error)
    assert error.at.line == line_of(text, f"Service: {service}\n")


def test_a_service_of_other_pods_is_named() -> None:
    text = changed(BLUE_GREEN, "{selector: {app: api}}\n---", "{selector: {app: web}}\n---")
    assert "Service 'api' does not match the pod template of Rollout 'api'" in str(error_in(text))


def test_the_same_object_twice_is_named() -> None:
    error = error_in(f"{DEPLOYMENT}---\n{DEPLOYMENT}")
    assert "Deployment 'api' is defined twice, first at policy.yaml:1:1" in str(error)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "they are empty"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}", "they hold ConfigMap"),
        ("- 1", "a manifest is a mapping"),
        ("just text", "a manifest is a mapping"),
        ("kind: 5\napiVersion: v1", "expected text"),
        ("apiVersion: v1\nkind: Service\nmetadata: api", "expected a mapping"),
    ],
)
def test_files_without_a_rollout(text: str, why: str) -> None:
    assert why in str(error_in(text))


@pytest.mark.parametrize(
    ("kind", "name", "refused"),
    [
        ("Deployment", "web-1.eu", False),
        ("Deployment", "1web", False),
        ("Deployment", "x" * 253, False),
        ("Deployment", "x" * 254, True),
        ("Deployment", "Web", True),
        ("Deployment", "web_1", True),
        ("Deployment", "web-", True),
        ("Deployment", "web..eu", True),
        ("Deployment", "$(NAME)", True),
        ("Service", "web-1", False),
        ("Service", "1web", True),
        ("Service", "web.eu", True),
        ("Service", "x" * 64, True),
        ("AnalysisTemplate", "Error_Rate", True),
        ("ConfigMap", "Anything", False),
    ],
)
def test_names_are_those_that_a_cluster_takes(kind: str, name: str, refused: bool) -> None:
    error = error_in(f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}")
    assert ("metadata.name: a cluster refuses this name" in str(error)) is refused


def test_yaml_that_does_not_parse_has_line_and_column() -> None:
    error = error_in("kind: Rollout\nspec: [1, 2\nother: 3\n")
    assert "the YAML does not parse" in str(error)
    assert error.at.line == 3


def test_several_rollouts_need_a_name() -> None:
    text = f"{DEPLOYMENT}---\n{changed(DEPLOYMENT, 'name: api', 'name: web')}"
    assert "2 rollouts: api, web" in str(error_in(text))
    assert load_policy_text(text, name="web").name == "web"
    with pytest.raises(PolicyError, match="no rollout 'wbe' in the files; they hold api, web"):
        load_policy_text(text, name="wbe")


def test_several_files_are_one_bundle(tmp_path: Path) -> None:
    rollout, template = CANARY.split("---\n")
    (tmp_path / "rollout.yaml").write_text(rollout, encoding="utf-8")
    (tmp_path / "template.yaml").write_text(template, encoding="utf-8")
    both = (tmp_path / "rollout.yaml", tmp_path / "template.yaml")
    assert load_policy(*both) == load_policy(*both[::-1]) == load_policy_text(CANARY)
    assert load_policies(*both) == (load_policy_text(CANARY),)
    with pytest.raises(PolicyError, match=r"rollout\.yaml:\d+:\d+: .*no AnalysisTemplate 'errors'"):
        load_policy(both[0])


def test_a_deployment_that_does_not_select_its_pods_is_named() -> None:
    error = error_in(changed(DEPLOYMENT, "matchLabels: {app: api}", "matchLabels: {app: web}"))
    assert error.path == "spec.selector.matchLabels.app"


def test_a_strategy_is_needed() -> None:
    error = error_in(CANARY.split("  strategy:")[0] + "  strategy: {}\n")
    assert error.path == "spec.strategy"
    assert ".spec.strategy.canary or .spec.strategy.blueGreen" in str(error)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.yaml").write_bytes(b"#" * 7_000_000)
    for name, why in (
        ("none.yaml", "No such file"),
        ("bytes.yaml", "not UTF-8"),
        ("large.yaml", "too large"),
    ):
        with pytest.raises(PolicyError, match=why) as caught:
            load_policy(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path)


def test_no_file_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="at least one file"):
        load_policies()


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        (
            "steps:\n        - setWeight: 20\n        - pause: {}",
            "steps: []",
            "a canary without steps is a rolling",
        ),
        ("canaryService: api-canary", "stableService: api", "add canaryService"),
        ("kind: HTTPRoute", "kind: VirtualService", "expected HTTPRoute or Ingress"),
        ("[api-a, api-b]", "[api-a, api-a]", "one Deployment or two different ones"),
        ("[api-a, api-b]", "[a, b, c]", "one Deployment or two different ones"),
        ("deployments: [api-a, api-b]\n", "revisionLabel: slot\n", "either 'deployment' or 'deployments'"),
        ("    service: api\n", "", "the Service that users reach is not named"),
        ("canaryService: api-canary", "canaryService: api", "two different services are required"),
        ("canaryService: api-canary", "canaryService: c\n      stableService: s", "names 'api' instead"),
        ("- pause: {}", "- experiment: {}", "plain Deployments have no step 'experiment'"),
        ("- pause: {}", "- setMirrorRoute: {name: r}", "no step 'setMirrorRoute': it needs the Argo"),
        ("- pause: {}", "- setWeight: 101", "between 0 and 100"),
        ("canary:", "recreate: {}\n    canary:", "exactly one of canary, blueGreen"),
        ("rolloutsim.dev/v1alpha1", "rolloutsim.dev/v1", "rolloutsim.dev/v1alpha1"),
        ("replicas: 4", "relpicas: 4", "did you mean 'replicas'?"),
    ],
)
def test_a_damaged_rollout_policy_is_named(old: str, new: str, part: str) -> None:
    assert part in str(error_in(changed(NATIVE, old, new)))


@pytest.mark.parametrize(
    ("new", "part"),
    [
        ("replicas: 3\n  strategy: {type: Rolling}", "RollingUpdate or Recreate"),
        ("replicas: 3\n  strategy: {type: Recreate, rollingUpdate: {}}", "beside type Recreate"),
        ("replicas: 3\n  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}", "cannot both be 0"),
        ("replicas: 3\n  strategy: {rollingUpdate: {maxSurge: '3'}}", "number of pods or a percentage"),
        ("replicas: 3\n  strategy: {rollingUpdate: {maxSurge: -1}}", "cannot be negative"),
        ("replicas: 3\n  strategy: {rollingUpdate: {maxUnavailable: 101%}}", "more than 100%"),
        ("replicas: 3\n  strategy: {canary: {}}", "unknown field 'canary'"),
        ("replicas: 3\n  strategy: {rollingUpdate: {maxSurge: 5.5%}}", "number of pods or a percentage"),
        ("replicas: 3\n  selectors: {}", "did you mean 'selector'?"),
        ("replicas: -3", "greater than or equal to 0"),
        ("progressDeadlineSeconds: 0", "greater than minReadySeconds"),
    ],
)
def test_a_damaged_deployment_is_named(new: str, part: str) -> None:
    assert part in str(error_in(changed(DEPLOYMENT, "replicas: 3", new)))
