"""Each gate says what its figure is, at which strength and in which unit."""

from __future__ import annotations

from typing import Any

import pytest

from lockstep.evaluation.gate_words import asked_of, figure_of, interval_of, what_it_is


def _gate(name: str, **changes: Any) -> dict[str, Any]:
    held = {
        "figure": 0.7487,
        "interval": (0.711, 0.788),
        "threshold": 0.9,
        "direction": "at most",
        "at": None,
    }
    return {"gate": name, **held, **changes}


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        (_gate("robustness:flips", at=1), ["exchanges 1 of each row's categories", "knows it"]),
        (_gate("robustness:noise", at=0.1), ["noise of 0.1 standard deviations"]),
        (_gate("robustness:missing", at=0.05), ["5 % of all cells are blank"]),
        (_gate("membership_inference", at=0.001), ["accuses 0.1 % of other rows (chance: 0.1 %)"]),
        (
            _gate("demographic_parity_difference:sex & age_band"),
            ["groups of sex & age band that differ most"],
        ),
    ],
)
def test_the_strength_and_the_feature_are_named(gate: dict[str, Any], words: list[str]) -> None:
    assert all(part in what_it_is(gate) for part in words)


@pytest.mark.parametrize(
    ("name", "figure", "interval", "asked"),
    [
        ("robustness:flips", "74.9 %", "71.1 to 78.8 %", "at most 90 %"),
        ("equalized_odds_difference:race", "74.9 points", "71.1 to 78.8 points", "at most 90 points"),
        ("roc_auc", "0.7487", "0.711 to 0.788", "at most 0.9"),
        ("a_gate_of_your_own", "0.7487", "0.711 to 0.788", "at most 0.9"),
    ],
)
def test_figures_have_their_unit(name: str, figure: str, interval: str, asked: str) -> None:
    gate = _gate(name)
    assert (figure_of(gate), interval_of(gate), asked_of(gate)) == (figure, interval, asked)


def test_without_evidence_there_is_no_figure() -> None:
    gate = _gate("robustness:flips", figure=None, interval=None, at=1)
    assert (figure_of(gate), interval_of(gate), asked_of(gate)) == ("", "", "at most 90 %")


def test_a_gate_that_is_not_known_has_no_words() -> None:
    assert what_it_is(_gate("a_gate_of_your_own")) == ""
