"""Keeping processes: started, restarted, stopped in order, and never left behind."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appview.supervisor.service import ServiceError
from appview.supervisor.supervisor import Patience, Supervisor
from tests.appview.supervisor.processes import FOREVER, QUICK, STUBBORN, Written, is_running, service, until

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")


@pytest.fixture
def log() -> Written:
    return Written()


async def comes(holds: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, holds)


async def test_what_a_process_writes_is_logged_with_its_name(log: Written) -> None:
    program = "import sys; print('out'); print('err', file=sys.stderr); print('no end', end='')"
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("web", program))
        await comes(lambda: log.has("web", "no end"))
    assert log.has("web", "out")
    assert log.has("web", "err")


async def test_noise_is_left_out(log: Written) -> None:
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("web", "print('chatter'); print('news')", noise=re.compile("chat")))
        await comes(lambda: log.has("web", "news"))
    assert not log.has("web", "chatter")


async def test_a_line_without_end_is_cut_and_does_not_stop_the_log(log: Written) -> None:
    program = "import sys; sys.stdout.write('x' * 1_000_000); print(); print('after')"
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("web", program))
        await comes(lambda: log.has("web", "after"))
    assert max(map(len, log.lines)) < 20_000


async def test_what_dies_is_started_again(log: Written, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    program = (
        "import sys, time\n"
        "with open(sys.argv[1], 'a+') as file:\n"
        "    file.write('x')\n"
        "    file.seek(0)\n"
        "    time.sleep(60 if len(file.read()) == 3 else 0)\n"
    )
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("web", program, runs))
        await comes(lambda: runs.exists() and len(runs.read_text()) == 3)
    assert log.has("web", "warning: ended with code 0; it is started again in 0.02 s")
    assert log.has("web", "started again in 0.04 s")
    assert not log.has("web", "does not stay up")


async def test_a_crash_loop_is_said_plainly(log: Written) -> None:
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("web", "import sys; sys.exit('the disk is full')"))
        await comes(lambda: log.has("web", "error: it does not stay up: 3 runs"))
    assert log.has("web", "the disk is full")
    assert log.has("web", "ended with code 1")


async def test_one_that_ran_for_long_begins_anew(log: Written) -> None:
    patience = Patience(first=0.02, most=10.0, settled=0.0, loop=3, poll=0.01)
    async with Supervisor(log.output, patience) as supervisor:
        supervisor.keep(service("web", ""))
        await comes(lambda: sum("started again in 0.02 s" in line for line in log.lines) > 3)
    assert not log.has("web", "does not stay up")


async def test_death_by_a_signal_is_named(log: Written) -> None:
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("web", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
        await comes(lambda: log.has("web", "ended by SIGKILL"))


async def test_a_program_that_is_not_there_is_said_and_tried_again(log: Written) -> None:
    odd = service("web", "")
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(type(odd)(name="web", command=("/nowhere/web",)))
        await comes(lambda: log.has("web", "does not stay up"))
    assert log.has("web", "/nowhere/web cannot be run: No such file or directory")


async def test_a_folder_that_is_not_there_is_said_and_tried_again(log: Written, tmp_path: Path) -> None:
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("web", "", folder=tmp_path / "absent"))
        await comes(lambda: log.has("web", "does not stay up"))
    assert log.has("web", "could not be started: [Errno 2]")


async def test_start_waits_until_it_is_ready(log: Written, tmp_path: Path) -> None:
    sign = tmp_path / "ready"
    program = "import sys, time; time.sleep(0.1); open(sys.argv[1], 'w'); time.sleep(60)"
    async with Supervisor(log.output, QUICK) as supervisor:
        await supervisor.start(service("redis", program, sign, ready=sign.exists))
        assert sign.exists()
        assert log.has("redis", "ready")


async def test_start_fails_with_what_ends_before_it_is_ready(log: Written) -> None:
    async with Supervisor(log.output, QUICK) as supervisor:
        with pytest.raises(ServiceError, match="redis ended with code 3 before it was ready"):
            await supervisor.start(service("redis", "import sys; sys.exit(3)", ready=lambda: False))


async def test_ready_is_taken_back_while_it_is_down(log: Written, tmp_path: Path) -> None:
    sign = tmp_path / "ready"
    program = "import sys, time; open(sys.argv[1], 'w').write(str(__import__('os').getpid())); time.sleep(60)"
    async with Supervisor(log.output, Patience(first=0.5, poll=0.01)) as supervisor:
        kept = supervisor.keep(service("web", program, sign, ready=lambda: sign.exists() and bool(sign.read_text())))
        await asyncio.wait_for(kept.ready.wait(), 120)
        pid = int(sign.read_text())
        sign.unlink()
        os.kill(pid, signal.SIGKILL)
        await comes(lambda: log.has("web", "ended by SIGKILL"))
        assert not kept.ready.is_set()
        await asyncio.wait_for(kept.ready.wait(), 120)
        assert int(sign.read_text()) != pid


async def test_a_fault_in_a_check_is_raised_and_everything_stopped(log: Written) -> None:
    def ready() -> bool:
        raise LookupError("a fault of ours")

    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("redis", FOREVER))
        await comes(lambda: log.has("redis", "up"))
        supervisor.keep(service("web", FOREVER, ready=ready))
        with pytest.raises(LookupError):
            await supervisor.run(asyncio.Event())
    assert log.has("redis", "told")


async def test_all_is_stopped_in_reverse_each_after_the_other(log: Written) -> None:
    slow = FOREVER.replace("sys.exit(0)", "time.sleep(0.2); print('gone', flush=True); sys.exit(0)")
    async with Supervisor(log.output, QUICK) as supervisor:
        for name in ("postgres", "ingester", "web"):
            supervisor.keep(service(name, slow))
            await comes(lambda name=name: log.has(name, "up"))  # type: ignore[misc]
    ends = [line.split() for line in log.lines if "told" in line or "gone" in line]
    order = ("web", "ingester", "postgres")
    assert ends == [[name, word] for name in order for word in ("told", "gone")]
    assert not any("started again" in line for line in log.lines)


async def test_what_will_not_stop_is_killed(log: Written) -> None:
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("web", STUBBORN, stop_seconds=0.2))
        await comes(lambda: log.has("web", "up"))
    assert log.has("web", "told")
    assert log.has("web", "it has not stopped within 0.2 s and is killed")


async def test_in_a_hurry_nobody_is_waited_for(log: Written) -> None:
    supervisor = Supervisor(log.output, QUICK)
    for name in ("postgres", "web"):
        supervisor.keep(service(name, STUBBORN, stop_seconds=1000.0))
        await comes(lambda name=name: log.has(name, "up"))  # type: ignore[misc]
    stopping = asyncio.create_task(supervisor.stop())
    await comes(lambda: log.has("web", "told"))
    supervisor.kill()
    await asyncio.wait_for(stopping, 120)


async def test_one_that_waits_to_be_started_again_is_stopped_at_once(log: Written) -> None:
    async with Supervisor(log.output, Patience(first=1000.0, most=1000.0)) as supervisor:
        supervisor.keep(service("web", ""))
        await comes(lambda: log.has("web", "started again in 1000 s"))
        started = time.monotonic()
    assert time.monotonic() - started < 30


async def test_stopped_before_it_has_begun(log: Written) -> None:
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("web", FOREVER))
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@LINUX
async def test_what_a_process_leaves_behind_goes_with_it(log: Written, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "open(sys.argv[1], 'a').write(f'{child.pid}\\n')\n"
    )
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("web", program, pids))
        await comes(lambda: log.has("web", "started again in"))
        first = int(pids.read_text().split()[0])
        await comes(lambda: not is_running(first))


FAMILY = """
import subprocess, sys, time
lone = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-I", "-c", lone])
exec(lone)
"""
PARENT = """
import asyncio, sys
from appview.supervisor.output import Output
from appview.supervisor.service import Service
from appview.supervisor.supervisor import Supervisor
async def main():
    async with Supervisor(Output(sys.stdout, "text")) as supervisor:
        supervisor.keep(Service(name="web", command=(sys.executable, "-I", "-c", sys.argv[1])))
        supervisor.keep(Service(name="worker", command=(sys.executable, "-I", "-c", sys.argv[2]), family=True))
        await asyncio.sleep(60)
asyncio.run(main())
"""


@LINUX
def test_children_go_with_a_parent_that_is_killed_and_a_family_as_a_whole() -> None:
    # None of them heeds what a dying parent's log does to those who write to it.
    lone = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", PARENT, lone, FAMILY], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids: list[int] = []
        while len(pids) < 3:
            line = parent.stdout.readline()
            assert line, "the parent ended"
            if "pid" in line.split():
                pids.append(int(line.split()[-1]))
        assert all(map(is_running, pids))
        parent.kill()
    until(lambda: not any(map(is_running, pids)))


async def test_a_family_is_told_to_stop_and_its_end_is_its_own(log: Written) -> None:
    async with Supervisor(log.output, QUICK) as supervisor:
        supervisor.keep(service("worker", FOREVER, family=True))
        await comes(lambda: log.has("worker", "up"))
        supervisor.keep(service("other", "import sys; sys.exit(7)", family=True))
        await comes(lambda: log.has("other", "ended with code 7"))
        supervisor.keep(service("third", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", family=True))
        await comes(lambda: log.has("third", "ended with code 139"))
    assert log.has("worker", "told")
