"""Which cluster, as whom, in which namespace: the rules of ``kubectl``.

``--kubeconfig`` names one file; else ``$KUBECONFIG`` is a list of files of which missing ones are left out
and the first to define a name wins; else ``~/.kube/config``; else, inside a pod, the service account. A
relative path in a file is relative to that file. The namespace is the flag's, the context's, the pod's, or
``default``.

Sources: Kubernetes, "Organizing Cluster Access Using kubeconfig Files" (merge rules) and the API reference
of ``client.authentication.k8s.io/v1`` (credential plugins).
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rolloutsim.errors import ExecutorError

__all__ = ["IN_CLUSTER", "Access", "AccessError", "Credentials", "Plugin", "load_access"]

IN_CLUSTER = "in-cluster"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class AccessError(ExecutorError):
    """The kubeconfig does not say how to reach a cluster, or says it in a way that is not safe."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A credential plugin (``user.exec``): a program that prints an ExecCredential."""

    api_version: str
    command: str
    args: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    cluster_info: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """As whom. Secrets do not show in ``repr``. PEM fields hold the text itself, never a path."""

    token: str = field(default="", repr=False)
    token_file: Path | None = None
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    plugin: Plugin | None = None
    impersonate: str = ""

    @property
    def empty(self) -> bool:
        return not (self.token or self.token_file or self.certificate or self.username or self.plugin)


@dataclass(frozen=True, slots=True)
class Access:
    """One cluster, one user, one namespace. ``authority`` is PEM text; empty: the system's own."""

    context: str
    server: str
    namespace: str = "default"
    authority: str = field(default="", repr=False)
    insecure: bool = False
    server_name: str = ""
    proxy: str = ""
    user: str = ""
    credentials: Credentials = field(default_factory=Credentials)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One named entry of a kubeconfig and the folder that its paths are relative to."""

    content: Mapping[str, Any]
    folder: Path

    def path(self, key: str) -> Path | None:
        value = self.content.get(key)
        return self.folder / Path(str(value)).expanduser() if value else None

    def pem(self, key: str) -> str:
        """``KEY-data`` (base64) before the file ``KEY``, as in client-go."""
        data = self.content.get(f"{key}-data")
        if data:
            try:
                return base64.b64decode(str(data), validate=False).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise AccessError(f"the kubeconfig holds {key}-data that is not base64 of PEM text") from None
        path = self.path(key)
        return _text(path, key) if path else ""


@dataclass(frozen=True, slots=True)
class _Merged:
    clusters: dict[str, _Entry]
    contexts: dict[str, _Entry]
    users: dict[str, _Entry]
    current: str


def load_access(
    *,
    kubeconfig: str = "",
    context: str = "",
    namespace: str = "",
    impersonate: str = "",
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Access:
    """The cluster, user and namespace that ``kubectl`` would take with the same flags and environment.

    Raises
    ------
    AccessError : no configuration, an unknown context, cluster or user, or a file that cannot be read.
    """
    files = _files(kubeconfig, environ)
    merged = _merge(files)
    if not merged.contexts and not kubeconfig and not context:
        inside = _in_cluster(environ, service_account)
        if inside is not None:
            return _with_flags(inside, namespace, impersonate)
        listed = ", ".join(str(path) for path in files)
        raise AccessError(f"no cluster is configured in {listed}; pass --kubeconfig FILE or set KUBECONFIG")
    return _with_flags(_selected(merged, context), namespace, impersonate)


def _with_flags(access: Access, namespace: str, impersonate: str) -> Access:
    if namespace:
        access = replace(access, namespace=namespace)
    if impersonate:
        access = replace(access, credentials=replace(access.credentials, impersonate=impersonate))
    return access


# --- files ----------------------------------------------------------------------------------------


def _files(kubeconfig: str, environ: Mapping[str, str]) -> list[Path]:
    if kubeconfig:
        path = Path(kubeconfig).expanduser()
        if not path.is_file():
            raise AccessError(f"the kubeconfig {kubeconfig} does not exist; check --kubeconfig")
        return [path]
    listed = [Path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if listed:
        return listed
    home = environ.get("HOME")
    return [(Path(home) if home else Path.home()) / ".kube" / "config"]


def _merge(files: list[Path]) -> _Merged:
    """The first file to define a name, or the current context, wins."""
    merged = _Merged({}, {}, {}, "")
    for path in files:
        if not path.exists():
            continue
        document = _document(path)
        for section, inner, into in (
            ("clusters", "cluster", merged.clusters),
            ("contexts", "context", merged.contexts),
            ("users", "user", merged.users),
        ):
            for name, content in _named(document, section, inner, path):
                into.setdefault(name, _Entry(content, path.absolute().parent))
        if not merged.current:
            merged = replace(merged, current=str(document.get("current-context") or ""))
    return merged


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text())
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        # the text of a YAML error quotes the file, which holds secrets
        why = error.strerror if isinstance(error, OSError) else "it is not YAML"
        raise AccessError(f"cannot read the kubeconfig {path}: {why}") from None
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise AccessError(f"the kubeconfig {path} is not a mapping")
    return document


def _named(
    document: Mapping[str, Any], section: str, inner: str, path: Path
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for item in document.get(section) or ():
        if not isinstance(item, Mapping) or "name" not in item:
            raise AccessError(f"an entry of {section} in the kubeconfig {path} has no name")
        yield str(item["name"]), item.get(inner) or {}


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise AccessError(f"cannot read {what} {path}: {error.strerror}; check the kubeconfig") from None


# --- choice ---------------------------------------------------------------------------------------


def _selected(merged: _Merged, wanted: str) -> Access:
    name = wanted or merged.current
    known = ", ".join(sorted(merged.contexts)) or "none"
    if not name:
        raise AccessError(f"the kubeconfig has no current context; pass --context (known: {known})")
    if name not in merged.contexts:
        raise AccessError(f"the kubeconfig has no context {name!r} (known: {known})")
    context = merged.contexts[name].content
    cluster = _referred(merged.clusters, context, "cluster", name)
    if cluster is None or not cluster.content.get("server"):
        raise AccessError(f"the context {name!r} names no cluster with a server; mend the kubeconfig")
    user = _referred(merged.users, context, "user", name)
    return Access(
        context=name,
        server=str(cluster.content["server"]).rstrip("/"),
        namespace=str(context.get("namespace") or "default"),
        authority=cluster.pem("certificate-authority"),
        insecure=bool(cluster.content.get("insecure-skip-tls-verify", False)),
        server_name=str(cluster.content.get("tls-server-name") or ""),
        proxy=str(cluster.content.get("proxy-url") or ""),
        user=str(context.get("user") or ""),
        credentials=Credentials() if user is None else _credentials(user),
    )


def _referred(
    entries: Mapping[str, _Entry], context: Mapping[str, Any], key: str, name: str
) -> _Entry | None:
    wanted = context.get(key)
    if not wanted:
        return None
    if wanted not in entries:
        raise AccessError(f"the context {name!r} names the {key} {wanted!r}, which no kubeconfig defines")
    return entries[wanted]


def _credentials(user: _Entry) -> Credentials:
    content = user.content
    if content.get("auth-provider"):
        raise AccessError("auth-provider is gone from Kubernetes since 1.26; use a credential plugin (exec)")
    return Credentials(
        token=str(content.get("token") or ""),
        token_file=user.path("tokenFile"),
        certificate=user.pem("client-certificate"),
        key=user.pem("client-key"),
        username=str(content.get("username") or ""),
        password=str(content.get("password") or ""),
        plugin=_plugin(content["exec"], user.folder) if content.get("exec") else None,
        impersonate=str(content.get("as") or ""),
    )


def _plugin(content: Mapping[str, Any], folder: Path) -> Plugin:
    command = str(content.get("command") or "")
    if not command:
        raise AccessError("a credential plugin of the kubeconfig has no command")
    if "/" in command and not Path(command).is_absolute():
        command = str(folder / command)
    return Plugin(
        api_version=str(content.get("apiVersion") or ""),
        command=command,
        args=tuple(str(arg) for arg in content.get("args") or ()),
        environment=tuple((str(item["name"]), str(item["value"])) for item in content.get("env") or ()),
        cluster_info=bool(content.get("provideClusterInfo", False)),
        hint=str(content.get("installHint") or "").strip(),
    )


def _in_cluster(environ: Mapping[str, str], folder: Path) -> Access | None:
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not (host and port and (folder / "token").is_file()):
        return None
    namespace = environ.get("POD_NAMESPACE", "")
    if not namespace and (folder / "namespace").is_file():
        namespace = _text(folder / "namespace", "the namespace").strip()
    return Access(
        context=IN_CLUSTER,
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=namespace or "default",
        authority=_text(folder / "ca.crt", "the cluster's certificate authority"),
        user="service account",
        credentials=Credentials(token_file=folder / "token"),
    )
