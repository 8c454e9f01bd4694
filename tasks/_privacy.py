"""How `train` is asked for differential privacy, what does not go with it, and what its report says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lockstep.errors import ParameterError
from lockstep.models.differential_privacy import Privacy, epsilon, sampling_rate
from lockstep.models.training import Schedule
from lockstep.sealing.vault import Vault
from tasks._params import Params, key

NOT_COVERED = (
    "the encoder: bins, vocabulary, which codes training had",
    "which columns debias dropped, and what it took from others",
    "the ranges of int8 activations, from training rows",
    "the choice of epoch, calibration and decision threshold, from validation rows",
    "reports about training rows: counts, associations, losses",
    "other trainings on the same rows: search, cross-validation, comparison",
)
"""What is made of people's rows beside the noisy steps, without noise."""


class PrivacyParams(Params):
    """What of params.yaml makes a training private, and what could not go with that."""

    dp_noise_multiplier: float = key("train.dp_noise_multiplier", ge=0)
    dp_clip_norm: float = key("train.dp_clip_norm", gt=0)
    dp_delta: float = key("train.dp_delta", gt=0, lt=1)
    mitigation: str = key("debias.method")
    resampling: str = key("resample.method")
    normalization: str = key("train.normalization")
    precision: str = key("train.precision")
    adversarial: float = key("train.adversarial")
    ensemble: str = key("train.ensemble")
    distilled: bool = key("train.distilled")


def secret_of(vault: Vault, inputs: Sequence[bytes], params: Params) -> int:
    """A secret of 128 bits for noise and sampling: the same for the same key, rows and parameters, and no other.

    Two tables that differ by a row must not get the same noise: what they differ by would be plain.
    """
    known = [vault.digest(content) for content in inputs]
    return int(vault.digest(json.dumps(["dp-sgd", known, params.model_dump_json()]).encode())[:32], 16)


def privacy_of(params: PrivacyParams, secret: int | None) -> Privacy | None:
    """What `params` ask for; None where they ask for no privacy.

    Raises
    ------
    ParameterError
        Another parameter does not go with it.
    """
    if not params.dp_noise_multiplier:
        return None
    _require_companions(params)
    if secret is None:
        raise ParameterError("train.dp_noise_multiplier needs a secret, and this training has none.")
    return Privacy(params.dp_clip_norm, params.dp_noise_multiplier, secret)


def _require_companions(params: PrivacyParams) -> None:
    wanted: tuple[tuple[str, Any, tuple[Any, ...], str], ...] = (
        ("train.normalization", params.normalization, ("layer", "none"), "batch normalization mixes rows"),
        ("train.precision", params.precision, ("float32",), "a rounded gradient may exceed its clipped norm"),
        ("train.adversarial", params.adversarial, (0.0,), "a moved row would count beside itself"),
        ("train.ensemble", params.ensemble, ("none", "joint"), "the others see the rows once a member"),
        (
            "debias.method",
            params.mitigation,
            ("none", "drop", "correlation"),
            "the others make a row's part in training depend on other rows",
        ),
        ("resample.method", params.resampling, ("none",), "the others make or choose rows by other rows"),
    )
    problems = [
        f"{name} is {value!r}; with train.dp_noise_multiplier above 0 it is one of {list(allowed)}: {why}."
        for name, value, allowed, why in wanted
        if value not in allowed
    ]
    if params.distilled and params.ensemble != "none":
        problems.append(
            "train.distilled is true; with train.dp_noise_multiplier above 0 it is false: it trains on the rows twice."
        )
    if problems:
        raise ParameterError("\n".join(problems))


def promise_of(
    privacy: Privacy | None, delta: float, schedule: Schedule, n_rows: int
) -> dict[str, Any] | None:
    """Epsilon and delta with all that they follow from, for train's report.

    Parameters
    ----------
    schedule
        Resolved for `n_rows` training rows. All its epochs count: when validation rows ended them earlier, that was
        not known before.

    Raises
    ------
    ParameterError
        `delta` promises nothing.
    """
    if privacy is None:
        return None
    if delta * n_rows >= 1.0:
        raise ParameterError(
            f"train.dp_delta is {delta:g}, and 1 / {delta:g} of the rows may be told. It must be below one of the "
            f"{n_rows:,} training rows: below {1.0 / n_rows:.2g}."
        )
    rate = sampling_rate(n_rows, schedule.batch_size)
    steps = schedule.epochs * schedule.steps(n_rows)
    return {
        "epsilon": epsilon(privacy.noise_multiplier, rate, steps, delta),
        "delta": delta,
        "unit": "one training row, added or removed",
        "noise_multiplier": privacy.noise_multiplier,
        "clip_norm": privacy.clip_norm,
        "sampling": "Poisson",
        "sampling_rate": rate,
        "steps": steps,
        "accounting": "privacy loss distribution (dp-accounting)",
        "not_covered": list(NOT_COVERED),
    }
