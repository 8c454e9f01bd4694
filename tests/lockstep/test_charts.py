"""Pictures hold every point, and their axes round numbers."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from lockstep.charts import bars, chart, panels

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_every_point_lies_in_the_frame() -> None:
    dots, faint = [(0.0, 0.62), (3.0, 0.71)], [(1.0, 0.4)]
    root = ElementTree.fromstring(
        chart("A <title>", "trial", "figure", dots=dots, faint=faint, line=[(0.0, 0.62), (3.0, 0.71)])
    )
    circles = list(root.iter(f"{SVG}circle"))
    assert [circle.get("fill") for circle in circles] == ["#1f6feb", "#1f6feb", "none"]
    across = [float(circle.get("cx", "")) for circle in circles]
    down = [float(circle.get("cy", "")) for circle in circles]
    assert across[0] < across[2] < across[1]
    assert down[1] < down[0] < down[2]
    assert 0 < min(across) < max(across) < float(root.get("width", ""))
    assert 0 < min(down) < max(down) < float(root.get("height", ""))
    [line] = root.iter(f"{SVG}polyline")
    assert len(line.get("points", "").split()) == 2


def test_axes_have_round_numbers() -> None:
    assert {"0.4", "0.5", "0.6"} <= set(texts(chart("", "x", "y", line=[(0, 0.4), (10, 0.63)])))
    assert {"1e-05", "0.001", "1"} <= set(texts(chart("", "x", "y", line=[(1e-6, 0), (1.5, 1)], log=True)))
    assert {"0.002", "0.005"} <= set(texts(chart("", "x", "y", line=[(0.0015, 0), (0.006, 1)], log=True)))
    assert "0.5" in texts(chart("one point", "x", "y", dots=[(1.0, 0.5)]))


def test_a_bar_for_each_share() -> None:
    picture = bars("Shares", {"train.dropout": 0.75, "a<b": 0.25})
    assert {"Shares", "train.dropout", "0.75", "a<b", "0.25"} <= set(texts(picture))
    _, *drawn = ElementTree.fromstring(picture).iter(f"{SVG}rect")
    assert [float(bar.get("width", "")) for bar in drawn] == [225.0, 75.0]


def test_the_longest_bar_fills_its_panel() -> None:
    picture = panels("Methods", {"f1": {"none": 0.5, "over": 0.25}, "seconds": {"none": 10.0, "over": 40.0}})
    assert {"Methods", "f1", "seconds", "none", "over", "0.25", "40"} <= set(texts(picture))
    _, *drawn = ElementTree.fromstring(picture).iter(f"{SVG}rect")
    widths = [float(bar.get("width", "")) for bar in drawn]
    assert widths[0] == widths[3] == 2 * widths[1] == 4 * widths[2]


def test_intervals_are_drawn_and_what_lacks_evidence_is_said() -> None:
    figures = {"a long name of a figure": {"none": 0.2, "drop": None}}
    ranges = {"a long name of a figure": {"none": (0.1, 0.4), "drop": None}}
    picture = panels("Methods", figures, ranges)
    assert {"a long name of a", "figure", "0.2", "no evidence"} <= set(texts(picture))
    (line,) = ElementTree.fromstring(picture).iter(f"{SVG}path")
    start, end = (float(x) for x in line.get("d", "M0 0H0")[1:].replace("H", " ").split()[::2])
    _, bar = ElementTree.fromstring(picture).iter(f"{SVG}rect")
    left, width = (float(bar.get(name, "")) for name in ("x", "width"))
    # The upper end fills the panel: the bar takes half of that, the lower end a quarter.
    assert (start - left, end - left) == pytest.approx((width / 2, 2 * width), abs=0.2)
