"""A report that dvc.lock does not know is refused, with what helps where it lies."""

from __future__ import annotations

import pytest

from lockstep.errors import ReportAltered
from tasks._recorded import require_recorded

LOCK = b"stages: {evaluate: {outs: [{path: e.json, md5: 0123}]}}"


@pytest.mark.parametrize(
    ("whose", "remedy"),
    [("", "`lockstep run` writes it anew"), (" of 'v1'", "Commit reports/ and dvc.lock of one run")],
)
def test_an_unknown_report_is_refused_with_a_remedy(whose: str, remedy: str) -> None:
    with pytest.raises(ReportAltered, match=rf"^e\.json{whose} is not what its stage wrote.*{remedy}"):
        require_recorded({"e.json": b"{}"}, "e.json", LOCK, whose)
