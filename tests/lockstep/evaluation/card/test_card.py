"""The card shows what the document has, names what it lacks, and needs nothing else."""

from __future__ import annotations

import copy
import re
from xml.etree import ElementTree

from lockstep.evaluation.card.blocks import Picture, Table
from lockstep.evaluation.card.comparison import render_comparison
from lockstep.evaluation.card.compliance import checklist
from lockstep.evaluation.card.page import render
from lockstep.evaluation.card.sections import sections
from lockstep.evaluation.learning import learning_curve_of
from tests.lockstep.evaluation.card.document import document


def _text(page: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.decode()))


def test_gates_are_said_in_words_and_come_first() -> None:
    page = render(document()).decode()
    for style, mark, word in (
        ("pass", "✓", "pass"),
        ("fail", "✗", "fail"),
        ("unclear", "?", "insufficient evidence"),
    ):
        assert f'<span class="verdict {style}">{mark} {word}</span>' in page
    assert sections(document())[0].title == "Gates"
    assert "0.94 to 0.96" in page
    assert "at least 0.9" in page


def test_a_difference_stands_once_with_the_groups_that_it_leaves_out() -> None:
    text = _text(render(document()))
    assert "sex equalized odds difference 16.2 points (10 to 20 points) 3 600 Other" in text
    assert "Female 600 60 10 % (5 to 15 %) no such row 2 % (1 to 3 %)" in text


def test_a_long_table_is_folded_and_the_gates_never_are() -> None:
    long = document()
    associations = {f"column_{i}": {"sex": i / 100} for i in range(40)}
    told = {"together": {"roc_auc": 0.8, "interval": [0.7, 0.9]}, "by_feature": {}}
    told["by_feature"] = {name: {"roc_auc": 0.6, "interval": [0.5, 0.7]} for name in associations}
    long["reports"]["debias"]["predictability"] = {"sex": told}
    long["reports"]["evaluation"]["gates"] *= 5
    page = render(long).decode()
    assert re.findall("<summary>(.*?)</summary>", page) == [
        "Sex told from one column alone, before and after debiasing (40 rows)"
    ]
    assert page.count("<details>") == page.count("</details>") == 1
    assert "0.8 (0.7 to 0.9)" in _text(render(long))


def test_what_matters_comes_first() -> None:
    titles = [section.title for section in sections(document())]
    first = ["Gates", "Intended use", "Metrics", "Fairness"]
    assert titles[: len(first)] == first
    assert titles.index("Data") > titles.index("Fairness")


def test_how_a_probability_becomes_a_decision_is_said() -> None:
    decided = document()
    decided["reports"]["evaluation"]["threshold"] = {
        "chosen_for": "f1",
        "parity_limits": {"sex": 0.07},
        "validation": {"without_limits": {"f1": 0.6}, "chosen": {"f1": 0.55}},
    }
    text = _text(render(decided))
    assert "from a probability of 0.5 on: the best for F1 on the validation rows, of those that keep" in text
    assert "within 7 points between groups of sex" in text
    assert "metric without limits chosen F1 0.6 0.55" in text
    of_groups = {"constraint": "equalized_odds", "protected": ["sex", "race"], "groups": []}
    decided["reports"]["evaluation"]["threshold"] = {"chosen_for": "f1", "of_groups": of_groups}
    text = _text(render(decided))
    assert (
        "Each group of sex &amp; race has thresholds of its own: on the validation rows the best for F1 of those"
        in text
    )
    assert "keep to equalized odds" in text


def test_every_section_stands_with_its_figures() -> None:
    text = _text(render(document()))
    for words in (
        "Ranking of &lt;applications&gt;", "4,000", "4,321", "0.95", "1,100 unseen rows", "Female", "int8 (ships)",
        "3.2", "12.5", "c0ffee", "models/shipped.sealed", "train.epochs", "Annex IV", "Ranking",
    ):  # fmt: skip
        assert words in text, words


def test_curves_are_drawn() -> None:
    pictures = [
        block for section in sections(document()) for block in section.blocks if isinstance(block, Picture)
    ]
    names = {ElementTree.fromstring(picture.svg).get("aria-label") for picture in pictures}
    assert names >= {"ROC curve", "Precision-recall curve", "Reliability", "Validation average precision"}


def test_what_nobody_said_is_a_visible_blank() -> None:
    lacking = document()
    page = render(lacking).decode()
    assert page.count('<span class="blank">blank</span>') > 5
    states = [row[-1] for row in checklist(lacking).rows]
    assert {"from the run", "in part from the run", "to be filled"} == set(states)
    assert next(row for row in checklist(lacking).rows if row[0] == "3")[-1] == "in part from the run"
    assert next(row for row in checklist(lacking).rows if row[0] == "5")[2] is None


def test_the_lineage_is_that_of_the_run_not_of_the_day() -> None:
    moved = document()
    assert "The workspace has moved on" not in _text(render(moved))
    assert "libraries split ran is not recorded" in _text(render(moved))
    moved["lineage"]["revision_of_the_card"] = "decaf"
    text = _text(render(moved))
    assert "train, evaluate c0ffee no" in text
    assert "The workspace has moved on since: it stood at decaf" in text
    assert "Trained at Git revision c0ffee" in text
    [run] = moved["lineage"]["runs"]
    later = {
        "stages": ["evaluate"],
        "git_revision": None,
        "uncommitted_changes": None,
        "versions": {"python": "3.13"},
    }
    moved["lineage"]["runs"] = [{**run, "stages": ["train"]}, later]
    text = _text(render(moved))
    assert "evaluate unknown: Git knew of none" in text
    assert "library train evaluate python 3.11.9 3.13" in text
    assert "libraries the stages ran is not recorded" not in text
    nothing = {**moved["lineage"], "runs": [], "not_recorded": []}
    assert "libraries the stages ran is not recorded" in _text(render(document(lineage=nothing)))


def test_a_document_without_reports_still_gives_a_page() -> None:
    nothing = document(reports={}, measured={}, lineage={})
    assert "Nothing was evaluated yet." in _text(render(nothing))
    assert {row[-1] for row in checklist(nothing).rows if row[0] in ("2 (g)", "1 (c)", "6")} == {
        "to be filled"
    }


def test_it_is_one_file_and_its_text_is_text() -> None:
    page = render(document()).decode()
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in page
    assert set(re.findall(r'(?:src|href)="([^"#]*)', page)) <= {""}
    assert "&lt;b&gt;job" in page
    assert "<b>job" not in page


def test_equal_documents_give_equal_bytes() -> None:
    assert render(document()) == render(copy.deepcopy(document()))


def test_later_reports_get_sections_of_their_own() -> None:
    grown = document()
    grown["reports"]["privacy_test"] = {"tpr_at_low_fpr": 0.012, "interval": [0.01, 0.02]}
    grown["reports"]["evaluation"]["endurance"] = {
        "noise": [{"spread": i / 20, "average_precision": 0.7 - i / 50} for i in range(20)],
        "by_kind": {"swapped": {"drop": 0.1}, "missing": {"drop": 0.2}},
    }
    made = {section.title: section.blocks for section in sections(grown)}
    assert [type(block) for block in made["Endurance"]] == [Picture, Table]
    [table] = made["Privacy test"]
    assert list(table.rows) == [("tpr at low fpr", 0.012), ("interval", [0.01, 0.02])]


def _membership() -> dict[str, object]:
    roc = [
        {"false_positive_rate": 10.0**-i, "true_positive_rate": 2 * 10.0**-i if i else 1.0}
        for i in (4, 3, 2, 1, 0)
    ]
    figures = {"true_positive_rate": 0.0021, "interval": [0.001, 0.003], "roc_auc": 0.51, "roc": roc}
    groups = {
        "groups": {"Female": {"true_positive_rate": 0.0017, "interval": [0.001, 0.004]}},
        "left_out": ["Other"],
    }
    return {
        "false_positive_rate": 0.001, "n_members": 40_001, "n_others": 40_002, "judged": "loss",
        "attacks": {"loss": figures}, "by_group": {"sex": groups},
    }  # fmt: skip


def test_privacy_says_what_attacks_find_and_what_training_promises() -> None:
    attacked = document()
    attacked["reports"]["evaluation"]["membership"] = _membership()
    attacked["reports"]["train"]["differential_privacy"] = None
    text = _text(render(attacked))
    for words in ("40,001 training rows", "0.21 % (0.1 to 0.3 %)", "too small to tell: Other",
                  "LiRA, the strongest attack", "no promise of differential privacy",
                  "finds 0.21 % of the training rows where 0.1 %"):  # fmt: skip
        assert words in text, words
    attacked["reports"]["train"]["differential_privacy"] = {
        "epsilon": 1.79,
        "delta": 1e-6,
        "not_covered": ["bins"],
    }
    attacked["reports"]["lira"] = {
        "networks": 8,
        "candidate": "ab" * 32,
        "attack": _membership()["attacks"]["loss"],
    }  # type: ignore[index]
    pictures = {
        ElementTree.fromstring(block.svg).get("aria-label")
        for section in sections(attacked)
        for block in section.blocks
        if isinstance(block, Picture)
    }
    assert {"Membership inference by loss", "Membership inference by LiRA"} <= pictures
    text = _text(render(attacked))
    assert "epsilon 1.79 delta 1e-06" in text
    assert "does not cover: bins" in text
    assert "was not run" not in text
    attacked["reports"]["lira"]["candidate"] = "cd" * 32
    assert "was not run on this model" in _text(render(attacked))
    few = {"false_positive_rate": 0.001, "n_members": 90, "n_others": 80}
    attacked["reports"]["evaluation"]["membership"] = few
    assert "Too few rows to tell" in _text(render(attacked))


def test_the_learning_curve_says_whether_more_rows_would_help() -> None:
    asked = document()
    assert "Whether more rows would help was not asked of this model" in _text(render(asked))
    networks = [
        [{"n_train": rows, "n_validation": 400, "average_precision": [figure] * 101}] * 2
        for rows, figure in ((1000, 0.5), (2000, 0.6))
    ]
    found = {**learning_curve_of(networks), "candidate": "ab" * 32}
    asked["reports"]["learning_curve"] = found
    text = _text(render(asked))
    assert "From 1,000 to 2,000 training rows" in text
    assert "more rows like these would help" in text
    assert any(section.title == "Learning curve" for section in sections(asked))
    asked["reports"]["learning_curve"] = {**found, "candidate": "cd" * 32}
    assert "was not asked of this model" in _text(render(asked))


def test_the_price_of_an_alternative_has_an_interval() -> None:
    priced = document()
    priced["reports"]["evaluation"]["alternatives"] = [
        {"model": "the one that ships", "price_in_average_precision": 0.0, "price_interval": None},
        {"model": "a tree", "price_in_average_precision": 0.05, "price_interval": [0.04, 0.06]},
    ]
    text = _text(render(priced))
    assert "price in average precision (95 % interval)" in text
    assert "0.05 (0.04 to 0.06)" in text


def test_two_runs_side_by_side() -> None:
    other = document()
    other["reports"]["evaluation"]["metrics"]["roc_auc"] = 0.9
    other["reports"]["evaluation"]["gates"] = [
        {**other["reports"]["evaluation"]["gates"][0], "verdict": "fail"}
    ]
    other["lineage"]["parameters"] = {"train.epochs": 9}
    text = _text(render_comparison((document(), other), ("workspace", "shorter")))
    assert "ROC AUC 0.95 0.9 -0.05" in text
    assert "ROC AUC ✓ pass ✗ fail" in text
    assert "train.epochs 3 9" in text


def test_verdicts_beside_each_other_are_not_folded() -> None:
    run = document()
    gates = [{**run["reports"]["evaluation"]["gates"][0], "gate": f"gate_{i}"} for i in range(20)]
    run["reports"]["evaluation"]["gates"] = gates
    page = render_comparison((run, run), ("workspace", "shorter")).decode()
    assert "<caption>Verdicts</caption>" in page
    assert "<summary>Verdicts" not in page


def test_perturbed_rows_are_drawn_and_tabled() -> None:
    def point(strength: float, precision: float) -> dict[str, object]:
        return {
            "strength": strength,
            "average_precision": precision,
            "average_precision_interval": (precision - 0.01, precision + 0.01),
            "lost": 0.123,
            "lost_interval": (0.1, 0.15),
        }

    run = document()
    run["reports"]["evaluation"]["robustness"] = {
        "n_rows": 1200,
        "n_amounts": 3,
        "n_choices": 4,
        "unperturbed": {"average_precision": 0.7, "average_precision_interval": (0.69, 0.71)},
        "curves": {"noise": [point(0.1, 0.66), point(0.2, 0.6)], "pgd": [point(0.1, 0.4)], "flips": []},
        "shifted": [{"feature": "sex", "group": "Female", **point(2.0, 0.65)}],
    }
    [section] = [section for section in sections(run) if section.title == "Robustness"]
    pictures = [block for block in section.blocks if isinstance(block, Picture)]
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert [ElementTree.fromstring(picture.svg).get("aria-label") for picture in pictures] == [
        "Noise on numbers",
        "Numbers moved against the model, many steps (PGD)",
    ]
    # The rows as they were begin each curve.
    assert pictures[0].svg.count('fill="#1f6feb" stroke') == 3
    assert [len(table.rows) for table in tables] == [3, 1]
    assert "0.2 standard deviations of each column 12.3 % (10 to 15 %) 0.6 (0.59 to 0.61)" in _text(
        render(run)
    )
    assert "Female" in str(tables[-1].rows)
    assert "Robustness" not in [one.title for one in sections(document())]
