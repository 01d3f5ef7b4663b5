"""The hardware side of Table I of Yuan et al., ISLPED 2019: what its pruned networks take on crossbars.

`python docs/results/cifar10.py` writes cifar10-hardware.csv: a row for every configuration `filters-*` of
examples/cifar10 (network, rate and bits), counted without training. Structured pruning leaves whole rows and columns of
a layer's matrix, so how many are left says everything that counting tiles needs; which ones, training decides.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from admm.constraints import Column, Filter
from admm.layers import resolve
from experiments import config as configuration
from experiments import models
from experiments.plans import compression_plan
from experiments.setup import array_spec, baseline_spec
from hwmodels import Matrix, dense_tiles, prepare

HERE = Path(__file__).parent
ROWS = HERE.parent.parent / "examples" / "cifar10"
CELLS_BASELINE = 4
"""Cells of a 9-bit weight: two 4-bit cells of each sign (Yuan et al. 2019, §III)."""
MEAN_G_S = 5.5e-7
"""Sixteen evenly spaced levels of 0.1 to 1 µS, all equally often."""
PAPER = {
    ("convnet", 2.35): (57.45, {9: 84.55, 7: 84.18, 6: 83.50, 5: 80.81}, {}),
    ("convnet", 2.93): (65.87, {9: 84.53, 7: 83.73, 6: 82.25, 5: 80.41}, {"area": 89.74, "power": 95.91}),
    ("convnet", 5.88): (82.99, {9: 83.58, 7: 83.00, 6: 81.54, 5: 78.18}, {}),
    ("vgg16", 9.31): (89.26, {9: 93.76, 7: 93.67, 6: 93.64, 5: 93.26}, {}),
    ("vgg16", 29.81): (96.65, {9: 93.36, 7: 92.97, 6: 92.51, 5: 91.21}, {"area": 98.28, "power": 98.38}),
    ("resnet18", 11.75): (91.49, {9: 93.79, 7: 93.68, 6: 93.25, 5: 92.92}, {}),
    ("resnet18", 20.88): (95.21, {9: 93.20, 7: 93.13, 6: 92.65, 5: 92.44}, {"area": 97.46, "power": 96.95}),
}
"""Table I by network and rate: crossbar area saved [%], accuracy by bits [%], and Fig. 8's reductions at 5 bits [%]."""


def matrices(network: nn.Module, kept: dict[str, tuple[int, int]], convolutions_only: bool) -> list[Matrix]:
    """Lowered matrices of a network for 3 × 32 × 32 images; kept: rows and columns left of the layers named there."""
    found: list[Matrix] = []

    def note(name: str, module: nn.Module, output: torch.Tensor) -> None:
        weight = module.get_parameter("weight")
        rows, cols = kept.get(name, (weight[0].numel(), len(weight)))
        positions = output.shape[2] * output.shape[3] if output.ndim == 4 else 1
        found.append(Matrix(name=name, rows=rows, cols=cols, reads_per_inference=positions))

    kinds = (nn.Conv2d,) if convolutions_only else (nn.Conv2d, nn.Linear)
    hooks = [
        module.register_forward_hook(lambda module, _, output, name=name: note(name, module, output))
        for name, module in network.named_modules()
        if isinstance(module, kinds)
    ]
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    return found


def left(config: configuration.Config, network: nn.Module) -> dict[str, tuple[int, int]]:
    """Rows and columns of the lowered matrix that the configuration leaves of every layer that it prunes."""
    found = {}
    for name, layer in resolve(compression_plan(config, array_spec(config)), network).items():
        rows, cols = layer.weight[0].numel(), len(layer.weight)
        for constraint in layer.prune:
            if isinstance(constraint, Filter):
                cols = constraint.count(layer.weight.shape)
            elif isinstance(constraint, Column):
                rows = constraint.count(layer.weight.shape)
        found[name] = (rows, cols)
    return found


def priced(layers: list[Matrix], config: configuration.Config, slices: int) -> dict[str, float]:
    """Arrays, area [mm²] and peak power [mW] of matrices on the configuration's arrays."""
    tiles = dense_tiles(
        layers,
        array_rows=config.crossbar.rows,
        array_cols=config.crossbar.cols,
        slices=slices,
        g_mean_s=MEAN_G_S,
    )
    totals = prepare(tiles).estimate(config.hardware.library).totals
    return {"arrays": totals["arrays"], "area": totals["area_mm2"], "power": totals["power_peak_mw"]}


def weights(layers: list[Matrix]) -> int:
    """Weights of matrices."""
    return sum(layer.rows * layer.cols for layer in layers)


def row(path: Path) -> dict[str, object]:
    """One row of Table I, ours beside the paper's; percentages against the unpruned network at 9 bits."""
    config = configuration.load(path)
    network = models.build(config.network.name, in_channels=3, classes=10, image_size=32)
    digits, bits = (int(part) for part in re.findall(r"\d+", path.stem))
    rate = digits / 100
    # Which groups go is a matter of the 9-bit run; the others start from it and prune nothing themselves.
    kept = left(configuration.load(path.with_name(f"filters-{digits}-9bit.toml")), network)
    array = array_spec(config)
    slices, whole = array.slices, baseline_spec(config, array_spec(configuration.load(path.with_name("dense.toml"))))
    found: dict[str, object] = {"network": config.network.name, "rate_paper": rate, "bits": bits}
    dense, pruned = matrices(network, {}, True), matrices(network, kept, True)
    square = [layer.name for layer in dense if "downsample" not in layer.name]
    every = [weights(matrices(network, which, False)) for which in ({}, kept)]
    inner = [weights([layer for layer in which if layer.name in square]) for which in (dense, pruned)]
    found |= {"conv_weights": inner[0], "conv_kept": inner[1], "rate_conv": round(inner[0] / inner[1], 2)}
    found["rate_with_shortcuts"] = round(weights(dense) / weights(pruned), 2)
    found["rate_all_weights"] = round(every[0] / every[1], 2)
    saved, accuracy, figure = PAPER[config.network.name, rate]
    share = 2 * slices / CELLS_BASELINE
    found["ideal_percent"] = round(100 * (1 - share * inner[1] / inner[0]), 2)
    for which, only in (("conv", True), ("all", False)):
        both = [
            priced(matrices(network, part, only), config, count) for part, count in (({}, whole.slices), (kept, slices))
        ]
        for key in ("arrays", "area", "power"):
            found[f"{key}_{which}_percent"] = round(100 * (1 - both[1][key] / both[0][key]), 2)
        found |= {f"arrays_{which}_baseline": both[0]["arrays"], f"arrays_{which}": both[1]["arrays"]}
    found["paper_crossbar_area_saved_percent"] = saved
    found["paper_accuracy_percent"] = accuracy[bits]
    at_five = figure if bits == 5 else {}
    return found | {f"paper_{key}_percent": at_five.get(key) for key in ("area", "power")}


def main() -> None:
    """Write the table."""
    paths = [ROWS / net / f"filters-{round(100 * rate)}-{bits}bit.toml" for net, rate in PAPER for bits in (9, 7, 6, 5)]
    table = pd.DataFrame([row(path) for path in paths])
    table.to_csv(HERE / "cifar10-hardware.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
