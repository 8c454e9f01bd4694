"""Why a stage would run: what DVC compares, in a person's words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NEVER_RAN, _OTHER_COMMAND, _ALWAYS = "has not run yet", "its command changed", "always runs"
ABOUT_THE_STAGE = (_NEVER_RAN, _OTHER_COMMAND, _ALWAYS)
"""Reasons that are about a stage as such, and name neither file nor parameter."""


def reasons_of(stage: Any, upstream: Sequence[Any] | None = None) -> Iterator[str]:
    """Why `stage` would run; missing data is no reason where the outputs `upstream` of it are given."""
    entries = [*([] if stage.frozen else stage.deps), *stage.outs]
    if stage.cmd and not any(entry.hash_info for entry in [*stage.deps, *stage.outs]):
        yield _NEVER_RAN
        return
    if stage.changed_stage():
        yield _OTHER_COMMAND
    if not stage.frozen and (stage.is_callback or stage.always_changed):
        yield _ALWAYS
    for entry in entries:
        for path, state in entry.status().items():
            if upstream is not None and state in ("deleted", "not in cache"):
                if any(entry.fs_path == out.fs_path and entry.hash_info != out.hash_info for out in upstream):
                    yield f"{path} changed"
                continue
            if isinstance(state, dict):
                yield f"{path}: " + ", ".join(_parameters(entry, state))
            else:
                yield f"{path} {'changed' if state == 'modified' else state}"


def _parameters(dependency: Any, states: Mapping[str, str]) -> Iterator[str]:
    old, new = dependency.hash_info.value, dependency.read_params()
    for key, state in states.items():
        if state == "modified":
            yield from _differences(key, old[key], new[key])
        else:
            yield f"{key} {state}"


def _differences(key: str, old: Any, new: Any) -> Iterator[str]:
    """The keys in which two values of a parameter differ: a whole section may be declared as one."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        yield f"{key} {_shown(old)} -> {_shown(new)}"
        return
    for name in {**old, **new}:
        if name not in new:
            yield f"{key}.{name} deleted"
        elif name not in old:
            yield f"{key}.{name} new"
        elif old[name] != new[name]:
            yield from _differences(f"{key}.{name}", old[name], new[name])


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
