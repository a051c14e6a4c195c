"""``rolloutsim export`` from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner, Result

from rolloutsim.cli import app
from rolloutsim.policy import digest, load_policy, load_policy_text
from tests.policy.policy_manifests import ARTICLE, SCENARIOS

CANARY = ARTICLE / "canary.yaml"
ROUTED = SCENARIOS / "policies" / "httproute-canary.yaml"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_standard_output_is_the_manifest_and_nothing_else() -> None:
    result = run(CANARY, "--to", "argo")
    assert result.exit_code == 0
    assert digest(load_policy_text(result.stdout)) == digest(load_policy(CANARY))
    assert result.stderr.startswith("lost: AnalysisTemplate error-rate-check: written anew")
    assert result.stdout == run(CANARY, "--to", "argo").stdout


def test_losses_that_decide_come_first() -> None:
    lines = run(ROUTED, "--to", "argo").stderr.splitlines()
    assert lines[0].startswith("lost: strategy.routing.verifies: ")
    assert lines[0].endswith("(changes what the policy does)")
    assert all(line.endswith("(changes no decision)") for line in lines[1:])


def test_losses_as_json() -> None:
    document = json.loads(run(CANARY, "--to", "native", "--losses", "json").stderr)
    assert (document["kind"], document["policy"]) == ("Losses", "api")
    assert document["digest"] == digest(load_policy(CANARY))
    assert document["exportedDigest"] != document["digest"]
    assert {"path", "why", "decides"} == set(document["losses"][0])
    assert "target.deployments" in [loss["path"] for loss in document["losses"]]


def test_another_digest_is_said() -> None:
    assert "a permit for the old policy does not hold" in run(CANARY, "--to", "native").stderr
    assert "permit" not in run(CANARY, "--to", "argo").stderr


def test_out_takes_what_standard_output_would(tmp_path: Path) -> None:
    out = tmp_path / "policy.yaml"
    assert run(CANARY, "--to", "native", "--out", out).stdout == ""
    assert out.read_text() == run(CANARY, "--to", "native").stdout
    assert load_policy(out).kind == "RolloutPolicy"


def test_there_and_back_through_files(tmp_path: Path) -> None:
    argo, native = tmp_path / "argo.yaml", tmp_path / "native.yaml"
    run(ROUTED, "--to", "argo", "--out", argo)
    assert run(argo, "--to", "native", "--out", native).exit_code == 0
    back, first = load_policy(native), load_policy(ROUTED)
    assert back.target.route == first.target.route == "httproute/api"
    assert back.target.deployments == ("api",)
    assert digest(replace(back, target=first.target)) == digest(first)


def test_one_of_several(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(CANARY.read_text().replace("name: api\nspec", "name: other\nspec").split("---")[0])
    assert run(CANARY, other, "--to", "argo").exit_code == 2
    chosen = run(CANARY, other, "--to", "argo", "--name", "other")
    assert load_policy_text(chosen.stdout, name="other").name == "other"


def test_mistakes_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for arguments, message in (
        (("nowhere.yaml", "--to", "argo"), "nowhere.yaml"),
        ((CANARY, "--to", "argo", "--out", tmp_path / "no" / "file"), "the directory does not exist"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert message in line
    assert run(CANARY).exit_code == 2
    assert run(CANARY, "--to", "flagger").exit_code == 2
