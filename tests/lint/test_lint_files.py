"""Files: what belongs together, what cannot be read, templates without a rollout, comments."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolloutsim.lint import Finding, Report, lint
from tests.lint.lint_manifests import BLUE_GREEN, CANARY, DEPLOYMENT, changed

ROLLOUT, TEMPLATE, *OTHERS = CANARY.split("---\n")
BAD = changed(CANARY, ("setWeight: 50", "setWeight: 5"))


def write(folder: Path, **files: str) -> list[str]:
    """Write ``name.yaml`` files; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.yaml" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return list(map(str, paths))


def apart(*files: str) -> Report:
    """Each file is a group of its own."""
    return lint([[file] for file in files])


def ids(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.rule.id for finding in findings]


# --- references between files ----------------------------------------------------------------------


def test_files_of_a_group_belong_together(tmp_path: Path) -> None:
    files = write(tmp_path, rollout=ROLLOUT, rest="---\n".join([TEMPLATE, *OTHERS]))
    assert lint([files]).findings == ()


def test_what_a_file_lacks_is_found_in_the_others(tmp_path: Path) -> None:
    files = write(tmp_path, rollout="---\n".join([ROLLOUT, *OTHERS]), template=TEMPLATE)
    assert apart(*files).findings == ()
    assert ids(apart(files[0]).findings) == ["RS010"]


def test_of_two_templates_of_one_name_the_one_in_the_same_folder_counts(tmp_path: Path) -> None:
    here = write(tmp_path / "a", rollout="---\n".join([ROLLOUT, *OTHERS]), template=TEMPLATE)
    there = write(tmp_path / "b", template=changed(TEMPLATE, ("[2m]", "[30s]")))
    report = apart(*here, *there)
    assert {finding.at.file for finding in report.findings} == {there[0]}
    assert ids(apart(here[0], there[0]).findings).count("RS070") == 1
    ambiguous = write(tmp_path / "c", rollout="---\n".join([ROLLOUT, *OTHERS]))
    assert "RS010" in ids(apart(*ambiguous, here[1], there[0]).findings)


def test_nested_templates_are_followed(tmp_path: Path) -> None:
    outer = changed(TEMPLATE, ("spec:", "spec:\n  templates: [{templateName: inner}]"))
    inner = changed(
        TEMPLATE,
        ("{name: errors}", "{name: inner}"),
        ("error-rate", "other"),
        ("interval: 2m", "interval: 1m"),
    )
    files = write(tmp_path, rollout="---\n".join([ROLLOUT, *OTHERS]), outer=outer, inner=inner)
    (finding,) = apart(*files).findings
    assert (finding.rule.id, finding.at.file) == ("RS071", files[2])
    (missing,) = apart(*files[:2]).findings
    assert (missing.rule.id, missing.at.file) == ("RS010", files[1])
    assert missing.path == "spec.templates[0].templateName"


def test_a_missing_reference_does_not_hide_the_rest(tmp_path: Path) -> None:
    (file,) = write(tmp_path, rollout=changed(ROLLOUT, ("setWeight: 50", "setWeight: 5")))
    report = apart(file)
    assert sorted(ids(report.findings)) == ["RS010", "RS010", "RS010", "RS012", "RS021"]
    assert all(finding.at.file == file for finding in report.findings)


def test_a_template_of_two_rollouts_is_reported_once(tmp_path: Path) -> None:
    second = changed(ROLLOUT, ("{name: api}", "{name: api2}"))
    template = changed(TEMPLATE, ("interval: 2m", "interval: 1m"))
    (file,) = write(tmp_path, all="---\n".join([ROLLOUT, second, template, *OTHERS]))
    assert ids(apart(file).findings) == ["RS071"]


# --- templates without a rollout -------------------------------------------------------------------


def test_a_template_alone_is_looked_at(tmp_path: Path) -> None:
    text = changed(TEMPLATE, ("interval: 2m", "interval: 1m"), ("isNaN(result[0]) || ", ""))
    assert ids(apart(*write(tmp_path, template=text)).findings) == ["RS071", "RS061"]


def test_arguments_that_only_a_rollout_gives_are_no_error(tmp_path: Path) -> None:
    text = changed(TEMPLATE, ("interval: 2m", 'interval: "{{args.service}}"'))
    assert apart(*write(tmp_path, template=text)).findings == ()
    text = changed(TEMPLATE, ("interval: 2m", 'interval: "{{args.unknown}}"'))
    assert ids(apart(*write(tmp_path, template=text)).findings) == ["RS001"]


def test_a_secret_in_a_query_of_a_template_alone(tmp_path: Path) -> None:
    secret = "[{name: service, valueFrom: {secretKeyRef: {name: s, key: k}}}"
    text = changed(TEMPLATE, ("[{name: service}", secret))
    assert ids(apart(*write(tmp_path, template=text)).findings) == ["RS072"]


def test_a_wrong_template_is_an_error(tmp_path: Path) -> None:
    text = changed(TEMPLATE, ("interval: 2m", "intervall: 2m"))
    (finding,) = apart(*write(tmp_path, template=text)).findings
    assert (finding.rule.id, finding.path) == ("RS001", "spec.metrics[0].intervall")


# --- what does not load ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["a: [", "a: 1\na: 2\n", "kind: Rollout\n", "kind: 1\napiVersion: v1\n", "\x00"],
    ids=["unfinished", "twice", "no-version", "number", "control"],
)
def test_a_file_that_does_not_load_is_a_finding(tmp_path: Path, text: str) -> None:
    bad, good = write(tmp_path, bad=text, good=BAD)
    findings = apart(bad, good).findings
    assert [(f.rule.id, f.at.file) for f in findings] == [("RS001", bad), ("RS021", good)]
    assert findings[0].at.line >= 1


def test_each_rollout_of_a_file_is_judged(tmp_path: Path) -> None:
    broken = changed(ROLLOUT, ("{name: api}", "{name: broken}"), ("setWeight: 10", "setWeight: 500"))
    (file,) = write(tmp_path, all="---\n".join([broken, BAD]))
    assert sorted(ids(apart(file).findings)) == ["RS001", "RS021"]


def test_other_yaml_is_left_alone(tmp_path: Path) -> None:
    compose, play, rollout = write(
        tmp_path, compose="services: {a: {kind: b}}\n", play="- tasks: []\n", rollout=CANARY
    )
    assert apart(compose, play, rollout).findings == ()
    (finding,) = apart(compose).findings
    assert (finding.rule.id, str(finding.at)) == ("RS002", f"{compose}:1:1")


def test_a_helm_template_says_what_to_do(tmp_path: Path) -> None:
    (file,) = write(tmp_path, chart="apiVersion: v1\nkind: {{ .Values.kind }}: a\n")
    (finding,) = apart(file).findings
    assert "Helm" in finding.fix


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    (finding,) = lint([[str(file)]]).findings
    assert finding.rule.id == "RS001"


def test_several_deployments_in_one_file(tmp_path: Path) -> None:
    second = changed(DEPLOYMENT, ("name: api", "name: web"))
    (file,) = write(tmp_path, all=f"{DEPLOYMENT}---\n{second}")
    assert ids(apart(file).findings) == ["RS053", "RS053"]


def test_odd_shapes_are_errors_and_no_crash(tmp_path: Path) -> None:
    edits = (
        ("steps:", "steps: 5\n      x:"),
        ("templates: [{templateName: errors}]", "templates: 5"),
        ("templates: [{templateName: errors}]", "templates: [5]"),
        ("stableService: api", "stableService: [api]"),
        ("args: [{name: service}, {name: hash}]", "args: 5"),
        ("containers: [{name: api, ", "containers: [5, {name: api, "),
        ("ports: [{name: http, containerPort: 3000}]", "ports: 5"),
        ("canary:", "canary: 5\n    x:"),
    )
    for edit in edits:
        (file,) = write(tmp_path, odd=changed(CANARY, edit))
        found = ids(apart(file).findings)
        assert found == [] if edit[1] == "ports: 5" else "RS001" in found, edit


# --- comments --------------------------------------------------------------------------------------


def comment(text: str, at: str, *, above: bool) -> str:
    """BAD with a comment on the line of ``at``, or above it."""
    lines = BAD.splitlines()
    number = next(i for i, line in enumerate(lines) if at in line)
    if above:
        lines.insert(number, f"  {text}")
    else:
        lines[number] += f" {text}"
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("above", [True, False])
def test_a_comment_silences_a_finding_and_keeps_its_reason(tmp_path: Path, above: bool) -> None:
    text = comment(
        "# rolloutsim: ignore RS021 back to a few on purpose", "setWeight: 5\n".strip(), above=above
    )
    report = apart(*write(tmp_path, a=text))
    assert report.findings == ()
    (silenced,) = report.suppressed
    assert (silenced.rule.id, silenced.suppressed) == ("RS021", "back to a few on purpose")


def test_a_comment_may_name_several_rules_and_stand_above_other_comments(tmp_path: Path) -> None:
    text = comment("# rolloutsim: ignore RS020, RS021: so be it\n  # and why", "setWeight: 5", above=True)
    assert apart(*write(tmp_path, a=text)).findings == ()


@pytest.mark.parametrize(
    "text",
    [
        "# rolloutsim: ignore RS021",
        "# rolloutsim: ignore",
        "# rolloutsim: ignore because",
        "# rolloutsim: ignore RS999 no such rule",
    ],
)
def test_a_comment_without_rule_or_reason_silences_nothing(tmp_path: Path, text: str) -> None:
    report = apart(*write(tmp_path, a=comment(text, "setWeight: 5", above=True)))
    assert ids(report.findings) == ["RS003", "RS021"]
    assert report.suppressed == ()


@pytest.mark.parametrize("text", ["# rolloutsim: ignore RS020 other rule", "# ignore RS021 no name"])
def test_other_comments_silence_nothing(tmp_path: Path, text: str) -> None:
    assert "RS021" in ids(apart(*write(tmp_path, a=comment(text, "setWeight: 5", above=True))).findings)


def test_a_comment_on_the_line_above_that_has_content_is_for_that_line(tmp_path: Path) -> None:
    text = comment("# rolloutsim: ignore RS021 for this line only", "pause: {duration: 10m}", above=False)
    assert ids(apart(*write(tmp_path, a=text)).findings) == ["RS021"]


def test_rules_can_be_left_out(tmp_path: Path) -> None:
    files = write(tmp_path, a=BAD, b=changed(BLUE_GREEN, ("Seconds: 300", "Seconds: 30")))
    assert sorted(ids(apart(*files).findings)) == ["RS021", "RS041"]
    assert ids(lint([[file] for file in files], disabled={"RS021"}).findings) == ["RS041"]
