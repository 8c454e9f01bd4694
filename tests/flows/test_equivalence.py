"""Both doors leave the same: dvc.lock byte for byte, outputs, cache, run cache, ignore files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flows.conftest import repro, task_runs, write

TASK = """
import argparse
from pathlib import Path

from lockstep.progress import track


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--source")
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    with track("epochs", 2) as advance:
        for _ in range(2):
            advance("fine")
    Path(args.out).write_text(Path(args.source).read_text().upper())


if __name__ == "__main__":
    main()
"""

CHAIN = {
    "source.txt": "a\n",
    "tasks/loud.py": TASK,
    "params.yaml": "train: {epochs: 3, seed: 1}\nother: 2\n",
    "more.yaml": "suffix: end\n",
    "dvc.yaml": """
vars: [more.yaml]
stages:
  loud:
    cmd: python -m tasks.loud --source source.txt --out loud.txt
    deps: [source.txt, tasks/loud.py]
    params: [train.epochs]
    outs: [loud.txt]
  louder:
    desc: a second call in the same process
    cmd: python -m tasks.loud --source loud.txt --out 'louder 1.txt'
    deps: [loud.txt]
    outs: [louder 1.txt]
  templated:
    cmd: cat 'louder 1.txt' > ${suffix}.txt && echo ${train.seed} >> ${suffix}.txt
    deps: [louder 1.txt]
    params:
      - train
      - more.yaml:
          - suffix
    outs: [end.txt]
  score:
    cmd:
      - echo '{"auc":' > score.json
      - echo '0.9}' >> score.json
    deps: [end.txt]
    metrics: [{score.json: {cache: false}}]
  curve:
    cmd: printf 'x\\ty\\n1\\t2\\n' > curve.tsv
    deps: [end.txt]
    plots: [{curve.tsv: {x: x, y: y}}]
""",
}

KITCHEN_SINK = {
    "source.txt": "a\n",
    "sub/here.txt": "b\n",
    "frozen.txt": "kept\n",
    "dvc.yaml": """
stages:
  top:
    cmd: cp source.txt top.txt
    deps: [source.txt]
    outs: [top.txt]
  left:
    cmd: sed s/a/left/ top.txt > left.txt
    deps: [top.txt]
    outs: [left.txt]
  right:
    cmd: sed s/a/right/ top.txt > right.txt
    deps: [top.txt]
    outs: [right.txt]
  bottom:
    cmd: cat left.txt right.txt > bottom.txt
    deps: [left.txt, right.txt]
    outs: [bottom.txt]
  each:
    foreach: [one, two]
    do:
      cmd: echo ${item} > each-${item}.txt
      deps: [source.txt]
      outs: ["each-${item}.txt"]
  cell:
    matrix: {size: [s, l], seed: [1, 2]}
    cmd: echo ${item.size} ${item.seed} > cell-${item.size}-${item.seed}.txt
    deps: [source.txt]
    outs: ["cell-${item.size}-${item.seed}.txt"]
  below:
    wdir: sub
    cmd: cat here.txt ../bottom.txt > there.txt
    deps: [here.txt, ../bottom.txt]
    outs: [there.txt]
  folder:
    cmd: mkdir -p folder && cp top.txt folder/a && cp source.txt folder/b
    deps: [top.txt, source.txt]
    outs: [folder]
  log:
    cmd: cat source.txt >> log.txt
    deps: [source.txt]
    outs: [{log.txt: {persist: true}}]
  receipt:
    cmd: cp bottom.txt receipt.json
    deps: [bottom.txt]
    outs: [{receipt.json: {cache: false, persist: true}}]
  always:
    cmd: echo same > always.txt
    always_changed: true
    outs: [always.txt]
  still:
    frozen: true
    cmd: echo never > frozen.txt
    deps: [source.txt]
    outs: [{frozen.txt: {cache: false}}]
""",
}


def listing(root: Path, *parts: str) -> set[str]:
    top = root.joinpath(*parts)
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}


def workspace(root: Path) -> dict[str, bytes]:
    skipped = (".dvc", ".git", ".lockstep", "__pycache__", ".dvcignore")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not any(part in skipped for part in path.relative_to(root).parts)
    }


def assert_same(ours: Path, theirs: Path) -> None:
    assert (ours / "dvc.lock").read_text() == (theirs / "dvc.lock").read_text()
    assert workspace(ours) == workspace(theirs)
    assert listing(ours, ".dvc", "cache") == listing(theirs, ".dvc", "cache")


@pytest.mark.parametrize(
    "files",
    [pytest.param(CHAIN, marks=pytest.mark.slow, id="chain"), pytest.param(KITCHEN_SINK, id="kitchen sink")],
)
def test_both_doors(files: dict[str, str], repository: Any, flow: Any) -> None:
    ours, theirs = repository("ours", **files), repository("theirs", **files)

    def both() -> Any:
        state = flow(ours)
        assert state.is_completed(), state.message
        done = repro(theirs)
        assert done.returncode == 0, done.stderr
        assert_same(ours, theirs)
        return state

    both()
    for root in (ours, theirs):
        write(root, {"source.txt": "aa\n"})
    both()
    # Back to what the run cache knows, on a lock that says otherwise for one stage and nothing for the others.
    for root in (ours, theirs):
        write(root, {"source.txt": "a\n"})
        lock = yaml.safe_load((root / "dvc.lock").read_text())
        lock["stages"] = dict(list(lock["stages"].items())[:1])
        (root / "dvc.lock").write_text(yaml.safe_dump(lock))
    both()


def test_states_and_quiet_second_run(repository: Any, flow: Any, server: str) -> None:
    root = repository(**CHAIN)
    assert set(task_runs(server, flow(root)).values()) == {("Completed", "It ran.")}
    assert repro(root, "--dry").stdout == ""
    assert set(task_runs(server, flow(root)).values()) == {("Cached", "unchanged")}
    (root / "loud.txt").unlink()
    states = task_runs(server, flow(root))
    assert states["loud"] == ("Cached", "restored from the run cache")
    assert states["louder"] == ("Cached", "unchanged")


def test_parallel_stages_run_side_by_side_and_leave_the_same(repository: Any, flow: Any) -> None:
    # Each waits for all of them: one after the other, the first would wait in vain.
    meet = "touch s{i}.on; n=0; until test $(ls s?.on | wc -l) = 4; do sleep 0.1; n=$((n+1)); test $n -lt 300; done"
    stages = {
        f"s{i}": {
            "cmd": f"set -e; {meet.format(i=i)}; cp source.txt s{i}.txt",
            "deps": ["source.txt"],
            "outs": [f"s{i}.txt"],
        }
        for i in range(4)
    }
    stages["last"] = {"cmd": "cat s?.txt > all", "deps": [f"s{i}.txt" for i in range(4)], "outs": ["all"]}
    files = {"source.txt": "a\n", "dvc.yaml": yaml.safe_dump({"stages": stages})}
    ours, theirs = repository("ours", **files), repository("theirs", **files)
    state = flow(ours, jobs=4)
    assert state.is_completed(), state.message
    for i in range(4):
        (theirs / f"s{i}.on").touch()
    assert repro(theirs).returncode == 0
    assert yaml.safe_load((ours / "dvc.lock").read_text()) == yaml.safe_load(
        (theirs / "dvc.lock").read_text()
    )
    assert listing(ours, ".dvc", "cache") == listing(theirs, ".dvc", "cache")


@pytest.mark.parametrize(
    ("files", "first"),
    [
        pytest.param(CHAIN, "curve", marks=pytest.mark.slow, id="chain"),
        pytest.param(KITCHEN_SINK, "bottom", marks=pytest.mark.slow, id="kitchen sink"),
    ],
)
def test_parallel_and_resumed_runs_leave_the_same(
    files: dict[str, str], first: str, repository: Any, flow: Any
) -> None:
    """Entries of dvc.lock and .gitignore stand in the order in which stages ended; all else is as DVC leaves it."""

    def unordered(root: Path) -> dict[str, Any]:
        found = workspace(root)
        ignored = sorted(found[".gitignore"].splitlines())
        return {**found, ".gitignore": ignored, "dvc.lock": yaml.safe_load(found["dvc.lock"])}

    ours, theirs = repository("ours", **files), repository("theirs", **files)
    for source in ("a\n", "aa\n"):
        for root in (ours, theirs):
            write(root, {"source.txt": source})
        assert flow(ours, [first], jobs=2).is_completed()
        state = flow(ours, jobs=3)
        assert state.is_completed(), state.message
        assert repro(theirs).returncode == 0
        assert unordered(ours) == unordered(theirs)
        assert listing(ours, ".dvc", "cache") == listing(theirs, ".dvc", "cache")


def test_a_stage_that_is_added_appears(repository: Any, flow: Any, server: str) -> None:
    root = repository(**CHAIN)
    assert flow(root).is_completed()
    added = "  words:\n    cmd: wc -w < end.txt > words.txt\n    deps: [end.txt]\n    outs: [words.txt]\n"
    write(root, {"dvc.yaml": CHAIN["dvc.yaml"] + added})
    states = task_runs(server, flow(root))
    assert states.pop("words") == ("Completed", "It ran.")
    assert set(states.values()) == {("Cached", "unchanged")}
    assert len(states) == 5


def test_named_stages_and_force(repository: Any, flow: Any, server: str) -> None:
    root = repository(**CHAIN)
    assert set(task_runs(server, flow(root, ["louder"]))) == {"loud", "louder"}
    forced = flow(root, ["loud"], force=True)
    assert task_runs(server, forced) == {"loud": ("Completed", "It ran.")}
