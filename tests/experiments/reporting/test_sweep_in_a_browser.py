"""The page of a sweep in a real browser, driven headless: no errors, hover, axes, heat map, filter and sort work."""

import html
import json
import re
import shutil
import subprocess

import pytest

from experiments.reporting import sweep_report, sweep_view
from experiments.reporting.pareto import front

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

ERRORS = """<script>
window.failures = [];
window.addEventListener("error", (event) => window.failures.push(String(event.message)));
const complain = console.error;
console.error = (...words) => { window.failures.push(words.join(" ")); complain(...words); };
</script>"""

ACTIONS = """<script>
window.addEventListener("load", () => setTimeout(() => {
  const byId = (id) => document.getElementById(id), seen = {};
  const choose = (id, value) => { byId(id).value = value; byId(id).dispatchEvent(new Event("change")); };
  const rows = () => [...byId("points-table").tBodies[0].rows].map((row) => row.cells[0].textContent);
  const chart = byId("chart");
  seen.traces = chart.data.map((trace) => [trace.name, trace.x.length]);
  seen.hover = chart.data.at(-1).text[0];
  Plotly.Fx.hover("chart", [{ curveNumber: chart.data.length - 1, pointNumber: 0 }]);
  seen.shown = [...chart.querySelectorAll(".hoverlayer text")].map((text) => text.textContent).join(" ");
  choose("front-x", "power_mw");
  seen.note = byId("front-note").textContent;
  seen.front = byId("front-table").querySelectorAll("tbody tr").length;
  choose("front-colour", "device.levels");
  seen.coloured = chart.data.length;
  choose("heat-how", "best");
  choose("heat-cols", byId("heat-rows").value);
  seen.heat = byId("heat-table").querySelector("caption").textContent;
  seen.keys = [byId("heat-rows").value, byId("heat-cols").value];
  const type = (text) => { byId("filter").value = text; byId("filter").dispatchEvent(new Event("input")); };
  type("rows = 128 adc_bits>=7 done");
  seen.count = byId("filter-count").textContent;
  const head = [...byId("points-table").tHead.rows[0].cells].find((cell) => cell.textContent.startsWith("accuracy"));
  head.querySelector("button").click();
  head.querySelector("button").click();
  seen.sort = head.getAttribute("aria-sort");
  seen.first = rows()[0];
  type("nonsense>3");
  seen.unknown = byId("filter-count").textContent;
  type("");
  byId("page-on").click();
  seen.page = [rows().length, byId("page-back").disabled];
  seen.wide = document.documentElement.scrollWidth <= window.innerWidth;
  seen.scheme = getComputedStyle(document.body).backgroundColor;
  seen.failures = window.failures;
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify(seen);
  document.body.append(told);
}, 300));
</script>"""


@pytest.fixture(scope="module")
def page(sweep_tables, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    written = sweep_report.page(sweep_view.view(sweep_tables.recorded()), "Driven")
    path.write_text(written.replace("<head>", "<head>" + ERRORS, 1).replace("</body>", ACTIONS + "</body>"))
    return path


def driven(page, *flags):
    """What the page's own actions saw, and what the browser logged."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += ["--virtual-time-budget=6000", f"--user-data-dir={page.parent / 'profile'}", *flags]
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, timeout=240)
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout.decode(), re.DOTALL)
    assert told is not None, done.stderr.decode()[-2000:]
    logged = [line for line in done.stderr.decode().splitlines() if ":CONSOLE" in line]
    return json.loads(html.unescape(told[1])), logged


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize(
    ("width", "dark"),
    [(1440, False), pytest.param(375, True, marks=pytest.mark.slow)],
    ids=["wide-light", "narrow-dark"],
)
def test_the_page_works(sweep_tables, page, width, dark):
    flags = [f"--window-size={width},900"] + (["--blink-settings=preferredColorScheme=0"] if dark else [])
    seen, logged = driven(page, *flags)
    assert seen["failures"] == []
    assert logged == []
    points = sweep_tables.recorded()
    # The page has six digits of every number.
    names = ("area_mm2", "power_mw", "accuracy_crossbar_mean")
    area, power, accuracy = (points[name].map("{:.6g}".format).astype(float).to_numpy() for name in names)
    best = front(area, accuracy)
    assert seen["traces"] == [["other points", 200 - best.sum()], ["Pareto front", best.sum()]]
    smallest = points[best].sort_values("area_mm2").iloc[0]
    assert f"crossbar.rows = {smallest['crossbar.rows']}" in seen["hover"]
    assert f"crossbar.rows = {smallest['crossbar.rows']}" in seen["shown"]
    on = front(power, accuracy).sum()
    assert seen["note"].startswith(f"{on} of 200 points are on the front (better: less power")
    assert seen["front"] >= 3
    assert seen["coloured"] == 2  # eight levels are a scale of colours, not eight names
    assert "best over the other keys" in seen["heat"]
    assert seen["keys"][0] != seen["keys"][1]
    assert seen["count"].startswith("16 of 200 points.")
    assert seen["sort"] == "descending"
    wide = points[(points["crossbar.rows"] == 128) & (points["crossbar.adc_bits"] >= 7)]
    assert seen["first"] == str(wide.loc[wide["accuracy_crossbar_mean"].idxmax(), "point"])
    assert "No column is called as in nonsense>3" in seen["unknown"]
    assert seen["page"] == [50, False]
    assert seen["wide"]
    assert seen["scheme"] == ("rgb(23, 25, 28)" if dark else "rgb(255, 255, 255)")
