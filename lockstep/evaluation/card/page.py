"""The card as one HTML page that needs nothing else: no script, no font and no picture from elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from lockstep.evaluation.card.blocks import Document, Picture, Section, Table, words
from lockstep.evaluation.card.cells import Number, is_interval, shown
from lockstep.evaluation.card.gates import all_gates
from lockstep.evaluation.card.sections import sections
from lockstep.evaluation.gates import worst

VERDICTS = {"pass": "pass", "fail": "fail", "insufficient evidence": "unclear"}
"""Classes of the style sheet by the words that are always shown with the colour."""

_LONG = 60
"""Characters of a cell that needs room."""

_MARKS = {"pass": "✓", "fail": "✗", "insufficient evidence": "?"}

_STYLE = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;font:16px/1.5 system-ui,sans-serif;color:#1f2328;background:#fff}
header,main,footer,nav{max-width:62rem;margin:0 auto;padding:0 1rem}
h1{font-size:1.8rem;margin:1.2rem 0 .3rem}h2{font-size:1.35rem;margin:2.2rem 0 .6rem;border-bottom:1px solid #d0d7de}
a{color:#0550ae}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:1rem;background:#fff;padding:.5rem}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;padding:0}
.wide{overflow-x:auto;margin:.8rem 0}
.wide:focus-visible,a:focus-visible,summary:focus-visible{outline:3px solid #0550ae}
table{border-collapse:collapse;font-size:.9rem;min-width:min(100%,28rem)}
caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{border:1px solid #d0d7de;padding:.25rem .55rem;text-align:left;vertical-align:top}
thead th{background:#f1f3f5}tbody th{font-weight:500}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:pre}td.long{min-width:15rem}
details{margin:.8rem 0}summary{font-size:.9rem;font-weight:600;padding:.3rem 0;cursor:pointer}
details caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
figure{margin:.8rem 0}figure svg{max-width:100%;height:auto;min-width:26rem}figcaption{font-size:.85rem;color:#4d545c}
.verdict{display:inline-block;padding:.05rem .55rem;border-radius:.8rem;font-weight:600;white-space:nowrap}
.pass{background:#d2f4d9;color:#0b4a1e}.fail{background:#ffdcd9;color:#7d0b0b}.unclear{background:#fff0c2;color:#5c3d00}
.blank{background:#fff0c2;color:#5c3d00;padding:0 .35rem;border:1px dashed #5c3d00}
header .verdict{font-size:1.1rem;padding:.2rem .9rem}
@media (max-width:30rem){th,td{padding:.2rem .3rem}}
@media screen and (min-width:60rem){
figure:has(+figure),figure+figure{display:inline-block;width:49%;vertical-align:top}}
footer{font-size:.85rem;color:#4d545c;margin-top:3rem}
@media print{nav,.skip,summary{display:none}details::details-content{content-visibility:visible;block-size:auto}
details caption{position:static;width:auto;height:auto;clip-path:none}
.wide{overflow:visible}section,figure,tr{break-inside:avoid}body{font-size:11pt}
table{font-size:8.5pt}th,td{overflow-wrap:anywhere}figure svg{min-width:0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ heading }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
{%- macro cell(value) -%}
{%- if value is none -%}<span class="blank">blank</span>
{%- elif value is string and value in verdicts -%}
<span class="verdict {{ verdicts[value] }}">{{ marks[value] }} {{ value }}</span>
{%- else -%}{{ value|shown }}{%- endif -%}
{%- endmacro %}
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{{ heading }}</h1>
{%- for line in lines %}
<p>{{ line.label }}: {{ cell(line.value) }}</p>
{%- endfor %}
</header>
<nav aria-label="Sections">
<ul>{% for section in parts %}<li><a href="#{{ section.anchor }}">{{ section.title }}</a></li>{% endfor %}</ul>
</nav>
<main id="content">
{%- for section in parts %}
<section aria-labelledby="{{ section.anchor }}">
<h2 id="{{ section.anchor }}">{{ section.title }}</h2>
{%- for block in section.blocks %}
{%- if block is table %}
{%- if block.folded %}
<details><summary>{{ block.caption }} ({{ block.rows|length|shown }} rows)</summary>
{%- endif %}
<div class="wide" role="region" tabindex="0" aria-label="{{ section.title }}: {{ block.caption }}">
<table>
<caption>{{ block.caption }}</caption>
<thead><tr>{% for name in block.columns %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in block.rows %}
<tr><th scope="row">{{ cell(row[0]) }}</th>{% for value in row[1:] %}<td{% if value is numeric %} class="number"
{%- elif value is long %} class="long"{% endif %}>{{ cell(value) }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody>
</table>
</div>
{%- if block.folded %}
</details>
{%- endif %}
{%- elif block is picture %}
<figure>
<div class="wide" role="region" tabindex="0" aria-label="{{ section.title }}: {{ block.caption }}">
{{ block.svg|safe }}</div>
<figcaption>{{ block.caption }}</figcaption>
</figure>
{%- else %}
<p>{% for part in block.split("`") %}{% if loop.index0 is odd %}<code>{{ part }}</code>
{%- else %}{{ part }}{% endif %}{% endfor %}</p>
{%- endif %}
{%- endfor %}
</section>
{%- endfor %}
</main>
<footer><p>{{ footer }}</p></footer>
</body>
</html>
"""


def render(document: Document) -> bytes:
    """The card of one run."""
    gates = all_gates(document)
    not_passed = [words(gate["gate"]) for gate in gates if gate["verdict"] != "pass"]
    lines = [
        ("Verdict of all gates", worst(gate["verdict"] for gate in gates) if gates else None),
        *([("Not passed", "; ".join(not_passed))] if not_passed else []),
        ("Predicts", _predicted(document["model"])),
        ("Owner", document["card"].get("owner")),
    ]
    return page(f"Model card: {document['model']['name']}", lines, sections(document), document["created"])


def _predicted(model: Mapping[str, Any]) -> str:
    positive = model.get("positive")
    if positive is None:
        return f"{model['target']}, one of several classes"
    return f"whether {model['target']} is {positive!r} (such a row counts as positive)"


def page(heading: str, lines: Sequence[tuple[str, Any]], parts: Sequence[Section], created: str) -> bytes:
    """A page of `parts`, with `lines` of a label and a value below its heading."""
    content = _template().render(
        heading=heading,
        lines=[{"label": label, "value": value} for label, value in lines],
        parts=parts,
        style=_STYLE,
        verdicts=VERDICTS,
        marks=_MARKS,
        footer=f"Made {created} from the reports of the stages. It holds counts and statistics, no person's value.",
    )
    return content.encode()


@functools.cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["shown"] = shown
    environment.tests.update(
        table=lambda block: isinstance(block, Table),
        picture=lambda block: isinstance(block, Picture),
        long=lambda value: isinstance(value, str) and len(value) > _LONG,
        numeric=lambda value: (
            not isinstance(value, bool) and (isinstance(value, int | float | Number) or is_interval(value))
        ),
    )
    return environment.from_string(_TEMPLATE)
