"""`lockstep refresh`: look whether a source elsewhere changed."""

from __future__ import annotations

from flows._refresh import DECLARATION
from flows._refresh import refresh as take_anew
from flows.commands._project import project_root


def refresh() -> None:
    """Take the fingerprint of a URL's or a query's content anew, by which DVC sees that the source changed."""
    changed = take_anew(project_root())
    if changed is None:
        print("The source is a file: DVC looks at it by itself.")
    elif changed:
        print(f"The source changed; {DECLARATION} has its new fingerprint. Next: `lockstep run`.")
    else:
        print("The source is unchanged.")
