"""What `validate` found as a page of HTML that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from lockstep.data.distributions import Distribution
from lockstep.data.expectations import DRIFT
from lockstep.data.results import Result

_MOST_BARS = 8
_WIDTH, _HEIGHT, _ROW, _LABEL = 300, 110, 17, 120

_STYLE = """
:root{--ink:#1c2430;--soft:#667085;--line:#e3e7ee;--paper:#fff;--ground:#f6f7f9;--bar:#3b76e1;--mark:#e08a1e;
--ok:#15803d;--warn:#b45309;--bad:#b42318;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#98a2b3;--line:#2b3340;--paper:#171c24;--ground:#0f131a;
--bar:#6d9cf0;--mark:#f0a94b;--ok:#4ade80;--warn:#fbbf24;--bad:#f97066}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:auto;padding:32px 20px 64px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:36px 0 12px}h3{font-size:15px;margin:0;overflow-wrap:anywhere}
.verdict{font-size:18px;font-weight:600;margin:0}.soft{color:var(--soft)}
.ok{color:var(--ok)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:14px}
.card,table{background:var(--paper);border:1px solid var(--line);border-radius:10px}
.card{padding:14px 16px}
.card.bad{border-color:var(--bad);color:inherit}.card.warn{border-color:var(--warn);color:inherit}
.card p{margin:2px 0 8px;font-size:13px}svg{display:block;max-width:100%;font-size:11px}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:14px}
th,td{text-align:left;padding:7px 12px;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
tr:last-child td{border-bottom:0}th{color:var(--soft);font-weight:500}
details{font-size:13px;margin-top:8px}summary{cursor:pointer;color:var(--soft)}ul{margin:6px 0 0;padding-left:18px}
svg text{fill:var(--soft)}
.bar{fill:var(--bar)}.mark{stroke:var(--mark);stroke-width:2;fill:none}.base{stroke:var(--line)}
.key i{display:inline-block;width:12px;height:10px;margin:0 5px 0 12px;background:var(--bar)}
.key i+i,.key .m{background:none;border-top:2px solid var(--mark);height:6px}
"""


def page(n_rows: int, results: Sequence[Result], columns: Sequence[Distribution], min_rows: int) -> str:
    """Draw a page: what broke, then each column with its distribution beside the reference.

    Parameters
    ----------
    n_rows
        Rows of the table.
    results
        Of all expectations.
    columns
        Distributions of all columns.
    min_rows
        Rows that each shown category and bin has at least.
    """
    broken = sorted((r for r in results if not r.passed), key=lambda r: not r.failed)
    of_column = {c.column: [r for r in results if _concerns(r, c.column)] for c in columns}
    elsewhere = [r for r in results if not any(_concerns(r, c.column) for c in columns)]
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width,initial-scale=1">',
        f"<title>Validation</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>Validation</h1>{_verdict(results)}",
        f"<p class=soft>{n_rows:,} rows, {len(columns)} columns. Shares are of the rows that are not missing; "
        f"what fewer than {min_rows:,} rows share is not shown.</p>",
    ]
    if broken:
        parts += ["<h2>What broke</h2>", _table(broken)]
    parts.append("<h2>Columns</h2>")
    if any(c.reference for c in columns):
        parts.append(
            "<p class='soft key'><i></i>this table<i class=m></i>the reference, from the expectation suite</p>"
        )
    first = sorted(columns, key=lambda c: _rank(of_column[c.column]))
    parts += ["<div class=grid>", *(_card(c, of_column[c.column]) for c in first), "</div>"]
    if elsewhere:
        parts += ["<h2>The whole table</h2>", _table(elsewhere)]
    return "\n".join([*parts, "</main></body></html>\n"])


def _concerns(result: Result, column: str) -> bool:
    return result.column is not None and (result.column == column or column in result.column.split(", "))


def _rank(results: Sequence[Result]) -> int:
    return 0 if any(r.failed for r in results) else 1 if any(r.warned for r in results) else 2


def _verdict(results: Sequence[Result]) -> str:
    failed, warned = sum(r.failed for r in results), sum(r.warned for r in results)
    if failed:
        return f"<p class='verdict bad'>{failed:,} of {len(results):,} expectations failed; the pipeline stops here</p>"
    if warned:
        return (
            f"<p class='verdict warn'>{_counted(warned, 'warning')} among {len(results):,} expectations</p>"
        )
    return f"<p class='verdict ok'>All {len(results):,} expectations hold</p>"


def _table(results: Sequence[Result]) -> str:
    rows = [
        f"<tr><td>{_state(r)}<td>{escape(r.column or '')}<td>{_in_words(r)}<td>{escape(r.observed)}"
        f"<td>{'' if r.share is None else f'{r.share:.3%}'}"
        for r in results
    ]
    titles = ("state", "column", "expectation", "observed", "share of rows")
    head = "<tr>" + "".join(f"<th scope=col>{title}" for title in titles)
    return f"<table>{head}{''.join(rows)}</table>"


def _state(result: Result) -> str:
    if result.passed:
        return "<span class=ok>held</span>"
    return "<span class=bad>failed</span>" if result.failed else "<span class=warn>warning</span>"


def _in_words(result: Result) -> str:
    return escape(result.expectation.removeprefix("expect_").replace("_", " "))


def _card(column: Distribution, results: Sequence[Result]) -> str:
    state = ("bad", "warn", "")[_rank(results)]
    divergence = next(
        (r.observed for r in results if r.expectation == DRIFT and r.column == column.column), None
    )
    facts = [column.dtype, f"{column.missing:.1%} missing" if column.missing else "none missing"]
    if divergence is not None:
        facts.append(f"divergence from the reference {divergence}")
    lines = "".join(f"<li>{_state(r)} {_in_words(r)}: {escape(r.observed)}" for r in results)
    held = sum(r.passed for r in results)
    summary = f"{held} of {_counted(len(results), 'expectation')} {'holds' if held == 1 else 'hold'}"
    listing = f"<details{' open' if state else ''}><summary>{summary}</summary><ul>{lines}</ul></details>"
    return (
        f"<section class='card {state}'><h3>{escape(column.column)}</h3><p class=soft>{escape(', '.join(facts))}</p>"
        f"{_picture(column)}{listing if results else ''}</section>"
    )


def _picture(column: Distribution) -> str:
    if not column.shares:
        return ""
    return _histogram(column) if column.numeric else _bars(column)


def _histogram(column: Distribution) -> str:
    top = max(*column.shares, *column.reference, 0.01)
    step = _WIDTH / len(column.shares)
    parts = [f'<path class=base d="M0 {_HEIGHT}H{_WIDTH}"/>']
    for i, share in enumerate(column.shares):
        height = share / top * (_HEIGHT - 8)
        hint = f"{column.labels[i]} to {column.labels[i + 1]}: {_beside(column, i)}"
        parts.append(
            f'<rect class=bar x="{i * step + 1:.1f}" y="{_HEIGHT - height:.1f}" width="{step - 2:.1f}" '
            f'height="{height:.1f}"><title>{escape(hint)}</title></rect>'
        )
    if column.reference:
        tops = [_HEIGHT - share / top * (_HEIGHT - 8) for share in column.reference]
        steps = "".join(f"V{y:.1f}H{(i + 1) * step:.1f}" for i, y in enumerate(tops))
        parts.append(f'<path class=mark d="M0 {_HEIGHT}{steps}V{_HEIGHT}"/>')
    parts.append(
        f'<text x="0" y="{_HEIGHT + 14}">{column.labels[0]}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 14}" text-anchor="end">{column.labels[-1]}</text>'
    )
    return _svg(column, _HEIGHT + 18, parts)


def _bars(column: Distribution) -> str:
    shown = [i for i in range(len(column.shares)) if i < _MOST_BARS]
    top = max(
        *(column.shares[i] for i in shown), *(column.reference[i] for i in shown if column.reference), 0.01
    )
    scale = (_WIDTH - _LABEL - 44) / top
    parts = []
    for row, i in enumerate(shown):
        y = row * _ROW
        label = column.labels[i] if len(column.labels[i]) <= 17 else column.labels[i][:16] + "…"
        width = column.shares[i] * scale
        parts.append(
            f'<text x="{_LABEL - 6}" y="{y + 12}" text-anchor="end">{escape(label)}</text>'
            f'<rect class=bar x="{_LABEL}" y="{y + 3}" width="{max(width, 0.5):.1f}" height="{_ROW - 6}">'
            f"<title>{escape(column.labels[i])}: {_beside(column, i)}</title></rect>"
            f'<text x="{_LABEL + max(width, _reference(column, i) * scale) + 6:.1f}" y="{y + 12}">'
            f"{column.shares[i]:.1%}</text>"
        )
        if column.reference:
            parts.append(
                f'<path class=mark d="M{_LABEL + _reference(column, i) * scale:.1f} {y + 1}v{_ROW - 2}"/>'
            )
    left = len(column.shares) - len(shown)
    if left:
        parts.append(f'<text x="{_LABEL}" y="{len(shown) * _ROW + 12}">and {left} more</text>')
    return _svg(column, (len(shown) + bool(left)) * _ROW + 2, parts)


def _reference(column: Distribution, i: int) -> float:
    return column.reference[i] if column.reference else 0.0


def _beside(column: Distribution, i: int) -> str:
    share = f"{column.shares[i]:.2%}"
    return f"{share} (reference {column.reference[i]:.2%})" if column.reference else share


def _svg(column: Distribution, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" '
        f'aria-label="Distribution of {escape(column.column)}">{"".join(parts)}</svg>'
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
