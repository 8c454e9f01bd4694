"""What a card is made of: tables of any report, cells, and pictures."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from lockstep.charts import chart
from lockstep.evaluation.card.architecture import architecture
from lockstep.evaluation.card.blocks import of_any
from lockstep.evaluation.card.cells import shown
from tests.lockstep.evaluation.card.document import NETWORK


def test_any_report_becomes_tables() -> None:
    blocks = list(
        of_any("x", {"a": 1, "deep": {"deeper": {"b": None}}, "rows": [{"p": 1, "q": 2}], "none": []})
    )
    assert [block.caption for block in blocks] == ["X", "X, deep, deeper", "X, rows"]
    assert blocks[2].columns == ["p", "q"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345, "12,345"), (0.123456, "0.1235"), (1234.56, "1,234.6"), (True, "yes"), ([], "none"),
     ([0.1, 0.2], "0.1 to 0.2"), (["a", "b"], "a, b")],
)  # fmt: skip
def test_cells(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize("members", [1, 2, 9])
def test_the_network_is_drawn(members: int) -> None:
    root = ElementTree.fromstring(architecture({**NETWORK, "members": members}, 5, "int8"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("Dense, 64 units") == min(members, 3)
    assert ("Mean of the logits" in texts) == (members > 1)
    bends = [path.get("d", "") for path in root.iter("{http://www.w3.org/2000/svg}path")]
    assert len({d for d in bends if not _straight(d)}) == {1: 0, 2: 4, 9: 4}[members]
    assert root.get("aria-label")


def _straight(path: str) -> bool:
    """Whether a line between two boxes ends where it started, seen from above."""
    start, end = re.fullmatch(r"M(\S+) \S+?v\S+?H(\S+?)v\S+", path).groups()  # type: ignore[union-attr]
    return start == end


def test_a_guide_is_drawn_dashed() -> None:
    assert chart("t", "x", "y", line=[(0, 0), (1, 1)], guide=[(0, 0), (1, 1)]).count("stroke-dasharray") == 1


def test_both_axes_may_be_logarithmic() -> None:
    drawn = chart("t", "x", "y", line=[(0.001, 0.002), (1, 1)], log=True, log_y=True)
    texts = [
        element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert texts.count("0.01") == 2
    heights = [point.split(",")[1] for point in re.findall(r'points="([^"]*)"', drawn)[0].split()]
    assert float(heights[0]) > float(heights[1])
