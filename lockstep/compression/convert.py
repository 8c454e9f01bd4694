"""Conversion of a Keras network to LiteRT, in a child process: TensorFlow's converter can crash its process."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lockstep.data.features import Features
from lockstep.errors import ModelError
from lockstep.progress import track


def _float(converter: Any, sample: Features) -> None:
    """Weights and activations in float32."""


def _dynamic_int8(converter: Any, sample: Features) -> None:
    """Weights in int8, activations quantised at run time (Jacob et al. 2018, arXiv:1712.05877)."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _full_int8(converter: Any, sample: Features) -> None:
    """Weights and activations in int8; `sample` sets the activations' ranges. Inputs and output stay float32."""
    import tensorflow as tf

    from lockstep.models.scoring import network_inputs

    _dynamic_int8(converter, sample)
    inputs = network_inputs(sample)
    # TensorFlow hands a function's inputs over in the order of their names.
    ordered = [inputs[name] for name in sorted(inputs)]
    converter.representative_dataset = lambda: (
        [part[i : i + 1] for part in ordered] for i in range(len(sample.codes))
    )
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,
    ]


VARIANTS: dict[str, Callable[[Any, Features], None]] = {
    "float32": _float,
    "int8_dynamic": _dynamic_int8,
    "int8": _full_int8,
}


class _Done(NamedTuple):
    variant: str


def convert(network: bytes, sample: Features) -> dict[str, bytes]:
    """Convert a saved network to each of `VARIANTS`.

    Parameters
    ----------
    network
        From `lockstep.models.saving.to_bytes`.
    sample
        Encoded training rows that stand for all.

    Returns
    -------
    dict of str to bytes
        A LiteRT flatbuffer by the variant's name.

    Raises
    ------
    ModelError
        The child process ended without an answer, or the converter refused the network.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    # The network goes in as an argument and the result out by a pipe: nothing of it touches a disk in clear.
    child = context.Process(
        target=_child, args=(network, sample, sender, os.getpid()), name="lockstep-convert"
    )
    child.start()
    sender.close()
    try:
        with track("conversions", len(VARIANTS)) as advance:
            # A name for each variant that is done, then all of them, or what went wrong.
            while isinstance(answer := receiver.recv(), _Done):
                advance(answer.variant)
    except EOFError:
        child.join()
        raise ModelError(
            f"The conversion process ended with code {child.exitcode} and no answer: out of memory, or a crash of "
            "TensorFlow's converter. Free memory, or simplify train.hidden."
        ) from None
    finally:
        receiver.close()
    child.join()
    if isinstance(answer, str):
        raise ModelError(f"TensorFlow's converter refuses the network: {answer}.")
    return answer


def _child(network: bytes, sample: Features, sender: Connection, parent: int) -> None:
    from lockstep.processes import die_with_parent

    die_with_parent(parent)
    # The converter writes pages of its own diagnostics, straight to the file descriptors.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        sender.send(_convert_all(network, sample, lambda name: sender.send(_Done(name))))
    except Exception as error:
        # Its text could hold weights; its type is enough to look it up.
        sender.send(type(error).__name__)


def _convert_all(network: bytes, sample: Features, on_done: Callable[[str], None]) -> dict[str, bytes]:
    import tensorflow as tf

    from lockstep.models import saving
    from lockstep.models.determinism import make_deterministic
    from lockstep.models.network import inference

    make_deterministic(0)
    _, model = saving.from_bytes(network)
    call = inference(model)
    answers = {}
    for name, configure in VARIANTS.items():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([call], model)
        # Otherwise the weights pass through a SavedModel in a temporary directory, in clear, and may be left
        # out of the result: LiteRT would answer without a word, and wrongly.
        converter.experimental_lower_to_saved_model = False
        configure(converter, sample)
        answers[name] = converter.convert()
        on_done(name)
    return answers


def sample_rows(n_rows: int, rows: int, seed: int) -> npt.NDArray[np.int64]:
    """Choose `rows` of `n_rows` rows at random, or all where there are no more: their numbers, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(n_rows)[:rows])
