"""Progress of long work: a bar in a terminal, or events to whoever runs the stage."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One step of long work.

    Attributes
    ----------
    work
        What is being done, e.g. ``"epochs"``; never a person's value.
    done, total
        Finished and expected units.
    note
        A few words or figures on the last unit, e.g. ``"val_average_precision 0.684"``.
    figure
        What the last unit reached, for who compares works of a kind; higher is better.
    """

    work: str
    done: int
    total: int
    note: str = ""
    figure: float | None = None


Sink = Callable[[Progress], None]
_sink: Sink | None = None


def set_sink(sink: Sink | None) -> None:
    """Send every later step to `sink` instead of the terminal; None turns back to the terminal."""
    global _sink
    _sink = sink


def forward(step: Progress) -> None:
    """Hand on a step of work that another process does."""
    if _sink is not None:
        _sink(step)


@contextmanager
def track(work: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
    """Yield ``advance(note="", figure=None)``, to be called after each of `total` units of `work`.

    Of work that resumes, an earlier run has `done` units; then a first step says so.
    """
    resumed = "resumed" if done else ""
    if _sink is not None:
        sink = _sink
        if done:
            sink(Progress(work, done, total, resumed))

        def advance(note: str = "", figure: float | None = None) -> None:
            nonlocal done
            done += 1
            sink(Progress(work, done, total, note, figure))

        yield advance
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(work, total=total, completed=done, note=resumed)

            def advance_bar(note: str = "", figure: float | None = None) -> None:
                bars.update(task, advance=1, note=note)

            yield advance_bar
    else:
        yield lambda note="", figure=None: None
