"""Adversarial training: a step learns from its rows and, beside them, from the same rows moved against the network.

I. Goodfellow, J. Shlens & C. Szegedy (2015), "Explaining and Harnessing Adversarial Examples", arXiv:1412.6572. The
move is that of `lockstep.evaluation.robustness.fgsm`, made on encoded rows: a number is known by its position, from
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

# Positions are float32: so near to a value of the vocabulary, in units of whole numbers, a whole number is that value.
_NEAR = 0.1


@dataclass(frozen=True, eq=False)
class Moves:
    """How far each amount of some rows may be moved.

    A position is how many spreads (`lockstep.data.plausible.Amount`) an amount lies above the lowest edge of its bins.

    Attributes
    ----------
    positions : ndarray of float32, shape (n, amounts)
        Of n rows; NaN where the amount stays.
    steps, lowest, highest, nearness : ndarray of float32, shape (amounts,)
        How far an amount moves, between which positions it stays, and how near to a value of the vocabulary it has
        the code of that value.
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
    steps: Floats
    lowest: Floats
    highest: Floats
    nearness: Floats
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
    ) -> Moves | None:
        """Moves of n rows by `strength` spreads; None where the encoder has no amount to move.

        Parameters
        ----------
        plausible
            What bounds the amounts.
        table
            Raw inputs of the encoder.
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
        of_scales = np.array([(*scale.bounds, scale.step(strength), scale.nearness) for scale in scales])
        lowest, highest, steps, nearness = of_scales.T.astype(np.float32)
        return cls(
            np.stack(positions, axis=1).astype(np.float32),
            steps,
            lowest,
            highest,
            nearness,
            owners,
            lows.astype(np.float32),
            highs.astype(np.float32),
            np.array(coded, dtype=np.int32),
            vocabularies,
            np.array(first_codes, dtype=np.int32),
            np.array(places, dtype=np.int32),
        )

    def take(self, rows: npt.NDArray[np.int_]) -> Moves:
        """Those of `rows`, by number."""
        return replace(self, positions=self.positions[rows])

    def beside(self, model: Any, batch: Any) -> Any:
        """`batch`, its inputs with `POSITIONS` among them, and behind its rows the same ones moved against `model`."""
        import tensorflow as tf

        inputs, targets, weights = batch
        inputs = dict(inputs)
        positions = inputs.pop(POSITIONS)
        wanted = targets[0] if isinstance(targets, tuple) else targets
        moved = self._moved(inputs, positions, _slopes(model, inputs, wanted))

        def twice(part: Any) -> Any:
            return tf.concat([part, part], axis=0)

        both = {name: tf.concat([part, moved[name]], axis=0) for name, part in inputs.items()}
        return both, tf.nest.map_structure(twice, targets), twice(weights)

    def _moved(self, inputs: dict[str, Any], positions: Any, by_input: Any) -> dict[str, Any]:
        import tensorflow as tf

        spans = self.highs - self.lows
        at = self._of_bins(positions)
        of_bins = tf.where((at >= self.lows) & (at < self.highs), by_input / spans, 0.0)
        slopes = of_bins @ np.eye(len(self.steps) + 1, dtype=np.float32)[self.owners, :-1]
        # What is no number, be it a position or a slope, is not above zero.
        moves = (tf.abs(slopes) * self.steps > 0.0) & (positions == positions)
        steps = tf.where(moves, tf.sign(slopes) * self.steps, 0.0)
        reached = tf.clip_by_value(positions + steps, self.lowest, self.highest)
        parts = tf.clip_by_value((self._of_bins(reached) - self.lows) / spans, 0.0, 1.0)
        is_moved = self._of_bins(tf.cast(moves, tf.float32)) > 0.0
        moved = {**inputs, "numeric": tf.where(is_moved, parts, inputs["numeric"])}
        if len(self.coded):
            moved["codes"] = self._recoded(inputs["codes"], reached, moves)
        return moved

    def _of_bins(self, of_amounts: Any) -> Any:
        """What the amount of each numeric input has, shape (n, numeric_width); NaN where it is of none."""
        import tensorflow as tf

        padded = tf.pad(of_amounts, [[0, 0], [0, 1]], constant_values=np.nan)
        return tf.gather(padded, self.owners, axis=1)

    def _recoded(self, codes: Any, reached: Any, moves: Any) -> Any:
        """`codes` where the amounts that `moves` are at the positions `reached`."""
        import tensorflow as tf

        vocabularies, first = tf.constant(self.vocabularies), self.first_codes[:, None]
        values = tf.transpose(tf.gather(reached, self.coded, axis=1))
        near = self.nearness[self.coded][:, None]
        at = tf.searchsorted(vocabularies, values - near)
        is_known = tf.gather(vocabularies, at, batch_dims=1) <= values + near
        new = tf.transpose(tf.where(is_known, first + at, first + OTHER - FIRST))
        of_amounts = tf.where(
            tf.gather(moves, self.coded, axis=1), new, tf.gather(codes, self.places, axis=1)
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

    def step(self, strength: float) -> float:
        """So far it moves: by a whole number where all are whole."""
        far = strength * self.amount.spread
        return (np.trunc(far) if self.amount.whole else far) / self.amount.spread

    @property
    def nearness(self) -> float:
        return _NEAR / self.amount.spread if self.amount.whole else 0.0


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
