"""Open Inference Protocol, version 2, as JSON: a request becomes raw columns, probabilities become an answer.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
An error's text names columns of the model and positions in the request; it never quotes what the client sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from lockstep.bundle.manifest import Manifest
from lockstep.data.columns import Kind
from lockstep.errors import RequestError

MAX_ROWS = 10_000
MAX_BODY = 16 * 2**20
"""Bytes."""

OUTPUTS = {"probability": "FP64", "label": "BYTES"}
CLASSES = "classes"
"""Output of a model of three classes or more: their labels, in the order of a row's probabilities."""

DATATYPES: dict[Kind, str] = {"numeric": "FP64", "category": "BYTES"}
"""What the model's metadata announce; a number may come as another of `_NUMERIC` too."""

_NUMERIC = {"FP64": None, "FP32": None, "INT64": 2**63, "INT32": 2**31}
_TEXTS, _NUMBERS, _INTEGERS = {str, type(None)}, {int, float, type(None)}, {int, type(None)}
_TAILS: tuple[list[int], ...] = ([], [1])
_NOT_BINARY = "Binary tensors are not offered: send JSON data, and ask for outputs with binary_data false."


class HttpError(RequestError):
    """A request that is answered with an error.

    Parameters
    ----------
    status
        HTTP status, 4xx.
    message
        For the client, and free of what it sent.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class InferRequest:
    """What a client asks.

    Attributes
    ----------
    table
        Raw columns by name, each of shape (n_rows,), as `lockstep.data.encoding.Encoder` takes them.
    outputs
        Names of the outputs to return.
    id
        To be returned; None where the client gave none.
    """

    table: Mapping[str, npt.NDArray[Any]]
    outputs: tuple[str, ...]
    id: str | None


def outputs_of(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Datatype and shape of each output of the model by its name, as the model's metadata announce them."""
    n_classes = len(manifest.classes)
    outputs = {name: {"datatype": datatype, "shape": [-1]} for name, datatype in OUTPUTS.items()}
    if n_classes:
        outputs["probability"]["shape"] = [-1, n_classes]
        outputs[CLASSES] = {"datatype": "BYTES", "shape": [n_classes]}
    return outputs


def parse_request(
    body: bytes,
    kinds: Mapping[str, Kind],
    sensitive: Collection[str] = (),
    offered: Collection[str] = tuple(OUTPUTS),
) -> InferRequest:
    """Parse an inference request.

    Parameters
    ----------
    body
        JSON.
    kinds
        The model's columns.
    sensitive
        Those that it needs to treat groups alike.
    offered
        Names of the model's outputs, which a request that names none gets all.

    Raises
    ------
    HttpError
        It is no such request, or does not give each column once, with one number of rows.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise HttpError(
            400, "The body is no JSON. Note that JSON has no NaN: a missing value is null."
        ) from None
    if type(document) is not dict:
        raise HttpError(400, "The request must be a JSON object with `inputs`.")
    request_id = document.get("id")
    if request_id is not None and type(request_id) is not str:
        raise HttpError(400, "`id` must be a string.")
    if "parameters" in document and _parameters(document, "`parameters`").get("binary_data_output"):
        raise HttpError(400, _NOT_BINARY)
    outputs = _outputs(document["outputs"], offered) if "outputs" in document else tuple(offered)
    return InferRequest(_table(document.get("inputs"), kinds, sensitive), outputs, request_id)


def to_response(
    request: InferRequest, probability: npt.NDArray[np.float64], labels: list[str], manifest: Manifest
) -> bytes:
    """JSON answer to `request`; `probability` is what `Scorer.probability` gives of its rows."""
    data: dict[str, list[Any]] = {
        "probability": probability.ravel().tolist(),
        "label": labels,
        CLASSES: list(manifest.classes),
    }
    shapes = {"probability": list(probability.shape), "label": [len(probability)]}
    answer: dict[str, Any] = {"model_name": manifest.name, "model_version": manifest.version}
    if request.id is not None:
        answer["id"] = request.id
    answer["outputs"] = [
        {
            "name": name,
            "shape": shapes.get(name, [len(data[name])]),
            "datatype": OUTPUTS.get(name, "BYTES"),
            "data": data[name],
        }
        for name in request.outputs
    ]
    return orjson.dumps(answer)


def _table(
    inputs: object, kinds: Mapping[str, Kind], sensitive: Collection[str]
) -> dict[str, npt.NDArray[Any]]:
    if type(inputs) is not list or not inputs:
        raise HttpError(400, "`inputs` must be a list with one tensor for each column of the model.")
    table: dict[str, npt.NDArray[Any]] = {}
    n_rows = None
    for position, tensor in enumerate(inputs):
        if type(tensor) is not dict:
            raise HttpError(400, f"inputs[{position}] must be an object.")
        name = tensor.get("name")
        kind = kinds.get(name) if isinstance(name, str) else None
        if name is None or kind is None:
            raise HttpError(400, f"inputs[{position}] names no column of the model; its metadata list them.")
        if name in table:
            raise HttpError(400, f"Column {name!r} is given twice.")
        if "parameters" in tensor and "binary_data_size" in _parameters(
            tensor, f"inputs[{position}].parameters"
        ):
            raise HttpError(400, _NOT_BINARY)
        data = _data(name, tensor)
        n_rows = len(data) if n_rows is None else n_rows
        if len(data) != n_rows:
            raise HttpError(
                400, f"Column {name!r} has {len(data)} rows, the first tensor {n_rows}. Send as many in each."
            )
        table[name] = _column(name, kind, tensor.get("datatype"), data)
    if len(table) != len(kinds):
        missing = sorted(kinds.keys() - table.keys())
        why = (
            f" The model treats groups alike by {sorted(sensitive)}." if set(missing) & set(sensitive) else ""
        )
        raise HttpError(400, f"Columns are missing: {missing}. Send null for a missing value.{why}")
    return table


def _data(name: str, tensor: dict[str, Any]) -> list[Any]:
    """Values of a tensor of shape [n] or [n, 1], nested or flat."""
    shape: Any = tensor.get("shape")
    data = tensor.get("data")
    n_rows = shape[0] if type(shape) is list and shape and shape[1:] in _TAILS else None
    # A boolean is an int, and equals one.
    if type(n_rows) is not int or type(shape[-1]) is not int:
        raise HttpError(400, f"Column {name!r} must have the shape [n] or [n, 1].")
    if not 1 <= n_rows <= MAX_ROWS:
        raise HttpError(400, f"A request has 1 to {MAX_ROWS} rows. Send the rest in further requests.")
    if type(data) is not list:
        raise HttpError(400, f"Column {name!r} has no list `data`.")
    if len(shape) == 2 and data and type(data[0]) is list:
        if any(type(row) is not list or len(row) != 1 for row in data):
            raise HttpError(400, f"Column {name!r} has ragged data for its shape [n, 1].")
        data = [row[0] for row in data]
    if len(data) != n_rows:
        raise HttpError(400, f"Column {name!r} has {len(data)} values, which is not what its shape says.")
    return data


def _column(name: str, kind: Kind, datatype: object, data: list[Any]) -> npt.NDArray[Any]:
    types = set(map(type, data))
    if kind == "category":
        if datatype != "BYTES":
            raise HttpError(400, f"Column {name!r} holds categories: its datatype must be BYTES.")
        if not types <= _TEXTS:
            raise HttpError(400, f"Column {name!r} must hold strings, or null where a value is missing.")
        return np.array(data, dtype=object)
    if type(datatype) is not str or datatype not in _NUMERIC:
        raise HttpError(
            400, f"Column {name!r} holds numbers: its datatype must be one of {', '.join(_NUMERIC)}."
        )
    bound = _NUMERIC[datatype]
    if not types <= (_NUMBERS if bound is None else _INTEGERS):
        raise HttpError(
            400, f"Column {name!r} must hold {datatype} numbers, or null where a value is missing."
        )
    if bound is not None and any(not -bound <= value < bound for value in data if value is not None):
        raise HttpError(400, f"Column {name!r} holds a number that is none of {datatype}.")
    return np.array(data, dtype=np.float64)


def _outputs(asked: object, offered: Collection[str]) -> tuple[str, ...]:
    if type(asked) is not list:
        raise HttpError(400, "`outputs` must be a list.")
    if not asked:
        return tuple(offered)
    names = []
    for position, output in enumerate(asked):
        name = output.get("name") if type(output) is dict else None
        if type(name) is not str or name not in offered or name in names:
            raise HttpError(400, f"outputs[{position}] must name {' or '.join(offered)}, each once.")
        if "parameters" in output and _parameters(output, f"outputs[{position}].parameters").get(
            "binary_data"
        ):
            raise HttpError(400, _NOT_BINARY)
        names.append(name)
    return tuple(names)


def _parameters(holder: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = holder["parameters"]
    if type(parameters) is not dict:
        raise HttpError(400, f"{where} must be an object.")
    return parameters
