"""The HTTP adapter: verbs on dicts, what an error means, what is tried again."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rolloutsim.lab import Server
from rolloutsim.live.kubeconfig import Access, Credentials
from rolloutsim.live.kubernetes import HttpKubernetes, cluster_uid
from rolloutsim.live.port import (
    CONFIG_MAP,
    DEPLOYMENT,
    SERVICE,
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Object,
    Ref,
    Refused,
    Throttled,
    Unauthorized,
    Unknown,
    Unreachable,
)
from tests.live.kube.standing import Site, deployment


def config(data: dict[str, str] | None = None, **metadata: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", **metadata},
        "data": data or {},
    }


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connections that end with the test."""
    opened: list[HttpKubernetes] = []

    def connected(access: Access | Server, **options: Any) -> HttpKubernetes:
        if isinstance(access, Server):
            access = Access("lab", access.url, credentials=Credentials(token=access.token))
        opened.append(HttpKubernetes(access, **{"timeout_s": 2.0, "wait": lambda s: None, **options}))
        return opened[-1]

    yield connected
    for api in opened:
        api.close()


Connect = Callable[..., HttpKubernetes]


@pytest.fixture
def c(cluster: Site) -> Ref:
    return cluster.ref(CONFIG_MAP, "c")


@pytest.mark.cluster
class TestVerbs:
    def test_create_get_and_again(self, cluster: Site, c: Ref) -> None:
        made = cluster.api.create(c, config({"a": "1"}))
        assert made["metadata"]["resourceVersion"]
        assert cluster.api.get(c)["data"] == {"a": "1"}
        with pytest.raises(AlreadyExists, match="configmap/c"):
            cluster.api.create(c, config())

    def test_missing(self, cluster: Site, c: Ref) -> None:
        with pytest.raises(NotFound) as caught:
            cluster.api.get(c)
        assert (caught.value.code, caught.value.reason) == (404, "NotFound")

    def test_replace_is_conditional(self, cluster: Site, c: Ref) -> None:
        first = cluster.api.create(c, config({"a": "1"}))
        second = cluster.api.replace(c, {**first, "data": {"a": "2"}})
        assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
        with pytest.raises(Conflict) as caught:
            cluster.api.replace(c, {**first, "data": {"a": "3"}})
        assert not isinstance(caught.value, AlreadyExists)
        assert cluster.api.get(c)["data"] == {"a": "2"}

    def test_merge_patch_is_conditional_on_its_version(self, cluster: Site, c: Ref) -> None:
        first = cluster.api.create(c, config({"a": "1", "b": "1"}))
        patch = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"a": None}}
        assert cluster.api.merge_patch(c, patch)["data"] == {"b": "1"}
        with pytest.raises(Conflict):
            cluster.api.merge_patch(c, {**patch, "data": {"b": "2"}})

    def test_json_patch_with_a_test(self, cluster: Site, c: Ref) -> None:
        cluster.api.create(c, config({"a": "1"}))
        change = {"op": "replace", "path": "/data/a", "value": "2"}
        with pytest.raises(Invalid):
            cluster.api.json_patch(c, [{"op": "test", "path": "/data/a", "value": "9"}, change])
        assert cluster.api.json_patch(c, [change])["data"] == {"a": "2"}

    def test_apply_is_never_forced(self, cluster: Site) -> None:
        ref = cluster.ref(SERVICE, "s")
        spec = {"selector": {"app": "x"}, "ports": [{"port": 80, "protocol": "TCP"}]}
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}
        cluster.api.create(ref, body)
        with pytest.raises(Conflict) as caught:
            cluster.api.apply(ref, {**body, "spec": {"selector": {"app": "y"}}})
        assert any("selector" in cause for cause in caught.value.causes)

    def test_apply_owns_what_it_sets(self, cluster: Site, c: Ref) -> None:
        cluster.api.apply(c, config({"a": "1", "b": "1"}))
        assert cluster.api.apply(c, config({"a": "1"}))["data"] == {"a": "1"}
        managers = [entry["manager"] for entry in cluster.api.get(c)["metadata"]["managedFields"]]
        assert managers == ["rolloutsim"]

    def test_dry_run_keeps_nothing(self, cluster: Site, c: Ref) -> None:
        assert cluster.api.create(c, config({"a": "1"}), dry_run=True)["data"] == {"a": "1"}
        with pytest.raises(NotFound):
            cluster.api.get(c)
        cluster.api.create(c, config({"a": "1"}))
        for write in (
            lambda: cluster.api.merge_patch(c, {"data": {"a": "2"}}, dry_run=True),
            lambda: cluster.api.apply(c, config({"z": "2"}), dry_run=True),
            lambda: cluster.api.delete(c, dry_run=True),
        ):
            write()
            assert cluster.api.get(c)["data"] == {"a": "1"}

    def test_unknown_fields_are_refused(self, cluster: Site) -> None:
        body = deployment("d", {"app": "d"}, "x:1")
        body["spec"]["template"]["spec"]["nonsense"] = 1
        with pytest.raises(Refused):
            cluster.api.create(cluster.ref(DEPLOYMENT, "d"), body)

    def test_status_is_a_subresource(self, cluster: Site) -> None:
        ref = cluster.ref(DEPLOYMENT, "d")
        cluster.api.create(ref, deployment("d", {"app": "d"}, "x:1"))
        patched = cluster.api.merge_patch(
            ref, {"status": {"collisionCount": 7}, "spec": {"replicas": 5}}, subresource="status"
        )
        assert (patched["status"]["collisionCount"], patched["spec"]["replicas"]) == (7, 0)

    def test_delete_with_preconditions(self, cluster: Site, c: Ref) -> None:
        made = cluster.api.create(c, config())
        with pytest.raises(Conflict):
            cluster.api.delete(c, uid="another")
        with pytest.raises(Conflict):
            cluster.api.delete(c, resource_version="1")
        cluster.api.delete(c, uid=made["metadata"]["uid"])
        with pytest.raises(NotFound):
            cluster.api.delete(c)

    def test_list_selects_and_items_know_their_kind(self, cluster: Site) -> None:
        for name, labels in (("x", {"t": "1"}), ("y", {"t": "2"})):
            cluster.api.create(cluster.ref(CONFIG_MAP, name), config(name=name, labels=labels))
        listing = cluster.api.list(CONFIG_MAP, cluster.namespace, labels="t=2")
        assert [item["metadata"]["name"] for item in listing.items] == ["y"]
        assert (listing.items[0]["kind"], listing.items[0]["apiVersion"]) == ("ConfigMap", "v1")
        named = cluster.api.list(CONFIG_MAP, cluster.namespace, fields="metadata.name=x")
        assert [item["metadata"]["name"] for item in named.items] == ["x"]

    def test_watch_goes_on_from_a_version(self, cluster: Site, c: Ref) -> None:
        start = cluster.api.list(CONFIG_MAP, cluster.namespace).resource_version
        cluster.api.create(c, config({"a": "1"}))
        cluster.api.merge_patch(c, {"data": {"a": "2"}})
        cluster.api.delete(c)
        watch = cluster.api.watch(
            CONFIG_MAP, cluster.namespace, resource_version=start, timeout_s=1, fields="metadata.name=c"
        )
        seen = [change.type for change in watch if change.type != "BOOKMARK"]
        assert seen == ["ADDED", "MODIFIED", "DELETED"]

    def test_who_the_cluster_is(self, cluster: Site) -> None:
        assert isinstance(cluster.api, HttpKubernetes)
        assert cluster_uid(cluster.api)


def test_names_are_escaped(site: Site) -> None:
    assert (
        CONFIG_MAP.path("a/b", "../x?y", "status") == "/api/v1/namespaces/a%2Fb/configmaps/..%2Fx%3Fy/status"
    )
    with pytest.raises(ApiError):
        site.api.get(Ref(CONFIG_MAP, "shop", "../secrets/s"))


def test_long_lists_are_read_page_by_page(
    server: Server, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    monkeypatch.setattr("rolloutsim.live.kubernetes.PAGE", 3)
    for index in range(8):
        server.create("ConfigMap", config(name=f"c{index}"))
    listing = connect(server).list(CONFIG_MAP, "default")
    assert [item["metadata"]["name"] for item in listing.items] == [f"c{index}" for index in range(8)]
    assert sum("configmaps" in seen.path for seen in server.requests) == 3


C = Ref(CONFIG_MAP, "default", "c")


class TestFaults:
    def test_reads_are_tried_again(self, server: Server, connect: Connect) -> None:
        server.create("ConfigMap", config())
        for fault in (
            lambda: server.faults.answer(500, 1, method="GET"),
            lambda: server.faults.answer(503, 2, method="GET"),
            lambda: server.faults.lose(1, method="GET"),
            lambda: server.faults.slow(0.5, 1, method="GET"),
        ):
            fault()
            assert connect(server, timeout_s=0.3).get(C)["metadata"]["name"] == "c"

    def test_reads_are_not_tried_for_ever(self, server: Server, connect: Connect) -> None:
        pauses: list[float] = []
        server.faults.answer(500, 99)
        with pytest.raises(Unreachable, match="answered 500"):
            connect(server, wait=pauses.append).get(C)
        assert pauses == [0.2, 0.4]

    @pytest.mark.parametrize("acted", [True, False])
    def test_a_write_without_a_good_answer_is_unknown_and_sent_once(
        self, server: Server, acted: bool, connect: Connect
    ) -> None:
        server.faults.answer(500, 1, acted=acted)
        with pytest.raises(Unknown, match="may or may not have happened") as caught:
            connect(server).create(C, config())
        assert caught.value.code == 500
        assert (server.get("ConfigMap", "c") is not None) == acted
        assert sum(seen.method == "POST" for seen in server.requests) <= 1

    def test_a_lost_answer_is_unknown(self, server: Server, connect: Connect) -> None:
        server.faults.lose(1)
        with pytest.raises(Unknown, match="broke"):
            connect(server).create(C, config())
        assert server.get("ConfigMap", "c") is not None

    def test_a_late_answer_is_unknown(self, server: Server, connect: Connect) -> None:
        server.faults.slow(0.6)
        with pytest.raises(Unknown, match=r"did not answer in 0\.3 s"):
            connect(server, timeout_s=0.3).create(C, config())

    def test_no_connection_is_refused(self, server: Server, connect: Connect) -> None:
        api = connect(server)
        server.stop()
        with pytest.raises(Unreachable, match="no connection to http://127") as caught:
            api.create(C, config())
        assert isinstance(caught.value, Refused)
        with pytest.raises(Unreachable, match="see that the cluster is up"):
            api.get(C)

    def test_throttling_is_waited_out_also_by_writes(self, server: Server, connect: Connect) -> None:
        pauses: list[float] = []
        server.faults.answer(429, 2, retry_after_s=3)
        connect(server, wait=pauses.append).create(C, config())
        assert pauses == [3.0, 3.0]

    def test_throttling_without_end_or_without_a_time(self, server: Server, connect: Connect) -> None:
        server.faults.answer(429, 9, retry_after_s=1)
        with pytest.raises(Throttled):
            connect(server).create(C, config())
        server.faults.answer(429, 9)
        with pytest.raises(Throttled):
            connect(server).create(C, config())
        assert server.get("ConfigMap", "c") is None

    def test_forbidden_names_the_right(self, server: Server, connect: Connect) -> None:
        token = server.account("robot", [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}])
        api = connect(Access("lab", server.url, credentials=Credentials(token=token)))
        with pytest.raises(Forbidden, match="cannot create"):
            api.create(C, config())

    def test_credentials_that_do_not_hold(self, server: Server, connect: Connect) -> None:
        api = connect(Access("lab", server.url, credentials=Credentials(token="wrong")))
        with pytest.raises(Unauthorized, match="log in again"):
            api.get(C)

    def test_what_is_no_api_server(self, server: Server, connect: Connect) -> None:
        api = connect(Access("lab", server.url + "/version/..", credentials=Credentials()))
        with pytest.raises(ApiError):
            api.get(C)


class TestWatch:
    def test_too_old_is_gone(self, server: Server, connect: Connect) -> None:
        api = connect(server)
        start = api.list(CONFIG_MAP, "default").resource_version
        server.create("ConfigMap", config())
        server.expire_history()
        with pytest.raises(Gone):
            list(api.watch(CONFIG_MAP, "default", resource_version=start, timeout_s=1))

    def test_a_broken_watch_is_an_error(self, server: Server, connect: Connect) -> None:
        api = connect(server, timeout_s=5.0)
        start = api.list(CONFIG_MAP, "default").resource_version
        timer = threading.Timer(0.2, server.stop)
        timer.start()
        with pytest.raises(Unreachable, match="broke"):
            list(api.watch(CONFIG_MAP, "default", resource_version=start, timeout_s=30))
        timer.join()

    def test_close_wakes_the_reader_at_once(self, server: Server, connect: Connect) -> None:
        api = connect(server, timeout_s=5.0)
        start = api.list(CONFIG_MAP, "default").resource_version
        watch = api.watch(CONFIG_MAP, "default", resource_version=start, timeout_s=30)
        ended: list[float] = []
        reader = threading.Thread(target=lambda: (list(watch), ended.append(time.monotonic())))
        reader.start()
        time.sleep(0.2)
        began = time.monotonic()
        watch.close()
        reader.join(2)
        assert ended
        assert ended[0] - began < 0.5


# --- TLS ------------------------------------------------------------------------------------------


def certificate(folder: Path, *, days: int) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself, that ends ``days`` from now."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    pem = folder / "tls.crt"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = folder / "tls.key"
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, secret


class TestTls:
    def access(self, server: Server, pem: Path) -> Access:
        return Access(
            "lab", server.url, authority=pem.read_text(), credentials=Credentials(token=server.token)
        )

    def test_a_private_authority(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
    ) -> None:
        pem, key = certificate(tmp_path, days=30)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
        with Server(certificate=pem, key=key) as server:
            assert cluster_uid(connect(self.access(server, pem), timeout_s=5.0))

    def test_another_authority_is_not_trusted(self, tmp_path: Path, connect: Connect) -> None:
        pem, key = certificate(tmp_path / "a", days=30)
        other, _ = certificate(tmp_path / "b", days=30)
        with Server(certificate=pem, key=key) as server:
            api = connect(self.access(server, other), timeout_s=5.0)
            with pytest.raises(Unreachable, match="does not trust the certificate"):
                api.get(C)

    def test_an_expired_certificate_says_so_and_what_to_do(self, tmp_path: Path, connect: Connect) -> None:
        pem, key = certificate(tmp_path, days=-1)
        with Server(certificate=pem, key=key) as server:
            api = connect(self.access(server, pem), timeout_s=5.0)
            with pytest.raises(Unreachable, match=r"has expired; renew it there, or check"):
                api.create(C, config())
