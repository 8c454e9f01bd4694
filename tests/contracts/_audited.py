"""Runs a stage as a program and notes what it opened and imported: python _audited.py NOTES MODULE ARGS..."""

import json
import os
import runpy
import sys

opened: dict[str, set[str]] = {"read": set(), "write": set()}


def _note(event: str, details: tuple[object, ...]) -> None:
    if event == "open" and isinstance(details[0], str | bytes | os.PathLike):
        path = os.path.abspath(os.fsdecode(details[0]))
        flags = details[2] if isinstance(details[2], int) else 0
        if path.startswith(root + os.sep):
            opened["write" if flags & (os.O_WRONLY | os.O_RDWR) else "read"].add(os.path.relpath(path, root))


# A stage may spawn a process, which imports this file once more.
if __name__ == "__main__":
    notes, module, *arguments = sys.argv[1:]
    root = os.getcwd()
    sys.path.insert(0, root)
    sys.argv = [module, *arguments]
    sys.addaudithook(_note)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        found = {kind: sorted(paths) for kind, paths in opened.items()}
        with open(notes, "w", encoding="utf-8") as file:
            json.dump({**found, "modules": sorted(sys.modules)}, file)
