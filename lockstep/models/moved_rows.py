"""Adversarial training: a step learns from its rows and, beside them, from the same rows moved against the network.

I. Goodfellow, J. Shlens & C. Szegedy (2015), "Explaining and Harnessing Adversarial Examples", arXiv:1412.6572, with
the random start of E. Wong, L. Rice & J. Z. Kolter (2020), "Fast is Better than Free: Revisiting Adversarial Training",
arXiv:2001.03994: without it a network learns to withstand the one step that it met, and no other.

The step is that of `lockstep.evaluation.robustness.fgsm`, made on encoded rows: a number is known by its position, from
which its bins and the code of its exact value follow as the encoder gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.encoded_columns import FIRST, OTHER, Column
from lockstep.data.encoding import Encoder
from lockstep.data.plausible import Amount, Plausible
from lockstep.models.losses import cross_entropy

POSITIONS = "positions"
"""Name of the positions among a batch's inputs, which the network itself does not take."""

Floats = npt.NDArray[np.float32]

_STRIDE = 1.25
"""A step goes so many times as far as an amount may, from where it starts."""

# Positions are float32: so near to each other, in units of whole numbers, two whole numbers are one.
_NEAR = 0.1


@dataclass(frozen=True, eq=False)
class Moves:
    """How far each amount of some rows may be moved.

    A position is how many spreads (`lockstep.data.plausible.Amount`) an amount lies above the lowest edge of its bins.

    Attributes
    ----------
    positions : ndarray of float32, shape (n, amounts)
        Of n rows; NaN where the amount stays.
    strength, seed
        How far an amount moves at most, and what its random starts follow from.
    lowest, highest, units : ndarray of float32, shape (amounts,)
        Between which positions an amount stays, and how far apart whole numbers are; 0 where it need not be whole.
    owners : ndarray of int32, shape (numeric_width,)
        Number of the amount that each numeric input is a bin of; `amounts` where it is of none.
    lows, highs : ndarray of float32, shape (numeric_width,)
        Positions between which each bin lies.
    coded : ndarray of int32, shape (coded amounts,)
        Numbers of the amounts that have codes.
    vocabularies : ndarray of float32, shape (coded amounts, v)
        Positions of their vocabularies, ascending and filled up by infinity.
    first_codes : ndarray of int32, shape (coded amounts,)
        Code of each vocabulary's first value.
    places : ndarray of int32, shape (coded amounts,)
        Where among a row's codes theirs stand.
    """

    positions: Floats
    strength: float
    seed: int
    lowest: Floats
    highest: Floats
    units: Floats
    owners: npt.NDArray[np.int32]
    lows: Floats
    highs: Floats
    coded: npt.NDArray[np.int32]
    vocabularies: Floats
    first_codes: npt.NDArray[np.int32]
    places: npt.NDArray[np.int32]

    @classmethod
    def of_rows(
        cls,
        encoder: Encoder,
        plausible: Plausible,
        strength: float,
        table: Mapping[str, npt.NDArray[Any]],
        seed: int,
    ) -> Moves | None:
        """Moves of n rows by `strength` spreads; None where the encoder has no amount to move.

        Parameters
        ----------
        plausible
            What bounds the amounts.
        table
            Raw inputs of the encoder.
        seed
            Of the random starts.
        """
        changed = set(encoder.decorrelation.changed) if encoder.decorrelation else set()
        taken = encoder.decorrelation.apply(table) if encoder.decorrelation else table
        scales = [
            _Scale(column, plausible.amounts[column.name], column.name in changed)
            for column in encoder.columns
            if column.name in plausible.amounts and column.width
        ]
        if not scales:
            return None
        positions = [
            np.where(
                scale.amount.movable(table[scale.column.name]),
                scale.position(taken[scale.column.name]),
                np.nan,
            )
            for scale in scales
        ]
        numbers = {scale.column.name: i for i, scale in enumerate(scales)}
        owners = np.full(encoder.numeric_width, len(scales), dtype=np.int32)
        lows, highs = np.zeros(encoder.numeric_width), np.ones(encoder.numeric_width)
        coded, words, first_codes, places = [], [], [], []
        starts = iter(encoder.code_starts)
        for column, (codes, bins) in zip(encoder.columns, encoder.places, strict=True):
            first = FIRST + next(starts) if column.coded else 0
            if column.name not in numbers:
                continue
            scale = scales[numbers[column.name]]
            edges = scale.position(np.asarray(column.edges))
            owners[bins], lows[bins], highs[bins] = numbers[column.name], edges[:-1], edges[1:]
            if column.coded:
                places.append(codes.start)
                coded.append(numbers[column.name])
                words.append(scale.position(np.asarray(column.values, dtype=np.float64)))
                first_codes.append(first)
        # One more than the longest, so that there is a next value to each.
        vocabularies = np.full((len(words), max(map(len, words), default=0) + 1), np.inf, dtype=np.float32)
        for row, values in zip(vocabularies, words, strict=True):
            row[: len(values)] = values
        of_scales = np.array([(*scale.bounds, scale.unit) for scale in scales])
        lowest, highest, units = of_scales.T.astype(np.float32)
        return cls(
            np.stack(positions, axis=1).astype(np.float32),
            strength,
            seed,
            lowest,
            highest,
            units,
            owners,
            lows.astype(np.float32),
            highs.astype(np.float32),
            np.array(coded, dtype=np.int32),
            vocabularies,
            np.array(first_codes, dtype=np.int32),
            np.array(places, dtype=np.int32),
        )

    @property
    def _spans(self) -> Floats:
        """Width of each bin; hardly any where an amount lies so far from all others that float32 tells none."""
        return np.maximum(self.highs - self.lows, np.finfo(np.float32).tiny)

    def take(self, rows: npt.NDArray[np.int_]) -> Moves:
        """Those of `rows`, by number."""
        return replace(self, positions=self.positions[rows])

    def beside(self, model: Any, batch: Any) -> Any:
        """`batch`, its inputs with `POSITIONS` among them, and behind its rows the same ones moved against `model`."""
        import tensorflow as tf

        inputs, targets, weights = batch
        inputs = dict(inputs)
        positions = inputs.pop(POSITIONS)
        seed = tf.stack([self.seed, tf.cast(model.optimizer.iterations, tf.int32)])
        drawn = tf.random.stateless_uniform(tf.shape(positions), seed, -self.strength, self.strength)
        wanted = targets[0] if isinstance(targets, tuple) else targets
        moved = self.moved(model, inputs, positions, wanted, drawn)

        def twice(part: Any) -> Any:
            return tf.concat([part, part], axis=0)

        both = {name: tf.concat([part, moved[name]], axis=0) for name, part in inputs.items()}
        return both, tf.nest.map_structure(twice, targets), twice(weights)

    def moved(self, model: Any, inputs: dict[str, Any], positions: Any, targets: Any, start: Any) -> Any:
        """Inputs of n rows after a step against `model` from so far, shape (n, amounts), beside where they are."""
        import tensorflow as tf

        at = self._confined(positions, positions + start)
        slopes = self._by_amount(at, _slopes(model, self._encoded(inputs, positions, at), targets))
        # What has no slope, or none that is a number, stays at its start.
        steps = tf.where(tf.abs(slopes) > 0.0, tf.sign(slopes), 0.0) * _STRIDE * self.strength
        return self._encoded(inputs, positions, self._confined(positions, at + steps))

    def _confined(self, positions: Any, reached: Any) -> Any:
        """`reached` within plausible bounds and reach, with whole numbers where they belong."""
        import tensorflow as tf

        near = tf.clip_by_value(reached, positions - self.strength, positions + self.strength)
        at = tf.clip_by_value(near, self.lowest, self.highest)
        units = np.where(self.units > 0.0, self.units, np.float32(1.0))
        far = tf.abs(at - positions) / units
        whole = positions + tf.sign(at - positions) * tf.floor(far + _NEAR) * units
        return tf.where(self.units > 0.0, whole, at)

    def _by_amount(self, positions: Any, by_input: Any) -> Any:
        """Slope by each amount, shape (n, amounts), of that by each numeric input; 0 beyond the ends of the bins."""
        import tensorflow as tf

        at = self._of_bins(positions)
        inside = (at >= self.lows) & (at < self.highs)
        of_bins = tf.where(inside, by_input / self._spans, 0.0)
        return of_bins @ np.eye(len(self.units) + 1, dtype=np.float32)[self.owners, :-1]

    def _encoded(self, inputs: dict[str, Any], positions: Any, reached: Any) -> dict[str, Any]:
        """`inputs` with the amounts at the positions `reached`."""
        import tensorflow as tf

        at = self._of_bins(reached)
        # A position that is no number equals none.
        is_moved = tf.abs(reached - positions) > 0.0
        of_bins = self._of_bins(tf.cast(is_moved, tf.float32)) > 0.0
        parts = tf.clip_by_value((at - self.lows) / self._spans, 0.0, 1.0)
        encoded = {**inputs, "numeric": tf.where(of_bins, parts, inputs["numeric"])}
        if len(self.coded):
            encoded["codes"] = self._recoded(inputs["codes"], reached, is_moved)
        return encoded

    def _of_bins(self, of_amounts: Any) -> Any:
        """What the amount of each numeric input has, shape (n, numeric_width); NaN where it is of none."""
        import tensorflow as tf

        padded = tf.pad(of_amounts, [[0, 0], [0, 1]], constant_values=np.nan)
        return tf.gather(padded, self.owners, axis=1)

    def _recoded(self, codes: Any, reached: Any, is_moved: Any) -> Any:
        """`codes` with those of the amounts that are moved to the positions `reached`."""
        import tensorflow as tf

        vocabularies, first = tf.constant(self.vocabularies), self.first_codes[:, None]
        values = tf.transpose(tf.gather(reached, self.coded, axis=1))
        near = _NEAR * self.units[self.coded][:, None]
        at = tf.searchsorted(vocabularies, values - near)
        is_known = tf.gather(vocabularies, at, batch_dims=1) <= values + near
        new = tf.transpose(tf.where(is_known, first + at, first + OTHER - FIRST))
        of_amounts = tf.where(
            tf.gather(is_moved, self.coded, axis=1), new, tf.gather(codes, self.places, axis=1)
        )
        sources = np.arange(codes.shape[1])
        sources[self.places] = codes.shape[1] + np.arange(len(self.places))
        return tf.gather(tf.concat([codes, of_amounts], axis=1), sources, axis=1)


@dataclass(frozen=True)
class _Scale:
    """Positions of one amount."""

    column: Column
    amount: Amount
    is_changed: bool

    def position(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray((values - self.column.edges[0]) / self.amount.spread)

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest position; of an amount that the encoder changes first, those of its bins."""
        edges = self.column.edges
        low, high = (edges[0], edges[-1]) if self.is_changed else (self.amount.low, self.amount.high)
        return tuple(self.position(np.array([low, high])))

    @property
    def unit(self) -> float:
        return 1.0 / self.amount.spread if self.amount.whole else 0.0


def _slopes(model: Any, inputs: dict[str, Any], targets: Any) -> Any:
    """Slope of each row's loss by its numeric inputs, shape (n, numeric_width), as the network answers that ships."""
    import tensorflow as tf

    numeric = inputs["numeric"]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(numeric)
        answers = tf.reduce_mean(model(inputs, training=False), axis=1, keepdims=True)
        # A row's loss depends on that row alone.
        loss = tf.reduce_sum(cross_entropy(targets[:, None, :], answers))
        scaled = model.optimizer.scale_loss(loss)
    return tape.gradient(scaled, numeric)
