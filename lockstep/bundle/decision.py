"""How a model decides: from probabilities to the class that each row gets. Runs on numpy alone.

Thresholds of groups are those of M. Hardt, E. Price and N. Srebro (2016), "Equality of Opportunity in Supervised
Learning", NeurIPS, arXiv:1610.02413: two to a group, and a chance with which a row between them, or beyond them, is
decided as positive. `lockstep.fairness.group_thresholds` fits them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.encoding import Input
from lockstep.data.features import Features
from lockstep.errors import ModelError

DECISION_SCHEMA = "decision/1"
"""Schema that stands in the context of a sealed decision."""

_FORMAT = "lockstep-decision"
_VERSION = 1

Floats = npt.NDArray[np.float64]
Table = Mapping[str, npt.NDArray[Any]]
Encode = Callable[[Table], Features]
Group = tuple[str, ...]


@dataclass(frozen=True)
class Steps:
    """The chance of a positive decision: `below` up to the probability `low`, `above` beyond `high`, else `between`."""

    low: float
    high: float
    below: float
    between: float
    above: float

    def chance(self, probability: Floats) -> Floats:
        """Of rows of one group, shape (n,)."""
        reached = np.where(probability > self.low, self.between, self.below)
        return np.where(probability > self.high, self.above, reached)


@dataclass(frozen=True)
class Decision:
    """The rule by which a row gets its class.

    Attributes
    ----------
    threshold
        Of two classes: probability from which on a row is positive. None: of more, a row gets the likeliest.
    sensitive
        Sensitive features that tell a row's group; none where one threshold holds for everybody.
    groups
        Steps of each group, by its values of `sensitive` as text.
    others
        Steps of rows of no such group, or without one of the features; None: `threshold` decides them.
    seed
        Of the coins.
    """

    threshold: float | None
    sensitive: tuple[Input, ...] = ()
    groups: Mapping[Group, Steps] = field(default_factory=dict)
    others: Steps | None = None
    seed: int = 0

    def codes(self, probability: Floats, table: Table, encode: Encode) -> npt.NDArray[np.int64]:
        """Number of the class that each of n rows gets, shape (n,).

        Parameters
        ----------
        probability
            As `lockstep.bundle.scorer.Scorer.probability` gives it.
        table
            Raw columns of the rows; not looked at where one threshold holds for everybody.
        encode
            `lockstep.data.encoding.Encoder.encode` of the model.

        Notes
        -----
        Where a chance is neither 0 nor 1, a coin decides. It is a keyed hash (BLAKE2b) of the row as the model sees it
        and of its group, so that a row gets the same answer whenever and beside whatever it is asked about.
        """
        if self.threshold is None:
            return probability.argmax(axis=1)
        if not self.groups:
            return (probability >= self.threshold).astype(np.int64)
        groups = groups_of(table, [one.name for one in self.sensitive])
        chance = self._chance(probability, groups)
        codes = (chance == 1.0).astype(np.int64)
        tossed = np.flatnonzero((chance > 0.0) & (chance < 1.0))
        if len(tossed):
            features = encode({name: values[tossed] for name, values in table.items()})
            coins = self._coins(features, [groups[row] for row in tossed])
            codes[tossed] = coins < chance[tossed]
        return codes

    def by_coin(self, probability: Floats, table: Table) -> float:
        """Share of n rows that a coin decides."""
        chance = self._chance(probability, groups_of(table, [one.name for one in self.sensitive]))
        return float(np.mean((chance > 0.0) & (chance < 1.0)))

    def _chance(self, probability: Floats, groups: list[Group | None]) -> Floats:
        steps = [None if group is None else self.groups.get(group) for group in groups]
        chance = (probability >= (self.threshold or 0.0)).astype(np.float64)
        for rule in {*self.groups.values(), self.others} - {None}:
            of_rule = np.array([(own or self.others) is rule for own in steps], dtype=bool)
            chance[of_rule] = rule.chance(probability[of_rule])  # type: ignore[union-attr]
        return chance

    def _coins(self, features: Features, groups: list[Group | None]) -> Floats:
        """A number in [0, 1) for each row, shape (n,)."""
        key = str(self.seed).encode()[: hashlib.blake2b.MAX_KEY_SIZE]
        # Without the sign of a zero, which tells nothing.
        numeric = features.numeric + np.float32(0.0)
        coins = np.empty(len(groups))
        for row, group in enumerate(groups):
            digest = hashlib.blake2b(key=key, digest_size=8)
            digest.update(json.dumps(group).encode())
            digest.update(features.codes[row].astype("<i4").tobytes())
            digest.update(numeric[row].astype("<f4").tobytes())
            # 53 bits, so that the quotient is exact and never 1.
            coins[row] = (int.from_bytes(digest.digest(), "big") >> 11) / 2.0**53
        return coins

    def to_json(self) -> bytes:
        """Serialise; the same rule gives the same bytes. Holds a person's values (categories): seal it."""
        document = {
            "format": _FORMAT,
            "version": _VERSION,
            "threshold": self.threshold,
            "sensitive": [one._asdict() for one in self.sensitive],
            "groups": [{"values": list(of), "steps": asdict(steps)} for of, steps in self.groups.items()],
            "others": asdict(self.others) if self.others else None,
            "seed": self.seed,
        }
        return json.dumps(document, allow_nan=False).encode()

    def content(self) -> bytes:
        """What of the candidate the rule is: `to_json` where groups have thresholds of their own, else nothing."""
        return self.to_json() if self.groups else b""

    @classmethod
    def from_json(cls, document: bytes) -> Decision:
        """Inverse of `to_json`; raises ModelError on another format."""
        parsed = json.loads(document)
        if not isinstance(parsed, dict) or (parsed.get("format"), parsed.get("version")) != (
            _FORMAT,
            _VERSION,
        ):
            raise ModelError(f"This is no decision of version {_VERSION}. Run the stage `evaluate` again.")
        return cls(
            parsed["threshold"],
            tuple(Input(**one) for one in parsed["sensitive"]),
            {tuple(group["values"]): Steps(**group["steps"]) for group in parsed["groups"]},
            Steps(**parsed["others"]) if parsed["others"] else None,
            parsed["seed"],
        )


def groups_of(table: Table, names: list[str]) -> list[Group | None]:
    """Values of the columns `names` of each row as text; None where one is missing."""
    columns = [
        [None if value is None or value != value else str(value) for value in table[name].tolist()]
        for name in names
    ]
    return [None if None in row else row for row in zip(*columns, strict=True)]
