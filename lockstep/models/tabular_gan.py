"""A conditional generative adversarial network for rows of a table.

L. Xu et al. (2019), "Modeling Tabular Data using Conditional GAN" (CTGAN), arXiv:1907.00503: generator and critic of
two hidden layers, Wasserstein loss with a gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028), a critic that
sees several rows at once against mode collapse (PacGAN, Lin et al. 2018, arXiv:1712.04086), categories by
Gumbel-softmax, and a condition that names one category of one column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lockstep.models.determinism import layer_seeds, make_deterministic

Floats = npt.NDArray[np.float32]

BATCH = 500
"""Rows of a batch."""

_UNITS, _NOISE, _PACKED = 256, 128, 10
_TEMPERATURE, _PENALTY = 0.2, 10.0


class Layout(NamedTuple):
    """What a row's vector consists of, in this order.

    Attributes
    ----------
    n_numbers
        Numbers in [-1, 1].
    modes
        Sizes of the one-hot parts that no condition can name.
    categories
        Sizes of those that it can.
    """

    n_numbers: int
    modes: tuple[int, ...]
    categories: tuple[int, ...]

    @property
    def width(self) -> int:
        return self.n_numbers + sum(self.modes) + sum(self.categories)

    @property
    def parts(self) -> list[tuple[int, int]]:
        """First and last place, the latter not included, of each one-hot part."""
        edges = list(accumulate((*self.modes, *self.categories), initial=self.n_numbers))
        return list(pairwise(edges))


Generate = Callable[[Floats, np.random.Generator], Floats]


def train_gan(layout: Layout, batches: Iterable[tuple[Floats, Floats]], seed: int) -> Generate:
    """Train on batches of real rows.

    Parameters
    ----------
    batches
        Of `BATCH` rows each: vectors of `layout`, and their conditions, one-hot over all places of its categories.
    seed
        Of weights, dropout and noise.

    Returns
    -------
    Callable
        Makes vectors for conditions of shape (m, places), by a generator of random numbers; their one-hot parts are.
    """
    import keras
    import tensorflow as tf

    make_deterministic(seed)
    n_places = sum(layout.categories)
    draw_seed = layer_seeds(seed)
    generator, critic = _generator(layout, n_places, draw_seed), _critic(layout, n_places, seed, draw_seed)
    optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.9) for _ in range(2)]
    for optimizer, model in zip(optimizers, (generator, critic), strict=True):
        optimizer.build(model.trainable_variables)

    def judged(rows: Any, condition: Any) -> Any:
        return critic(
            tf.reshape(tf.concat([rows, condition], axis=1), (-1, critic.input_shape[1])), training=True
        )

    def critic_step(real: Any, condition: Any, noise: Any, gumbel: Any, mix: Any) -> None:
        fake, _ = _activated(layout, generator(tf.concat([noise, condition], axis=1), training=True), gumbel)
        with tf.GradientTape() as tape:
            between = mix * real + (1.0 - mix) * fake
            with tf.GradientTape() as inner:
                inner.watch(between)
                scores = judged(between, condition)
            slopes = tf.reshape(inner.gradient(scores, between), (-1, _PACKED * layout.width))
            penalty = tf.reduce_mean((tf.norm(slopes, axis=1) - 1.0) ** 2)
            distance = tf.reduce_mean(judged(real, condition)) - tf.reduce_mean(judged(fake, condition))
            loss = _PENALTY * penalty - distance
        gradients = tape.gradient(loss, critic.trainable_variables)
        optimizers[1].apply(gradients, critic.trainable_variables)

    def generator_step(condition: Any, noise: Any, gumbel: Any) -> None:
        with tf.GradientTape() as tape:
            fake, log_shares = _activated(
                layout, generator(tf.concat([noise, condition], axis=1), training=True), gumbel
            )
            # That a row has the category which its condition names.
            kept = -tf.reduce_sum(condition * log_shares) / BATCH
            loss = kept - tf.reduce_mean(judged(fake, condition))
        gradients = tape.gradient(loss, generator.trainable_variables)
        optimizers[0].apply(gradients, generator.trainable_variables)

    # AutoGraph would write the generated source to a temporary file.
    @tf.function(autograph=False)
    def step(real: Any, condition: Any, noise: Any, gumbel: Any, mix: Any) -> None:
        critic_step(real, condition, noise[0], gumbel[0], mix)
        generator_step(condition, noise[1], gumbel[1])

    rng = np.random.default_rng(seed)
    for real, condition in batches:
        mix = np.repeat(rng.random((BATCH // _PACKED, 1), dtype=np.float32), _PACKED, axis=0)
        noise = rng.standard_normal((2, BATCH, _NOISE), dtype=np.float32)
        gumbel = rng.gumbel(size=(2, BATCH, layout.width)).astype(np.float32)
        step(*map(tf.constant, (real, condition, noise, gumbel, mix)))

    def generate(condition: Floats, rng: np.random.Generator) -> Floats:
        noise = rng.standard_normal((len(condition), _NOISE), dtype=np.float32)
        answer = np.array(generator(tf.concat([noise, condition], axis=1), training=False))
        return _hardened(layout, answer, rng)

    return generate


def _generator(layout: Layout, n_places: int, draw_seed: Callable[[], int]) -> Any:
    import keras
    from keras import layers

    hidden = start = keras.Input((_NOISE + n_places,), name="noise")
    for i in range(2):
        new = _dense(_UNITS, draw_seed, f"hidden_{i}")(hidden)
        new = layers.BatchNormalization(momentum=0.9, name=f"normalization_{i}")(new)
        new = layers.Activation("relu", name=f"activation_{i}")(new)
        hidden = layers.Concatenate(name=f"residual_{i}")([new, hidden])
    return keras.Model(start, _dense(layout.width, draw_seed, "row")(hidden), name="generator")


def _critic(layout: Layout, n_places: int, seed: int, draw_seed: Callable[[], int]) -> Any:
    import keras
    from keras import layers

    hidden = start = keras.Input((_PACKED * (layout.width + n_places),), name="rows")
    for i in range(2):
        hidden = _dense(_UNITS, draw_seed, f"hidden_{i}")(hidden)
        hidden = layers.LeakyReLU(0.2, name=f"activation_{i}")(hidden)
        hidden = layers.Dropout(0.5, seed=seed + i, name=f"dropout_{i}")(hidden)
    return keras.Model(start, _dense(1, draw_seed, "score")(hidden), name="critic")


def _dense(units: int, draw_seed: Callable[[], int], name: str) -> Any:
    import keras

    start = keras.initializers.GlorotUniform(draw_seed())
    return keras.layers.Dense(units, kernel_initializer=start, name=name)


def _activated(layout: Layout, answer: Any, gumbel: Any) -> tuple[Any, Any]:
    """Row vectors of the generator's answer, and the logarithms of the shares of each category."""
    import tensorflow as tf

    parts = [tf.tanh(answer[:, : layout.n_numbers])]
    log_shares = []
    for i, (start, end) in enumerate(layout.parts):
        part = answer[:, start:end]
        parts.append(tf.nn.softmax((part + gumbel[:, start:end]) / _TEMPERATURE))
        if i >= len(layout.modes):
            log_shares.append(tf.nn.log_softmax(part))
    return tf.concat(parts, axis=1), tf.concat(log_shares, axis=1)


def _hardened(layout: Layout, answer: Floats, rng: np.random.Generator) -> Floats:
    """Row vectors with one category drawn in each part."""
    rows = np.zeros_like(answer)
    rows[:, : layout.n_numbers] = np.tanh(answer[:, : layout.n_numbers])
    noisy = answer + rng.gumbel(size=answer.shape)
    for start, end in layout.parts:
        rows[np.arange(len(rows)), start + noisy[:, start:end].argmax(axis=1)] = 1.0
    return rows
