"""The served pages in a real browser: typing filters, what a sweep does is followed, hover works in a served report."""

import threading
import time

import pytest
import uvicorn

from experiments.commands.serve_command import bound
from experiments.reporting import sweep_report, sweep_view
from experiments.serving.pages import application
from experiments.sweeping.journal import SweepFolder

SHOWN = (
    "[...document.querySelectorAll('tr[data-path]')].filter(row => row.checkVisibility()).map(row => row.dataset.path)"
)


def done(number, accuracy):
    return {"id": str(number), "point": number, "row": {"status": "done", "accuracy_crossbar_mean": accuracy}}


@pytest.fixture
def root(tmp_path, sweep_tables):
    root = tmp_path / "root"
    for name in ("alpha", "beta", "gamma"):
        with SweepFolder(root / name, {"name": name, "digest": "0"}) as sweep:
            sweep.plan(4, ["accuracy_crossbar_mean"])
            sweep.append([done(0, 0.5)])
    written = sweep_report.page(sweep_view.view(sweep_tables.recorded()), "Served")
    (root / "beta" / "report.html").write_text(written)
    return root


@pytest.fixture
def address(root):
    """The application behind a real socket; the address ends in a slash."""
    listening = bound(0)
    config = uvicorn.Config(application(root), log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join(30)
    listening.close()


@pytest.mark.parametrize(
    ("width", "dark"),
    [(1440, False), pytest.param(375, True, marks=pytest.mark.slow)],
    ids=["wide-light", "narrow-dark"],
)
def test_typing_filters_the_list_and_the_page_follows_a_sweep(open_tab, address, root, width, dark):
    tab = open_tab(width, dark=dark)
    tab.go(address)
    assert sorted(tab.value(SHOWN)) == ["alpha", "beta", "gamma"]
    assert tab.value("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.value("getComputedStyle(document.body).backgroundColor") == (
        "rgb(23, 25, 28)" if dark else "rgb(255, 255, 255)"
    )
    tab.click("#filter")
    tab.type("BET")
    assert tab.value("document.getElementById('filter').value") == "BET"
    assert tab.value(SHOWN) == ["beta"]
    assert tab.value("document.getElementById('shown').textContent") == "1"
    tab.type("z")
    assert tab.value(SHOWN) == []

    tab.go(f"{address}entry/alpha")
    assert tab.value("document.querySelector('[data-is=progress]').textContent") == "1 of 4"
    with SweepFolder(root / "alpha", {"name": "alpha", "digest": "0"}) as sweep:
        sweep.append([done(1, 0.75)])
        tab.wait_for("document.querySelector('[data-is=progress]')?.textContent === '2 of 4'")
        assert tab.value("document.querySelector('progress').value") == 2
        assert "75" in tab.value("document.querySelector('[data-is=said]').textContent")
    assert tab.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(375, True), (1440, False)], ids=["narrow-dark", "wide-light"])
def test_hover_and_filter_work_in_a_served_report(open_tab, address, width, dark):
    tab = open_tab(width, dark=dark)
    tab.go(f"{address}entry/beta")
    tab.go(f"{address}files/beta/report.html")
    tab.wait_for("document.querySelector('#chart .points path')")
    tab.hover("#chart .trace:last-of-type .points path")
    tab.wait_for("document.querySelector('#chart .hoverlayer text')")
    assert "crossbar.rows" in tab.value("document.querySelector('#chart .hoverlayer').textContent")
    tab.click("#filter")
    tab.type("rows = 128 done")
    tab.wait_for("document.getElementById('filter-count').textContent.startsWith('40 of 200 points.')")
    assert tab.value("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.complaints == []
