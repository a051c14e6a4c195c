"""Whatever is wrong in a manifest, it is loaded or refused with a place; nothing else comes out."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rolloutsim.errors import PolicyError
from rolloutsim.policy import digest, load_policy_text
from tests.policy.policy_manifests import ARTICLE, SCENARIOS

FILES = sorted(ARTICLE.glob("*.yaml")) + sorted((SCENARIOS / "policies").glob("*.yaml"))
NUMBERS = (0, 5, -1, 2**40, 1.5, True)
TEXTS = ("", "x", "5", "5m", "50%", "{{args.x}}", "{{")
VALUES: tuple[Any, ...] = (None, *NUMBERS, *TEXTS, [], [5], [None], {}, {"x": 5})


def damage(documents: list[Any], rng: random.Random, value: object) -> None:
    """Replace, remove, rename or double one value somewhere below the documents, in place."""
    holder: Any = documents
    while True:
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        child = holder[key]
        if not isinstance(child, dict | list) or not child or rng.random() < 0.15:
            break
        holder = child
    way = rng.random()
    if way < 0.2:
        del holder[key]
    elif way < 0.3 and isinstance(holder, dict):
        holder[key + "x"] = holder.pop(key)
    elif way < 0.4 and isinstance(holder, list):
        holder.append(copy.deepcopy(child))
    else:
        holder[key] = copy.deepcopy(value)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FILES), st.randoms(use_true_random=False), st.sampled_from(VALUES), st.integers(1, 2))
def test_damage_is_loaded_or_named(path: Path, rng: random.Random, value: object, times: int) -> None:
    documents = list(YAML(typ="safe", pure=True).load_all(path.read_text(encoding="utf-8")))
    documents = copy.deepcopy(documents)  # an anchor's value is one object
    for _ in range(times):
        if documents:
            damage(documents, rng, value)
    text = "\n---\n".join(json.dumps(document) for document in documents)
    assert outcome(text)


def outcome(text: str) -> bool:
    """Loaded and whole, or refused by a message that starts with the file."""
    try:
        policy = load_policy_text(text, "damaged.yaml")
    except PolicyError as error:
        return str(error).startswith("damaged.yaml")
    return hash(policy) == hash(load_policy_text(text)) and digest(policy).startswith("sha256:")
