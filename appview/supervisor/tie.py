"""A program: ties a command to the life of the process that starts it, and makes it who it is to be.

    python -I -S tie.py PARENT DEATH USER COMMAND...

PARENT is the process id. DEATH is the number of the signal that Linux sends to the command when the thread dies that
started it, or `family`: then this process stays, above the command, and when that day comes kills its process group,
with all that it has started. USER is `uid:gid`, or `-`. Run without packages, before privileges are dropped.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, death: str, user: str, *command: str) -> None:
    """Turn into `command`, or stay above it; leaves with its exit code, and with 1 when it cannot be run."""
    if user != "-":
        uid, gid = map(int, user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if death == "family":
        signal.signal(signal.SIGUSR1, lambda *_: os.killpg(0, signal.SIGKILL))
        tie(parent, signal.SIGUSR1)
        stay(command)
    else:
        tie(parent, int(death))
        become(command)


def tie(parent: int, death: int) -> None:
    """Have the kernel send `death` when `parent` dies; leave where it has."""
    if sys.platform == "linux":
        # After the change of user, which would undo it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death)
        if os.getppid() != parent:
            sys.exit(1)


def stay(command: tuple[str, ...]) -> None:
    """Run `command` below, hand it SIGTERM, and leave as it leaves."""
    child = os.fork()
    if child == 0:
        become(command)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.exit(code if code >= 0 else 128 - code)


def become(command: tuple[str, ...]) -> None:
    """Turn into `command`."""
    try:
        os.execvp(command[0], command)  # noqa: S606 - what our caller says
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
