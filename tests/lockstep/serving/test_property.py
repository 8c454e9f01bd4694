"""Whatever a client sends, the answer is an answer or a clean refusal, and quotes nothing."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.serving.app import App
from tests.lockstep.bundle.candidate import bundle, rows
from tests.lockstep.serving.client import Answer, call, request

CANARY = "Canary-7d1f"
NUMBER = 48151623.25

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["age", "state", "FP64", "INT32", "BYTES", "label", CANARY, NUMBER]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "shape", "data", "parameters", "inputs"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


def _valid() -> dict[str, Any]:
    table = rows(2)
    table["state"][0] = table["sector"][1] = CANARY
    table["age"][0] = NUMBER
    return request(table, id="x", outputs=[{"name": "label"}, {"name": "probability"}])


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = node.keys() if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    return [path, *(place for key in keys for place in _places(node[key], (*path, key)))]


@st.composite
def changed_requests(draw: st.DrawFn) -> Any:
    """A valid request with a few places replaced, deleted or repeated."""
    document: Any = copy.deepcopy(_valid())
    for _ in range(draw(st.integers(1, 3))):
        *path, key = draw(st.sampled_from([place for place in _places(document) if place]))
        holder = document
        for step in path:
            holder = holder[step]
        change = draw(st.sampled_from(["replace", "delete", "repeat"]))
        if change == "delete":
            del holder[key]
        elif change == "repeat" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[key] = draw(json_values)
    return document


def _is_clean(answer: Answer) -> None:
    assert answer.status < 500
    if answer.status != 200:
        assert list(answer.body) == ["error"]
        assert "Canary" not in answer.body["error"]
        assert "48151623" not in answer.body["error"]


APP = []


def _app() -> App:
    if not APP:
        APP.append(App(bundle(version="1")))
    return APP[0]


@given(st.binary(max_size=200))
def test_property_any_bytes(body: bytes) -> None:
    answer = call(_app(), body=body)
    assert 400 <= answer.status < 500
    _is_clean(answer)


@given(json_values)
def test_property_any_json(document: Any) -> None:
    answer = call(_app(), body=document)
    assert 400 <= answer.status < 500
    _is_clean(answer)


@settings(max_examples=300)
@given(changed_requests())
def test_property_changed_requests(document: Any) -> None:
    _is_clean(call(_app(), body=document))


@given(st.text(max_size=30), st.sampled_from(["GET", "POST", "PUT", "HEAD"]))
def test_property_any_address(path: str, method: str) -> None:
    _is_clean(call(_app(), f"/v2/models/{path}", method=method))


def test_the_unchanged_request_is_valid() -> None:
    assert call(_app(), body=_valid()).status == 200
