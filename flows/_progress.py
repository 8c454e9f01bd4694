"""A stage's progress as a Prefect progress artifact."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from flows._runner import Report
from lockstep.progress import Progress

#: A stage quicker than this needs no artifact, and nobody reads a bar more often.
SECONDS = 2.0


@asynccontextmanager
async def reported(stage: str) -> AsyncIterator[Report]:
    """Yield a function for each step of `stage`, to be used within its task run."""
    latest: Progress | None = None

    def report(step: Progress) -> None:
        nonlocal latest
        latest = step

    async def publish() -> None:
        artifact, shown = None, None
        key = re.sub(r"[^a-z0-9-]+", "-", stage.lower()).strip("-")
        while True:
            await asyncio.sleep(SECONDS)
            if latest is None or latest is shown:
                continue
            shown = latest
            percent = 100.0 * shown.done / max(shown.total, 1)
            text = f"{stage}: {shown.work} {shown.done}/{shown.total} {shown.note}".rstrip()
            # The work does not depend on whether somebody can watch it.
            with suppress(Exception):
                if artifact is None:
                    artifact = await acreate_progress_artifact(percent, key=key, description=text)
                else:
                    await aupdate_progress_artifact(artifact, percent, description=text)

    publishing = asyncio.create_task(publish())
    try:
        yield report
    finally:
        publishing.cancel()
        await asyncio.wait([publishing])
