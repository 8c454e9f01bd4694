"""A search's memory: an Optuna study in SQLite, which outlives whoever runs it.

Parameters are drawn by the tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for Hyper-Parameter
Optimization"; multivariate as in Falkner et al. 2018, arXiv:1807.01774). What does not look promising after 1, 3, 9
and so on epochs is given up by asynchronous successive halving (Li et al. 2018, arXiv:1810.05934).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from optuna.importance import get_param_importances
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from flows._search_space import Domain, SearchParams

PLACE = Path(".lockstep/search")

_REDUCTION = 3
_LABEL = "label"
_ERROR = "error"

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Trial:
    """One set of values to try.

    Attributes
    ----------
    number
        Unique in its study.
    experiment
        Name of the DVC experiment that it becomes.
    overrides
        ``KEY=VALUE`` each, as for `lockstep run --set`.
    """

    number: int
    experiment: str
    overrides: tuple[str, ...]


class _Pruner(SuccessiveHalvingPruner):
    """Compares a trial with those alone that did not fail: a killed one would stand beside its own second start."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return super().prune(cast("optuna.Study", _WithoutFailed(study)), trial)


class _WithoutFailed:
    def __init__(self, study: optuna.Study) -> None:
        self._of = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)

    def get_trials(self, *, deepcopy: bool) -> list[FrozenTrial]:
        states = [state for state in TrialState if state is not TrialState.FAIL]
        return self._of.get_trials(deepcopy=deepcopy, states=states)


class Study:
    """The trials of one search, those of earlier processes included.

    Parameters
    ----------
    root
        Directory of the project.
    params
        What to search, and with which seed.
    identity
        Digest of all that trials have in common: only trials of the same identity are compared.
    present
        The values that params.yaml has now: the first trial, which is never given up, for it is what the others are
        to beat. None where they are not in the space.
    """

    def __init__(
        self, root: Path, params: SearchParams, identity: str, present: Mapping[str, Any] | None
    ) -> None:
        self._params = params
        self._present = present
        self._asked: dict[int, optuna.Trial] = {}
        (root / PLACE).mkdir(parents=True, exist_ok=True)
        self._storage = RDBStorage(f"sqlite:///{root / PLACE / 'study.db'}")
        self._study = optuna.create_study(
            study_name=identity,
            storage=self._storage,
            load_if_exists=True,
            direction="maximize",
            pruner=_Pruner(min_resource=1, reduction_factor=_REDUCTION),
        )
        if _LABEL not in self._study.user_attrs:
            # Experiments of a study that was deleted may still be there.
            self._study.set_user_attr(_LABEL, f"search-{secrets.token_hex(2)}")
        if present and not self._study.trials:
            self._study.enqueue_trial(dict(present))
        for left in self._of(TrialState.RUNNING):
            # Whoever ran it was stopped or killed.
            self._study.tell(left.number, state=TrialState.FAIL)
            self._study.enqueue_trial(left.params)

    def close(self) -> None:
        """Give the database back."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    @property
    def ended(self) -> list[FrozenTrial]:
        """Trials that count: all but those that were stopped or killed."""
        found = self._of(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        return [t for t in found if t.state is not TrialState.FAIL or _ERROR in t.user_attrs]

    @property
    def ranking(self) -> list[FrozenTrial]:
        """Trials that trained to the end, the best first."""
        return sorted(self._of(TrialState.COMPLETE), key=lambda t: (-_value(t), t.number))

    def ask(self) -> Trial:
        """The next values to try."""
        drawn = len(self.ended) + len(self._of(TrialState.RUNNING))
        # Of its own for each draw: a search that goes on draws what it would have drawn without the pause.
        seed = int(np.random.SeedSequence((self._params.seed, drawn)).generate_state(1)[0])
        self._study.sampler = TPESampler(seed=seed, multivariate=True, constant_liar=True)
        space = {name: domain.distribution() for name, domain in self._params.space.items()}
        asked = self._study.ask(space)
        self._asked[asked.number] = asked
        return Trial(
            asked.number, self.experiment(asked.number), tuple(overrides(self._params.space, asked.params))
        )

    def is_hopeless(self, trial: Trial, epoch: int, figure: float) -> bool:
        """Note what a trial reached after an epoch, and say whether to give it up."""
        asked = self._asked[trial.number]
        asked.report(figure, epoch)
        # Asked of every trial: the pruner notes with it what the others are compared with.
        hopeless = asked.should_prune()
        return hopeless and asked.params != self._present

    def end(self, trial: Trial, figure: float) -> None:
        """Note what a trial reached in the end."""
        self._study.tell(trial.number, figure)

    def give_up(self, trial: Trial) -> None:
        """Note that a trial was ended early."""
        self._study.tell(trial.number, state=TrialState.PRUNED)

    def fail(self, trial: Trial, message: str) -> None:
        """Note why a trial has no figure."""
        self._asked[trial.number].set_user_attr(_ERROR, message)
        self._study.tell(trial.number, state=TrialState.FAIL)

    def experiment(self, number: int) -> str:
        """Name of the experiment of a trial."""
        return f"{self._study.user_attrs[_LABEL]}-{number:02}"

    def importance(self) -> dict[str, float]:
        """Share of each parameter in how much the trials differ; empty while there are too few of them.

        Notes
        -----
        PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255).
        """
        if len({trial.value for trial in self.ranking}) <= len(self._params.space):
            return {}
        return get_param_importances(self._study)

    def _of(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)


def overrides(space: Mapping[str, Domain], values: Mapping[str, Any]) -> Sequence[str]:
    """Drawn values as ``KEY=VALUE``."""
    return [f"{name}={domain.text(values[name])}" for name, domain in space.items()]


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
