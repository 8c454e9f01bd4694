"""Section `search` of params.yaml: what a search may change, judged before its first trial."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, model_validator

from flows._overrides import Readers, override
from lockstep.errors import ParameterError
from tasks._params import Params, Section, key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SECTION = "search.space"


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports a ValueError by its place
    return value


Number = Annotated[Any, AfterValidator(_number)]


class Domain(Section):
    """The values that one parameter may take: a range, or choices.

    Attributes
    ----------
    low, high
        Ends of a range, both of them in it; of whole numbers where both are whole.
    log
        Whether values are drawn evenly on a logarithmic scale.
    choices
        Values of any kind, instead of a range.
    """

    low: Number = None
    high: Number = None
    log: bool = False
    choices: list[Any] | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("takes `choices`, or `low` and `high`, and not both")
            if len({json.dumps(choice) for choice in self.choices}) < max(2, len(self.choices)):
                raise ValueError("takes at least two different choices, each of them once")
        elif self.low is None or self.high is None:
            raise ValueError("needs `low` and `high`, or `choices`")
        elif self.low >= self.high:
            raise ValueError("has `low` not below `high`")
        elif self.log and self.low <= 0:
            raise ValueError("has `log` with a `low` that is not above 0")
        return self

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def extremes(self) -> list[Any]:
        """What a stage must be able to use for all values to be usable."""
        return [self.low, self.high] if self.choices is None else self.choices

    def distribution(self) -> BaseDistribution:
        """As Optuna wants it; choices as JSON, for Optuna takes scalars alone."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices is not None:
            return CategoricalDistribution([json.dumps(choice) for choice in self.choices])
        kind = IntDistribution if self.is_whole else FloatDistribution
        return kind(self.low, self.high, log=self.log)

    def internal(self, value: Any) -> Any:
        """A value of params.yaml as the distribution has it; None where it is not among the values."""
        if self.choices is not None:
            # As the choice is written: 0 equals 0.0, and is other JSON.
            alike = (c for c in self.choices if c == value and isinstance(c, bool) == isinstance(value, bool))
            return next(map(json.dumps, alike), None)
        if isinstance(value, bool) or not isinstance(value, int if self.is_whole else int | float):
            return None
        return value if self.low <= value <= self.high else None

    def text(self, value: Any) -> str:
        """A drawn value as it is written into params.yaml: YAML, of numbers four digits."""
        if self.choices is not None or self.is_whole:
            return str(value)
        return repr(min(max(float(f"{value:.4g}"), float(self.low)), float(self.high)))


class SearchParams(Params):
    section = "search"

    trials: int = key("search.trials", ge=1)
    seed: int = key("search.seed", ge=0)
    space: dict[str, Domain] = key(SECTION, min_length=1)


def require_usable(
    params: SearchParams, document: Any, readers: Readers, judging: set[str], root: Path
) -> None:
    """Refuse a space whose trials could not run, or could not be compared.

    Parameters
    ----------
    document
        Of params.yaml, as `flows._yaml.load` gives it.
    readers
        The stages that a trial brings up to date.
    judging
        Names of those that make the validation rows.

    Raises
    ------
    ParameterError
        No stage reads a parameter, it changes the validation rows, or a stage cannot use an end of its range.
    """
    read = {name: keys for name, (_, keys) in readers.items()}
    for name, domain in params.space.items():
        if not any(_within(name, declared) for keys in read.values() for declared in keys):
            raise ParameterError(
                f"{SECTION} names {name}, which neither `train` nor a stage before it reads. Remove it."
            )
        spoilt = [stage for stage in judging if any(_within(name, declared) for declared in read[stage])]
        if spoilt:
            raise ParameterError(
                f"{SECTION} names {name}, which changes the validation rows (stage {min(spoilt)}): trials could not be "
                "compared. Remove it."
            )
        for value in domain.extremes:
            override(copy.deepcopy(document), [f"{name}={json.dumps(value)}"], readers, root)


def _within(name: str, declared: str) -> bool:
    return f"{name}.".startswith(f"{declared}.") or f"{declared}.".startswith(f"{name}.")


def present(space: Mapping[str, Domain], document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values that params.yaml has now, as the distributions have them; None where one is not in the space."""
    found = {name: domain.internal(lookup(document, name)) for name, domain in space.items()}
    return None if None in found.values() else found


def lookup(document: Mapping[str, Any], name: str) -> Any:
    """Value of a dotted key; None where there is none."""
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
