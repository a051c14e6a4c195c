"""The digest: the same for all ways to write one policy, different for each change of meaning."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rolloutsim.policy import canonical, digest, load_policy, load_policy_text
from rolloutsim.policy.model import Policy
from tests.policy.policy_manifests import ARTICLE, BLUE_GREEN, CANARY, DEPLOYMENT, SCENARIOS, changed

ROUTED = changed(
    CANARY,
    "    canary:\n",
    "    canary:\n      trafficRouting: {plugins: {fake: {}}}\n",
)
FILES = (ARTICLE / "canary.yaml", SCENARIOS / "policies" / "httproute-canary.yaml")


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same content with the keys of all mappings in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        return {key: shuffled(item, rng) for key, item in items}
    if isinstance(value, list):
        return [shuffled(item, rng) for item in value]
    return value


def commented(text: str, rng: random.Random) -> str:
    """The text with comments between its lines, where no block scalar is cut."""
    lines = text.split("\n")
    return "\n".join(
        line if rng.random() < 0.7 or "'" in line or '"' in line else f"{line} # {rng.random()}"
        for line in lines
    )


@settings(max_examples=60, deadline=None)
@given(
    st.randoms(use_true_random=False), st.sampled_from(FILES), st.integers(2, 6), st.booleans(), st.booleans()
)
def test_unchanged_by_order_and_format(
    rng: random.Random, path: Any, indent: int, flow: bool, as_json: bool
) -> None:
    documents = list(YAML(typ="safe", pure=True).load_all(path.read_text(encoding="utf-8")))
    rng.shuffle(documents)
    documents = [shuffled(document, rng) for document in documents]
    if as_json:
        text = "\n---\n".join(json.dumps(document, indent=indent) for document in documents)
    else:
        dumper = YAML(typ="safe", pure=True)
        dumper.default_flow_style = flow
        dumper.indent = indent
        dumper.width = rng.choice([200, 1000])
        out = io.StringIO()
        dumper.dump_all(documents, out)
        text = out.getvalue()
    policy, original = load_policy_text(text), load_policy(path)
    assert policy == original
    assert digest(policy) == digest(original)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_unchanged_by_comments(rng: random.Random) -> None:
    assert load_policy_text(commented(CANARY, rng)) == load_policy_text(CANARY)


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (CANARY, "duration: 5m", "duration: 300s"),
        (CANARY, "duration: 5m", "duration: 300"),
        (CANARY, "duration: 5m", 'duration: "300"'),
        (CANARY, "interval: 1m", "interval: 60s"),
        (CANARY, "interval: 1m", "interval: 1m\n      failureLimit: 0\n      consecutiveErrorLimit: '4'"),
        (CANARY, "interval: 1m", "interval: 1m\n      initialDelay: 0s\n      count: 0"),
        (CANARY, "steps:", "maxSurge: 25%\n      maxUnavailable: '25'\n      steps:"),
        (CANARY, "steps:", "dynamicStableScale: false\n      steps:"),
        (CANARY, "steps:", "abortScaleDownDelaySeconds: 60\n      steps:"),
        (CANARY, "        args:\n", "        startingStep: 0\n        args:\n"),
        (CANARY, "replicas: 4", "replicas: 4\n  progressDeadlineSeconds: 600\n  revisionHistoryLimit: 10"),
        (CANARY, "replicas: 4", "replicas: 4\n  paused: true"),
        (CANARY, "replicas: 4", "replicas: 4\n  restartAt: 2030-01-31T12:00:00Z"),
        (CANARY, "replicas: 4", "replicas: 4\n  analysis: {successfulRunHistoryLimit: 1}"),
        (CANARY, "name: api", "name: web\n  namespace: shop"),
        (CANARY, "labels: {app: api}", "labels: {app: api, version: v2}"),
        (CANARY, "labels: {app: api}}", "labels: {app: api}}, spec: {containers: [{image: x, name: api}]}"),
        (CANARY, "kind: Rollout\n", "kind: Rollout\nstatus: {phase: Paused}\n"),
        (CANARY, "steps:", "canaryMetadata: {labels: {role: canary}}\n      steps:"),
        (CANARY, "value: api", 'value: "api"'),
        (ROUTED, "steps:", "scaleDownDelaySeconds: 30\n      steps:"),
        (ROUTED, "{fake: {}}}", "{fake: {}}, maxTrafficWeight: 100}"),
        (BLUE_GREEN, "activeService", "autoPromotionEnabled: true\n      activeService"),
        (BLUE_GREEN, "activeService", "scaleDownDelaySeconds: 30\n      activeService"),
        (DEPLOYMENT, "replicas: 3", "replicas: 3\n  strategy: {type: RollingUpdate}"),
    ],
)
def test_same_meaning_same_digest(text: str, old: str, new: str) -> None:
    assert digest(load_policy_text(text)) == digest(load_policy_text(changed(text, old, new)))


@pytest.mark.parametrize("scale", ["{}", "{matchTrafficWeight: true, weight: 5, replicas: 2}"])
def test_the_scale_that_wins_counts(scale: str) -> None:
    step = "- setCanaryScale: {matchTrafficWeight: true}\n        - setWeight: 20"
    text = changed(ROUTED, "- setWeight: 20", step)
    other = changed(text, "{matchTrafficWeight: true}", scale)
    assert digest(load_policy_text(text)) == digest(load_policy_text(other))


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (CANARY, "duration: 5m", "duration: 301s"),
        (CANARY, "{duration: 5m}", "{}"),
        (CANARY, "{duration: 5m}", "{duration: 0}"),
        (CANARY, "setWeight: 20", "setWeight: 21"),
        (CANARY, "replicas: 4", "replicas: 5"),
        (CANARY, "replicas: 4", "progressDeadlineAbort: true\n  replicas: 4"),
        (CANARY, "replicas: 4", "minReadySeconds: 1\n  replicas: 4"),
        (CANARY, "replicas: 4", "rollbackWindow: {revisions: 2}\n  replicas: 4"),
        (CANARY, "0.05", "0.06"),
        (CANARY, "interval: 1m", "interval: 2m"),
        (CANARY, "interval: 1m", "interval: 1m\n      failureLimit: 1"),
        (CANARY, "[2m]", "[1m]"),
        (CANARY, "value: api", "value: web"),
        (CANARY, "        args:\n", "        startingStep: 1\n        args:\n"),
        (ROUTED, "steps:", "scaleDownDelaySeconds: 0\n      steps:"),
        (ROUTED, "steps:", "abortScaleDownDelaySeconds: 0\n      steps:"),
        (ROUTED, "steps:", "abortScaleDownDelaySeconds: 30\n      steps:"),
        (BLUE_GREEN, "activeService", "abortScaleDownDelaySeconds: 0\n      activeService"),
        (BLUE_GREEN, "activeService", "scaleDownDelaySeconds: 0\n      activeService"),
        (BLUE_GREEN, "activeService", "autoPromotionEnabled: false\n      activeService"),
        (DEPLOYMENT, "replicas: 3", "replicas: 3\n  strategy: {type: Recreate}"),
        (DEPLOYMENT, "metadata: {name: api}", "metadata: {name: web}"),
    ],
)
def test_other_meaning_other_digest(text: str, old: str, new: str) -> None:
    assert digest(load_policy_text(text)) != digest(load_policy_text(changed(text, old, new)))


def test_template_names_do_not_count() -> None:
    renamed = CANARY.replace("templateName: errors", "templateName: other").replace(
        "metadata:\n  name: errors", "metadata:\n  name: other"
    )
    assert load_policy_text(renamed) != load_policy_text(CANARY)
    assert digest(load_policy_text(renamed)) == digest(load_policy_text(CANARY))


def test_canonical_text_is_json_without_names() -> None:
    policy = load_policy_text(CANARY)
    content = json.loads(canonical(policy))
    assert content["type"] == "Policy"
    assert content["strategy"]["type"] == "Canary"
    assert content["strategy"]["steps"][1] == {"type": "Pause", "duration_ms": 300_000}
    assert not {"name", "namespace", "kind", "not_modelled"} & set(content)
    assert canonical(replace(policy, name="other", kind="Other", not_modelled=("x",))) == canonical(policy)


def test_a_policy_is_hashable_and_has_a_digest() -> None:
    policy = load_policy_text(CANARY)
    assert isinstance(policy, Policy)
    assert hash(policy) == hash(load_policy_text(CANARY))
    assert digest(policy).startswith("sha256:")
    assert len(digest(policy)) == len("sha256:") + 64
