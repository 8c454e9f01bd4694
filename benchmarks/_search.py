"""A learner's search on one table: its default, then configurations drawn at random until its time is over."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks._comparison import draws, metrics
from benchmarks._tables import SEED, Part, Table

Floats = npt.NDArray[np.float64]
Config = dict[str, Any]
Predict = Callable[[Part], Floats]

THREADS = len(os.sched_getaffinity(0))
"""Cores that this process may use: `taskset` sets them."""


class OutOfTime(Exception):
    """A trial did not end within the time that was left."""


@dataclass(frozen=True)
class Allowed:
    """Time that a trial should keep to: fewer epochs, or the trees that it has by then.

    Attributes
    ----------
    seconds
        Of the budget's clock, from now on.
    now
        Seconds so far on that clock.
    """

    seconds: float
    now: Callable[[], float]

    def ends(self) -> Callable[[], bool]:
        """A function that tells whether the time is over."""
        end = self.now() + self.seconds
        return lambda: self.now() >= end


class TooSlow(Exception):
    """Not even one epoch of this configuration would fit into the time."""


class Learner(Protocol):
    """What a module of benchmarks.peers offers."""

    TITLE: str
    """Name in the tables."""

    PACKAGE: str
    """Distribution whose version is reported."""

    ENDS_ITSELF: bool
    """Whether it raises OutOfTime by itself, since an exception from a signal would leave its library broken."""

    def draw(self, rng: np.random.Generator) -> Config:
        """A configuration from the learner's search space; the empty one is its default."""
        ...

    def fit(self, train: Part, validation: Part, config: Config, allowed: Allowed) -> Predict:
        """Fit, stopping early on `validation` where the learner can.

        Returns
        -------
        callable
            From rows to probabilities, shape (n, n_classes).

        Raises
        ------
        TooSlow
            Not even one epoch would fit.
        """
        ...


@dataclass(frozen=True)
class Clock:
    """What a budget counts.

    Attributes
    ----------
    now
        Seconds so far.
    timer, signal
        The interval timer of the same clock, and what it sends.
    """

    now: Callable[[], float]
    timer: int
    signal: signal.Signals

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Raise OutOfTime in the main thread after `seconds`."""
        over = False

        def stop(*_: object) -> None:
            nonlocal over
            over = True
            raise OutOfTime

        previous = signal.signal(self.signal, stop)
        # Again and again: a library's callback may have swallowed the first.
        signal.setitimer(self.timer, max(seconds, 1e-3), 5)
        try:
            yield
        except BaseException:
            # Compiled code makes others of it: CatBoost a KeyboardInterrupt, scikit-learn's trees a ValueError.
            if over:
                raise OutOfTime from None
            raise
        finally:
            signal.setitimer(self.timer, 0)
            signal.signal(self.signal, previous)


CLOCKS = {
    "wall": Clock(time.perf_counter, signal.ITIMER_REAL, signal.SIGALRM),
    "cpu": Clock(time.process_time, signal.ITIMER_PROF, signal.SIGPROF),
}


@dataclass(frozen=True)
class _Trial:
    config: Config
    validation_log_loss: float
    seconds: float
    predict: Predict

    def as_dict(self) -> dict[str, Any]:
        loss = round(self.validation_log_loss, 6)
        return {"config": self.config, "validation_log_loss": loss, "seconds": round(self.seconds, 2)}


def search(learner: Learner, table: Table, minutes: float, clock_name: str) -> dict[str, Any]:
    """Choose a configuration of `learner` for each fold on its validation rows, and score the test rows with it.

    Parameters
    ----------
    minutes
        Of the named clock, for the searches of all folds together. The default is fitted before and is a candidate.

    Returns
    -------
    dict
        Figures on the test rows of the chosen configurations and of the default, each with its bootstrap draws;
        and the trials of each fold.
    """
    clock = CLOCKS[clock_name]
    budget = minutes * 60 / len(table.folds)
    tests, chosen, default, folds = [], [], [], []
    for number, fold in enumerate(table.folds):
        train, validation = table.part(fold.train), table.part(fold.validation)
        # A default is fitted to its end, or it were none; those that choose their epochs have the whole budget.
        whole = math.inf if learner.ENDS_ITSELF else minutes * 60
        first = _trial(learner, train, validation, {}, clock, whole)
        trials = [first] if first else []
        trials += _random_trials(learner, train, validation, clock, budget, (SEED, number))
        tests.append(table.part(fold.test))
        # The one use of the test rows.
        default.append(first.predict(tests[-1]) if first else None)
        if trials:
            best = min(trials, key=lambda trial: trial.validation_log_loss)
            chosen.append(default[-1] if best is first else best.predict(tests[-1]))
            folds.append({"chosen": best.as_dict(), "trials": [trial.as_dict() for trial in trials]})
    return {
        "minutes": minutes,
        "clock": clock_name,
        "threads": THREADS,
        "version": version(learner.PACKAGE),
        "n_test": sum(len(test.target) for test in tests),
        "default": _figures(tests, default),
        "chosen": _figures(tests, chosen),
        "folds": folds,
    }


def _random_trials(
    learner: Learner,
    train: Part,
    validation: Part,
    clock: Clock,
    budget: float,
    seed: tuple[int, int],
) -> Iterator[_Trial]:
    rng = np.random.default_rng(seed)
    end = clock.now() + budget
    while (left := end - clock.now()) > 0:
        config = learner.draw(rng)
        try:
            if learner.ENDS_ITSELF:
                trial = _trial(learner, train, validation, config, clock, left)
            else:
                with clock.limit(left):
                    # A third at most, so that a learner that fits itself into the time tries more than one.
                    trial = _trial(learner, train, validation, config, clock, min(left, budget / 3))
        except OutOfTime:
            return
        if trial:
            yield trial


def _trial(
    learner: Learner, train: Part, validation: Part, config: Config, clock: Clock, seconds: float
) -> _Trial | None:
    begun = clock.now()
    try:
        predict = learner.fit(train, validation, config, Allowed(seconds, clock.now))
    except TooSlow:
        return None
    loss = metrics(validation.target, predict(validation))["log_loss"]
    return _Trial(config, loss, clock.now() - begun, predict)


def _figures(tests: list[Part], probabilities: list[Floats | None]) -> dict[str, Any] | None:
    found = [p for p in probabilities if p is not None]
    if len(found) < len(tests):
        return None
    pairs = [(test.target, p) for test, p in zip(tests, found, strict=True)]
    each = [metrics(target, p) for target, p in pairs]
    return {
        "metrics": {name: round(float(np.mean([m[name] for m in each])), 6) for name in each[0]},
        "draws": {name: values.round(6).tolist() for name, values in draws(pairs).items()},
    }
