"""``rolloutsim vet`` and ``rolloutsim verify`` from end to end."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from rolloutsim.cli import app

VET_VERB, VERIFY_VERB = map(import_module, ("rolloutsim.cli.vet", "rolloutsim.cli.verify"))

SCENARIOS = Path(__file__).parents[2] / "scenarios"
GUARDED = SCENARIOS / "policies" / "canary-guarded.yaml"
API = SCENARIOS / "services" / "api.yaml"
QUICK = ("--require", "p_detect>=0.9@crashloop", "--max-runs", "40", "--jobs", "1")
FAILING = ("--require", "p_detect>=0.9@err-step-0.2pp", "--max-runs", "40", "--jobs", "1")


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """One fault, quick to play."""
    return faults(tmp_path, "crashloop")


def faults(tmp_path: Path, *names: str) -> Path:
    """A directory of these faults."""
    directory = tmp_path / "faults"
    directory.mkdir(exist_ok=True)
    for name in names:
        text = (SCENARIOS / "faults" / f"{name}.yaml").read_text(encoding="utf-8")
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    return directory


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def vet(suite: Path, *arguments: str | Path) -> Result:
    return run("vet", GUARDED, "-s", API, "--suite", suite, *arguments)


# --- vet ------------------------------------------------------------------------------------------


def test_a_policy_that_passes(tmp_path: Path) -> None:
    result = vet(faults(tmp_path, "crashloop", "err-step-20pp"), *QUICK)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("policy api (sha256:")
    assert "p_detect>=0.9@crashloop  100 %" in result.stdout
    assert "passed: of 1 bars 1 passed; 80 runs" in lines
    assert any(line.startswith("err-step-20pp") for line in lines)
    assert result.stderr.splitlines() == ["80 runs"]


@pytest.mark.slow
def test_a_policy_that_fails_and_says_what_would_pass(tmp_path: Path) -> None:
    suite = faults(tmp_path, "err-step-20pp")
    files = {kind: tmp_path / f"vet.{kind}" for kind in ("xml", "sarif", "md")}
    files["md"].write_text("# before\n", encoding="utf-8")
    reports = ("--junit", files["xml"], "--sarif", files["sarif"], "--summary", files["md"])
    result = vet(
        suite,
        "--require",
        "p_detect>=0.9@err-step-20pp",
        "--require",
        "time_to_detect_s_p90<=4m@err-step-20pp",
        *QUICK[2:],
        *reports,
    )
    assert result.exit_code == 1
    assert "nearest passing change: " in result.stdout
    assert "looking for the nearest passing change" in result.stderr

    root = ElementTree.parse(files["xml"]).getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    (failure,) = root.iter("failure")
    assert failure.get("type") == "failed"
    assert "time_to_detect_s_p90<=240@err-step-20pp failed" in str(failure.get("message"))

    (log,) = json.loads(files["sarif"].read_text())["runs"]
    (found,) = log["results"]
    assert found["level"] == "error"
    assert "nearest passing change" in found["message"]["text"]
    place = found["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("canary-guarded.yaml")
    line = GUARDED.read_text().splitlines()[place["region"]["startLine"] - 1]
    assert any(word in line for word in ("failureLimit", "successCondition", "provider", "strategy"))

    summary = files["md"].read_text()
    assert summary.startswith("# before\n### vet: policy `api` failed")
    assert "| `p_detect>=0.9@err-step-20pp` | 100 %" in summary
    assert "with the change" in summary


def test_a_policy_of_which_too_little_is_known(tmp_path: Path) -> None:
    """Errors just below the threshold: caught in about three runs of four."""
    directory = faults(tmp_path, "err-step-5pp")
    file = directory / "err-step-5pp.yaml"
    file.write_text(file.read_text().replace("size: 5%", "size: 4.6%"), encoding="utf-8")
    result = vet(directory, "--require", "p_detect>=0.75@err-step-5pp", *QUICK[2:])
    assert result.exit_code == 3
    assert "inconclusive: of 1 bars 1 inconclusive" in result.stdout


def test_a_waiver_is_recorded(tmp_path: Path) -> None:
    suite = faults(tmp_path, "crashloop", "err-step-0.2pp")
    junit, certificate = tmp_path / "vet.xml", tmp_path / "cert.json"
    result = vet(
        suite,
        *FAILING,
        *QUICK[:2],
        "--waive",
        "p_detect@err-step-0.2pp=too small to see, ticket 7",
        "--junit",
        junit,
        "--certificate",
        certificate,
    )
    assert result.exit_code == 0
    assert "waived: p_detect>=0.9@err-step-0.2pp: too small to see, ticket 7" in result.stdout
    (skipped,) = ElementTree.parse(junit).getroot().iter("skipped")
    assert skipped.get("message") == "waived: too small to see, ticket 7"
    counted = run("verify", certificate, "-p", GUARDED)
    assert counted.exit_code == 0
    assert "waived: p_detect>=0.9@err-step-0.2pp: too small to see, ticket 7" in counted.stdout


def test_default_bars_that_a_suite_cannot_be_asked_are_named(tmp_path: Path) -> None:
    result = vet(faults(tmp_path, "err-step-20pp"), "--jobs", "1", "--no-suggest", "--max-runs", "800")
    told = " ".join(result.stdout.split())
    assert result.exit_code == 0, result.stdout
    assert (
        "- default bars not asked, since suite faults lacks their scenarios: p_detect>=0.95@err-step-2pp,"
        in told
    )
    assert "p_detect>=0.99@err-step-20pp," not in told
    assert "p_false_abort<=0.05@noisy-baseline" in told


def test_json_is_for_machines_and_the_same_each_time(suite: Path) -> None:
    first, second = (vet(suite, *QUICK, "-o", "json") for _ in range(2))
    assert first.stdout == second.stdout
    document = json.loads(first.stdout)
    assert document["kind"] == "Vetting"
    assert document["verdict"] == "passed"
    assert document["bars"][0]["judged"]["runs"] == 40
    assert [one["scenario"] for one in document["scenarios"]] == ["crashloop"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--require", "p_detect>=0.9@crash-loop"), "did you mean 'crashloop'?"),
        (("--require", "p_detect>0.9@leak"), "write p_detect>=0.9"),
        (("--waive", "p_detect@leak"), "a waiver needs a reason"),
        (("--sign", "key.pem"), "name its file with --certificate"),
        (("--valid", "30d"), "for example 720h"),
        (("--certificate", "/none/cert.json"), "the directory does not exist"),
        (("--require", "p_detect>=0.999@crashloop", "--max-runs", "100"), "raise --max-runs"),
        (("-s", "none.yaml"), "there is no such file"),
        (("-s", "scenarios"), "a directory stands here for a file; name one of its files"),
        (("-s", "none.yaml+good.yaml"), "there is no such file; one file is wanted here, as none.yaml"),
    ],
)
def test_wrong_input_is_one_sentence(suite: Path, arguments: tuple[str, ...], says: str) -> None:
    result = vet(suite, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert says in result.stderr


# --- certificates ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two pairs of keys, as openssl makes them."""
    tmp_path = tmp_path_factory.mktemp("keys")
    found = {}
    for name in ("key", "other"):
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
        found |= {name: private, f"{name}.pub": public}
    return found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Path]) -> Path:
    """A signed certificate that counts in one place."""
    suite = faults(tmp_path_factory.mktemp("suite"), "crashloop")
    path = suite / "cert.json"
    place = ("--cluster", "prod", "-n", "shop")
    result = vet(suite, *QUICK, "--certificate", path, "--sign", keys["key"], *place)
    assert result.exit_code == 0
    assert "certificate until 20" in result.stderr
    return path


def verify(certificate: Path, *arguments: str | Path, policy: Path = GUARDED) -> Result:
    return run("verify", certificate, "--policy", policy, *arguments)


def test_a_certificate_counts(certificate: Path, keys: dict[str, Path]) -> None:
    result = verify(certificate, "--key", keys["key.pub"], "--cluster", "prod", "-n", "shop")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "counts: policy api met 1 of 1 bars of suite faults on service api; until 20"
    )
    assert result.stdout.endswith("\nmet: p_detect>=0.9@crashloop\n")
    assert (
        result.stderr
        == "the suite was not checked: give --service, and --suite unless it is the standard one\n"
    )


def test_another_suite_and_another_service_are_refused(certificate: Path, tmp_path: Path) -> None:
    """A certificate says against what was vetted; who asks says against what it should have been."""
    same = verify(certificate, "-s", API, "--suite", faults(tmp_path, "crashloop"))
    assert (same.exit_code, "the suite was not checked" in same.stderr) == (0, False)
    easier = verify(certificate, "-s", API, "--suite", faults(tmp_path, "err-step-20pp"))
    other = verify(certificate, "-s", SCENARIOS / "services" / "bursty.yaml", "--suite", certificate.parent)
    standard = verify(certificate, "-s", API)
    for refused in (easier, standard, other):
        assert refused.exit_code == 5
        assert refused.stdout.startswith(
            "refused (suite): the policy was vetted against suite faults on service api, sha256:"
        )
    assert "give --service with --suite" in verify(certificate, "--suite", tmp_path).stderr


def test_what_was_not_looked_at_is_said(certificate: Path) -> None:
    result = verify(certificate)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "the signature was not checked: give --key",
        "the suite was not checked: give --service, and --suite unless it is the standard one",
        "the place was not checked: give --cluster and --namespace",
    ]


def test_a_changed_comment_does_not_break_it_and_a_changed_threshold_does(
    certificate: Path, keys: dict[str, Path], tmp_path: Path
) -> None:
    text = GUARDED.read_text()
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    same.write_text(
        "# reviewed\n" + text.replace("image: myregistry/api:1.4.3", "image: x:2"), encoding="utf-8"
    )
    other.write_text(text.replace("< 0.05", "< 0.06"), encoding="utf-8")
    assert verify(certificate, "--key", keys["key.pub"], policy=same).exit_code == 0
    refused = verify(certificate, "--key", keys["key.pub"], policy=other)
    assert refused.exit_code == 5
    assert refused.stdout.startswith("refused (policy): another policy was vetted")


def test_another_key_and_another_text_are_refused(
    certificate: Path, keys: dict[str, Path], tmp_path: Path
) -> None:
    refused = verify(certificate, "--key", keys["other.pub"])
    assert (refused.exit_code, refused.stdout.split(":")[0]) == (5, "refused (signature)")
    document = json.loads(certificate.read_text())
    document["payload"] = document["payload"].replace("A", "B", 1)
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(document), encoding="utf-8")
    refused = verify(changed, "--key", keys["key.pub"])
    assert refused.exit_code == 5
    assert refused.stdout == (
        "refused (signature): the certificate was changed after it was signed; get it from who issued it\n"
    )


def test_another_place_is_refused(certificate: Path) -> None:
    refused = verify(certificate, "--cluster", "dev", "-n", "shop")
    assert refused.exit_code == 5
    assert refused.stdout == (
        "refused (cluster): the certificate counts in cluster prod and this is dev; vet with --cluster dev\n"
    )
    assert verify(certificate, "--cluster", "dev").exit_code == 2


def test_an_old_certificate_is_refused(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VERIFY_VERB, "_now", lambda: datetime.now(UTC) + timedelta(days=31))
    refused = verify(certificate)
    assert refused.exit_code == 5
    assert refused.stdout.startswith("refused (expired): the certificate expired at ")


def test_a_certificate_of_a_failed_vetting_is_refused(tmp_path: Path) -> None:
    suite = faults(tmp_path, "err-step-0.2pp")
    path = tmp_path / "cert.json"
    assert vet(suite, *FAILING, "--no-suggest", "--certificate", path).exit_code == 1
    refused = verify(path)
    assert refused.exit_code == 5
    assert refused.stdout.startswith("refused (bars): bars not met: p_detect>=0.9@err-step-0.2pp; ")
    assert refused.stderr.startswith("the certificate is not signed: anybody could have written it\n")


def test_the_answer_as_json(certificate: Path, keys: dict[str, Path]) -> None:
    good = json.loads(verify(certificate, "--key", keys["key.pub"], "-o", "json").stdout)
    assert (good["counts"], good["refusals"], good["signatureChecked"]) == (True, [], True)
    assert good["certificate"]["clusters"] == ["prod"]
    bad = json.loads(verify(certificate, "--key", keys["other.pub"], "-o", "json").stdout)
    assert bad["certificate"] is None
    assert bad["refusals"][0]["kind"] == "signature"


def test_two_vettings_give_one_certificate_but_for_the_time(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = []
    for day in (1, 1, 2):
        monkeypatch.setattr(VET_VERB, "_now", lambda day=day: datetime(2026, 11, day, tzinfo=UTC))
        path = tmp_path / "cert.json"
        vet(suite, *QUICK, "--certificate", path)
        texts.append(path.read_text())
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{}", "the file is no certificate"),
        (b"", "the file is no certificate: it is not JSON; "),
        (b"\xff\xfe", "the file is no certificate"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_certificate(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "cert.json"
    if content is not None:
        path.write_bytes(content)
    result = verify(path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {path}: ")
    assert says in result.stderr
