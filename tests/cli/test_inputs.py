"""Which policies and scenarios a command line means."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolloutsim.cli.inputs import one_policy, policies, scenarios
from rolloutsim.errors import InputError, PolicyError, ScenarioError

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 4
  selector: {{matchLabels: {{app: api}}}}
  template:
    metadata: {{labels: {{app: api}}}}
    spec: {{containers: [{{name: api, image: api:1}}]}}
"""
SERVICE = """\
apiVersion: rolloutsim.dev/v1alpha1
kind: ServiceModel
metadata: {{name: {name}}}
spec: {{traffic: {{rate_rps: 10}}}}
"""
RELEASE = """\
apiVersion: rolloutsim.dev/v1alpha1
kind: ReleaseModel
metadata: {{name: {name}}}
spec: {{}}
"""


def write(path: Path, *documents: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\n".join(documents))
    return str(path)


def deployment(path: Path, *names: str) -> str:
    return write(path, *(DEPLOYMENT.format(name=name) for name in names))


def test_policies_keep_their_names_where_these_differ(tmp_path: Path) -> None:
    given = [deployment(tmp_path / "a.yaml", "shop"), deployment(tmp_path / "b.yaml", "api", "web")]
    assert [policy.name for policy in policies(given)] == ["shop", "api", "web"]


def test_policies_of_one_name_are_called_after_their_files(tmp_path: Path) -> None:
    given = [deployment(tmp_path / "rolling.yaml", "api"), deployment(tmp_path / "both.yaml", "api", "web")]
    assert [policy.name for policy in policies(given)] == ["rolling", "both/api", "both/web"]


def test_files_of_one_name_are_called_by_their_paths(tmp_path: Path) -> None:
    given = [deployment(tmp_path / side / "api.yaml", "api") for side in ("old", "new")]
    assert [policy.name for policy in policies(given)] == given


def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    given = deployment(tmp_path / "api.yaml", "api")
    with pytest.raises(InputError, match="2 times"):
        policies([given, given])


def test_files_that_belong_together(tmp_path: Path) -> None:
    both = deployment(tmp_path / "a.yaml", "api") + "," + deployment(tmp_path / "b.yaml", "web")
    assert [policy.name for policy in policies([both])] == ["api", "web"]


def test_simulate_wants_one_policy(tmp_path: Path) -> None:
    assert one_policy(deployment(tmp_path / "a.yaml", "api")).name == "api"
    with pytest.raises(PolicyError, match=r"2 rollouts \(api, web\).*use compare"):
        one_policy(deployment(tmp_path / "b.yaml", "api", "web"))


def world(path: Path, name: str) -> str:
    return write(path, SERVICE.format(name="svc"), RELEASE.format(name=name))


def test_a_directory_means_its_yaml_files_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        world(tmp_path / f"{name}.yaml", name)
    (tmp_path / "notes.txt").write_text("no scenario")
    assert [one.release.name for one in scenarios([str(tmp_path)])] == ["a", "b", "c"]


def test_patterns_commas_and_repetition(tmp_path: Path) -> None:
    paths = [world(tmp_path / f"{name}.yaml", name) for name in ("a", "b", "c", "d")]
    given = [f"{paths[3]},{tmp_path}/[ab].yaml", paths[2], paths[0]]
    assert [one.release.name for one in scenarios(given)] == ["d", "a", "b", "c"]


def test_each_release_meets_each_service(tmp_path: Path) -> None:
    for name in ("api", "shop"):
        write(tmp_path / "services" / f"{name}.yaml", SERVICE.format(name=name))
    for name in ("bad", "good"):
        write(tmp_path / "releases" / f"{name}.yaml", RELEASE.format(name=name))
    found = scenarios([f"{tmp_path}/services+{tmp_path}/releases/*.yaml"])
    assert [(one.service.name, one.release.name) for one in found] == [
        ("api", "bad"),
        ("api", "good"),
        ("shop", "bad"),
        ("shop", "good"),
    ]


def test_scenarios_of_one_name_are_called_after_their_files(tmp_path: Path) -> None:
    given = [world(tmp_path / f"{name}.yaml", "same") for name in ("first", "second")]
    assert [one.name for one in scenarios(given)] == ["first", "second"]


@pytest.mark.parametrize("given", ["", "a.yaml,", "api.yaml+", "+good.yaml", "+"])
def test_an_empty_name_is_not_the_present_directory(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "api.yaml", "good.yaml"):
        world(tmp_path / name, name.removesuffix(".yaml"))
    with pytest.raises(ScenarioError, match="a file's name is missing"):
        scenarios([given])
    with pytest.raises(PolicyError, match="a file's name is missing"):
        policies([given.replace("+", ",")])


def test_a_policy_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="a directory stands here for files of a policy; name its files"):
        policies([str(tmp_path)])


def test_an_empty_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="no YAML file"):
        scenarios([str(tmp_path)])
