"""What `lockstep compare` compares: sets of overrides of params.yaml, trained and judged alike."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lockstep.balance.methods import METHODS
from lockstep.errors import UsageError
from lockstep.fairness.methods import METHODS as MITIGATIONS


@dataclass(frozen=True)
class Comparison:
    """Methods that compete for the same place in the pipeline.

    Attributes
    ----------
    stages
        Stages of dvc.yaml whose work is done anew for each method.
    inputs
        What these read, as `flows._calls.inputs_of` takes it.
    module
        Its `main` takes those inputs, ``--params`` and ``--report``, and writes a report with ``figures``, null where
        there is no evidence, and, where they have any, their ``intervals``.
    methods
        By name, what it overrides in params.yaml.
    note
        What the figures say.
    """

    stages: tuple[str, ...]
    inputs: Mapping[str, tuple[str, str]]
    module: str
    methods: Mapping[str, Sequence[str]]
    note: str


_PLAIN_LOSS = ("train.focal_gamma=0.0",)

COMPARISONS = {
    "debias": Comparison(
        # What is compressed decides like the float model, which alone is judged here.
        stages=("debias", "resample", "train", "compress", "evaluate"),
        inputs={
            "train": ("debias", "--train"),
            "validation": ("debias", "--validation"),
            "expectations": ("debias", "--expectations"),
            "key-id": ("debias", "--key-id"),
        },
        module="tasks._mitigated",
        methods={name: [f"debias.method={name}"] for name in MITIGATIONS},
        note=(
            "On the validation rows, with 95 % intervals. Quality: higher is better; differences between groups: lower "
            "is. Each half of the rows is decided by the rule that the other half chose, which keeps to no parity gate."
        ),
    ),
    "resample": Comparison(
        stages=("resample", "train"),
        inputs={
            "train": ("resample", "--train"),
            "validation": ("train", "--validation"),
            "transform": ("train", "--transform"),
            "key-id": ("train", "--key-id"),
        },
        module="tasks._resampled",
        methods={name: [f"resample.method={name}", *_PLAIN_LOSS] for name in METHODS}
        | {
            "focal_loss": ["resample.method=none", "train.focal_gamma=2.0"],
            "balanced_bagging": ["resample.method=none", *_PLAIN_LOSS, "train.ensemble=balanced_bagging"],
        },
        note=(
            "On the validation rows. Average precision tells how well a method ranks: compare with none. What shifts "
            "the classes makes uncalibrated probabilities wrong; calibration repairs that, and train always calibrates."
        ),
    ),
}


def comparison(what: str, methods: Sequence[str]) -> tuple[Comparison, list[str]]:
    """The comparison of that name, and those of its methods that are wanted, all where `methods` is empty.

    Raises
    ------
    UsageError
        There is no such comparison or method.
    """
    if what not in COMPARISONS:
        raise UsageError(f"{what!r} cannot be compared. Choose one of: {', '.join(COMPARISONS)}.")
    found = COMPARISONS[what]
    for name in methods:
        if name not in found.methods:
            close = difflib.get_close_matches(name, found.methods, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise UsageError(f"{name!r} is no method of {what}.{hint} There are: {', '.join(found.methods)}.")
    return found, [name for name in found.methods if not methods or name in methods]
