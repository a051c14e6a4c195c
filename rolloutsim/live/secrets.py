"""Values of Kubernetes Secrets, read when a measurement needs them and kept nowhere."""

from __future__ import annotations

import base64
import binascii

from rolloutsim.errors import ExecutorError
from rolloutsim.live.port import SECRET, ApiError, Kubernetes, NotFound, Ref

__all__ = ["ClusterSecrets"]


class ClusterSecrets:
    """The Secrets of one namespace."""

    def __init__(self, api: Kubernetes, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    def read(self, secret: str, key: str) -> str:
        """One value.

        Raises
        ------
        ExecutorError : there is no such Secret or key, it is no text, or it may not be read.
        """
        ref = Ref(SECRET, self._namespace, secret)
        try:
            data = self._api.get(ref).get("data") or {}
        except NotFound:
            raise ExecutorError(f"{ref} does not exist; create it, or mend the metric's argument") from None
        except ApiError as error:
            raise ExecutorError(str(error)) from None
        if key not in data:
            raise ExecutorError(f"{ref} has no key {key!r}; add it, or mend the metric's argument")
        try:
            return base64.b64decode(data[key], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise ExecutorError(f"the key {key!r} of {ref} holds no text") from None
