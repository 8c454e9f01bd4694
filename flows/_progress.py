"""A stage's progress as a Prefect progress artifact."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from flows._children import Report
from lockstep.progress import Progress

#: A stage quicker than this needs no artifact, and nobody reads a bar more often.
SECONDS = 2.0


@asynccontextmanager
async def reported(stage: str) -> AsyncIterator[Report]:
    """Yield a function for each step of `stage`, to be used within its task run."""
    artifact = _Artifact(stage)
    publishing = asyncio.create_task(artifact.keep_publishing())
    try:
        yield artifact.step
    finally:
        publishing.cancel()
        await asyncio.wait([publishing])
        if artifact.id is not None:
            await artifact.publish()


class _Artifact:
    def __init__(self, stage: str) -> None:
        self.id: UUID | None = None
        self._stage = stage
        self._key = re.sub(r"[^a-z0-9]+", "-", stage.lower()).strip("-")
        self._latest: Progress | None = None
        self._shown: Progress | None = None

    def step(self, step: Progress) -> None:
        self._latest = step

    async def keep_publishing(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            await self.publish()

    async def publish(self) -> None:
        step = self._latest
        if step is None or step is self._shown:
            return
        self._shown = step
        percent = 100.0 * step.done / max(step.total, 1)
        text = f"{self._stage}: {step.work} {step.done}/{step.total} {step.note}".rstrip()
        # The work does not depend on whether somebody can watch it.
        with suppress(Exception):
            if self.id is None:
                self.id = await acreate_progress_artifact(percent, key=self._key, description=text)
            else:
                await aupdate_progress_artifact(self.id, percent, description=text)
