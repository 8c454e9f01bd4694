"""A second working tree of the project: what a run needs of the workspace as it stands, sharing DVC's cache.

Git knows it as a worktree, so that what is committed there is seen in the workspace. It lies under its own
absolute path below a place such as `PLACE`, so that a dependency such as ``../loans.csv`` leads to a place of its own.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from flows._locks import EXPERIMENTS, in_turn
from lockstep.errors import UsageError

PLACE = Path(".lockstep/experiment")
_DVC_FILES = ("dvc.yaml", "dvc.lock", ".dvcignore")


@dataclass(frozen=True)
class Worktree:
    """A second working tree.

    Attributes
    ----------
    root
        Directory of the project in it.
    declared
        Files and directories, relative to `root`, that the stages read or write and DVC's cache does not hold.
    """

    root: Path
    declared: frozenset[str]

    def untracked(self) -> list[str]:
        """Declared files, relative to `root`, that Git neither tracks nor ignores."""
        paths = git(self.root, "ls-files", "-z", "--others", "--exclude-standard").split("\0")
        return [
            path for path in paths if any(str(p) in self.declared for p in (Path(path), *Path(path).parents))
        ]


def git(directory: Path, *arguments: str, text: str | None = None) -> str:
    """Run git in a directory; return what it prints.

    Raises
    ------
    UsageError
        Git refused.
    """
    try:
        # A hook of the person's, such as DVC's own post-checkout, has nothing to do here.
        return subprocess.run(  # noqa: S603
            ["git", "-c", "core.hooksPath=/dev/null", *arguments],  # noqa: S607 - the person's own git
            cwd=directory, input=text, capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
    except FileNotFoundError:
        raise UsageError("Experiments need git, which is not installed.") from None
    except subprocess.CalledProcessError as error:
        raise UsageError(f"git {arguments[0]} refused: {error.stderr.strip()}") from None


def require_commit(root: Path) -> None:
    """Refuse where Git cannot tell what an experiment starts from.

    Raises
    ------
    UsageError
        There is no Git repository, no commit, or dvc.yaml or DVC's configuration is not in the last one.
    """
    try:
        git(root, "rev-parse", "--git-dir")
    except UsageError:
        raise UsageError(
            f"{root} is no Git repository, and an experiment is a commit. Run `git init`, then commit the project."
        ) from None
    for path in ("dvc.yaml", ".dvc/config"):
        try:
            git(root, "cat-file", "-e", f"HEAD:./{path}")
        except UsageError:
            raise UsageError(
                f"{path} is in no commit yet, and an experiment starts from the last commit. Run "
                "`git add dvc.yaml params.yaml .dvc .dvcignore .gitignore` with your code, then `git commit`."
            ) from None


@contextmanager
def worktree(root: Path, place: Path = PLACE) -> Iterator[Worktree]:
    """Make a second working tree of the project at `root`, to be removed at the end.

    Only one at a time at a place: what another one left, because it was killed, is removed first.
    """
    root = root.resolve()
    require_commit(root)
    top = Path(git(root, "rev-parse", "--show-toplevel").strip())
    base = root / place
    tree = _below(base, top)
    clear(root, place)
    base.mkdir(parents=True)
    try:
        (base / ".gitignore").write_text("*\n")
        with in_turn(root / EXPERIMENTS):
            git(root, "worktree", "add", "--quiet", "--detach", str(tree), "HEAD")
        _copy_changed(top, tree)
        yield Worktree(_below(base, root), _fill(root, base))
    finally:
        clear(root, place)


def clear(root: Path, place: Path) -> None:
    """Remove the working tree at `place` of the project at `root`, if there is one."""
    base = root.resolve() / place
    top = Path(git(root, "rev-parse", "--show-toplevel").strip())
    with suppress(UsageError), in_turn(root / EXPERIMENTS):
        git(root, "worktree", "remove", "--force", "--force", str(_below(base, top)))
    shutil.rmtree(base, ignore_errors=True)


def _below(base: Path, path: Path) -> Path:
    return base / path.relative_to(path.anchor)


def _copy_changed(top: Path, tree: Path) -> None:
    """Bring what Git tracks to the state of the workspace."""
    for name in filter(None, git(top, "diff", "--name-only", "--no-renames", "-z", "HEAD").split("\0")):
        (tree / name).unlink(missing_ok=True)
        if os.path.lexists(top / name) and ((top / name).is_symlink() or not (top / name).is_dir()):
            _copy(top / name, tree / name)


def _fill(root: Path, base: Path) -> frozenset[str]:
    """Bring what Git does not track: DVC's files, dependencies and outputs; return the declared paths."""
    with Repo(str(root)) as repo:
        entries = _declared(repo)
        _share_cache(repo, _below(base, root))
        missing = [
            (file, persistent)
            for path, persistent in entries.items()
            for file in _files(repo, path)
            if not os.path.lexists(_below(base, file))
        ]
    ignored = _ignored(root, [file for file, _ in missing])
    for file, persistent in missing:
        target = _below(base, file)
        # People's data is not copied. A stage writes another file in place of the link, unless it is persistent.
        if (file in ignored or root not in file.parents) and not persistent:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
        else:
            _copy(file, target)
    # What the cache lacks, its stage makes anew; DVC would warn of it.
    with errors_alone("dvc_data"), Repo(str(_below(base, root))) as repo, suppress(DvcException):
        repo.checkout(force=True, allow_missing=True)
    return frozenset(str(path.relative_to(root)) for path in entries if root in path.parents)


@contextmanager
def errors_alone(name: str) -> Iterator[None]:
    """Keep what the logger `name` warns of to itself."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _declared(repo: Any) -> dict[Path, bool]:
    """Paths that are not in DVC's cache, and whether a stage may write into what is there."""
    stages = [stage for stage in repo.index.stages if not stage.is_repo_import]
    local = [entry for stage in stages for entry in (*stage.deps, *stage.outs) if entry.protocol == "local"]
    cached = {out.fs_path for stage in stages for out in stage.outs if out.use_cache}
    persistent = {out.fs_path for stage in stages for out in stage.outs if out.persist}
    found = {Path(repo.root_dir, name): False for name in _DVC_FILES}
    for stage in stages:
        found |= {Path(stage.path): False, Path(stage.path).with_name("dvc.lock"): False}
    found |= {Path(e.fs_path): e.fs_path in persistent for e in local if e.fs_path not in cached}
    return found


def _files(repo: Any, path: Path) -> list[Path]:
    if path.is_dir():
        return [Path(file) for file in repo.dvcignore.find(repo.fs, str(path))]
    return [path] if path.exists() else []


def _ignored(root: Path, files: Sequence[Path]) -> set[Path]:
    inside = [str(file) for file in files if root in file.parents]
    if not inside:
        return set()
    # Exit code 1 says that it ignores none.
    answer = subprocess.run(
        ["git", "check-ignore", "-z", "--stdin"],  # noqa: S607 - the person's own git
        cwd=root, input="\0".join(inside), capture_output=True, check=False, text=True,
    )  # fmt: skip
    return {Path(name) for name in answer.stdout.split("\0") if name}


def _share_cache(repo: Any, tree: Path) -> None:
    """Have DVC in `tree` use the cache and the remotes of `repo`, whose relative paths start elsewhere."""
    from dvc.config import Config, merge

    shared: dict[str, Any] = {}
    for level in ("repo", "local"):
        merge(shared, repo.config.load_one(level))
    merge(shared, {"cache": {"dir": repo.cache.local_cache_dir}})
    with Config(str(tree / ".dvc"), validate=False).edit("local") as config:
        merge(config, shared)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)
