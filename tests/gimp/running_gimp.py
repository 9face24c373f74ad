"""A GIMP that stays: it runs the tests' scripts one after the other (see serve.py), as its start takes longer than most of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

SERVE_DAEMON = ("-m", "dragdiffusion", "serve", "--device", "cpu")
# Each process measures which of its conversions between pixel formats are the fastest: half of the time in which GIMP starts.
QUICK_COLOURS = {"BABL_LUT": "0", "BABL_PATH_LENGTH": "2", "BABL_INHIBIT_CACHE": "1"}
SERVE = Path(__file__).with_name("serve.py")


class RunningGimp:
    def __init__(self, gimp: Any, program: str, name: str = "", **environment: str) -> None:
        self._gimp, self._program, self._environment = gimp, program, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._kind: Any = None
        self._order, self._done, self._log = (
            gimp.folder / f"{name or program}.{kind}" for kind in ("order", "done", "log")
        )

    def begin(self, script: str, **variables: str) -> None:
        """Run this script; in the GIMP that is there, if that has these variables and preferences."""
        kind = variables, self._gimp.preferences.read_text(encoding="utf-8")
        if not self.is_idle or kind != self._kind:
            self.close()
            self._open(variables)
            self._kind = kind
        self._done.unlink(missing_ok=True)
        fresh = self._order.with_suffix(".new")
        fresh.write_text(script, encoding="utf-8")
        fresh.replace(self._order)

    def finish(self, seconds: float, help_it: Callable[[], None] = lambda: None) -> None:
        """Wait for the script's end."""
        deadline = time.monotonic() + seconds
        while self._lives and not self.is_idle and time.monotonic() < deadline:
            help_it()
            time.sleep(0.02)
        self.check()
        if not self.is_idle:
            self.close()
            log = self._log.read_text(encoding="utf-8", errors="replace")
            pytest.fail(f"the script did not end within {seconds:.0f} s: {log}")

    def check(self) -> None:
        """Whether the script failed."""
        error = self._done.read_text(encoding="utf-8") if self._done.exists() else ""
        if error:
            self.close()  # nobody knows what it left behind
            pytest.fail(error)

    @property
    def _lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_idle(self) -> bool:
        """It has run what it was given."""
        return self._lives and self._done.exists()

    def close(self) -> None:
        if self._process is not None:
            for how in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, how)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(3)
                    break
        self._process = None

    def _open(self, variables: dict[str, str]) -> None:
        for file in (self._order, self._done):
            file.unlink(missing_ok=True)
        shutil.copy(self._gimp.preferences, self._gimp.folder / "profile" / "gimprc")
        own = {"DRAGDIFFUSION_STATE_FOLDER": str(self._gimp.folder / "state")}
        told = [f"{name}={value}" for name, value in {**QUICK_COLOURS, **own, **variables}.items()]
        serve = f"exec(open({str(self._gimp.folder / SERVE.name)!r}).read())"
        batch = [
            "--batch-interpreter=python-fu-eval",
            "-b",
            f"{serve}; serve({str(self._order)!r}, {str(self._done)!r})",
        ]
        quiet = ["-i"] if self._program == "gimp-console" else []
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._gimp.command("env", *told, self._program, *quiet, *batch),
                env=self._gimp.environment(**self._environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
