"""Real clients take the emulator for an API server: lightkube, kubectl."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from rolloutsim.lab import Server, self_signed
from rolloutsim.lab.children import find_program
from rolloutsim.lab.demo import deployment, service

lightkube = pytest.importorskip("lightkube")


def test_lightkube(server, tmp_path):
    from lightkube.core.exceptions import ApiError
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import ConfigMap
    from lightkube.types import PatchType

    path = server.kubeconfig(tmp_path / "config")
    client = lightkube.Client(lightkube.KubeConfig.from_file(path), trust_env=False)
    made = client.create(ConfigMap(metadata=ObjectMeta(name="a"), data={"k": "1"}))
    stale = client.get(ConfigMap, "a")
    client.patch(ConfigMap, "a", {"data": {"k": "2"}}, patch_type=PatchType.MERGE)
    stale.data = {"k": "3"}
    with pytest.raises(ApiError) as refused:
        client.replace(stale)
    assert refused.value.status.code == 409
    applied = client.apply(
        ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="b"), data={"k": "1"}),
        field_manager="rolloutsim",
    )
    assert applied.metadata.managedFields[0].manager == "rolloutsim"
    assert sorted(each.metadata.name for each in client.list(ConfigMap)) == ["a", "b"]
    events = client.watch(ConfigMap, resource_version=made.metadata.resourceVersion)
    assert [next(events)[0] for _ in range(2)] == ["MODIFIED", "ADDED"]
    client.delete(ConfigMap, "a")
    assert server.get("ConfigMap", "a") is None
    events.close()
    client._client._client.close()


@pytest.fixture
def kubectl(tmp_path):
    program = find_program("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed")
    certificate, key = self_signed(tmp_path)
    with Server(certificate=certificate, key=key) as server:
        config = server.kubeconfig(tmp_path / "config")

        def run(*words: str, text: str = "", token: str = "") -> str:
            environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(config)}
            if token:
                environment["KUBECONFIG"] = str(server.kubeconfig(tmp_path / "other", token=token))
            ended = subprocess.run(
                [program, *words], input=text, env=environment, capture_output=True, text=True, timeout=30
            )
            return ended.stdout + ended.stderr

        run.server = server
        yield run


@pytest.mark.slow
def test_kubectl(kubectl):
    server = kubectl.server
    assert "rolloutsim-emulator" in kubectl("version")
    things = [deployment("web", {"app": "web"}, "web:1", 3), service("web", {"app": "web"})]
    text = "\n---\n".join(map(json.dumps, things))
    assert kubectl("apply", "-f", "-", text=text).split() == [
        "deployment.apps/web",
        "created",
        "service/web",
        "created",
    ]
    assert kubectl("apply", "-f", "-", text=text).count("unchanged") == 2
    assert "0/3" in kubectl("get", "deploy", "web")
    assert "web:1" in kubectl("describe", "deployment", "web")
    changed = text.replace("web:1", "web:2")
    assert "configured" in kubectl("apply", "-f", "-", text=changed)
    assert server.get("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    told = kubectl(
        "patch", "service", "web", "--type=json", "-p", '[{"op":"test","path":"/kind","value":"x"}]'
    )
    assert "testing value /kind failed" in told
    assert "scaled" in kubectl("scale", "deployment/web", "--replicas=5")
    told = kubectl("apply", "--server-side", "-f", "-", text=text)
    assert "conflict" in told
    assert ".spec.replicas" in told
    assert "serverside-applied" in kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", text=text
    )
    wrong = text.replace('"replicas"', '"replikas"')
    assert 'unknown field "spec.replikas"' in kubectl("apply", "-f", "-", text=wrong)
    assert kubectl("auth", "can-i", "patch", "deployments").strip() == "yes"
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}
    token = server.account("robot", [rule], "default")
    assert kubectl("auth", "can-i", "patch", "deployments", token=token).strip() == "no"
    assert "Forbidden" in kubectl("delete", "deployment", "web", token=token)
    assert "deleted" in kubectl("delete", "service", "web")
    assert "integer" in kubectl("explain", "httproute.spec.rules.backendRefs.weight")


@pytest.mark.slow
def test_kubectl_watches(kubectl, tmp_path):
    server = kubectl.server
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "config")}
    program = find_program("kubectl")
    command = [program, "get", "configmaps", "--watch", "--output=name"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watching:
        time.sleep(0.5)
        for name in ("one", "two"):
            server.create("ConfigMap", {"metadata": {"name": name}})
        assert [watching.stdout.readline().strip() for _ in range(2)] == ["configmap/one", "configmap/two"]
        watching.terminate()


def test_an_expired_certificate_is_refused(tmp_path):
    import ssl

    import httpx

    certificate, key = self_signed(tmp_path, days=-1)
    with Server(certificate=certificate, key=key) as server:
        context = ssl.create_default_context(cafile=str(certificate))
        with (
            httpx.Client(verify=context, trust_env=False) as client,
            pytest.raises(httpx.ConnectError, match="expired"),
        ):
            client.get(server.url)
