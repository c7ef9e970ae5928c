"""Starts the real command in processes that can be killed.

They are forked from one that has imported the libraries, so that they do not spend their lives importing.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.helpers.tiny import environment

ROOT = Path(__file__).parents[2]
# Every checkpoint that the loop's own limit (a twentieth of the time) allows.
SETTINGS = environment() | {"LIMBECK_CHECKPOINT_SECONDS": "0"}

LAUNCHER = """
import json, os, sys, traceback
import torch, limbeck.cli.main, limbeck.pipeline.run, limbeck.cli.console
import {modules}
from tests.helpers.brief import measure_briefly

measure_briefly()
torch.set_num_threads(1)
print("ready", flush=True)
for line in sys.stdin:
    argv, log = json.loads(line)
    pid = os.fork()
    if pid == 0:
        to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(to, 1)
        os.dup2(to, 2)
        sys.argv = argv
        code = 0
        try:
            limbeck.cli.main.main()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        os._exit(code)  # the parent's threads are not here to be joined
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Launcher:
    """Starts the command, one process at a time; ``modules`` are imported beforehand."""

    def __init__(self, folder: Path, modules: str = "torch.onnx, onnxscript, onnxruntime, sklearn.datasets") -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        self.pid: int | None = None  # of what is not waited for yet
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER.replace("{modules}", modules)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**SETTINGS, "PYTHONPATH": str(ROOT)}, cwd=folder,
        )  # fmt: skip
        assert self._line() == "ready"

    def start(self, *arguments: str) -> None:
        """Starts the command; what a test that failed left at work is killed first, so that no line is taken for another."""
        assert self.process.stdin is not None
        if self.pid is not None:
            self.strike(signal.SIGKILL)
            self.wait()
        self.process.stdin.write(json.dumps([["limbeck", *arguments], str(self.log)]) + "\n")
        self.process.stdin.flush()
        self.pid = int(self._line())

    def strike(self, number: signal.Signals) -> None:
        """A signal to the process started last, unless it has come to its end."""
        assert self.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code of the process started last; minus the signal where one ended it."""
        code, self.pid = int(self._line()), None
        return code

    def end(self) -> None:
        """No more of them."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()
