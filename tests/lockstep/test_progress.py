"""What is told of long work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lockstep.progress import Progress, set_sink, track


@pytest.fixture
def steps() -> Iterator[list[Progress]]:
    told: list[Progress] = []
    set_sink(told.append)
    yield told
    set_sink(None)


def test_work_from_its_beginning(steps: list[Progress]) -> None:
    with track("epochs", 2) as advance:
        advance("good")
        advance()
    assert steps == [Progress("epochs", 1, 2, "good"), Progress("epochs", 2, 2)]


def test_work_that_resumes_says_so_and_counts_on(steps: list[Progress]) -> None:
    with track("epochs", 3, 2) as advance:
        advance("good")
    assert steps == [Progress("epochs", 2, 3, "resumed"), Progress("epochs", 3, 3, "good")]
