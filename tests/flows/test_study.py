"""A search remembers its trials, and draws what it would have drawn without a pause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows._search_space import Domain, SearchParams
from flows._study import Study, Trial

SPACE = {
    "train.rate": Domain(low=0.001, high=0.1, log=True),
    "train.depth": Domain(low=1, high=4),
    "train.kind": Domain(choices=["a", "b"]),
}
PRESENT = {"train.rate": 0.01, "train.depth": 2, "train.kind": '"a"'}
Open = Callable[..., Study]


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Open]:
    opened: list[Study] = []

    def make(name: str = "one", present: Any = PRESENT, **changes: Any) -> Study:
        params = SearchParams(**{"trials": 20, "seed": 1, "space": SPACE} | changes)
        opened.append(Study(tmp_path / name, params, "identity", present))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def figure(trial: Trial) -> float:
    values = dict(override.split("=") for override in trial.overrides)
    return 1.0 - abs(float(values["train.rate"]) - 0.03) - 0.01 * int(values["train.depth"])


def test_the_first_trial_is_the_workspace_as_it_is(study: Open) -> None:
    first = study().ask()
    assert first.overrides == ("train.rate=0.01", "train.depth=2", 'train.kind="a"')
    assert study("two", present=None).ask().overrides != first.overrides


def test_a_search_that_goes_on_draws_what_it_would_have_drawn(study: Open) -> None:
    """Also past the random trials with which it begins."""
    whole, drawn = study("whole"), []
    for _ in range(12):
        drawn.append(trial := whole.ask())
        whole.end(trial, figure(trial))
    again: list[Trial] = []
    for _ in range(6):
        # Left running, as by a kill, each time.
        part = study("parts")
        for _ in range(2):
            again.append(trial := part.ask())
            part.end(trial, figure(trial))
        part.ask()
    assert [trial.overrides for trial in again] == [trial.overrides for trial in drawn]
    assert len(study("parts").ended) == 12


def test_a_killed_trial_is_started_again_and_does_not_count(study: Open) -> None:
    first = study()
    done, killed = first.ask(), first.ask()
    first.end(done, 0.5)
    second = study()
    assert len(second.ended) == 1
    again = second.ask()
    assert (again.overrides, again.number) == (killed.overrides, 2)
    assert again.experiment.split("-")[1] == killed.experiment.split("-")[1]
    assert again.experiment != killed.experiment


def test_a_killed_trial_is_no_rival_of_its_second_start(study: Open) -> None:
    def given_up(name: str, *, kill: bool) -> list[bool]:
        search, found = study(name), []
        for reached in (0.5, 0.4, 0.3, 0.2, 0.9, 0.8, 0.7):
            trial = search.ask()
            if kill and reached == 0.9:
                search.is_hopeless(trial, 1, reached)
                search = study(name)
                trial = search.ask()
            found.append(search.is_hopeless(trial, 1, reached))
            if found[-1]:
                search.give_up(trial)
            else:
                search.end(trial, reached)
        return found

    whole = given_up("whole", kill=False)
    assert whole == [False, True, True, True, False, False, True]
    assert given_up("killed", kill=True) == whole


def test_the_worst_are_given_up_early(study: Open) -> None:
    search = study()
    good = search.ask()
    assert not any(search.is_hopeless(good, epoch, 0.8) for epoch in range(1, 9))
    search.end(good, 0.8)
    bad = search.ask()
    assert search.is_hopeless(bad, 1, 0.2)
    search.give_up(bad)
    better = search.ask()
    assert not any(search.is_hopeless(better, epoch, 0.9) for epoch in range(1, 9))
    search.end(better, 0.9)
    failed = search.ask()
    search.fail(failed, "It diverged.")
    assert [trial.number for trial in search.ranking] == [better.number, good.number]
    assert len(search.ended) == 4
    assert len(study().ended) == 4


def test_what_the_workspace_has_is_never_given_up(study: Open) -> None:
    search = study()
    present, better = search.ask(), search.ask()
    assert not search.is_hopeless(better, 1, 0.9)
    assert not search.is_hopeless(present, 1, 0.1)
    # It stands in the way of no other.
    assert search.is_hopeless(search.ask(), 1, 0.05)


def test_importance_tells_what_matters(study: Open) -> None:
    search = study()
    assert search.importance() == {}
    for _ in range(12):
        trial = search.ask()
        search.end(trial, figure(trial))
    shares = search.importance()
    assert set(shares) == set(SPACE)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["train.kind"] == min(shares.values())
