"""The web application: what it shows, what it refuses, and its headers; asked as a server would, without a network."""

import asyncio
import base64
import hashlib
import json
import re
from urllib.parse import unquote

import pytest

from experiments.serving.found import Entry
from experiments.serving.pages import SORTS, application, select
from experiments.sweeping.journal import SweepFolder


def get(app, target, *, method="GET", host="127.0.0.1:8765"):
    """(status, headers, body) of a request; target: path and query, as it stands in the request."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", host.encode())], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8765),
    }  # fmt: skip
    sent = []

    asked = []

    async def receive():
        if asked:
            await asyncio.Event().wait()  # whoever asks never leaves
        asked.append(target)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(part.get("body", b"") for part in sent[1:]).decode()


@pytest.fixture
def root(tmp_path):
    (tmp_path / "secret.txt").write_text("outside")
    root = tmp_path / "root"
    for name, points in (("alpha", 1), ("beta & <b>", 3)):
        with SweepFolder(root / name, {"name": name, "digest": "0"}) as sweep:
            sweep.plan(4, ["accuracy_crossbar_mean"])
            sweep.append(
                {"id": str(n), "point": n, "row": {"status": "failed", "message": "<script>bad()</script>"}}
                for n in range(points)
            )
    (root / "alpha" / "report.html").write_text("<p>report</p>")
    (root / "alpha" / ".lock2").write_text("hidden")
    (root / "alpha" / "key.pem").write_text("no such kind")
    (root / "alpha" / "way-out.html").symlink_to(tmp_path / "secret.txt")
    return root


@pytest.fixture
def app(root):
    return application(root)


def test_the_list_shows_everything_escaped(app):
    status, _, body = get(app, "/")
    assert status == 200
    assert 'href="/entry/alpha"' in body
    assert 'href="/entry/beta%20%26%20%3Cb%3E"' in body
    assert "beta &amp; &lt;b&gt;" in body
    assert "<b>" not in body
    assert "2 stopped" in body
    assert 'href="/files/alpha/report.html"' in body


def test_the_list_is_filtered_and_sorted_by_its_address(app):
    def paths(target):
        return re.findall(r'data-path="([^"]*)"', get(app, target)[2])

    assert paths("/?sort=name") == ["alpha", "beta &amp; &lt;b&gt;"]
    assert paths("/?sort=-name") == ["beta &amp; &lt;b&gt;", "alpha"]
    assert paths("/?sort=progress") == ["alpha", "beta &amp; &lt;b&gt;"]
    assert paths("/?filter=BETA+stopped") == ["beta &amp; &lt;b&gt;"]
    assert paths("/?filter=gamma") == []
    assert paths("/?state=running") == []
    assert len(paths("/?state=nonsense&sort=nonsense")) == 2
    assert 'aria-sort="descending"' in get(app, "/?sort=-name")[2]
    found = json.loads(get(app, "/status.json?filter=alpha")[2])
    assert [(item["path"], item["done"], item["total"]) for item in found["entries"]] == [("alpha", 1, 4)]
    assert found["schema"] == "ohmweave.serve/1"


def test_every_sort_keeps_all_and_turns_round():
    entries = [
        Entry(path=str(n), name="x", kind="sweep", state=state, done=n, total=7, changed_s=float(n))
        for n, state in enumerate(("finished", "running", "failed"))
    ]
    for name in SORTS:
        there = select(entries, {"filter": "", "state": "", "sort": name})
        back = select(entries, {"filter": "", "state": "", "sort": f"-{name}"})
        assert there == back[::-1]
        assert sorted(entry.path for entry in there) == ["0", "1", "2"]


def test_a_sweeps_page_and_its_progress(app):
    status, _, body = get(app, "/entry/beta%20%26%20%3Cb%3E")
    assert status == 200
    assert "3 of 4" in body
    assert "&lt;script&gt;bad()&lt;/script&gt;" in body
    assert "<script>bad()" not in body
    found = json.loads(get(app, "/entry/alpha/status.json")[2])
    assert (found["counts"], found["state"]) == ({"done": 0, "infeasible": 0, "failed": 1}, "stopped")


@pytest.mark.parametrize(
    "target",
    [
        "/files/../secret.txt", "/files/%2e%2e/secret.txt", "/files/alpha/%2e%2e/%2e%2e/secret.txt",
        "/files//etc/passwd", "/files/alpha/..%2f..%2fsecret.txt", "/files/alpha/..%5c..%5csecret.txt",
        "/files/alpha/way-out.html", "/files/alpha/.lock2", "/files/alpha/.lock", "/files/alpha/key.pem",
        "/files/alpha", "/files/alpha/absent.html", "/files/alpha/report.html%00.png", "/entry/..", "/entry/%2e%2e",
        "/entry/absent", "/entry/../status.json", "/no",
    ],
)  # fmt: skip
def test_nothing_else_is_given_out(app, target):
    status, headers, body = get(app, target)
    assert status == 404
    assert "outside" not in body
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_a_report_is_given_out_in_a_box_of_its_own(app):
    status, headers, body = get(app, "/files/alpha/report.html")
    assert (status, body) == (200, "<p>report</p>")
    assert headers["content-type"].startswith("text/html")
    policy = headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy  # so default-src 'none' holds: a report reaches no network


def test_it_only_reads(app, root):
    before = sorted(path.name for path in root.rglob("*"))
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert get(app, "/", method=method)[0] == 405
    get(app, "/")
    assert sorted(path.name for path in root.rglob("*")) == before


def test_another_name_that_points_here_is_refused(app):
    assert get(app, "/", host="evil.example")[0] == 400
    assert get(app, "/", host="localhost:8765")[0] == 200


def test_a_page_runs_what_stands_in_it_and_nothing_else(app):
    for target in ("/", "/entry/alpha", "/nothing"):
        _, headers, body = get(app, target)
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy
        for tag in ("style", "script"):
            for text in re.findall(rf"<{tag}>(.*?)</{tag}>", body, re.DOTALL):
                assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
        assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", body)
        assert not re.findall(r"\son\w+=|\sstyle=", body)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"


def test_an_empty_folder_says_how_to_begin(tmp_path):
    (tmp_path / "empty").mkdir()
    body = get(application(tmp_path / "empty"), "/")[2]
    assert "no run, sweep or store in this folder yet" in body
    assert "ohmweave sweep sweep-digits --out" in body
