"""Commands run in a stage process or as a subprocess, and end with whatever wanted them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from flows import _children, _stage_process
from flows._children import SUPERVISE
from flows._command import Command
from flows._runner import LocalRunner
from lockstep.errors import StageFailed
from lockstep.progress import Progress
from tests.flows.conftest import is_alive, wait_for, write

STAGE = """
import os
import sys
from pathlib import Path

from lockstep.errors import DataError
from lockstep.progress import track


def main(argv=None):
    what, *rest = argv
    if what == "pid":
        Path(rest[0]).write_text(f"{os.getpid()} {os.environ['DVC_STAGE']} {os.getcwd()}")
        with track("epochs", 2) as advance:
            advance("first")
            advance("second")
    elif what == "known":
        raise DataError("the column is missing")
    elif what == "unknown":
        raise ValueError("secret 4711")
    elif what == "exit":
        sys.exit(int(rest[0]))
    elif what == "import":
        import no_such_library
    elif what == "die":
        os.kill(os.getpid(), int(rest[0]))
    elif what == "wait":
        Path("pid").write_text(str(os.getpid()))
        import time
        time.sleep(60)
"""


@pytest.fixture
def root(repository: Callable[..., Path]) -> Path:
    return repository(**{"tasks/stage.py": STAGE})


def command(root: Path, line: str, stage: str = "one", wdir: Path | None = None) -> Command:
    environment = os.environ | {"DVC_STAGE": stage, "DVC_ROOT": str(root)}
    program = ("/bin/sh", "-c", line)
    return Command(stage, (line,), (program,), str(root), str(wdir or root), environment)


def use(body: Callable[[LocalRunner], Awaitable[Any]], **options: Any) -> Any:
    async def go() -> Any:
        runner = LocalRunner(**options)
        try:
            return await body(runner)
        finally:
            await runner.close()

    return asyncio.run(go())


def ignore(step: Progress) -> None:
    return None


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("python -m tasks.stage --a 'b c' d=e", ("tasks.stage", ["--a", "b c", "d=e"], ())),
        ("python -m tasks.stage --a $HOME", None),
        ("python -m tasks.stage && true", None),
        ("python -m tasks.stage > out", None),
        ("python -m tasks.stage *.txt", None),
        ("python -m tasks.other", None),
        ("python -m tasks._stage", None),
        ("python3 -m tasks.stage", None),
        ("A=1 python -m tasks.stage", None),
        ("python -m tasks.stage 'unfinished", None),
    ],
)
def test_only_a_plain_call_of_a_stage_is_one(root: Path, line: str, call: Any) -> None:
    assert command(root, line).as_call() == call
    assert command(root, line, wdir=root / "tasks").as_call() is None


def test_stages_share_a_process_until_their_code_changes(root: Path) -> None:
    async def body(runner: LocalRunner) -> None:
        steps: list[Progress] = []
        for stage in ("one", "two"):
            await runner.run(command(root, f"python -m tasks.stage pid {stage}", stage), steps.append)
        assert steps[:2] == [Progress("epochs", 1, 2, "first"), Progress("epochs", 2, 2, "second")]
        write(root, {"tasks/stage.py": STAGE.replace("os.getcwd()", "'new'")})
        await runner.run(command(root, "python -m tasks.stage pid three", "three"), ignore)

    use(body)
    (pid, *one), (same, *two), (other, *three) = (
        (root / name).read_text().split() for name in ("one", "two", "three")
    )
    assert pid == same != other
    assert (one, two, three) == (["one", str(root)], ["two", str(root)], ["three", "new"])
    assert not is_alive(int(pid))
    assert not is_alive(int(other))


HEAVY_STAGE = STAGE.replace("import os\n", "import os\nHEAVY = ('slow_library',)\n", 1)
SLOW_LIBRARY = """
import os
import time
from pathlib import Path

Path("importing").write_text(str(os.getpid()))
time.sleep({seconds})
Path("imported").touch()
"""


def ahead(root: Path, seconds: float) -> tuple[Command, Command]:
    """A light stage and, after it, one that imports for so long."""
    write(root, {"tasks/heavy.py": HEAVY_STAGE, "slow_library.py": SLOW_LIBRARY.format(seconds=seconds)})
    return (
        command(root, "python -m tasks.stage pid light", "light"),
        command(root, "python -m tasks.heavy pid heavy", "heavy"),
    )


def pid(path: Path) -> int:
    return int(path.read_text().split()[0])


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="nothing is imported ahead on one core")
def test_a_later_stage_is_imported_for_beside_the_first(root: Path) -> None:
    light, heavy = ahead(root, 0.5)

    async def body(runner: LocalRunner) -> None:
        await runner.import_ahead([light, heavy])
        await runner.run(light, ignore)
        await runner.run(light, ignore)
        await runner.run(heavy, ignore)
        assert len(runner._idle) == 2

    use(body)
    assert pid(root / "heavy") == pid(root / "importing") != pid(root / "light")


def test_nothing_is_imported_ahead_of_the_first_stage_or_where_none_needs_it(root: Path) -> None:
    light, heavy = ahead(root, 0.5)

    async def body(runner: LocalRunner) -> None:
        for commands in ([heavy, light], [heavy, heavy], [light, light], [light], []):
            await runner.import_ahead(commands)
            assert runner._idle == []

    use(body)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="nothing is imported ahead on one core")
def test_a_run_that_ends_does_not_wait_for_what_is_imported_ahead(root: Path) -> None:
    async def body(runner: LocalRunner) -> None:
        await runner.import_ahead(ahead(root, 60))
        await asyncio.to_thread(wait_for, (root / "importing").exists)

    use(body)
    assert not (root / "imported").exists()
    assert not is_alive(pid(root / "importing"))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("known", "the column is missing"),
        ("unknown", "Unexpected ValueError at stage.py"),
        ("exit 3", "It ended with exit code 3"),
        ("import", "no_such_library cannot be imported"),
        ("die 9", "Its process was ended by SIGKILL"),
        ("die 11", "Its process was ended by SIGSEGV"),
    ],
)
def test_a_failure_is_told_without_values_and_the_next_stage_runs(
    root: Path, argument: str, message: str
) -> None:
    async def body(runner: LocalRunner) -> None:
        with pytest.raises(StageFailed, match=message) as failure:
            await runner.run(command(root, f"python -m tasks.stage {argument}"), ignore)
        assert "4711" not in str(failure.value)
        await runner.run(command(root, "python -m tasks.stage pid after"), ignore)

    use(body)
    assert (root / "after").exists()


def test_a_process_ends_when_whoever_watches_it_fails(root: Path) -> None:
    def fail(step: Progress) -> None:
        raise OSError("no room for what it reached")

    async def body(runner: LocalRunner) -> None:
        with pytest.raises(OSError, match="no room"):
            await runner.run(command(root, "python -m tasks.stage pid seen"), fail)
        assert not is_alive(int((root / "seen").read_text().split()[0]))

    use(body)


def test_exit_code_zero_is_success(root: Path) -> None:
    use(lambda runner: runner.run(command(root, "python -m tasks.stage exit 0"), ignore))


def test_other_commands_run_as_a_shell_runs_them(root: Path) -> None:
    lines: list[str] = []

    async def body(runner: LocalRunner) -> None:
        await runner.run(command(root, "echo $DVC_STAGE; pwd", wdir=root / "tasks"), ignore)
        with pytest.raises(StageFailed, match="`exit 4` ended with exit code 4"):
            await runner.run(command(root, "exit 4"), ignore)
        with pytest.raises(StageFailed, match="was ended by SIGTERM"):
            await runner.run(command(root, "kill -TERM $$"), ignore)
        # The writer of a closed pipe ends by its signal, as it does outside of Python.
        await runner.run(command(root, "yes | head -1"), ignore)

    use(body, output=lines.append)
    assert "".join(lines) == f"one\n{root / 'tasks'}\ny\n"


@pytest.mark.parametrize(
    "line",
    [
        "sleep 60 & echo $! > child; echo $$ > pid; wait",
        "trap '' INT; sleep 60 & echo $! > child; echo $$ > pid; wait; sleep 60",
        "python -m tasks.stage wait",
    ],
)
def test_cancelling_ends_the_whole_group(root: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_children, "GRACE_SECONDS", 0.5)

    async def body(runner: LocalRunner) -> list[int]:
        running = asyncio.create_task(runner.run(command(root, line), ignore))
        while not (root / "pid").exists() or not (root / "pid").read_text():
            await asyncio.sleep(0.05)
        pids = [int(path.read_text()) for path in (root / "pid", root / "child") if path.exists()]
        started = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert time.monotonic() - started < 3
        return pids

    pids = use(body)
    wait_for(lambda: not any(map(is_alive, pids)), seconds=2)


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    inner = "sleep 60 & echo $! > child; echo $$ > pid; wait"
    script = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-I', '-S', {str(SUPERVISE)!r}, str(os.getpid()), 'sh', '-c', {inner!r}],"
        " start_new_session=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pids = [int((tmp_path / name).read_text()) for name in ("pid", "child")]
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(map(is_alive, pids)), seconds=5)


def test_a_program_that_is_not_there(root: Path) -> None:
    missing = Command("one", ("x",), (("/no/such/shell", "-c", "x"),), str(root), str(root), dict(os.environ))
    with pytest.raises(StageFailed, match="ended with exit code 127"):
        use(lambda runner: runner.run(missing, ignore))


def test_what_a_library_writes_while_it_is_imported_ahead_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noisy_library.py").write_text("import os\nos.write(2, b'a notice')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    _stage_process._import(["noisy_library", "no_such_library"])
    assert "noisy_library" in sys.modules
    os.write(2, b"an error")
    assert capfd.readouterr().err == "an error"
