"""Requests of the Open Inference Protocol, and a client that calls the application without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson

from lockstep.serving.app import App

INFER = "/v2/models/income/infer"


class Answer(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: Any


def call(
    app: App,
    path: str = INFER,
    body: object = b"",
    method: str = "POST",
    headers: Iterable[tuple[bytes, bytes]] = (),
    parts: int = 1,
) -> Answer:
    """Answer of `app`; a `body` that is no bytes is sent as JSON, in `parts` messages."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    step = max(len(content) // parts, 1)
    chunks = [content[i : i + step] for i in range(0, len(content), step)] or [b""]
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages[-1]["more_body"] = False
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    asyncio.run(app(scope, receive, send))
    start, answer = sent
    received = dict(start["headers"])
    assert received[b"content-type"] == b"application/json"
    assert int(received[b"content-length"]) == len(answer["body"])
    return Answer(start["status"], received, orjson.loads(answer["body"]))


def request(table: Mapping[str, np.ndarray], **more: Any) -> dict[str, Any]:
    """An inference request with every row of `table`."""
    inputs = []
    for name, values in table.items():
        text = values.dtype == object
        data = [None if value is None or value != value else value for value in values.tolist()]
        inputs.append(
            {"name": name, "shape": [len(data)], "datatype": "BYTES" if text else "FP64", "data": data}
        )
    return {"inputs": inputs, **more}
