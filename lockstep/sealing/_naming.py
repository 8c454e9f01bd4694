"""Errors of the format name the file that they are about, and the remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

from lockstep.errors import NotSealed, SealDamaged, SealUnsupported

_REMEDY = {
    NotSealed: "A plain file stands where a sealed one belongs: move it away and run `dvc repro`, or seal it "
    "with `lockstep seal`.",
    SealDamaged: "Nothing of it was used. `lockstep fsck --repair` sets it aside and fetches it again, or says "
    "how to make it anew.",
    SealUnsupported: "Upgrade Lockstep, or make it anew with `dvc repro`.",
}


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the file's `name` and the remedy to what the format's own functions say within."""
    try:
        yield
    except (NotSealed, SealDamaged, SealUnsupported) as error:
        kind = type(error)
        raise kind(f"{name} cannot be opened: {error}. {_REMEDY[kind]}") from None
