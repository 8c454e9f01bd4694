"""Every address of the protocol answers as the protocol says."""

import asyncio
import logging
from typing import Any

import numpy as np
import pytest

from lockstep.serving import app as module
from lockstep.serving.app import App
from lockstep.serving.protocol import MAX_BODY, MAX_ROWS
from tests.lockstep.bundle.candidate import POSITIVE, bundle, rows
from tests.lockstep.serving.client import INFER, call, request

ONE = request(rows(1))


def test_it_scores_as_the_scorer_does(app: App) -> None:
    table = rows(50)
    expected = bundle().scorer().probability(table)
    answer = call(app, body=request(table, id="r1"))
    assert answer.status == 200
    assert answer.body["model_name"] == "income"
    assert answer.body["model_version"] == "7"
    assert answer.body["id"] == "r1"
    probability, label = answer.body["outputs"]
    assert {k: v for k, v in probability.items() if k != "data"} == {
        "name": "probability",
        "shape": [50],
        "datatype": "FP64",
    }
    np.testing.assert_allclose(probability["data"], expected, atol=1e-9)
    assert (label["name"], label["shape"], label["datatype"]) == ("label", [50], "BYTES")
    assert label["data"] == [POSITIVE if p >= 0.5 else "under 50k" for p in probability["data"]]
    assert len(set(label["data"])) == 2


def test_the_version_may_be_named_and_the_order_of_columns_is_free(app: App) -> None:
    plain = call(app, body=ONE)
    shuffled = {"inputs": ONE["inputs"][::-1]}
    assert call(app, "/v2/models/income/versions/7/infer", shuffled).body == plain.body
    assert "id" not in plain.body


def test_a_body_in_many_parts_is_one_body(app: App) -> None:
    assert call(app, body=ONE, parts=9).body == call(app, body=ONE).body


@pytest.mark.parametrize(
    ("datatype", "value"), [("FP64", 37.0), ("FP64", 37), ("FP32", 37.0), ("INT64", 37), ("INT32", 37)]
)
def test_a_number_may_come_as_any_numeric_datatype(app: App, datatype: str, value: float) -> None:
    changed = _with("age", datatype=datatype, data=[value])
    assert call(app, body=changed).body == call(app, body=_with("age", data=[37.0])).body


def test_a_column_may_have_the_shape_n_by_1_nested_or_flat(app: App) -> None:
    table = rows(3)
    flat, nested = request(table), request(table)
    for tensor in flat["inputs"]:
        tensor["shape"] = [3, 1]
    for tensor in nested["inputs"]:
        tensor.update(shape=[3, 1], data=[[value] for value in tensor["data"]])
    assert call(app, body=flat).body == call(app, body=nested).body == call(app, body=request(table)).body


def test_null_is_a_missing_value(app: App) -> None:
    table = rows(1)
    table["age"][0], table["state"][0] = np.nan, None
    answer = call(app, body=_with_all(age=[None], state=[None]))
    assert answer.body["outputs"][0]["data"] == pytest.approx(bundle().scorer().probability(table).tolist())


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ([], ["probability", "label"]),
        ([{"name": "label"}], ["label"]),
        (
            [{"name": "label"}, {"name": "probability", "parameters": {"binary_data": False}}],
            ["label", "probability"],
        ),
    ],
)
def test_the_outputs_that_were_asked_for_come_in_their_order(
    app: App, asked: list[Any], got: list[str]
) -> None:
    answer = call(app, body={**ONE, "outputs": asked})
    assert [output["name"] for output in answer.body["outputs"]] == got


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/income/ready", {"name": "income", "ready": True}),
        ("/v2/models/income/versions/7/ready", {"name": "income", "ready": True}),
    ],
)
def test_health(app: App, path: str, expected: dict[str, Any]) -> None:
    answer = call(app, path, method="GET")
    assert (answer.status, answer.body) == (200, expected)


def test_metadata(app: App) -> None:
    server = call(app, "/v2", method="GET").body
    assert server["name"] == "lockstep"
    assert server["extensions"] == []
    model = call(app, "/v2/models/income", method="GET").body
    assert model == call(app, "/v2/models/income/versions/7", method="GET").body
    assert model["name"] == "income"
    assert model["versions"] == ["7"]
    assert model["inputs"][:2] == [
        {"name": "age", "datatype": "FP64", "shape": [-1]},
        {"name": "state", "datatype": "BYTES", "shape": [-1]},
    ]
    assert [output["name"] for output in model["outputs"]] == ["probability", "label"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v2/nothing",
        "/v2/models",
        "/v2/models/other/infer",
        "/v2/models/income/versions/6/infer",
        "/v2/models/income/explain",
        "/v2/models/../income",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_address_is_not_found(app: App, path: str, method: str) -> None:
    answer = call(app, path, method=method)
    assert answer.status == 404
    assert list(answer.body) == ["error"]


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        (INFER, "GET", b"POST"),
        (INFER, "DELETE", b"POST"),
        ("/v2", "POST", b"GET"),
        ("/v2/health/live", "HEAD", b"GET"),
    ],
)
def test_another_method_is_not_allowed(app: App, path: str, method: str, allowed: bytes) -> None:
    answer = call(app, path, method=method)
    assert answer.status == 405
    assert answer.headers[b"allow"] == allowed


def _with(column: str, **changes: Any) -> dict[str, Any]:
    return {"inputs": [{**t, **changes} if t["name"] == column else t for t in ONE["inputs"]]}


def _with_all(**data: list[Any]) -> dict[str, Any]:
    return {"inputs": [{**t, "data": data.get(t["name"], t["data"])} for t in ONE["inputs"]]}


def _without(key: str) -> dict[str, Any]:
    return {"inputs": [{k: v for k, v in ONE["inputs"][0].items() if k != key}, *ONE["inputs"][1:]]}


BAD = {
    "no JSON": (b"{", "no JSON"),
    "empty": (b"", "no JSON"),
    "NaN": (b'{"inputs": [NaN]}', "null"),
    "not UTF-8": (b'{"id": "\xff"}', "no JSON"),
    "deep": (b"[" * 100_000, "no JSON"),
    "list": ([], "object"),
    "no inputs": ({}, "inputs"),
    "inputs no list": ({"inputs": {}}, "inputs"),
    "no tensor": ({"inputs": [1]}, r"inputs\[0\] must be an object"),
    "id no string": ({**ONE, "id": 1}, "id"),
    "parameters no object": ({**ONE, "parameters": []}, "parameters"),
    "missing column": ({"inputs": ONE["inputs"][1:]}, r"missing: \['age'\]"),
    "unknown column": ({"inputs": [*ONE["inputs"], {"name": "x"}]}, r"inputs\[4\] names no column"),
    "no name": (_without("name"), r"inputs\[0\] names no column"),
    "column twice": ({"inputs": [*ONE["inputs"], ONE["inputs"][0]]}, "'age' is given twice"),
    "no datatype": (_without("datatype"), "'age'.*FP64, FP32, INT64, INT32"),
    "text for a number": (_with("age", datatype="BYTES"), "'age'.*FP64"),
    "number for a category": (_with("state", datatype="FP64", data=[1.0]), "'state'.*BYTES"),
    "unknown datatype": (_with("age", datatype="FP16"), "'age'.*FP64"),
    "datatype a list": (_with("age", datatype=[]), "'age'.*FP64"),
    "string in FP64": (_with("age", data=["37"]), "'age'.*FP64 numbers"),
    "boolean in FP64": (_with("age", data=[True]), "'age'.*FP64 numbers"),
    "fraction in INT64": (_with("age", datatype="INT64", data=[3.5]), "'age'.*INT64 numbers"),
    "too large for INT32": (_with("age", datatype="INT32", data=[2**31]), "'age'.*none of INT32"),
    "too large for INT64": (_with("age", datatype="INT64", data=[2**63]), "'age'.*none of INT64"),
    "number in BYTES": (_with("state", data=[1]), "'state'.*strings"),
    "no shape": (_without("shape"), "'age'.*shape"),
    "shape of a matrix": (_with("age", shape=[1, 2], data=[1, 2]), "'age'.*shape"),
    "shape of three": (_with("age", shape=[1, 1, 1]), "'age'.*shape"),
    "shape with a boolean": (_with("age", shape=[True]), "'age'.*shape"),
    "shape with a fraction": (_with("age", shape=[1.0]), "'age'.*shape"),
    "no rows": (_with("age", shape=[0], data=[]), "1 to"),
    "negative shape": (_with("age", shape=[-1]), "1 to"),
    "too many rows": (_with("age", shape=[MAX_ROWS + 1]), "1 to"),
    "no data": (_without("data"), "'age'.*data"),
    "data no list": (_with("age", data=37), "'age'.*data"),
    "fewer values than shape": (_with("age", shape=[2]), "'age' has 1 values"),
    "ragged": (_with("age", shape=[2, 1], data=[[1], [1, 2]]), "'age' has ragged data"),
    "half nested": (_with("age", shape=[2, 1], data=[[1], 2]), "'age' has ragged data"),
    "nested in [n]": (_with("age", data=[[1]]), "'age'.*FP64 numbers"),
    "other number of rows": (_with("state", shape=[2], data=["a", "b"]), "'state' has 2 rows"),
    "binary input": (_with("age", parameters={"binary_data_size": 8}), "Binary tensors"),
    "binary output": ({**ONE, "outputs": [{"name": "label", "parameters": {"binary_data": True}}]}, "Binary"),
    "binary outputs": ({**ONE, "parameters": {"binary_data_output": True}}, "Binary tensors"),
    "unknown output": ({**ONE, "outputs": [{"name": "logit"}]}, r"outputs\[0\]"),
    "output twice": ({**ONE, "outputs": [{"name": "label"}] * 2}, r"outputs\[1\]"),
    "outputs no list": ({**ONE, "outputs": "label"}, "outputs"),
    "output no object": ({**ONE, "outputs": ["label"]}, r"outputs\[0\]"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_and_explained(app: App, case: str) -> None:
    import re

    body, message = BAD[case]
    answer = call(app, body=body)
    assert answer.status == 400
    assert list(answer.body) == ["error"]
    assert re.search(message, answer.body["error"]), answer.body["error"]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ((b"content-length", str(MAX_BODY + 1).encode()), 413),
        ((b"content-encoding", b"gzip"), 415),
        ((b"inference-header-content-length", b"80"), 400),
    ],
)
def test_a_header_tells_early(app: App, header: tuple[bytes, bytes], status: int) -> None:
    answer = call(app, body=ONE, headers=[header])
    assert answer.status == status
    assert (answer.headers.get(b"connection") == b"close") == (status == 413)


def test_a_body_that_grows_too_large_is_cut_off(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY", 100)
    assert call(app, body=ONE, parts=50).status == 413


def test_a_client_that_leaves_gets_no_answer(app: App) -> None:
    sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "method": "POST", "path": INFER, "headers": []}, receive, send))
    assert sent == []


def test_a_fault_of_the_server_quotes_nothing(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CANARY")

    monkeypatch.setattr(app._scorer, "probability", fail)
    with caplog.at_level(logging.ERROR):
        answer = call(app, body=ONE)
    assert answer.status == 500
    assert "CANARY" not in answer.body["error"] + caplog.text
    assert "RuntimeError" in caplog.text
