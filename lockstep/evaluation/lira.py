"""LiRA, the likelihood-ratio attack: a row beside what networks say of it that were not trained on it.

N. Carlini et al. (2022), "Membership Inference Attacks From First Principles", arXiv:2112.03570, in its offline
variant. Among few networks the paper takes one variance for all rows, which then changes no ranking and is left out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lockstep.evaluation.metrics import Codes, Floats


def confidence(codes: Codes, probability: Floats) -> Floats:
    """Logit of the probability that each row's own class got, shape (n,); it is about normal over trainings.

    Parameters
    ----------
    codes, probability
        As for `lockstep.evaluation.metrics.metrics`.
    """
    if probability.ndim == 1:
        own, other = (np.where(codes == code, probability, 1.0 - probability) for code in (1, 0))
    else:
        own = probability[np.arange(len(codes)), codes]
        other = 1.0 - own
    least = np.finfo(np.float64).eps
    return np.asarray(np.log(np.maximum(own, least)) - np.log(np.maximum(other, least)))


def half(groups: npt.NDArray[np.int64], network: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which rows a network is trained on: about a half of them, and the next network on the others.

    So each row is left out by the same number of networks, whether the model that ships saw it or not.

    Parameters
    ----------
    groups
        Number of the group of equal rows that each row belongs to, shape (n,): they are kept together.
    network
        Number of the network, from 0.
    """
    coins = np.random.default_rng((seed, network // 2)).random(groups.max(initial=0) + 1) < 0.5
    return np.asarray(coins[groups] ^ bool(network % 2), dtype=bool)


def likelihood_ratios(shipped: Floats, networks: Floats) -> Floats:
    """Score of each row, shape (n,), ranked as the paper's likelihood ratio: higher for members.

    Parameters
    ----------
    shipped
        `confidence` of the model that ships, shape (n,).
    networks
        That of each network, shape (networks, n); NaN where it was trained on the row.
    """
    return np.asarray(shipped - np.nanmean(networks, axis=0))
