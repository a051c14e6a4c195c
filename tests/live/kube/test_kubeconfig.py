"""Which cluster, as whom: the rules of kubectl, and credentials that stay where they belong."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from rolloutsim.lab import Server
from rolloutsim.live.credentials import is_loopback
from rolloutsim.live.kubeconfig import IN_CLUSTER, Access, AccessError, Credentials, Plugin, load_access
from rolloutsim.live.kubernetes import HttpKubernetes, cluster_uid


def written(folder: Path, name: str, **content: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **content}))
    return path


def named(kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"name": name, kind: content}


def simple(folder: Path, name: str, server: str, **context: str) -> Path:
    return written(
        folder,
        f"{name}.json",
        clusters=[named("cluster", name, server=server)],
        users=[named("user", name, token=f"token-of-{name}")],
        contexts=[named("context", name, cluster=name, user=name, **context)],
        **{"current-context": name},
    )


class TestFiles:
    def test_the_flag_wins(self, tmp_path: Path) -> None:
        one, two = (simple(tmp_path, name, f"https://{name}") for name in ("one", "two"))
        access = load_access(kubeconfig=str(one), environ={"KUBECONFIG": str(two)})
        assert (access.server, access.credentials.token) == ("https://one", "token-of-one")

    def test_the_first_of_the_list_to_define_wins_and_missing_files_do_not_matter(
        self, tmp_path: Path
    ) -> None:
        one = written(
            tmp_path,
            "one.json",
            clusters=[named("cluster", "c", server="https://one")],
            contexts=[named("context", "first", cluster="c", user="u", namespace="shop")],
        )
        two = written(
            tmp_path,
            "two.json",
            clusters=[named("cluster", "c", server="https://two")],
            users=[named("user", "u", token="t")],
            contexts=[named("context", "second", cluster="c")],
            **{"current-context": "first"},
        )
        listed = os.pathsep.join(["", str(tmp_path / "none"), str(one), str(two)])
        access = load_access(environ={"KUBECONFIG": listed})
        assert (access.context, access.server) == ("first", "https://one")
        assert (access.namespace, access.credentials.token) == ("shop", "t")
        assert load_access(environ={"KUBECONFIG": listed}, context="second").credentials.empty

    def test_home_and_namespace_flag(self, tmp_path: Path) -> None:
        simple(tmp_path / ".kube", "config", "https://home", namespace="from-context")
        (tmp_path / ".kube" / "config.json").rename(tmp_path / ".kube" / "config")
        environ = {"HOME": str(tmp_path)}
        assert load_access(environ=environ).namespace == "from-context"
        assert load_access(environ=environ, namespace="flag").namespace == "flag"
        assert load_access(environ=environ, impersonate="jane").credentials.impersonate == "jane"

    def test_paths_are_relative_to_their_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "ca.pem").write_text("authority")
        (tmp_path / "a" / "key.pem").write_text("key")
        path = written(
            tmp_path / "a",
            "config",
            clusters=[named("cluster", "c", server="https://c", **{"certificate-authority": "ca.pem"})],
            users=[
                named(
                    "user",
                    "u",
                    **{
                        "client-certificate-data": base64.b64encode(b"certificate").decode(),
                        "client-certificate": "not-read",
                        "client-key": "key.pem",
                        "tokenFile": "token",
                    },
                )
            ],
            contexts=[named("context", "x", cluster="c", user="u")],
            **{"current-context": "x"},
        )
        access = load_access(kubeconfig=str(path))
        assert access.authority == "authority"
        assert (access.credentials.certificate, access.credentials.key) == ("certificate", "key")
        assert access.credentials.token_file == tmp_path / "a" / "token"

    def test_in_a_pod_only_when_nothing_else_is_configured(self, tmp_path: Path) -> None:
        account = tmp_path / "account"
        account.mkdir()
        for name, text in (("token", "t"), ("namespace", "robots"), ("ca.crt", "pem")):
            (account / name).write_text(text)
        environ = {
            "HOME": str(tmp_path),
            "KUBERNETES_SERVICE_HOST": "fd00::1",
            "KUBERNETES_SERVICE_PORT": "443",
        }
        inside = load_access(environ=environ, service_account=account)
        assert (inside.context, inside.server) == (IN_CLUSTER, "https://[fd00::1]:443")
        assert (inside.namespace, inside.authority) == ("robots", "pem")
        configured = {**environ, "KUBECONFIG": str(simple(tmp_path, "c", "https://c"))}
        assert load_access(environ=configured, service_account=account).context == "c"


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ({}, "no cluster is configured"),
            ({"contexts": [named("context", "a", cluster="none")]}, "no current context; pass --context"),
            (
                {"contexts": [named("context", "a", cluster="none")], "current-context": "b"},
                r"no context 'b' \(known: a\)",
            ),
            (
                {"contexts": [named("context", "a", cluster="none")], "current-context": "a"},
                "names the cluster 'none', which no kubeconfig defines",
            ),
        ],
    )
    def test_what_is_missing_is_named(self, tmp_path: Path, content: dict[str, Any], why: str) -> None:
        path = written(tmp_path, "config", **content)
        with pytest.raises(AccessError, match=why):
            load_access(environ={"KUBECONFIG": str(path)})

    def test_a_missing_file_of_the_flag(self, tmp_path: Path) -> None:
        with pytest.raises(AccessError, match="check --kubeconfig"):
            load_access(kubeconfig=str(tmp_path / "none"))

    def test_a_broken_file_does_not_show_its_secrets(self, tmp_path: Path) -> None:
        path = tmp_path / "config"
        path.write_text("users: [{name: u, user: {token: s3cret}")
        with pytest.raises(AccessError, match="it is not YAML") as caught:
            load_access(kubeconfig=str(path))
        assert "s3cret" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_no_python_from_yaml(self, tmp_path: Path) -> None:
        path = tmp_path / "config"
        path.write_text("clusters: !!python/object/apply:os.system ['touch /tmp/owned']\n")
        with pytest.raises(AccessError):
            load_access(kubeconfig=str(path))

    def test_secrets_do_not_show(self, tmp_path: Path) -> None:
        assert "token-of-c" not in repr(load_access(kubeconfig=str(simple(tmp_path, "c", "https://c"))))


class TestCredentials:
    @pytest.mark.parametrize(
        ("url", "here"),
        [
            ("http://127.0.0.1:80", True),
            ("http://localhost", True),
            ("http://[::1]:6443", True),
            ("http://10.0.0.1", False),
            ("http://localhost.example.com", False),
            ("http://127.0.0.1.example.com", False),
        ],
    )
    def test_this_very_machine(self, url: str, here: bool) -> None:
        assert is_loopback(url) is here

    @pytest.mark.parametrize(
        "credentials",
        [
            Credentials(token="t"),
            Credentials(username="u", password="p"),
            Credentials(plugin=Plugin("client.authentication.k8s.io/v1", "/bin/false")),
        ],
    )
    def test_nothing_secret_travels_in_the_clear(self, credentials: Credentials) -> None:
        with pytest.raises(AccessError, match="in the clear"):
            HttpKubernetes(Access("c", "http://10.1.2.3:8080", credentials=credentials))

    def test_a_token_file_that_is_renewed(self, server: Server, tmp_path: Path) -> None:
        path = tmp_path / "token"
        path.write_text("old")
        api = HttpKubernetes(Access("lab", server.url, credentials=Credentials(token="x", token_file=path)))
        path.write_text(f"{server.token}\n")
        assert cluster_uid(api)
        api.close()

    def plugin(self, folder: Path, *tokens: str) -> Plugin:
        """A program that gives one token after the other, and says what it was asked."""
        (folder / "tokens").write_text("\n".join(tokens))
        script = folder / "plugin"
        script.write_text(
            f"""#!/bin/sh
cd {folder}
printf '%s' "$KUBERNETES_EXEC_INFO" > asked
token=$(head -n 1 tokens); tail -n +2 tokens > rest; mv rest tokens
printf '{{"kind": "ExecCredential", "status": {{"token": "%s"}}}}' "$token"
"""
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return Plugin("client.authentication.k8s.io/v1", str(script), cluster_info=True)

    def test_a_plugin_is_asked_again_when_its_token_has_expired(self, server: Server, tmp_path: Path) -> None:
        plugin = self.plugin(tmp_path, "expired", server.token)
        api = HttpKubernetes(Access("lab", server.url, credentials=Credentials(plugin=plugin)))
        assert cluster_uid(api)
        asked = json.loads((tmp_path / "asked").read_text())
        assert asked["spec"] == {"interactive": False, "cluster": {"server": server.url}}
        api.close()

    @pytest.mark.parametrize(
        ("plugin", "why"),
        [
            (Plugin("client.authentication.k8s.io/v1alpha1", "x"), "speaks client.auth.*v1alpha1"),
            (
                Plugin("client.authentication.k8s.io/v1", "/nowhere/login", hint="install login"),
                "install login",
            ),
            (Plugin("client.authentication.k8s.io/v1", "/bin/false"), "run it by hand"),
            (Plugin("client.authentication.k8s.io/v1beta1", "/bin/echo", ("{}",)), "no ExecCredential"),
        ],
    )
    def test_plugins_that_fail_say_so(self, server: Server, plugin: Plugin, why: str) -> None:
        with pytest.raises(AccessError, match=why):
            HttpKubernetes(Access("lab", server.url, credentials=Credentials(plugin=plugin)))
