"""The ConvNet rows of Table I (Yuan et al., ISLPED 2019) from finished runs: `python docs/results/convnet.py RUNS`.

RUNS is the folder that holds `dense`, `filters-235-9bit`, `arrays-64` and so on, made by the configurations in
examples/cifar10/convnet, and the sweeps `chips-*` and `front`. Writes convnet.csv (a row per row of the table, empty
where a run is missing), convnet-bits.svg of them, convnet-budgets.csv (a row per budget), convnet-chips.csv (a row per
point of the chip studies) and the tables in convnet.md between its two marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from cifar10 import PAPER
from collect import row as collected

HERE = Path(__file__).parent
BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
STUDIES = ("chips-stuck", "chips-wires", "chips-adc", "chips-drift", "front")
SPREAD = ("crossbar_mean", "crossbar_low", "crossbar_high")
PERCENT = ("accuracy_dense", "accuracy_quantised", *SPREAD, "area_reduction", "power_reduction")
COUNTS = ("arrays_baseline", "arrays_placed", "weights", "kept", "chips", "seed", "seconds")
RESULTS = ("accuracy_quantised", "accuracy_crossbar_mean", "accuracy_crossbar_low", "accuracy_crossbar_high", "chips")
COSTS = ("area_mm2", "power_mw", "energy_nj", "latency_us", "arrays")


def table(runs: Path) -> pd.DataFrame:
    """The rows of Table I with what our runs found; accuracies and reductions in percent."""
    rows = []
    for rate, bits in [(rate, bits) for net, rate in PAPER if net == "convnet" for bits in (9, 7, 6, 5)]:
        folder = runs / f"filters-{round(100 * rate)}-{bits}bit"
        found: dict[str, object] = {"rate_paper": rate, "bits": bits}
        found["accuracy_paper"] = PAPER["convnet", rate][1][bits]
        if (folder / "result.json").is_file():
            found |= figures(folder)
        rows.append(found)
    return pd.DataFrame(rows)


def figures(folder: Path) -> dict[str, object]:
    """Accuracies and reductions of a finished run in percent, its counts, and the command that made it."""
    ours = collected(str(folder))
    found: dict[str, object] = {key: round(100 * float(str(ours[key])), 2) for key in PERCENT}
    found |= {key: ours[key] for key in COUNTS}
    command = f"OMP_NUM_THREADS=1 ohmweave run examples/cifar10/convnet/{folder.name}.toml --data-dir DIR"
    return found | {"command": f"{command} --out runs/convnet/{folder.name}"}


def budgets(runs: Path) -> pd.DataFrame:
    """The networks whose rows and columns a budget of arrays chose, the largest budget first."""
    rows = []
    for folder in sorted(runs.glob("arrays-*"), key=lambda each: -int(each.name.split("-")[1])):
        if (folder / "result.json").is_file():
            chosen = pd.read_csv(folder / "tables" / "choices.csv")
            last = chosen.tail(chosen["layer"].nunique())
            kept = [f"{each.layer.split('.')[-1]} {each.rows}×{each.cols}" for each in last.itertuples()]
            rows.append(
                {"arrays_asked": int(folder.name.split("-")[1])} | figures(folder) | {"chosen": ", ".join(kept)}
            )
    return pd.DataFrame(rows)


def studies(runs: Path) -> pd.DataFrame:
    """The points of all finished chip studies, the swept keys as one text; shares as shares."""
    found = []
    for study in STUDIES:
        path = runs / study / "results.csv"
        if path.is_file():
            points = pd.read_csv(path)
            swept = [key for key in points.columns if "." in key]
            for _, point in points.iterrows():
                text = ", ".join(f"{key} = {point[key]}" for key in swept)
                found.append({"study": study, "point": text} | {key: point.get(key) for key in (*RESULTS, *COSTS)})
    return pd.DataFrame(found)


def markdown(frame: pd.DataFrame) -> str:
    """A table in Markdown; what is missing stays empty."""
    lines = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * len(frame.columns)]
    rows = frame.convert_dtypes().astype(object).where(frame.notna(), "").to_numpy()
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def picture(rows: pd.DataFrame, path: Path) -> None:
    """Accuracy over bits, a panel for every rate: the paper's, ours on levels, and ours on simulated chips."""
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "ohmweave", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    rates = sorted(set(rows["rate_paper"]))
    figure, panels = plt.subplots(1, len(rates), figsize=(7.2, 2.8), sharey=True, layout="constrained")
    for axes, rate in zip(panels, rates, strict=True):
        some = rows[rows["rate_paper"] == rate].sort_values("bits").drop(columns="command").astype(float)
        axes.plot(some["bits"], some["accuracy_paper"], "x--", color="#b3202c", label="paper")
        axes.plot(some["bits"], some["accuracy_quantised"], "o-", color="#1f6fb4", label="ours, on levels")
        spread = [some[f"crossbar_{a}"].sub(some[f"crossbar_{b}"]) for a, b in (("mean", "low"), ("high", "mean"))]
        axes.errorbar(
            some["bits"], some["crossbar_mean"], spread, fmt="s", ms=4, color="#d1701c", capsize=2,
            label="ours, simulated chips (95 %)",
        )  # fmt: skip
        axes.set(title=f"{rate:g}×", xlabel="bits", xticks=[5, 6, 7, 9])
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#eeeeee")
    panels[0].set_ylabel("accuracy [%]")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Write the tables of the runs in the folder named on the command line."""
    runs = Path(sys.argv[1])
    rows, chips = table(runs).convert_dtypes(), studies(runs)
    rows.to_csv(HERE / "convnet.csv", index=False)
    if "crossbar_mean" in rows:
        picture(rows, HERE / "convnet-bits.svg")
    parts = [markdown(rows.drop(columns=["command", "seed"], errors="ignore"))]
    chosen = budgets(runs)
    if len(chosen):
        chosen.to_csv(HERE / "convnet-budgets.csv", index=False)
        parts.append(markdown(chosen.drop(columns=["command", "seed"])))
    if len(chips):
        chips.to_csv(HERE / "convnet-chips.csv", index=False)
        few = chips.loc[chips["study"] != "front", ["study", "point", *RESULTS]].copy()
        shares = [name for name in RESULTS if name.startswith("accuracy")]
        few[shares] = (100 * few[shares].astype(float)).round(2)
        parts.append(markdown(few))
    page = (HERE / "convnet.md").read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    text = before + BEGIN + "\n\n" + "\n\n".join(parts) + "\n\n" + END + after
    (HERE / "convnet.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
