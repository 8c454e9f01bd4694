"""Run one command, and end its whole process group once the flow that wanted it is gone.

A script of its own, started as ``python -I -S _supervise.py PARENT COMMAND...`` at the head of a new session.
A flow that is killed with SIGKILL can end nothing itself; the kernel tells this process, which ends the
command and whatever the command started.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# What is ignored stays so across exec. Python ignores the first two, a shell the third for background jobs.
_TO_DEFAULT = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT)


def _end_group(*_: object) -> None:
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Run the command and end as it ended, by exit code or by signal."""
    parent, *command = sys.argv[1:]
    signal.signal(signal.SIGTERM, _end_group)
    # An interrupt is for the command, which may have something to save; this process ends with it.
    signal.signal(signal.SIGINT, lambda *_: None)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        return 1
    try:
        child = os.posix_spawnp(command[0], command, os.environ, setsigdef=_TO_DEFAULT)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main())
