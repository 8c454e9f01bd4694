"""Rows encoded anew where they changed: a column is encoded by itself, so what stays need not be."""

from __future__ import annotations

from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.data.plausible import Raw


class Recoder:
    """The features that an encoder gives, faster for rows of which a few columns changed.

    Parameters
    ----------
    encoder
        Of the model.
    table
        Raw columns of n rows as they were.
    """

    def __init__(self, encoder: Encoder, table: Raw) -> None:
        self._encoder, self._table = encoder, table
        self._encoded = encoder.encode(table)

    def encode(self, table: Raw) -> Features:
        """Features of the rows with other columns; one that stays is the same array as before."""
        changed = [
            (column, place)
            for column, place in zip(self._encoder.columns, self._encoder.places, strict=True)
            if table[column.name] is not self._table[column.name]
        ]
        part = Encoder([column for column, _ in changed], self._encoder.decorrelation)
        moved, starts = part.encode(table), iter(part.code_starts)
        numeric, codes = self._encoded.numeric.copy(), self._encoded.codes.copy()
        for (column, (to_codes, to_bins)), (own_codes, own_bins) in zip(changed, part.places, strict=True):
            numeric[:, to_bins] = moved.numeric[:, own_bins]
            if column.coded:
                shift = self._encoder.code_starts[to_codes.start] - next(starts)
                codes[:, to_codes] = moved.codes[:, own_codes] + shift
        return Features(numeric, codes)
