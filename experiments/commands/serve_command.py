"""`ohmweave serve`: a local page over a folder of runs and sweeps, and what it says when it cannot start."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hwmodels.errors import UserError

HOST = "127.0.0.1"
"""Never another one: what the page shows is for whoever sits at this machine."""


@dataclass(frozen=True, kw_only=True)
class _Serve:
    """Show a folder of runs, sweeps and stores in the browser, read-only and on this machine alone, until Ctrl-C."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")] = Path()
    """The folder; default: the current one."""
    port: int = 8765
    """Port on 127.0.0.1; 0 takes a free one."""


def run(args: list[str]) -> int:
    """Run the command line `ohmweave serve …` and return its exit code."""
    flags = tyro.cli(_Serve, prog="ohmweave serve", args=args, use_underscores=True)
    from experiments.serving.found import check

    check(flags.folder)
    listening = bound(flags.port)
    try:
        import uvicorn

        from experiments.serving.pages import application

        app = application(flags.folder)
        url = f"http://{HOST}:{listening.getsockname()[1]}/"
        print(f"Serving {str(flags.folder.resolve())!r} at {url} (Ctrl-C ends it)", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
        with suppress(KeyboardInterrupt):  # which a server hands on after it has stopped in good order
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()
    return 0


def bound(port: int) -> socket.socket:
    """A socket on 127.0.0.1; raises UserError where the port is no port, in use, or not allowed."""
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: a port is a number from 0 (a free one) to 65535.")
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
        made.listen(64)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"Port {port} is in use; give another one, or --port 0 for a free one.") from None
        raise UserError(f"Cannot listen on port {port}: {error.strerror or error}; choose another --port.") from None
    return made
