"""The pages over a folder, as a web application that only reads: a list, one page per entry, their files, and JSON."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from experiments.reporting import drawing
from experiments.serving.found import Entry, Folder

SCHEMA = "ohmweave.serve/1"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
FILE_POLICY = (
    "sandbox allow-scripts allow-downloads allow-popups; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob: 'self'; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""For reports: what stands in them runs, in an origin of its own that reaches neither this server nor the network."""
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
<path d="M5 1v14M11 1v14M1 5h14M1 11h14" fill="none" stroke="#889" stroke-width="1.5"/>
<circle cx="5" cy="5" r="2.2" fill="#0b66b0"/><circle cx="11" cy="11" r="2.2" fill="#0b66b0"/>
</svg>
"""
"""Word lines, bit lines and two cells."""
SUFFIXES = {
    ".html", ".md", ".csv", ".json", ".jsonl", ".parquet", ".svg", ".png", ".pdf", ".toml", ".tex", ".bib", ".txt",
}  # fmt: skip
"""Files that are given out."""
SORTS: dict[str, Callable[[Entry], Any]] = {
    "name": lambda entry: entry.path,
    "kind": lambda entry: (entry.kind, entry.path),
    "state": lambda entry: (STATES.index(entry.state), entry.path),
    "progress": lambda entry: (entry.done / entry.total if entry.total else 0.0, entry.path),
    "changed": lambda entry: (-entry.changed_s, entry.path),
}
STATES = ("running", "stopped", "failed", "damaged", "finished", "store")
MEANINGS = {
    "running": "a process is at work on it",
    "stopped": "interrupted; the same command goes on",
    "failed": "no point came to a result",
    "damaged": "it cannot be read",
    "finished": "everything is done",
    "store": "finished stages that sweeps share",
}


def application(root: Path) -> Starlette:
    """The web application over a folder; raises UserError where that cannot be read."""
    pages = _Pages(Folder(root))
    return Starlette(
        routes=[
            Route("/", pages.index, methods=["GET"]),
            Route("/favicon.ico", _icon, methods=["GET"]),
            Route("/status.json", pages.status, methods=["GET"]),
            Route("/entry/{path:path}/status.json", pages.entry_status, methods=["GET"]),
            Route("/entry/{path:path}", pages.entry, methods=["GET"]),
            Route("/files/{path:path}", pages.file, methods=["GET"]),
        ],
        middleware=[
            # Another site's name that is made to point here must not read along.
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"]),
            Middleware(_Headers),
        ],
        exception_handlers={HTTPException: pages.missing},
    )


def _icon(_: Request) -> Response:
    """The picture beside the title, also for reports, which have an origin of their own."""
    return Response(ICON, media_type="image/svg+xml", headers={"Cross-Origin-Resource-Policy": "cross-origin"})


class _Headers:
    """Adds the strict headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                added = HEADERS | {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
                message["headers"] = [
                    *message["headers"],
                    *((n.lower().encode(), v.encode()) for n, v in added.items() if n.lower().encode() not in known),
                ]
            await send(message)

        await self.app(scope, receive, with_headers)


class _Pages:
    """Answers. Endpoints are plain functions, which run beside the event loop: they read files."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def index(self, request: Request) -> Response:
        everything = self.folder.entries()
        asked = _asked(request.query_params)
        shown = select(everything, asked)
        return _page(
            "serve_index.html.j2",
            title=self.folder.root.name or "/",
            folder=str(self.folder.root),
            entries=shown,
            everything=len(everything),
            asked=asked,
            states=[state for state in STATES if any(entry.state == state for entry in everything)],
            meanings=MEANINGS,
            summary=summary(everything),
            sort_links={name: _link(asked, name) for name in SORTS},
        )

    def status(self, request: Request) -> Response:
        everything = self.folder.entries()
        shown = select(everything, _asked(request.query_params))
        return JSONResponse(
            {"schema": SCHEMA, "summary": summary(everything), "entries": [entry.plain() for entry in shown]}
        )

    def entry(self, request: Request) -> Response:
        found = self._entry(request)
        return _page(
            "serve_entry.html.j2",
            title=found.name,
            folder=str(self.folder.root / found.path),
            entry=found,
            meaning=MEANINGS[found.state],
        )

    def entry_status(self, request: Request) -> Response:
        return JSONResponse({"schema": SCHEMA, **self._entry(request).plain()})

    def _entry(self, request: Request) -> Entry:
        path = self._inside(request.path_params["path"])
        found = self.folder.entry(path) if path.is_dir() else None
        if found is None:
            raise HTTPException(404, "There is no run, sweep or store here.")
        return found

    def file(self, request: Request) -> Response:
        path = self._inside(request.path_params["path"])
        if path.suffix not in SUFFIXES or not path.is_file():
            raise HTTPException(404, "There is no such file.")
        kind = mimetypes.guess_type(path.name)[0] or "text/plain"
        kind = {".md": "text/plain", ".toml": "text/plain", ".jsonl": "text/plain"}.get(path.suffix, kind)
        return FileResponse(path, media_type=kind, headers={"Content-Security-Policy": FILE_POLICY})

    def _inside(self, asked: str) -> Path:
        """A path below the served folder; 404 for one that leads out of it, by dots or by a link, or is hidden."""
        parts = [part for part in asked.split("/") if part not in ("", ".")]
        if any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            raise HTTPException(404, "There is no such file.")
        path = self.folder.root.joinpath(*parts)
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            raise HTTPException(404, "There is no such file.") from None
        if not real.is_relative_to(self.folder.root):
            raise HTTPException(404, "There is no such file.")
        return path

    async def missing(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        made = _page("serve_missing.html.j2", title=str(error.status_code), said=error.detail)
        made.status_code = error.status_code
        return made


def _asked(query: Mapping[str, str]) -> dict[str, str]:
    """What the address asks of the list; what is unknown is left out."""
    sort = query.get("sort", "changed")
    state = query.get("state", "")
    return {
        "filter": query.get("filter", "")[:200],
        "state": state if state in STATES else "",
        "sort": sort if sort.removeprefix("-") in SORTS else "changed",
    }


def select(entries: list[Entry], asked: Mapping[str, str]) -> list[Entry]:
    """Filter and sort: every word of the filter must be in an entry's path, kind, state or what is said of it."""
    words = asked["filter"].lower().split()
    shown = [
        entry
        for entry in entries
        if (not asked["state"] or entry.state == asked["state"])
        and all(word in f"{entry.path} {entry.name} {entry.kind} {entry.state} {entry.said}".lower() for word in words)
    ]
    name = asked["sort"].removeprefix("-")
    return sorted(shown, key=SORTS[name], reverse=asked["sort"].startswith("-"))


def _link(asked: Mapping[str, str], column: str) -> str:
    """The address that sorts by a column, the other way round where it does already."""
    sort = f"-{column}" if asked["sort"] == column else column
    return "?" + urlencode({**asked, "sort": sort})


def summary(entries: list[Entry]) -> str:
    """How many there are of what, in words."""
    counted = [f"{number} {state}" for state in STATES if (number := sum(e.state == state for e in entries))]
    return ", ".join(counted).replace(" store", " stores" if "1 store" not in counted else " store") or "nothing yet"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("experiments"), autoescape=True, trim_blocks=True, undefined=StrictUndefined
    )
    environment.filters["path"] = lambda text: quote(str(text))
    return environment


def _page(template: str, **contents: Any) -> HTMLResponse:
    html = _environment().get_template(template).render(contents, theme=drawing.THEME)
    policy = (
        f"default-src 'none'; style-src {_hashes('style', html)}; script-src {_hashes('script', html)}; "
        "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


def _hashes(tag: str, html: str) -> str:
    """The hashes of what stands inline in a page: this runs, and nothing that found its way in otherwise."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
