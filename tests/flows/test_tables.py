"""A table of figures can be read in a narrow terminal too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from flows import _tables

FIGURE = "demographic parity difference, personal status"


async def _nowhere(rows: list[Mapping[str, Any]], **where: Any) -> None:
    """Take an artifact."""


@pytest.mark.parametrize(("n_figures", "columns", "narrow"), [(2, 80, False), (9, 80, True), (9, 300, False)])
def test_no_name_is_cut(
    n_figures: int,
    columns: int,
    narrow: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(_tables, "acreate_table_artifact", _nowhere)
    names = [f"{FIGURE} {i}" for i in range(n_figures)]
    rows = [{"method": m, **dict.fromkeys(names, f"{v} (0.1000 to 0.9000)")}
            for m, v in (("none", "0.2345"), ("reweighing", "0.3456"))]  # fmt: skip
    asyncio.run(_tables.show_table(rows, title="Methods", key="methods", description="What they say."))
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert printed.count("reweighing") == (n_figures if narrow else 1)
    assert printed.count("0.3456") == n_figures
    assert printed.endswith("What they say.\n")
