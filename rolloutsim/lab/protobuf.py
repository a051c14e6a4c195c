"""Bodies in Kubernetes' protobuf form, for the few kinds that kubectl sends so.

``kubectl auth can-i`` and ``kubectl create`` encode built-in kinds like this and do not fall back to JSON;
everything else they send is JSON. Source: k8s.io/apimachinery, pkg/runtime/serializer/protobuf, and the
generated.proto files of k8s.io/api.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from rolloutsim.lab.objects import Object

__all__ = ["MEDIA_TYPE", "decode"]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_TEXT, _MAP = "text", "map"

Message = Mapping[int, tuple[str, Any]]
"""Field numbers to names and types: text, a map of texts, or another message."""

_META: Message = {
    1: ("name", _TEXT),
    2: ("generateName", _TEXT),
    3: ("namespace", _TEXT),
    11: ("labels", _MAP),
    12: ("annotations", _MAP),
}
_RESOURCE: Message = {
    number: (name, _TEXT)
    for number, name in enumerate(
        ("namespace", "verb", "group", "version", "resource", "subresource", "name"), start=1
    )
}
_PATH: Message = {1: ("path", _TEXT), 2: ("verb", _TEXT)}
_MESSAGES: Mapping[str, Message] = MappingProxyType(
    {
        "SelfSubjectAccessReview": {
            1: ("metadata", _META),
            2: ("spec", {1: ("resourceAttributes", _RESOURCE), 2: ("nonResourceAttributes", _PATH)}),
        },
        "SelfSubjectRulesReview": {1: ("metadata", _META), 2: ("spec", {1: ("namespace", _TEXT)})},
        "Namespace": {1: ("metadata", _META)},
        "ServiceAccount": {1: ("metadata", _META)},
        "TokenRequest": {1: ("metadata", _META)},
        "ConfigMap": {1: ("metadata", _META), 2: ("data", _MAP)},
    }
)


def decode(body: bytes) -> Object:
    """An object from its protobuf form; ValueError if it is none or of a kind that is not known here."""
    if not body.startswith(_MAGIC):
        raise ValueError("the body is no Kubernetes protobuf")
    envelope = dict(_fields(body[len(_MAGIC) :]))
    kind_of = dict(_fields(envelope.get(1, b"")))
    kind = kind_of.get(2, b"").decode()
    message = _MESSAGES.get(kind)
    if message is None:
        raise ValueError(f"a {kind} in protobuf is not understood by the emulator")
    return {"apiVersion": kind_of.get(1, b"").decode(), "kind": kind} | _object(envelope.get(2, b""), message)


def _object(data: bytes, message: Message) -> Object:
    found: Object = {}
    for number, value in _fields(data):
        name, kind = message.get(number, ("", None))
        if kind == _TEXT and value:
            found[name] = value.decode()
        elif kind == _MAP:
            entry = dict(_fields(value))
            found.setdefault(name, {})[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
        elif isinstance(kind, Mapping):
            found[name] = _object(value, kind)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and contents of the length-delimited fields; others are passed over."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            _, at = _varint(data, at)
        elif wire == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("the protobuf ends too early")
            yield tag >> 3, data[at : at + length]
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} is not protobuf's")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("the protobuf ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
