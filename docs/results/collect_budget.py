"""One CSV row per finished compression: `python docs/results/collect_budget.py FOLDER … > docs/results/budget.csv`."""

import json
from pathlib import Path

from collect import print_table


def row(folder: str) -> dict[str, object]:
    """The figures of an `ohmweave compress` that a results page quotes; fractions as fractions, units in the names."""
    record = json.loads((Path(folder) / "compress.json").read_text())
    target, accuracy, placed = record["target"], record["accuracy"], record["cost"]["placed"]
    return {
        "command": record["command"].partition(" --out")[0],
        "seed": record["config"]["seed"],
        "target": target["kind"],
        "measure": record["config"]["compress"]["measure"],
        "limit": float(f"{target['limit']:.5g}"),
        "options": float(f"{target['options']:.5g}"),
        "placed": float(f"{target['placed']:.5g}"),
        **{f"accuracy_{stage}": round(accuracy[stage], 4) for stage in ("dense", "pruned", "quantised")},
        "held_out": None if record["held_out"] is None else round(record["held_out"], 4),
        "kept": record["weights"]["kept"],
        "weights": record["weights"]["total"],
        "arrays": int(placed["arrays"]),
        **{key: float(f"{placed[key]:.5g}") for key in ("area_mm2", "power_mw", "energy_nj")},
        "bound_gap": float(f"{max(target['gap'], 0):.2g}"),
        "exact": target["exact"],
        "layers": " ".join(f"{each['layer']}:{each['rows']}x{each['cols']}" for each in target["layers"]),
        "tries": len(record["tries"]),
        "epochs": sum(each["epochs"] for each in record["tries"]) or None,
    }


if __name__ == "__main__":
    print_table(row)
