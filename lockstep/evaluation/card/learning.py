"""The card's section on the learning curve."""

from __future__ import annotations

from collections.abc import Iterator

from lockstep.charts import chart
from lockstep.evaluation.card.blocks import Block, Document, Picture, table_of
from lockstep.evaluation.learning import sentence

_NOT_DRAWN = (
    "Whether more rows would help was not asked of this model: that takes networks of its own. `lockstep "
    "learning-curve` asks."
)


def learning(document: Document) -> Iterator[Block]:
    """What `lockstep learning-curve` found of the model that was evaluated."""
    reports = document["reports"]
    evaluation, found = reports.get("evaluation") or {}, reports.get("learning_curve")
    if not evaluation:
        return
    if not found or found["candidate"] != evaluation["candidate"]:
        yield _NOT_DRAWN
        return
    yield (
        f"{sentence(found)} Each point is the mean of {found['networks']} networks, which the pipeline's steps "
        "trained on rows drawn anew; intervals are 95 %, by other networks and other validation rows."
    )
    line = [(point["n_train"], point["average_precision"]) for point in found["points"]]
    ends = [(point["n_train"], end) for point in found["points"] for end in point["interval"]]
    what = "Average precision by training rows"
    drawn = chart(what, "training rows", "average precision", line=line, dots=line, faint=ends, log=True)
    yield Picture(drawn, f"{what}, on the validation rows; a circle is an end of a 95 % interval")
    yield table_of("Learning curve", "n_train", found["points"])
