"""Steps of a training that are only looked at: for what is to be known before one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lockstep.models.batches import Feed
from lockstep.models.determinism import layer_seeds, make_deterministic
from lockstep.models.network import Network, build_for_training
from lockstep.models.optimizers import make_optimizer
from lockstep.models.schedules import make_schedule
from lockstep.models.step import train_step
from lockstep.models.training import Data, Schedule


def rehearse(network: Network, schedule: Schedule, data: Data) -> Callable[[float], float]:
    """Build `network` and its optimizer as a training does.

    Parameters
    ----------
    schedule
        Its rate and its epochs are not used; its batch size is taken as it stands.

    Returns
    -------
    Callable
        Takes one step at a learning rate, on the next batch, and returns the loss before it.
    """
    import tensorflow as tf

    make_deterministic(schedule.seed)
    model = build_for_training(
        network, schedule.precision, layer_seeds(schedule.seed), synchronized=False, slopes=data.slopes
    )
    rate = make_schedule("constant", 1.0, 1.0, 1, 0.0)
    scaled = schedule.precision == "float16"
    model.label_smoothing = schedule.label_smoothing
    model.focal_gamma = schedule.focal_gamma
    model.moves = data.moves
    model.compile(
        optimizer=make_optimizer(
            schedule.optimizer, rate, schedule.weight_decay, schedule.clip_norm, scaled=scaled
        )
    )
    model.optimizer.build(model.trainable_variables)

    # AutoGraph would write the generated source to a temporary file.
    @tf.function(autograph=False, reduce_retracing=True)
    def one_step(batch: Any) -> Any:
        return train_step(model, batch)

    batches = _endless(Feed(data), schedule)

    def step(learning_rate: float) -> float:
        rate.scale.assign(learning_rate)
        return float(one_step(next(batches)))

    return step


def _endless(feed: Feed, schedule: Schedule) -> Iterator[Any]:
    epoch = 0
    while True:
        epoch += 1
        yield from feed.epoch(schedule, epoch)
