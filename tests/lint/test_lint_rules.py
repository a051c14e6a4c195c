"""Each rule: a manifest in which it applies, and one like it in which it does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from rolloutsim.lint import RULES, Finding, lint
from tests.lint.lint_manifests import (
    ARTICLE,
    BLUE_GREEN,
    CANARY,
    DEPLOYMENT,
    EXPERIMENT,
    PODS,
    POLICIES,
    changed,
)

Edits = tuple[tuple[str, str], ...]
CONDITION = "len(result) == 0 || isNaN(result[0]) || result[0] < 0.05"
SERVICE_QUERY = (', hash="{{args.hash}}"}[2m]))\n', "}[2m]))\n"), (', hash="{{args.hash}}"}[2m]))', "}[2m]))")
PAUSES: Edits = (("duration: 10m", "duration: 5m"), ("duration: 10m", "duration: 5m"))
TO_NGINX = ("{istio: {virtualService: {name: api}}}", "{nginx: {stableIngress: api}}")
DYNAMIC = ("      trafficRouting:", "      dynamicStableScale: true\n      trafficRouting:")
SECRET = ("{name: service}, ", "{name: service, valueFrom: {secretKeyRef: {name: s, key: k}}}, ")
AFTER = ("prePromotionAnalysis", "postPromotionAnalysis")


TO_PROMETHEUS = (
    "provider: {job: {spec: {}}}",
    "successCondition: len(result) > 0 && result[0] > 0\n"
    "      provider: {prometheus: {query: 'sum(up{track=\"a\"})'}}",
)


ALB = "{ingress: api, servicePort: 80"
COPIES = "{name: copy, match: [{method: {exact: GET}}]}"
STICKY = "{stableIngress: api, additionalIngressAnnotations: {affinity: cookie}}"
JOB = """\
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
spec: {}
---
apiVersion: networking.istio.io/v1"""


def scale(content: str) -> tuple[str, str]:
    return ("      steps:\n", f"      steps:\n        - setCanaryScale: {content}\n")


def mirror(route: str) -> Edits:
    return (
        (
            "      maxSurge: 1\n",
            "      trafficRouting: {plugins: {mesh: {}}, managedRoutes: [{name: copy}]}\n",
        ),
        (
            "        - setWeight: 10\n        - pause: {duration: 10m}\n",
            f"        - setCanaryScale: {{replicas: 2}}\n        - setMirrorRoute: {route}\n",
        ),
    )


def field(text: str, above: str = "      trafficRouting:") -> tuple[str, str]:
    return (above, f"      {text}\n{above}")


def condition(text: str) -> tuple[str, str]:
    return (CONDITION, text)


@dataclass(frozen=True)
class Case:
    """Edits of a manifest without findings: ``bad`` adds the rule (and ``also``), ``good`` does not."""

    rule: str
    bad: Edits
    good: Edits
    base: str = CANARY
    also: tuple[str, ...] = ()


CASES = (
    Case("RS001", (("setWeight: 10", "setWeight: 110"),), (("setWeight: 10", "setWeight: 20"),)),
    Case("RS001", (("setWeight: 10", "setWeigth: 10"),), ()),
    Case(
        "RS003",
        (("    canary:", "    canary: # rolloutsim: ignore RS020"),),
        (("    canary:", "    canary: # rolloutsim: ignore RS020 few pods on purpose"),),
    ),
    Case(
        "RS004",
        (("sum(rate(errors", "sum(max_over_time(up[30d:1s])) + sum(rate(errors"),),
        (("sum(rate(errors", "sum(max_over_time(up[30d:1h])) + sum(rate(errors"),),
    ),
    Case(
        "RS010",
        (("templateName: errors", "templateName: error"),),
        (("templateName: errors", "templateName: mine"), ("{name: errors}", "{name: mine}")),
    ),
    Case(
        "RS010", (("kind: Service\nmetadata: {name: api-canary}", "kind: Secret\nmetadata: {name: x}"),), ()
    ),
    Case(
        "RS010",
        (
            (
                "canaryService: api-canary",
                "canaryService: api-canary\n      pingPong: {pingService: api, pongService: api-pong}",
            ),
        ),
        (
            (
                "canaryService: api-canary",
                "canaryService: api-canary\n      pingPong: {pingService: api, pongService: api-canary}",
            ),
        ),
    ),
    Case(
        "RS011",
        (("{templateName: errors}", "{templateName: errors}, {templateName: all, clusterScope: true}"),),
        (
            ("{templateName: errors}", "{templateName: errors, clusterScope: true}"),
            ("kind: AnalysisTemplate", "kind: ClusterAnalysisTemplate"),
        ),
    ),
    Case(
        "RS012",
        (("kind: VirtualService", "kind: Gateway"),),
        (("{host: api-canary}}", "{host: api-canary.shop.svc.cluster.local}}"),),
    ),
    Case(
        "RS013",
        (("value: api}", "value: api}\n          - {name: servcie, value: api}"),),
        (
            ("value: api}", "value: api}\n          - {name: zone, value: a}"),
            ("[{name: service}", "[{name: zone}, {name: service}"),
        ),
    ),
    Case(
        "RS014",
        (("startingStep: 1", "startingStep: 1\n        dryRun: [{metricName: latency}]"),),
        (
            (
                "startingStep: 1",
                "startingStep: 1\n        measurementRetention: [{metricName: rate, limit: 5}]",
            ),
        ),
    ),
    Case("RS014", (("  metrics:", '  dryRun: [{metricName: "*"}]\n  metrics:'),), ()),
    Case(
        "RS015",
        (SECRET,),
        (("{name: service}, ", "{name: service, value: other}, "),),
        also=("RS072",),
    ),
    Case("RS020", (("setWeight: 10", "setWeight: 5"),), (("setWeight: 10", "setWeight: 9"),), PODS),
    Case("RS020", (("replicas: 10", "replicas: 1"),), (("replicas: 10", "replicas: 20"),), PODS),
    Case("RS021", (("setWeight: 50", "setWeight: 5"),), (("setWeight: 50", "setWeight: 10"),)),
    Case(
        "RS022",
        (scale("{replicas: 2}"), ("startingStep: 1", "startingStep: 2")),
        (scale("{matchTrafficWeight: true}"), ("startingStep: 1", "startingStep: 2")),
    ),
    Case(
        "RS023",
        (
            (
                "      steps:\n        - setWeight: 10\n        - pause: {duration: 10m}\n"
                "        - setWeight: 50\n        - pause: {duration: 10m}\n",
                "",
            ),
            ("        startingStep: 1\n", ""),
        ),
        (("        - setWeight: 50\n        - pause: {duration: 10m}\n", ""),),
    ),
    Case(
        "RS024", (TO_NGINX,), (("{istio:", "{alb: {ingress: api, servicePort: 80}, istio:"),), also=("RS012",)
    ),
    Case("RS030", (("maxSurge: 1", 'maxSurge: "1"'),), (("maxSurge: 1", 'maxSurge: "10%"'),), PODS),
    Case(
        "RS031",
        (("  replicas: 10", "  replicas: 10\n  progressDeadlineSeconds: 300"),),
        (("  replicas: 10", "  replicas: 10\n  progressDeadlineSeconds: 600"),),
    ),
    Case("RS032", (("  progressDeadlineAbort: true\n", ""),), ()),
    Case(
        "RS033",
        (field("scaleDownDelaySeconds: 0"),),
        (field("scaleDownDelaySeconds: 1"),),
    ),
    Case(
        "RS033",
        (("scaleDownDelaySeconds: 300", "scaleDownDelaySeconds: 0"),),
        (("scaleDownDelaySeconds: 300", "scaleDownDelaySeconds: 900"),),
        BLUE_GREEN,
    ),
    Case(
        "RS034",
        (field("abortScaleDownDelaySeconds: 0"),),
        (field("abortScaleDownDelaySeconds: 60"),),
    ),
    Case(
        "RS034",
        (field("abortScaleDownDelaySeconds: 0", "      prePromotionAnalysis:"),),
        (field("abortScaleDownDelaySeconds: 60", "      prePromotionAnalysis:"),),
        BLUE_GREEN,
    ),
    Case("RS035", (field("abortScaleDownDelaySeconds: 60", "      maxSurge:"),), (), PODS),
    Case(
        "RS036",
        (DYNAMIC,),
        (("      trafficRouting:", "      dynamicStableScale: false\n      trafficRouting:"),),
    ),
    Case(
        "RS040",
        (AFTER,),
        (AFTER, field("abortScaleDownDelaySeconds: 900", "      postPromotionAnalysis:")),
        BLUE_GREEN,
    ),
    Case("RS041", (("      scaleDownDelaySeconds: 300\n", ""),), (), BLUE_GREEN),
    Case("RS041", (("Seconds: 300", "Seconds: 60"),), (("Seconds: 300", "Seconds: 3600"),), BLUE_GREEN),
    Case("RS042", (("{name: http, port: 80}", "{name: grpc-web, port: 80}"),), ()),
    Case(
        "RS042",
        (("{name: http, containerPort", "{name: ws, containerPort"),),
        (("name: http, c", "name: news, c"),),
    ),
    Case(
        "RS042",
        (("[{port: 80}]", "[{port: 80, appProtocol: kubernetes.io/h2c}]"),),
        (("[{port: 80}]", "[{port: 80, appProtocol: kubernetes.io/h2c}]"), ("Seconds: 300", "Seconds: 900")),
        BLUE_GREEN,
    ),
    Case(
        "RS043",
        (
            field(
                "autoPromotionEnabled: false\n      autoPromotionSeconds: 60", "      prePromotionAnalysis:"
            ),
        ),
        (field("autoPromotionSeconds: 60", "      prePromotionAnalysis:"),),
        BLUE_GREEN,
        also=("RS050",),
    ),
    Case(
        "RS044",
        (
            (
                "{istio: {virtualService: {name: api}}}",
                f"{{alb: {ALB}, stickinessConfig: {{enabled: true}}}}}}",
            ),
        ),
        (
            (
                "{istio: {virtualService: {name: api}}}",
                f"{{alb: {ALB}, stickinessConfig: {{enabled: false}}}}}}",
            ),
        ),
        also=("RS012",),
    ),
    Case(
        "RS044",
        (("{istio: {virtualService: {name: api}}}", f"{{nginx: {STICKY}}}"),),
        (
            (
                "{istio: {virtualService: {name: api}}}",
                f"{{nginx: {STICKY.replace('affinity', 'limit-rps')}}}",
            ),
        ),
        also=("RS012", "RS024"),
    ),
    Case(
        "RS045",
        (("kind: VirtualService", f"{JOB}\nkind: VirtualService"),),
        (("kind: VirtualService", f"{JOB.replace('pre-upgrade', 'post-upgrade')}\nkind: VirtualService"),),
    ),
    Case(
        "RS050",
        (("pause: {duration: 10m}", "pause: {}"),),
        (("pause: {duration: 10m}", "pause: {duration: 30m}"),),
    ),
    Case(
        "RS050",
        (field("autoPromotionEnabled: false", "      prePromotionAnalysis:"),),
        (field("autoPromotionEnabled: true", "      prePromotionAnalysis:"),),
        BLUE_GREEN,
    ),
    Case(
        "RS051",
        (
            ("setWeight: 50\n        - pause: {duration: 10m}", "setWeight: 50\n        - pause: {}"),
            (CONDITION, CONDITION + "\n      failureCondition: len(result) > 0 && result[0] > 0.2"),
        ),
        (("setWeight: 50\n        - pause: {duration: 10m}", "setWeight: 50\n        - pause: {}"),),
        also=("RS050",),
    ),
    Case(
        "RS052",
        (("startingStep: 1", 'startingStep: 1\n        dryRun: [{metricName: ".*"}]'),),
        (
            (
                "startingStep: 1",
                "startingStep: 1\n        measurementRetention: [{metricName: '.*', limit: 5}]",
            ),
        ),
    ),
    Case("RS052", (("        - analysis:\n            templates: [{templateName: smoke}]\n", ""),), (), PODS),
    Case(
        "RS054", (("  replicas: 10", "  replicas: 10\n  paused: true"),), (("replicas: 10", "replicas: 11"),)
    ),
    Case(
        "RS060",
        (condition("isNaN(result[0]) || result[0] < 0.05"),),
        (condition("all(result, # < 1 || isNaN(#))"),),
    ),
    Case(
        "RS061",
        (condition("len(result) == 0 || result[0] < 0.05"),),
        (
            condition("len(result) == 0 || result[0] < 5"),
            ("/ sum(rate(requests", "+ sum(rate(requests"),
        ),
    ),
    Case(
        "RS062",
        (("successCondition: " + CONDITION, "failureCondition: len(result) > 0 && result[0] > 0.05"),),
        (
            (
                "successCondition: " + CONDITION,
                "failureCondition: len(result) > 0 && !(result[0] < 0.05 || isNaN(result[0]))",
            ),
        ),
    ),
    Case(
        "RS063",
        (condition("result < 0.05"),),
        (condition("len(result) == 0 || isNaN(result[0]) || result[0] < 1"),),
    ),
    Case(
        "RS064",
        (("count: 3", "count: 3\n      failureLimit: 3"),),
        (("count: 3", "count: 3\n      failureLimit: 0"),),
        BLUE_GREEN,
    ),
    Case(
        "RS064",
        (("      count: 3\n      interval: 2m\n", "      failureLimit: 1\n"),),
        (("      count: 3\n      interval: 2m\n", "      failureLimit: 0\n"),),
        BLUE_GREEN,
    ),
    Case("RS065", ((f"      successCondition: {CONDITION}\n", ""),), ()),
    Case(
        "RS065",
        (("{job: {spec: {}}}", "{web: {url: 'http://api'}}"),),
        (("{job: {spec: {}}}", "{kayenta: {application: api}}"),),
        PODS,
    ),
    Case(
        "RS066",
        (("interval: 2m", "interval: 2m\n      failureLimit: 2"),),
        (("interval: 2m", "interval: 2m\n      failureLimit: 0"),),
    ),
    Case("RS070", (("[2m]", "[1m]"),), (("[2m]", "[120s]"),)),
    Case("RS071", (("interval: 2m", "interval: 1m"),), (("interval: 2m", "interval: 3m"),)),
    Case(
        "RS072",
        (SECRET, ("          - {name: service, value: api}\n", "")),
        (("provider:", "consecutiveErrorLimit: 5\n      provider:"),),
    ),
    Case(
        "RS073",
        SERVICE_QUERY,
        (('hash="{{args.hash}}"', 'version="2"'), ('hash="{{args.hash}}"', 'version="2"')),
    ),
    Case("RS073", (('service="api-preview"', 'service="api"'),), (AFTER,), BLUE_GREEN),
    Case("RS074", (("/ sum(rate(requests", "+ sum(rate(requests"),), ()),
    Case(
        "RS080",
        (("        startingStep: 1\n", ""), ("initialDelay: 2m", "initialDelay: 10s")),
        (("        startingStep: 1\n", ""),),
    ),
    Case(
        "RS080",
        (
            ("        - setWeight: 10\n        - pause: {duration: 10m}\n", ""),
            TO_PROMETHEUS,
        ),
        (TO_PROMETHEUS,),
        PODS,
    ),
    Case("RS080", (*mirror("{name: copy}"), TO_PROMETHEUS), (*mirror(COPIES), TO_PROMETHEUS), PODS),
    Case(
        "RS081",
        (("initialDelay: 2m", "initialDelay: 1m"),),
        (("startingStep: 1", "startingStep: 2"), ("      initialDelay: 2m\n", "")),
    ),
    Case("RS081", (AFTER, ("initialDelay: 2m", "initialDelay: 1m")), (AFTER,), BLUE_GREEN, also=("RS040",)),
    Case("RS082", (("duration: 10m", "duration: 1m"),), (("duration: 10m", "duration: 2m"),)),
    Case(
        "RS083",
        (("interval: 2m", "interval: 2m\n      count: 3"),),
        (("interval: 2m", "interval: 2m\n      count: 10"),),
    ),
    Case("RS083", (("      interval: 2m\n", ""),), ()),
    Case(
        "RS084",
        (*PAUSES, ("interval: 2m", "interval: 2m\n      failureLimit: 5")),
        (("interval: 2m", "interval: 2m\n      failureLimit: 5"),),
        also=("RS066",),
    ),
    Case("RS010", (("templateName: errors", "templateName: error"),), (), base=EXPERIMENT),
    Case(
        "RS013",
        (("value: api}", "value: api}\n                  - {name: zone, value: a}"),),
        (("duration: 10m", "duration: 20m"),),
        base=EXPERIMENT,
    ),
    Case(
        "RS014",
        (("duration: 10m", "duration: 10m\n            dryRun: [{metricName: latency}]"),),
        (("duration: 10m", "duration: 10m\n            dryRun: [{metricName: error-rate}]"),),
        base=EXPERIMENT,
    ),
    Case("RS015", (SECRET,), (("duration: 10m", "duration: 20m"),), EXPERIMENT, ("RS072",)),
    Case(
        "RS052",
        (("duration: 10m", "duration: 10m\n            dryRun: [{metricName: error}]"),),
        (("duration: 10m", "duration: 10m\n            dryRun: []"),),
        base=EXPERIMENT,
    ),
    Case(
        "RS052",
        (
            (
                "            analyses:\n              - name: errors\n                templateName: errors\n",
                "",
            ),
            ("                args:\n                  - {name: service, value: api}\n", ""),
            ('                  - {name: hash, value: "{{templates.candidate.podTemplateHash}}"}\n', ""),
        ),
        (("duration: 10m", "duration: 20m"),),
        base=EXPERIMENT,
    ),
    Case("RS060", (condition("result[0] < 0.05"),), (condition("false"),), EXPERIMENT, ("RS061",)),
    Case("RS062", (condition("'all(result, # < 1)'"),), (condition(CONDITION),), EXPERIMENT, ("RS061",)),
    Case("RS063", (condition("result < 0.05"),), (condition(CONDITION),), base=EXPERIMENT),
    Case("RS064", (("interval: 2m", "interval: 2m\n      count: 2\n      failureLimit: 2"),), (), EXPERIMENT),
    Case("RS065", ((f"      successCondition: {CONDITION}\n", ""),), (), EXPERIMENT),
    Case(
        "RS066",
        (("interval: 2m", "interval: 2m\n      failureLimit: 1"),),
        (("interval: 2m", "interval: 2m\n      failureLimit: 0"),),
        base=EXPERIMENT,
    ),
    Case(
        "RS070",
        (("}[2m]))\n", "}[1m]))\n"),),
        (("[2m]", "[3m]"), ("[2m]", "[3m]"), ("interval: 2m", "interval: 3m")),
        base=EXPERIMENT,
    ),
    Case("RS071", (("interval: 2m", "interval: 1m"),), (("interval: 2m", "interval: 3m"),), base=EXPERIMENT),
    Case(
        "RS073",
        (("{{templates.candidate.podTemplateHash}}", "{{experiment.availableAt}}"),),
        (("{{templates.candidate.podTemplateHash}}", "{{templates.baseline.replicaset.name}}"),),
        base=EXPERIMENT,
    ),
    Case(
        "RS050",
        (("            duration: 10m\n", ""),),
        (
            ("            duration: 10m\n", ""),
            ("templateName: errors\n", "templateName: errors\n                requiredForCompletion: true\n"),
            ("interval: 2m", "interval: 2m\n      count: 5"),
        ),
        base=EXPERIMENT,
    ),
    Case(
        "RS050",
        (
            ("            duration: 10m\n", ""),
            ("templateName: errors\n", "templateName: errors\n                requiredForCompletion: true\n"),
        ),
        (("duration: 10m", "duration: 20m"),),
        base=EXPERIMENT,
    ),
    Case(
        "RS050",
        (
            ("            duration: 10m\n", ""),
            (
                "            analyses:\n              - name: errors\n                templateName: errors\n",
                "",
            ),
            ("                args:\n                  - {name: service, value: api}\n", ""),
            ('                  - {name: hash, value: "{{templates.candidate.podTemplateHash}}"}\n', ""),
        ),
        (("duration: 10m", "duration: 20m"),),
        base=EXPERIMENT,
    ),
)


def found(tmp_path: Path, text: str) -> tuple[Finding, ...]:
    file = tmp_path / "rollout.yaml"
    file.write_text(text, encoding="utf-8")
    return lint([[str(file)]]).findings


def ids(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.rule.id for finding in findings}


@pytest.mark.parametrize(
    "text", [CANARY, EXPERIMENT, PODS, BLUE_GREEN], ids=["canary", "experiment", "pods", "blue-green"]
)
def test_the_manifests_to_damage_have_no_finding(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_rule_applies_where_it_should_and_nowhere_else(tmp_path: Path, case: Case) -> None:
    bad = found(tmp_path, changed(case.base, *case.bad))
    assert ids(bad) == {case.rule, *case.also}
    assert case.rule not in ids(found(tmp_path, changed(case.base, *case.good)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_finding_names_its_place_and_what_to_do(tmp_path: Path, case: Case) -> None:
    text = changed(case.base, *case.bad)
    (finding, *_) = [f for f in found(tmp_path, text) if f.rule.id == case.rule]
    assert finding.at.file == str(tmp_path / "rollout.yaml")
    assert 1 <= finding.at.line <= text.count("\n") + 1
    assert finding.at.column >= 1
    assert finding.reason
    assert finding.fix


def test_every_rule_has_a_case() -> None:
    elsewhere = {"RS002", "RS053", "RS055", "RS056"}  # tested below and in test_lint_gates: other files
    assert {rule.id for rule in RULES} == {case.rule for case in CASES} | elsewhere


def test_files_without_a_rollout_say_so(tmp_path: Path) -> None:
    assert ids(found(tmp_path, "a: 1\n")) == {"RS002"}
    assert ids(found(tmp_path, "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n")) == {"RS002"}
    assert ids(found(tmp_path, DEPLOYMENT)) == {"RS053"}


def test_rules_are_well_formed() -> None:
    assert len({rule.id for rule in RULES}) == len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.reason
        assert rule.fix
        assert "\n" not in rule.reason + rule.fix


def test_positions_are_those_of_the_keys(tmp_path: Path) -> None:
    text = changed(CANARY, ("setWeight: 50", "setWeight: 5"), ("interval: 2m", "interval: 1m"))
    weight, interval = found(tmp_path, text)
    assert (weight.path, weight.value) == ("spec.strategy.canary.steps[2].setWeight", 5)
    assert (interval.path, interval.value) == ("spec.metrics[0].interval", "1m")
    lines = text.splitlines()
    for finding, key in ((weight, "setWeight: 5"), (interval, "interval: 1m")):
        assert lines[finding.at.line - 1][finding.at.column - 1 :] == key


# --- the guide's manifests ----------------------------------------------------------------------------


def test_the_guides_canary() -> None:
    findings = lint([[str(ARTICLE / "canary.yaml")]]).findings
    assert sorted(finding.rule.id for finding in findings) == [
        "RS020",
        "RS032",
        "RS050",
        "RS060",
        "RS061",
        "RS066",
        "RS071",
        "RS073",
        "RS081",
    ]
    weight = next(finding for finding in findings if finding.rule.id == "RS020")
    assert weight.value == 5
    assert "1 of 11 pods, 9.09 %" in weight.reason


def test_what_practice_adds_to_it_is_found_no_more() -> None:
    guide, guarded = (
        ids(lint([[str(path)]]).findings)
        for path in (ARTICLE / "canary.yaml", POLICIES / "canary-guarded.yaml")
    )
    assert guide - guarded == {"RS060", "RS061", "RS073", "RS081"}
    assert guarded < guide


def test_no_policy_of_the_project_has_an_error() -> None:
    files = [*ARTICLE.glob("*.yaml"), *POLICIES.glob("*.yaml")]
    assert len(files) > 8
    errors = [f for f in lint([[str(file)] for file in files]).findings if f.rule.severity == "error"]
    assert errors == []


def test_the_plain_manifests_of_the_guide_get_their_own_rules() -> None:
    expected = {
        "all-at-once": {"RS053"},
        "rolling": {"RS053"},
        "blue-green": {"RS053"},
        "ingress-nginx": {"RS024", "RS053"},
    }
    for name, rules in expected.items():
        assert ids(lint([[str(ARTICLE / f"{name}.yaml")]]).findings) == rules


def test_a_pair_of_deployments_is_placed_at_its_service(tmp_path: Path) -> None:
    """Also beside a Deployment that is called like the Service."""
    other = changed(
        DEPLOYMENT, ("{name: api}", "{name: api}"), ("{app: api}", "{app: x}"), ("{app: api}", "{app: x}")
    )
    text = (ARTICLE / "blue-green.yaml").read_text(encoding="utf-8") + "---\n" + other
    findings = found(tmp_path, text)
    assert [finding.rule.id for finding in findings] == ["RS053", "RS053"]
    assert "  name: api\n" in text.splitlines(keepends=True)[findings[0].at.line - 1]
    assert "a person" in findings[0].reason
    assert "a person" not in findings[1].reason


def test_a_gate_at_which_the_analysis_starts_is_safe(tmp_path: Path) -> None:
    """Only an analysis that runs before the gate can open it."""
    text = changed(
        CANARY,
        ("setWeight: 50\n        - pause: {duration: 10m}", "setWeight: 50\n        - pause: {}"),
        (CONDITION, CONDITION + "\n      failureCondition: len(result) > 0 && result[0] > 0.2"),
        ("startingStep: 1", "startingStep: 3"),
    )
    assert "RS051" not in ids(found(tmp_path, text))
    assert "RS051" in ids(found(tmp_path, text.replace("startingStep: 3", "startingStep: 2")))
