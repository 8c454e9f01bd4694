"""The scoring server's ASGI application: one bundle, answered from memory."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson

from lockstep.bundle.contents import Bundle
from lockstep.serving.protocol import DATATYPES, MAX_BODY, HttpError, outputs_of, parse_request, to_response

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger(__name__)
_JSON = (b"content-type", b"application/json")


class _DisconnectedError(Exception):
    """The client left before its request was whole."""


class App:
    """ASGI 3 application for one bundle (https://asgi.readthedocs.io/en/latest/specs/www.html).

    Parameters
    ----------
    bundle
        What to serve, under its name and version.

    Notes
    -----
    It scores in the event loop: a row takes less than a hand-over to another thread.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._manifest = bundle.manifest
        self._scorer = bundle.scorer()
        self._rule = bundle.rule()
        self._outputs = outputs_of(bundle.manifest)
        self._kinds = {column.name: column.kind for column in bundle.manifest.columns}
        self._sensitive = frozenset(c.name for c in bundle.manifest.columns if c.sensitive)
        model = f"/v2/models/{self._manifest.name}"
        versions = (model, f"{model}/versions/{self._manifest.version}")
        self._infer = {f"{path}/infer" for path in versions}
        self._pages = {
            "/v2": _json({"name": "lockstep", "version": _version(), "extensions": []}),
            "/v2/health/live": _json({"live": True}),
            "/v2/health/ready": _json({"ready": True}),
            **{path: _json(self._metadata()) for path in versions},
            **{f"{path}/ready": _json({"name": self._manifest.name, "ready": True}) for path in versions},
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = [_JSON]
        try:
            status, body = 200, await self._answer(scope, receive)
        except _DisconnectedError:
            return
        except HttpError as refusal:
            status, body = refusal.status, _json({"error": str(refusal)})
            if status == 405:
                headers.append((b"allow", b"POST" if scope["path"] in self._infer else b"GET"))
            if status == 413:
                # Else the server would go on to read what nobody wants.
                headers.append((b"connection", b"close"))
        except Exception as error:
            # Neither the client nor the log gets the error's own words: they may quote a value.
            _log.error("Unexpected %s while answering a request.", type(error).__name__)
            status, body = 500, _json({"error": "Unexpected error in the server."})
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Message, receive: Receive) -> bytes:
        path, method = scope["path"], scope["method"]
        if path in self._infer:
            if method != "POST":
                raise HttpError(405, "Send inference requests with POST.")
            request = parse_request(
                await _read_body(scope["headers"], receive), self._kinds, self._sensitive, self._outputs
            )
            probability, labels = self._scorer.probability(request.table), []
            if "label" in request.outputs:
                codes = self._rule.codes(probability, request.table, self._scorer.encoder.encode)
                labels = self._manifest.labels(codes)
            return to_response(request, probability, labels, self._manifest)
        page = self._pages.get(path)
        if page is None:
            raise HttpError(404, self._not_found(path))
        if method != "GET":
            raise HttpError(405, "This address answers GET alone.")
        return page

    def _not_found(self, path: str) -> str:
        if path.startswith("/v2/models/"):
            name, version = self._manifest.name, self._manifest.version
            return f"This server has the model {name!r} in version {version}, and no other."
        return "Nothing is here. The Open Inference Protocol starts at /v2."

    def _metadata(self) -> dict[str, Any]:
        return {
            "name": self._manifest.name,
            "versions": [self._manifest.version],
            "platform": "lockstep_litert",
            "inputs": [
                {"name": name, "datatype": DATATYPES[kind], "shape": [-1]}
                | ({"parameters": {"sensitive": True}} if name in self._sensitive else {})
                for name, kind in self._kinds.items()
            ],
            "outputs": [{"name": name, **tensor} for name, tensor in self._outputs.items()],
        }


async def _read_body(headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> bytes:
    for name, value in headers:
        if name == b"content-length" and int(value) > MAX_BODY:
            raise HttpError(413, _TOO_LARGE)
        if name == b"content-encoding" and value != b"identity":
            raise HttpError(415, "Compressed requests are not offered: send plain JSON.")
        if name == b"inference-header-content-length":
            raise HttpError(400, "Binary tensors are not offered: send JSON data.")
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _DisconnectedError
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY:
            raise HttpError(413, _TOO_LARGE)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if len(parts) > 1 else part


_TOO_LARGE = f"The request is larger than {MAX_BODY // 2**20} MiB. Send fewer rows."


def _version() -> str:
    try:
        return importlib.metadata.version("lockstep")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"  # run from a source tree that is not installed


def _json(document: object) -> bytes:
    return orjson.dumps(document)
