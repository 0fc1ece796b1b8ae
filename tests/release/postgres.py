"""A PostgreSQL of its own, from Debian's package."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

from gateway import ROOT


@cache
def programs() -> Path:
    """Where initdb and postgres are; the package is installed where it is missing."""

    def found() -> list[Path]:
        return sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))

    if not found():
        subprocess.run([ROOT / "tests" / "require.sh", "pg_ctlcluster:postgresql"], check=True)
    return found()[-1].parent


class Postgres:
    """A running PostgreSQL, as a context manager."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tse-route-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: list[str] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def address(self) -> str:
        """Where it is, as libpq writes it."""
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Postgres:
        if os.getuid() == 0:
            # PostgreSQL does not run as root.
            user = pwd.getpwnam("postgres")
            os.chown(self.directory, user.pw_uid, user.pw_gid)
            identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"]
            self._as_user = ["setpriv", *identity, "--clear-groups"]
        data = self.directory / "data"
        command = [programs() / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]
        try:
            subprocess.run([*self._as_user, *command], cwd="/", check=True, capture_output=True)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.directory),
            "fsync": "off",
        }
        command = [programs() / "postgres", "-D", self.directory / "data", "-p", str(self.port)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        self._process = subprocess.Popen(
            [*self._as_user, *command],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ready = [programs() / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        deadline = time.monotonic() + 60
        while subprocess.run(ready).returncode != 0:
            assert self._process.poll() is None and time.monotonic() < deadline, "no PostgreSQL"
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends it at once, with all connections."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate() if process.poll() is not None else process.send_signal(3)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def query(self, statement: str) -> list[str]:
        """The rows of a statement, as text."""
        command = [programs() / "psql", "-XAtc", statement, self.address]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()
