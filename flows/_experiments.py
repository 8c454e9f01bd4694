"""A run with other parameters as a DVC experiment: made beside the workspace, which stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from flows import _yaml
from flows._dvc import Pipeline, dvc_errors
from flows._locks import EXPERIMENTS, in_turn
from flows._overrides import override
from flows._worktree import PLACE, Worktree, errors_alone, git, require_commit, worktree
from lockstep.errors import LockstepError, UsageError
from lockstep.files import write_atomic

DEPLOY = "deploy"
"""The stage with an effect beyond its outputs: an experiment leaves it out, with what is downstream of it."""


@dataclass(frozen=True)
class Experiment:
    """An experiment that is being made.

    Attributes
    ----------
    name
        What DVC lists it as.
    stages
        Those to bring up to date.
    tree
        Where; the working directory meanwhile.
    root
        Directory of the project whose experiment it is.
    """

    name: str
    stages: tuple[str, ...]
    tree: Worktree
    root: Path

    def save(self, changed: Sequence[str]) -> None:
        """Record what was made as a DVC experiment.

        Parameters
        ----------
        changed
            Stages that ran or were restored.

        Raises
        ------
        UsageError
            There are none.
        """
        if not changed:
            raise UsageError(
                "The overrides change nothing: the workspace has this result already, or no stage of an "
                f"experiment reads them ({DEPLOY} is not part of one). No experiment was recorded."
            )
        # Meanwhile DVC keeps notes in Git that all working trees share.
        with in_turn(self.root / EXPERIMENTS), dvc_errors(), Repo(str(self.tree.root)) as repo:
            # Not every stage: DVC would record `deploy` as if it had run.
            repo.experiments.save(
                targets=list(changed), name=self.name, include_untracked=self.tree.untracked()
            )


@contextmanager
def experiment(
    root: Path, stages: Sequence[str], overrides: Sequence[str], name: str, place: Path = PLACE
) -> Iterator[Experiment]:
    """Set up an experiment beside the workspace at `root`, and be there.

    Parameters
    ----------
    stages
        Names of stages, whose upstream stages are then included; all but `deploy` when empty.
    overrides
        ``KEY=VALUE`` each.
    name
        Of the experiment; one is made up when empty.
    place
        Where below `root`: at one place only one experiment is made at a time.

    Raises
    ------
    ParameterError
        An override cannot be used. Nothing was made.
    UsageError
        `deploy` was asked for, the name is taken, or there is no commit to start from.
    """
    name = unused(root, name)
    wanted, params = plan(root, stages, overrides)
    with worktree(root, place) as tree:
        write_atomic(tree.root / "params.yaml", _yaml.dump(params))
        with chdir(tree.root):
            yield Experiment(name, wanted, tree, root)


def plan(root: Path, stages: Sequence[str], overrides: Sequence[str]) -> tuple[tuple[str, ...], Any]:
    """The stages of an experiment, and its document of params.yaml; arguments and errors as of `experiment`."""
    pipeline = Pipeline(root, stages)
    try:
        left_out = _left_out(pipeline)
        if left_out & set(stages):
            raise UsageError(
                f"An experiment does not deploy. Run it without {', '.join(sorted(left_out & set(stages)))}; "
                "`lockstep apply` brings it into the workspace, where `lockstep run` deploys it if its gates pass."
            )
        wanted = tuple(stage.name for stage in pipeline.plan if stage.name not in left_out)
        params = _yaml.load(root / "params.yaml")
        override(params, overrides, pipeline.readers(), root)
        return wanted, params
    finally:
        pipeline.close()


def _left_out(pipeline: Pipeline) -> set[str]:
    left_out: set[str] = set()
    for stage in pipeline.plan:
        if stage.name == DEPLOY or left_out & set(stage.upstream):
            left_out.add(stage.name)
    return left_out


def unused(root: Path, name: str) -> str:
    """`name`, or one that is made up where it is empty, if no experiment has it yet.

    Raises
    ------
    UsageError
        One has it, or there is no commit to start from.
    """
    require_commit(root)
    from dvc.repo.experiments.refs import ExpRefInfo
    from dvc.repo.experiments.utils import check_ref_format, get_random_exp_name

    with dvc_errors(), Repo(str(root)) as repo:
        head = repo.scm.get_rev()
        if not name:
            return str(get_random_exp_name(repo.scm, head))
        check_ref_format(repo.scm, ExpRefInfo(head, name))
    if name in names(root):
        raise UsageError(
            f"There is an experiment {name!r} already. Choose another name, or `dvc exp remove {name}`."
        )
    return name


def names(root: Path) -> list[str]:
    """Names of the experiments that start from the last commit."""
    require_commit(root)
    with dvc_errors(), Repo(str(root)) as repo:
        return sorted(name for found in repo.experiments.ls().values() for name, _ in found)


def forget(root: Path, name: str) -> None:
    """Remove the experiment `name`, if there is one."""
    with in_turn(root / EXPERIMENTS):
        if name in names(root):
            with dvc_errors(), Repo(str(root)) as repo:
                repo.experiments.remove(exp_names=[name])


def compare(root: Path, name: str) -> list[tuple[str, Any, Any]]:
    """Each metric in the workspace and in the experiment; None where one lacks it."""
    with dvc_errors(), Repo(str(root)) as repo:
        files = repo.metrics.diff(a_rev="workspace", b_rev=name, all=True).get("diff", {})
    return [
        (metric, figures.get("old"), figures.get("new"))
        for path in sorted(files)
        for metric, figures in sorted(files[path].items())
    ]


def apply(root: Path, name: str) -> None:
    """Bring an experiment into the workspace: parameters, dvc.lock, reports and outputs.

    Raises
    ------
    UsageError
        No experiment of that name starts from the last commit, or a changed file would be lost.
    LockstepError
        It was brought in, but the cache lacks one of its outputs.
    """
    found = names(root)
    if name not in found:
        known = (
            f"There are: {', '.join(found)}." if found else "There is none; `lockstep run --set` makes one."
        )
        raise UsageError(f"No experiment {name!r} starts from the last commit. {known}")
    _refuse_to_lose(root, name)
    with dvc_errors(), chdir(root), Repo(str(root)) as repo:
        before = _records(repo)
        # Where a stage never ran there is nothing of it to bring.
        with errors_alone("dvc_data"):
            repo.experiments.apply(name, allow_missing=True)
    with dvc_errors(), Repo(str(root)) as repo:
        after, lost = _records(repo), _lost(repo)
    for stage, record in after.items():
        if record != before.get(stage):
            # It tells of another run; `deploy` leaves a visible blank instead.
            (root / ".lockstep" / "measured" / f"{stage}.json").unlink(missing_ok=True)
    if lost:
        raise LockstepError(
            f"{', '.join(lost)} of the experiment {name!r} is no more in DVC's cache. `dvc pull` brings it, where it "
            "was pushed; else `lockstep run` makes it anew."
        )


def _lost(repo: Any) -> list[str]:
    """Recorded outputs that are neither in the workspace nor in the cache."""
    outs = (out for stage in repo.index.stages for out in stage.outs if out.use_cache and out.hash_info)
    return [str(out) for out in outs if not out.exists]


def _records(repo: Any) -> dict[str, Any]:
    return {stage.addressing: [str(out.hash_info) for out in stage.outs] for stage in repo.index.stages}


def _refuse_to_lose(root: Path, name: str) -> None:
    """Refuse where a tracked file holds changes that the experiment neither started from nor is about."""
    with dvc_errors(), Repo(str(root)) as repo:
        revision = next(rev for found in repo.experiments.ls().values() for n, rev in found if n == name)
        own = {Path(repo.root_dir, "params.yaml"), Path(repo.root_dir, "dvc.lock")}
        own |= {
            Path(out.fs_path) for stage in repo.index.stages for out in stage.outs if out.protocol == "local"
        }
    top = Path(git(root, "rev-parse", "--show-toplevel").strip())
    changed = set(git(top, "diff", "--name-only", "-z", "HEAD").split("\0"))
    differing = set(git(top, "diff", "--name-only", "-z", revision).split("\0"))
    lost = sorted(
        path for path in changed & differing if path and not own & {top / path, *(top / path).parents}
    )
    if lost:
        raise UsageError(
            f"{', '.join(lost)} changed since, and the experiment {name!r} would overwrite it. "
            "Commit it (the experiment then stays with the older commit) or `git stash` it first."
        )
