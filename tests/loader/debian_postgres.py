"""A Postgres server as Debian ships it, with its contrib modules, beside the embedded one."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

CONF = """
listen_addresses = ''
shared_preload_libraries = 'pg_stat_statements'
unix_socket_directories = '{folder}'
"""


def binaries() -> Path | None:
    """Return the folder of the newest server's programs; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def debian_postgres(programs: Path) -> Iterator[str]:
    """Run a new server until the block ends; yields the superuser's URL without a database."""
    folder = Path(tempfile.mkdtemp(prefix="claimgate-debian-"))
    # Postgres does not run as root; the package made a user for it.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, *arguments],
            check=True, capture_output=True, cwd=folder, timeout=120,
            user=user if os.geteuid() == 0 else None,
        )  # fmt: skip

    data = folder / "data"
    try:
        run("initdb", "-D", str(data), "-U", "postgres", "--auth", "trust", "-E", "UTF8")
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(CONF.format(folder=folder))
        run("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://postgres@/{{database}}?host={quote(str(folder), safe='')}"
        finally:
            run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
