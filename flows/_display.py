"""What a person sees of a run: bars in a terminal, else a line for each stage that ends; a table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from lockstep.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


_STYLES = {"failed": "red", "stopped": "yellow", "ran": "green"}


class Ended(NamedTuple):
    """How a stage ended; `seconds` and the bytes of its outputs, None where they are not known."""

    stage: str
    what: str
    seconds: float
    size: int | None


class Display:
    """Prints a line for each stage that ends, and unless told otherwise a table of them."""

    #: Where a stage's own output goes; None lets it print by itself.
    output: Callable[[str], None] | None = None

    def __init__(self, *, table: bool = True) -> None:
        self._table = table
        self._started: dict[str, float] = {}
        self._ended: list[Ended] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended and self._table:
            self._print_table()

    def start(self, stage: str) -> None:
        """`stage` is about to be brought up to date."""
        self._started[stage] = time.monotonic()

    def run(self, stage: str) -> None:
        """The command of `stage` starts."""
        print(f"{stage}: running", flush=True)

    def step(self, stage: str, step: Progress) -> None:
        """`stage` made progress."""

    def end(self, stage: str, what: str, size: int | None = None) -> None:
        """`stage` ended, and how; its outputs have `size` bytes."""
        print(self._line(stage, what, size), flush=True)

    def _line(self, stage: str, what: str, size: int | None) -> str:
        ended = Ended(stage, what, time.monotonic() - self._started[stage], size)
        self._ended.append(ended)
        return f"{stage}: {what}" if what == "unchanged" else f"{stage}: {what} ({ended.seconds:.1f} s)"

    def _print_table(self) -> None:
        """A plain table: what reads this is a log."""
        rows = [("stage", "state", "seconds", "bytes"), *map(_cells, self._ended)]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        for name, state, seconds, size in rows:
            print(
                f"{name:<{widths[0]}}  {state:<{widths[1]}}  {seconds:>{widths[2]}}  {size:>{widths[3]}}".rstrip()
            )


def _cells(ended: Ended) -> tuple[str, str, str, str]:
    size = "" if ended.size is None else f"{ended.size:,}"
    return ended.stage, ended.what, f"{ended.seconds:.1f}", size


class TerminalDisplay(Display):
    """Shows the running stages as bars under the lines of those that ended."""

    def __init__(self, *, table: bool = True) -> None:
        super().__init__(table=table)
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True)
        self._bars: Bars = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            refresh_per_second=5,
        )
        self._of_stage: dict[str, TaskID] = {}
        self._of_work: dict[tuple[str, str], TaskID] = {}
        self.output = self._print

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        super().__exit__(kind, error, trace)

    def _print_table(self) -> None:
        from rich.table import Table

        table = Table()
        table.add_column("stage")
        table.add_column("state")
        table.add_column("seconds", justify="right")
        table.add_column("bytes", justify="right")
        for ended in self._ended:
            table.add_row(*_cells(ended), style=_STYLES.get(ended.what))
        self._console.print(table)

    def _print(self, text: str) -> None:
        self._console.print(text.rstrip("\n"), markup=False, highlight=False)

    def run(self, stage: str) -> None:
        self._of_stage[stage] = self._bars.add_task(stage, total=None, note="")

    def step(self, stage: str, step: Progress) -> None:
        key = (stage, step.work)
        if key not in self._of_work:
            self._of_work[key] = self._bars.add_task(f"  {step.work}", total=step.total, note="")
        note = f"{step.done}/{step.total} {step.note}"
        self._bars.update(self._of_work[key], completed=step.done, total=step.total, note=note)
        if step.done >= step.total:
            self._bars.remove_task(self._of_work.pop(key))

    def end(self, stage: str, what: str, size: int | None = None) -> None:
        for key in [key for key in self._of_work if key[0] == stage]:
            self._bars.remove_task(self._of_work.pop(key))
        if stage in self._of_stage:
            self._bars.remove_task(self._of_stage.pop(stage))
        self._print(self._line(stage, what, size))


def make_display(*, table: bool = True) -> Display:
    """Bars where a person watches, else lines; at the end a table of what ended, unless told otherwise."""
    kind = TerminalDisplay if sys.stderr.isatty() and sys.stdout.isatty() else Display
    return kind(table=table)
