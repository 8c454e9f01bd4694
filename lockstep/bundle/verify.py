"""Loads a bundle in a fresh process, as a server will, and compares what it scores there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import lockstep
from lockstep.bundle.contents import Bundle, read_bundle
from lockstep.bundle.decision import Decision
from lockstep.data.encoded_columns import Column
from lockstep.data.encoding import Encoder
from lockstep.errors import LockstepError, NotPromoted
from lockstep.processes import die_with_parent

_SAMPLE_ROWS = 256
_TOLERANCE = 1e-6
_TIMEOUT = 300.0
# The package's own place comes last: a fresh process may start in a directory that does not lead to it.
_PROGRAM = "import sys; sys.path.append(sys.argv[3]); from lockstep.bundle.verify import main; main()"


class Answers(NamedTuple):
    """Of sample rows: probabilities, shape (n,) or (n, k), and numbers of the classes that are decided, shape (n,)."""

    probability: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int64]


def sample_answers(bundle: Bundle) -> Answers:
    """What `bundle` says of `sample_rows`."""
    scorer, rule = bundle.scorer(), bundle.rule()
    rows = sample_rows(scorer.encoder, rule)
    probability = scorer.probability(rows)
    return Answers(probability, rule.codes(probability, rows, scorer.encoder.encode))


def sample_rows(
    encoder: Encoder, rule: Decision | None = None, n_rows: int = _SAMPLE_ROWS
) -> dict[str, npt.NDArray[np.object_ | np.float64]]:
    """Rows that visit what an encoder and a rule tell apart: missing, unseen, each value, each bin and beyond its ends.

    Every process makes the same ones, so that no row has to be passed between two.
    """
    generator = np.random.default_rng(0)
    rows = {column.name: _sample(column, n_rows, generator) for column in encoder.columns}
    for one in encoder.decorrelation.sensitive if encoder.decorrelation else ():
        known = Column(one.name, "category", one.categories)
        rows[one.name] = _sample(known, n_rows, generator)
    rule = rule or Decision(None)
    for place, column in enumerate(rule.sensitive):
        if column.name not in rows:
            values = sorted({group[place] for group in rule.groups})
            rows[column.name] = _sample(Column(column.name, "category", tuple(values)), n_rows, generator)
    return rows


def _sample(
    column: Column, n_rows: int, generator: np.random.Generator
) -> npt.NDArray[np.object_ | np.float64]:
    if column.kind == "category":
        choices = np.array([None, "\0", *column.values], dtype=object)
    else:
        edges = np.asarray(column.edges, dtype=np.float64)
        beyond = [edges[0] - 1.0, edges[-1] + 1.0] if len(edges) else [0.0]
        choices = np.array(
            [np.nan, *beyond, *column.values, *((edges[1:] + edges[:-1]) / 2)], dtype=np.float64
        )
    return choices[generator.integers(len(choices), size=n_rows)]


def check_in_fresh_process(directory: Path, expected: Answers) -> None:
    """Load the bundle in `directory` in a process of its own and score `sample_rows` there.

    Parameters
    ----------
    directory
        A bundle.
    expected
        What the candidate says of those rows in this process.

    Raises
    ------
    NotPromoted
        It does not load there, or scores or decides otherwise.
    """
    root = Path(lockstep.__file__).resolve().parents[1]
    try:
        child = subprocess.run(  # noqa: S603 - this interpreter, and paths that are no shell's business
            [sys.executable, "-c", _PROGRAM, str(directory), str(os.getpid()), str(root)],
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotPromoted(
            f"The bundle was not promoted: no answer from a fresh process in {_TIMEOUT:.0f} s."
        ) from None
    try:
        answer = json.loads(child.stdout)
    except ValueError:
        raise NotPromoted(
            f"The bundle was not promoted: the fresh process that loaded it exited with {child.returncode}."
        ) from None
    if "error" in answer:
        raise NotPromoted(
            f"The bundle was not promoted: it does not load in a fresh process. {answer['error']}"
        )
    scored = np.asarray(answer["probability"], dtype=np.float64)
    alike = scored.shape == expected.probability.shape and np.allclose(
        scored, expected.probability, rtol=0.0, atol=_TOLERANCE
    )
    if not alike or answer["codes"] != expected.codes.tolist():
        raise NotPromoted(
            f"The bundle was not promoted: in a fresh process it scores {len(expected.codes)} sample rows "
            "otherwise than here. Reinstall ai-edge-litert, then `lockstep deploy`."
        )


def main() -> None:
    """Of the fresh process: print the answers about the sample rows, or why there are none, as JSON."""
    die_with_parent(int(sys.argv[2]))
    try:
        found = sample_answers(read_bundle(Path(sys.argv[1])))
        answer: dict[str, object] = {name: values.tolist() for name, values in found._asdict().items()}
    except LockstepError as error:
        answer = {"error": str(error)}
    except Exception as error:
        # The words of another library may quote a value.
        answer = {"error": f"Unexpected {type(error).__name__}."}
    print(json.dumps(answer))
