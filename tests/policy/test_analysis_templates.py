"""Templates: flattened, merged, bound; nested and cyclic ones; late arguments."""

from __future__ import annotations

import pytest

from rolloutsim.errors import PolicyError
from rolloutsim.policy import load_policy_text
from rolloutsim.policy.analysis_templates import UnresolvedArgument, merge_arguments
from rolloutsim.policy.model import (
    Analysis,
    Canary,
    FieldArgument,
    JobProvider,
    OtherProvider,
    PodHashArgument,
    PrometheusProvider,
    RangeQuery,
    Retention,
    SecretArgument,
    WebProvider,
)
from tests.policy.policy_manifests import CANARY, changed

ROLLOUT = CANARY.split("---\n")[0]


def template(name: str, body: str, kind: str = "AnalysisTemplate") -> str:
    return f"---\napiVersion: argoproj.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{body}"


def metric(name: str, query: str = "up", more: str = "") -> str:
    return f"    - {{name: {name}, interval: 1m, {more}provider: {{prometheus: {{query: '{query}'}}}}}}\n"


def background(text: str) -> Analysis:
    policy = load_policy_text(text)
    assert isinstance(policy.strategy, Canary)
    assert policy.strategy.background is not None
    return policy.strategy.background


def names(analysis: Analysis) -> list[str]:
    return [item.name for item in analysis.metrics]


def test_nested_templates_come_after_their_parents_and_cluster_templates_last() -> None:
    references = "[{templateName: errors}, {templateName: shared, clusterScope: true}, {templateName: more}]"
    rollout = changed(ROLLOUT, "\n          - templateName: errors", f" {references}")
    text = (
        rollout
        + template("shared", "  metrics:\n" + metric("s"), "ClusterAnalysisTemplate")
        + template("errors", "  templates: [{templateName: inner}]\n  metrics:\n" + metric("e"))
        + template("inner", "  templates: [{templateName: errors}]\n  metrics:\n" + metric("i"))
        + template("more", "  metrics:\n" + metric("m"))
    )
    analysis = background(text)
    assert names(analysis) == ["e", "i", "m", "s"]
    assert analysis.templates == ("errors", "inner", "more", "shared")


def test_a_template_that_nests_itself_ends() -> None:
    text = ROLLOUT + template("errors", "  templates: [{templateName: errors}]\n  metrics:\n" + metric("e"))
    assert names(background(text)) == ["e"]


def test_a_missing_nested_template_is_named_where_it_is_asked_for() -> None:
    text = ROLLOUT + template("errors", "  templates: [{templateName: gone}]\n  metrics:\n" + metric("e"))
    with pytest.raises(PolicyError, match="no AnalysisTemplate 'gone' in the files") as caught:
        load_policy_text(text)
    assert caught.value.path == "spec.templates[0].templateName"


def test_scopes_are_not_mixed() -> None:
    text = ROLLOUT + template("errors", "  metrics:\n" + metric("e"), "ClusterAnalysisTemplate")
    with pytest.raises(PolicyError, match="no AnalysisTemplate 'errors'"):
        load_policy_text(text)


def test_the_namespace_of_a_template_has_to_fit() -> None:
    text = CANARY.replace("  name: api\n", "  name: api\n  namespace: shop\n").replace(
        "  name: errors\nspec", "  name: errors\n  namespace: NAMESPACE\nspec"
    )
    assert names(background(text.replace("NAMESPACE", "shop"))) == ["errors"]
    with pytest.raises(PolicyError, match="no AnalysisTemplate 'errors'"):
        load_policy_text(text.replace("NAMESPACE", "other"))


def test_two_metrics_with_one_name_are_named() -> None:
    text = ROLLOUT + template("errors", "  metrics:\n" + metric("e") + metric("e"))
    with pytest.raises(
        PolicyError, match="two metrics have the same name, the other in AnalysisTemplate 'errors'"
    ):
        load_policy_text(text)


def test_a_template_without_metrics_is_named() -> None:
    with pytest.raises(PolicyError, match="the analysis has no metrics"):
        load_policy_text(ROLLOUT + template("errors", "  metrics: []\n"))


def test_arguments_of_several_templates_are_united() -> None:
    rollout = changed(
        ROLLOUT, "templateName: errors", "templateName: errors\n          - templateName: other"
    )
    first = template(
        "errors", "  args: [{name: service}, {name: a}]\n  metrics:\n" + metric("e", '"{{args.a}}"')
    )
    second = "  args: [{name: a, value: VALUE}]\n  metrics:\n" + metric("o", '"{{args.a}}{{args.service}}"')
    analysis = background(rollout + first + template("other", second.replace("VALUE", "x")))
    assert [item.provider for item in analysis.metrics] == [
        PrometheusProvider('"x"'),
        PrometheusProvider('"xapi"'),
    ]
    conflicting = first.replace("{name: a}", "{name: a, value: other}")
    with pytest.raises(PolicyError, match="'a' has another value in AnalysisTemplate 'errors'"):
        load_policy_text(rollout + conflicting + template("other", second.replace("VALUE", "x")))


def test_an_empty_value_is_a_value() -> None:
    text = changed(CANARY, "value: api", "value: ''")
    provider = background(text).metrics[0].provider
    assert isinstance(provider, PrometheusProvider)
    assert 'service=""' in provider.query


def test_arguments_that_are_bound_later_stay_in_the_texts() -> None:
    arguments = (
        "- {name: hash, valueFrom: {podTemplateHashValue: Stable}}\n"
        "          - {name: region, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['region']\"}}}\n"
        "          - {name: token, value: overruled}\n"
        "          - name: service"
    )
    declared = (
        "- {name: hash}\n    - {name: region}\n    - {name: unused}\n"
        "    - {name: token, valueFrom: {secretKeyRef: {name: s, key: k}}}\n    - name: service"
    )
    text = changed(
        changed(CANARY, "- name: service", arguments), "args:\n    - name: service", f"args:\n    {declared}"
    )
    text = changed(text, "{name: unused}", "{name: unused, value: x}")
    text = changed(text, 'service="{{args.service}}"', 'service="{{ args.service }}", hash="{{ args.hash }}"')
    text = changed(text, "result[0] < 0.05", 'result == "{{args.token}}{{args.region}}"')
    analysis = background(text)
    assert analysis.late == (
        PodHashArgument("hash", latest=False),
        FieldArgument("region", "metadata.labels['region']"),
        SecretArgument("token", "s", "k"),
    )
    (item,) = analysis.metrics
    assert isinstance(item.provider, PrometheusProvider)
    assert 'service="api", hash="{{args.hash}}"' in item.provider.query
    assert item.success_condition == 'result == "{{args.token}}{{args.region}}"'


LATE = changed(CANARY, "value: api", "valueFrom: {podTemplateHashValue: Latest}")


@pytest.mark.parametrize("field", ["count", "failureLimit", "interval", "initialDelay"])
def test_a_late_argument_is_too_late_for_numbers(field: str) -> None:
    text = changed(LATE, "interval: 1m", f"{field}: '{{{{args.service}}}}'")
    with pytest.raises(PolicyError, match="too late for this field") as caught:
        load_policy_text(text)
    assert caught.value.path == f"spec.metrics[0].{field}"


@pytest.mark.parametrize("window", ["2m", "{{args.service}}"])
def test_a_late_argument_may_be_a_label_a_number_or_a_window(window: str) -> None:
    text = changed(changed(LATE, "[2m]", f"[{window}]"), "< 0.05", "< {{args.service}}")
    provider = background(text).metrics[0].provider
    assert isinstance(provider, PrometheusProvider)
    assert f"[{window}]" in provider.query


def test_what_is_wrong_whatever_a_late_argument_will_be() -> None:
    with pytest.raises(PolicyError, match="the query does not compile"):
        load_policy_text(changed(LATE, "[2m]", "[2m"))
    with pytest.raises(PolicyError, match="the condition does not compile"):
        load_policy_text(changed(LATE, "< 0.05", "< < {{args.service}}"))


def test_counts_and_limits_may_be_arguments() -> None:
    text = changed(CANARY, "value: api", "value: '7'")
    text = changed(text, "interval: 1m", "interval: '{{args.service}}m'\n      count: '{{args.service}}'")
    (item,) = background(text).metrics
    assert (item.interval_ms, item.count) == (420_000, 7)


def test_rules_of_the_rollout_come_before_those_of_the_templates() -> None:
    text = changed(CANARY, "        args:\n", "        dryRun: [{metricName: x}]\n        args:\n")
    rules = "  dryRun: [{metricName: z}]\n  measurementRetention: [{metricName: .*, limit: 3}]\n  args:\n"
    text = changed(text, "  args:\n    - name: service\n  metrics", f"{rules}    - name: service\n  metrics")
    analysis = background(text)
    assert analysis.dry_run == ("x", "z")
    assert analysis.retention == (Retention(".*", 3),)
    with pytest.raises(PolicyError, match="two rules name the same metric"):
        load_policy_text(text.replace("metricName: z", "metricName: x"))


@pytest.mark.parametrize(
    ("written", "provider"),
    [
        (
            "prometheus: {query: up, address: 'http://p', timeout: 5, insecure: true, "
            "rangeQuery: {start: 'now() - duration(\"5m\")', end: now(), step: 1m}}",
            PrometheusProvider(
                "up",
                "http://p",
                5000,
                RangeQuery('now() - duration("5m")', "now()", 60_000),
                '{"insecure":true}',
            ),
        ),
        ("web: {url: 'http://w'}", WebProvider("http://w")),
        (
            "web: {url: 'http://w', jsonPath: '{$.a}', timeoutSeconds: 3, headers: [{key: a, value: b}]}",
            WebProvider("http://w", "{$.a}", 3000, '{"headers":[{"key":"a","value":"b"}]}'),
        ),
        ("job: {spec: {backoffLimit: 1}}", JobProvider('{"spec":{"backoffLimit":1}}')),
        ("datadog: {query: 'avg:x'}", OtherProvider("datadog", '{"query":"avg:x"}')),
        ("plugin: {org/p: {a: 1}}", OtherProvider("plugin/org/p", '{"a":1}')),
    ],
)
def test_providers(written: str, provider: object) -> None:
    text = ROLLOUT + template("errors", f"  metrics:\n    - {{name: e, provider: {{{written}}}}}\n")
    assert background(text).metrics[0].provider == provider
    foreign = isinstance(provider, OtherProvider) or "rangeQuery" in written
    assert bool(load_policy_text(text).not_modelled) == foreign


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("{prometheus: {query: up, timeout: 0}}", "has to be positive"),
        ("{prometheus: {query: up, rangeQuery: {start: a, end: b}}}", "needs 'step'"),
        ("{prometheus: {query: up, rangeQuery: {start: a, end: b, step: '1'}}}", "missing unit"),
        ("{prometheus: {query: up, rangeQuery: {start: a, end: b, step: 1us}}}", "shorter than 1 ms"),
        ("{prometheus: {query: up}, web: {url: x}}", "multiple providers"),
        ("{plugin: {a: {}, b: {}}}", "multiple providers"),
        ("{}", "no provider"),
        ("{prometheus: {}}", "'query' is missing"),
    ],
)
def test_damaged_providers(written: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        load_policy_text(
            ROLLOUT + template("errors", f"  metrics:\n    - {{name: e, provider: {written}}}\n")
        )


def test_merge_arguments() -> None:
    declared = [{"name": "a", "value": "1"}, {"name": "b"}]
    late = {"podTemplateHashValue": "Latest"}
    assert merge_arguments([{"name": "b", "valueFrom": late}, {"name": "c", "value": "3"}], declared) == [
        {"name": "a", "value": "1"},
        {"name": "b", "valueFrom": late},
    ]
    with pytest.raises(UnresolvedArgument, match=r"args\.b was not resolved"):
        merge_arguments([{"name": "a", "value": "2"}], declared)
    assert declared == [{"name": "a", "value": "1"}, {"name": "b"}]


STEP = changed(
    ROLLOUT.split("      analysis:\n")[0],
    "- setWeight: 20",
    "- analysis: {templates: [{templateName: a}], args: [{name: count, value: '4'}]}",
)


@pytest.mark.parametrize(
    ("arguments", "count", "why"),
    [
        ("[{name: count, value: '3'}]", "'{{args.count}}'", ""),
        ("[{name: count}]", "4", ""),
        ("[{name: count}]", "'{{args.count}}'", r"spec\.metrics\[0\]\.count: the metric 'm' never ends"),
        ("[{name: count, value: '0'}]", "'{{args.count}}'", "never ends with the defaults of Analysis"),
        (
            "[{name: count, value: '3', valueFrom: {fieldRef: {fieldPath: a}}}]",
            "4",
            "a value and a valueFrom",
        ),
    ],
)
def test_a_template_that_the_rollout_waits_for_is_checked_with_its_defaults(
    arguments: str, count: str, why: str
) -> None:
    text = STEP + template("a", f"  args: {arguments}\n  metrics:\n{metric('m', more=f'count: {count}, ')}")
    if not why:
        assert load_policy_text(text).name == "api"
        return
    with pytest.raises(PolicyError, match=why):
        load_policy_text(text)


def test_a_template_that_the_rollout_waits_for_has_only_its_own_arguments() -> None:
    one = template("a", f"  args: [{{name: count}}]\n  metrics:\n{metric('m', more='count: 2, ')}")
    query = 'up{x="{{args.count}}"}'
    other = template("b", f"  metrics:\n{metric('other', query, 'count: 2, ')}")
    text = changed(STEP, "{templateName: a}", "{templateName: a}, {templateName: b}") + one + other
    with pytest.raises(PolicyError, match=r"failed to resolve \{\{args\.count\}\}"):
        load_policy_text(text)
    head = changed(CANARY.split("---\n")[0], "templateName: errors", "templateName: a")
    head = changed(head, "templateName: a\n", "templateName: a\n          - templateName: b\n")
    assert names(background(changed(head, "name: service", "name: count") + one + other)) == ["m", "other"]
