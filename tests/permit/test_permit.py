"""Certificates: what counts, and each reason why one does not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rolloutsim.errors import InputError
from rolloutsim.permit import (
    Certificate,
    CertifiedBar,
    Envelope,
    Place,
    Refused,
    Running,
    Unvetted,
    pack,
    public_key,
    read_envelope,
    refusals,
    running,
    signed,
    signing_key,
    unpack,
    verified_by,
)

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HERE = Place("prod-eu", "shop")
BAR = CertifiedBar("p_detect>=0.95@err-step-2pp", True, 0.95, 1.0, 0.9581, 1.0, 200)
SPARE = CertifiedBar("p_false_abort<=0.02@healthy", False, 0.02, 0.0, 0.0, 0.0168, 400)
GOOD = Certificate(
    policy="api",
    policy_digest="sha256:" + "a" * 64,
    service="api",
    suite="standard",
    suite_digest="sha256:" + "b" * 64,
    engine=3,
    rolloutsim="0.10.2",
    seed=1,
    confidence=0.95,
    runs=4200,
    bars=(BAR, SPARE),
    issued="2026-11-20T08:00:00Z",
    expires="2026-12-20T08:00:00Z",
    clusters=("prod-eu", "prod-us"),
    namespaces=("shop",),
)
KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))


def against(
    certificate: Certificate = GOOD,
    *,
    policy_digest: str = GOOD.policy_digest,
    now: datetime = NOW,
    engine: int = 3,
    rolloutsim: str = "0.10.2",
    place: Place | None = HERE,
    suite_digest: str | None = None,
) -> dict[Refused, str]:
    found = refusals(
        certificate,
        policy_digest=policy_digest,
        now=now,
        running=Running(engine, rolloutsim),
        place=place,
        suite_digest=suite_digest,
    )
    assert all("; " in refusal.why and "\n" not in refusal.why for refusal in found)
    return {refusal.kind: refusal.why for refusal in found}


# --- judging --------------------------------------------------------------------------------------


def test_a_good_certificate_counts() -> None:
    assert against() == {}


def test_another_policy() -> None:
    why = against(policy_digest="sha256:" + "c" * 64)
    assert set(why) == {Refused.POLICY}
    assert "sha256:aaaaaaaaaaaa" in why[Refused.POLICY]
    assert "sha256:cccccccccccc" in why[Refused.POLICY]


def test_another_suite() -> None:
    assert against(suite_digest=GOOD.suite_digest) == {}
    why = against(suite_digest="sha256:" + "c" * 64)
    assert set(why) == {Refused.SUITE}
    assert f"suite {GOOD.suite} on service {GOOD.service}" in why[Refused.SUITE]


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (BAR, True),
        (SPARE, True),
        (replace(BAR, low=0.95), True),
        (replace(BAR, low=0.9499), False),
        (replace(SPARE, high=0.0201), False),
        (replace(BAR, low=None), False),
        (replace(SPARE, high=None), False),
    ],
)
def test_a_bar_is_met_by_its_worse_bound_whatever_else_is_said(bar: CertifiedBar, met: bool) -> None:
    assert bar.met is met
    assert set(against(replace(GOOD, bars=(BAR, bar)))) == (set() if met else {Refused.BARS})


def test_a_waived_bar_needs_a_met_one_beside_it() -> None:
    waived = replace(BAR, low=0.1, waiver="known, until the new gate lands")
    assert against(replace(GOOD, bars=(waived, SPARE))) == {}
    assert set(against(replace(GOOD, bars=(waived,)))) == {Refused.BARS}
    assert set(against(replace(GOOD, bars=(replace(waived, waiver=" "), SPARE)))) == {Refused.BARS}
    assert set(against(replace(GOOD, bars=()))) == {Refused.BARS}


@pytest.mark.parametrize(
    ("now", "kind"),
    [
        ("2026-12-20T07:59:59Z", None),
        ("2026-12-20T08:00:00Z", Refused.EXPIRED),
        ("2026-12-20T09:00:00+02:00", None),
        ("2026-11-20T07:56:00Z", None),
        ("2026-11-20T07:54:00Z", Refused.NOT_YET),
    ],
)
def test_time(now: str, kind: Refused | None) -> None:
    """Five minutes are left for clocks that differ."""
    assert set(against(now=datetime.fromisoformat(now))) == ({kind} if kind else set())


@pytest.mark.parametrize(
    ("engine", "rolloutsim", "kinds"),
    [
        (3, "0.10.3", set()),
        (3, "0.11", set()),
        (3, "1.0.0rc1", set()),
        (2, "0.10.2", {Refused.ENGINE}),
        (4, "0.10.2", {Refused.ENGINE}),
        (3, "0.10.1", {Refused.VERSION}),
        (3, "0.9.9", {Refused.VERSION}),
        (2, "0.9.9", {Refused.ENGINE, Refused.VERSION}),
    ],
)
def test_versions(engine: int, rolloutsim: str, kinds: set[Refused]) -> None:
    why = against(engine=engine, rolloutsim=rolloutsim)
    assert set(why) == kinds
    if engine < 3:
        assert "older engine 2" in why[Refused.ENGINE]


@pytest.mark.parametrize("vetted", ["dev", "", "main-1f3a", "0.10.2-dirty", "v0.10.2", "1!0.1", "0.10.2\n"])
def test_a_version_that_nobody_can_order_is_refused_though_it_is_signed(vetted: str) -> None:
    """It might be newer than what runs here, and that is what must not be."""
    envelope = signed(Envelope(pack(replace(GOOD, rolloutsim=vetted))), KEY)
    assert verified_by(envelope, [KEY.public_key()]) is None
    why = against(unpack(envelope.payload))
    assert set(why) == {Refused.VERSION}
    assert f"vetted with rolloutsim {vetted!r}, which is no version" in why[Refused.VERSION]
    assert "vet again with a release" in why[Refused.VERSION]


def test_a_build_without_a_version_does_not_run_what_was_vetted_with_one() -> None:
    why = against(rolloutsim="dev")
    assert set(why) == {Refused.VERSION}
    assert "'dev', which is no version" in why[Refused.VERSION]
    assert "install a release" in why[Refused.VERSION]


IN_ORDER = (
    *("0.9", "0.10.dev1", "0.10a1.dev2", "0.10a1", "0.10a2", "0.10b1", "0.10rc1.dev3", "0.10rc1", "0.10rc12"),
    *("0.10", "0.10.post1", "0.10.1", "0.10.10", "1"),
)


@pytest.mark.parametrize("vetted", range(len(IN_ORDER)))
def test_versions_are_ordered_as_packages_are(vetted: int) -> None:
    for here, version in enumerate(IN_ORDER):
        why = against(replace(GOOD, rolloutsim=IN_ORDER[vetted]), rolloutsim=version)
        assert set(why) == ({Refused.VERSION} if here < vetted else set()), version


@pytest.mark.parametrize("same", ["0.10.2", "0.10.2.0", "0.10.2+local.7"])
def test_the_same_version_is_not_older(same: str) -> None:
    assert against(rolloutsim=same) == {}


def test_what_runs_is_this_package() -> None:
    assert running().engine >= 1
    assert running().rolloutsim


@pytest.mark.parametrize(
    ("place", "kinds"),
    [
        (HERE, set()),
        (Place("prod-us", "shop"), set()),
        (Place("prod-ap", "shop"), {Refused.CLUSTER}),
        (Place("prod-eu", "shop-2"), {Refused.NAMESPACE}),
        (Place("", ""), {Refused.CLUSTER, Refused.NAMESPACE}),
        (None, set()),
    ],
)
def test_place(place: Place | None, kinds: set[Refused]) -> None:
    assert set(against(place=place)) == kinds
    assert set(against(replace(GOOD, clusters=(), namespaces=()), place=place)) == set()


def test_all_reasons_are_given_at_once() -> None:
    bad = replace(GOOD, bars=(replace(BAR, low=0.0),), expires="2026-11-21T08:00:00Z")
    found = against(bad, policy_digest="", engine=1, rolloutsim="0.1", place=Place("x", "y"), suite_digest="")
    assert set(found) == set(Refused) - {Refused.SIGNATURE, Refused.NOT_YET}


def test_leave_without_a_certificate_needs_a_reason() -> None:
    assert Unvetted("the site is down", "ada", "2026-11-23T08:00:00Z").reason == "the site is down"
    with pytest.raises(ValueError, match="needs a reason"):
        Unvetted(" ", "ada", "2026-11-23T08:00:00Z")


# --- payload --------------------------------------------------------------------------------------


def test_a_certificate_comes_back_unchanged() -> None:
    assert unpack(pack(GOOD)) == GOOD
    never = replace(GOOD, bars=(replace(BAR, low=None, high=None, value=float("inf")),))
    assert unpack(pack(never)) == never


def test_the_payload_is_canonical() -> None:
    text = pack(GOOD).decode()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert json.loads(text)["kind"] == "VettingCertificate"


def changed(**values: Any) -> bytes:
    content = {**json.loads(pack(GOOD)), **values}
    return json.dumps({key: value for key, value in content.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no VettingCertificate"),
        (changed(kind="Vetting"), "no VettingCertificate"),
        (changed(apiVersion="rolloutsim.dev/v9"), "another apiVersion"),
        (changed(seed=...), "lacks seed"),
        (changed(extra=1), "has no extra"),
        (changed(seed="1"), "expected int"),
        (changed(expires="soon"), "Invalid isoformat"),
        (changed(expires="2026-12-20T08:00:00"), "has no zone"),
        (changed(bars=[{}]), "CertifiedBar lacks"),
    ],
)
def test_a_payload_that_is_none_is_refused_in_one_sentence(payload: bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        unpack(payload, "cert.json")
    assert says in str(caught.value)
    assert str(caught.value).startswith("cert.json: ")
    assert "\n" not in str(caught.value)


# --- envelope -------------------------------------------------------------------------------------


def test_what_is_signed_is_what_dsse_says() -> None:
    """The example of the DSSE protocol document."""
    envelope = Envelope(b"hello world", (), "http://example.com/HelloWorld")
    assert envelope.to_sign == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_an_envelope_comes_back_unchanged() -> None:
    envelope = signed(Envelope(pack(GOOD)), KEY)
    text = json.dumps(envelope.to_json())
    assert read_envelope(text) == envelope
    # DSSE wants both alphabets of base64 to be read
    assert (
        read_envelope(
            text.replace("+", "-")
            .replace("/", "_")
            .replace("application_vnd", "application/vnd")
            .replace("-json", "+json")
        )
        == envelope
    )


def tampered(envelope: Envelope, **values: Any) -> Envelope:
    content = {**json.loads(envelope.payload), **values}
    return replace(envelope, payload=json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def test_a_signature_holds_for_what_was_signed() -> None:
    envelope = signed(Envelope(pack(GOOD)), KEY)
    mine, other = KEY.public_key(), OTHER.public_key()
    assert verified_by(envelope, [mine]) is None
    assert verified_by(envelope, [other, mine]) is None
    assert verified_by(signed(envelope, OTHER), [other]) is None
    for wrong, why in (
        (tampered(envelope, expires="2036-12-20T08:00:00Z"), "changed after it was signed"),
        (tampered(envelope, policy_digest="sha256:" + "c" * 64), "changed after it was signed"),
        (replace(envelope, payload_type="text/plain"), "changed after it was signed"),
        (replace(envelope, signatures=()), "not signed"),
    ):
        refusal = verified_by(wrong, [mine])
        assert refusal is not None
        assert refusal.kind is Refused.SIGNATURE
        assert why in refusal.why
    refusal = verified_by(envelope, [other])
    assert refusal is not None
    assert "signed with another key" in refusal.why


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_no_bit_of_a_signed_certificate_can_be_changed(place: int, bit: int) -> None:
    envelope = signed(Envelope(pack(GOOD)), KEY)
    payload = bytearray(envelope.payload)
    payload[place % len(payload)] ^= 1 << bit
    assert verified_by(replace(envelope, payload=bytes(payload)), [KEY.public_key()]) is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is not JSON"),
        ("[]", "no certificate"),
        ("{}", "lacks 'payloadType'"),
        ('{"payloadType": "x"}', "the payload is 'x'"),
        (json.dumps({**Envelope(b"x").to_json(), "payload": "%%%"}), "no certificate"),
        (json.dumps({**Envelope(b"x").to_json(), "signatures": [1]}), "no certificate"),
        (json.dumps({**Envelope(b"x").to_json(), "signatures": [{}]}), "lacks 'sig'"),
        ("[" * 100_000, "no certificate"),
    ],
)
def test_a_file_that_is_no_envelope_is_refused_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_envelope(text, "cert.json")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# --- keys -----------------------------------------------------------------------------------------


def pem(key: Any, *, public: bool = False) -> bytes:
    if public:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        encoded: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
        return encoded
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private: bytes = key.private_bytes(serialization.Encoding.PEM, form, none)
    return private


def test_keys_are_read_as_openssl_writes_them() -> None:
    envelope = signed(Envelope(b"x"), signing_key(pem(KEY)))
    assert verified_by(envelope, [public_key(pem(KEY, public=True))]) is None


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem(generate_private_key(SECP256R1())),
    ],
)
def test_other_keys_are_refused(wrong: bytes) -> None:
    with pytest.raises(InputError, match="openssl genpkey"):
        signing_key(wrong, "key.pem")
    with pytest.raises(InputError, match="openssl pkey"):
        public_key(wrong, "key.pub")


def test_a_public_key_does_not_sign_and_a_private_one_is_not_given_away() -> None:
    with pytest.raises(InputError, match="no private Ed25519 key"):
        signing_key(pem(KEY, public=True))
    with pytest.raises(InputError, match="no public Ed25519 key"):
        public_key(pem(KEY))


def test_without_the_package_that_signs_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(InputError, match=r"pip install 'rolloutsim\[sign\]'"):
        signing_key(pem(KEY))
