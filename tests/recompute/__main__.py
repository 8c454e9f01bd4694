"""Command line of the recomputation."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.recompute.compare import compare
from tests.recompute.expected import NOT_RECOMPUTED, expected
from tests.recompute.run import Run


def main() -> int:
    run = Run(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    found = compare(run.card, expected(run), NOT_RECOMPUTED)
    for line in found.wrong:
        print(line)
    for reason, paths in found.named.items():
        print(f"{len(paths):6,} not recomputed: {reason}")
    print(f"{found.equal:6,} recomputed and equal, {len(found.wrong):,} not.")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
