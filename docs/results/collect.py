"""One CSV row per finished run: `python docs/results/collect.py RUN_FOLDER … > docs/results/NAME.csv`."""

import csv
import sys
from collections.abc import Callable

from experiments.reporting import report


def row(folder: str) -> dict[str, object]:
    """The figures of a run that a results page quotes; fractions as fractions, units in the names."""
    record = report.load(folder)
    accuracy = record["accuracy"]
    found: dict[str, object] = {
        "command": record["command"],
        "config_hash": record["config_hash"],
        "seed": record["seed"],
    }
    found |= {f"accuracy_{key}": round(accuracy[key], 4) for key in ("dense", "pruned", "quantised")}
    found |= {key: round(accuracy[key], 4) for key in ("crossbar_mean", "crossbar_low", "crossbar_high")}
    found |= {"chips": len(accuracy["crossbar_seeds"]), "test_samples": accuracy["samples"]}
    found |= {"weights": record["weights"]["total"], "kept": record["weights"]["kept"]}
    found["compression"] = round(record["compression"], 2)
    found["macs_on_arrays"] = round(record["macs_on_arrays"], 4)
    for key in ("arrays", "area_mm2", "power_mw", "energy_nj", "latency_us"):
        found |= {f"{key}_{which}": float(f"{value:.5g}") for which, value in record[key].items()}
    found |= {f"{key}_reduction": round(value, 4) for key, value in record["reduction"].items()}
    found |= {key: record[key] for key in ("levels_violations", "constraint_violations")}
    return found | {"seconds": round(record["seconds"]), "torch": record["versions"]["torch"]}


def print_table(row: Callable[[str], dict[str, object]]) -> None:
    """Print the table of the folders named on the command line."""
    rows = [row(folder) for folder in sys.argv[1:]]
    writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    print_table(row)
