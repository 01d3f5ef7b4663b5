"""The hardware side of Table I of Yuan et al., ISLPED 2019: what its pruned networks take on crossbars.

`python docs/results/cifar10.py` writes cifar10-hardware.csv and .svg: a row for every configuration `filters-*` of
examples/cifar10 (network, rate and bits), counted without training. Structured pruning leaves whole rows and columns of
a layer's matrix, so how many are left says everything that counting tiles needs; which ones, training decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from admm.constraints import Column, Filter
from admm.layers import resolve
from experiments import config as configuration
from experiments import models
from experiments.plans import compression_plan
from experiments.setup import array_spec
from hwmodels import Matrix, dense_tiles, prepare

HERE = Path(__file__).parent
ROWS = HERE.parent.parent / "examples" / "cifar10"
CELLS_BASELINE = 4
"""Cells of a 9-bit weight: two 4-bit cells of each sign (Yuan et al. 2019, §III)."""
LINEAR = ("classifier", "fc")
"""How the names of linear layers begin in the packaged networks."""
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


def matrices(network: nn.Module, kept: dict[str, tuple[int, int]]) -> list[Matrix]:
    """Lowered matrices of a network for 3 × 32 × 32 images; kept: rows and columns left of the layers named there."""
    found: list[Matrix] = []

    def note(name: str, module: nn.Module, output: Any) -> None:
        weight = module.get_parameter("weight")
        rows, cols = kept.get(name, (weight[0].numel(), len(weight)))
        positions = output.shape[2] * output.shape[3] if output.ndim == 4 else 1
        found.append(Matrix(name=name, rows=rows, cols=cols, reads_per_inference=positions))

    hooks = [
        module.register_forward_hook(lambda module, _, output, name=name: note(name, module, output))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
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


def alike(layers: list[Matrix], rate: float) -> list[Matrix]:
    """The same rate by the plainest rule: every layer by the same factor, half of it (in the logarithm) in its rows."""
    sizes = [(max(1, round(m.rows / rate**0.5)), max(1, round(m.cols / rate**0.5))) for m in layers]
    return [
        Matrix(name=m.name, rows=rows, cols=cols, reads_per_inference=m.reads_per_inference)
        for m, (rows, cols) in zip(layers, sizes, strict=True)
    ]


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


@cache
def untrained(name: str) -> nn.Module:
    """A packaged network for CIFAR-10; no value of its weights matters here."""
    return models.build(name, in_channels=3, classes=10, image_size=32)


@dataclass(frozen=True)
class Pruned:
    """What one structured pruning leaves of a network; the bits of its weights change none of it."""

    config: configuration.Config
    whole: list[Matrix]
    left: list[Matrix]

    @staticmethod
    @cache
    def of(path: Path) -> Pruned:
        """That of the 9-bit configuration of a rate: those of fewer bits start from its run and prune nothing."""
        config = configuration.load(path)
        network = untrained(config.network.name)
        return Pruned(config, matrices(network, {}), matrices(network, left(config, network)))

    def parts(self) -> dict[str, tuple[list[Matrix], list[Matrix]]]:
        """Whole and left by what a rate may count: convolutions without and with 1 × 1 shortcuts, all layers."""
        kinds = {
            "conv": lambda m: not m.name.startswith(LINEAR) and "downsample" not in m.name,
            "with_shortcuts": lambda m: not m.name.startswith(LINEAR),
            "all_weights": lambda m: True,
        }
        return {what: (list(filter(of, self.whole)), list(filter(of, self.left))) for what, of in kinds.items()}


@cache
def hardware(path: Path, slices: int) -> dict[str, object]:
    """What counting says of one pruning with so many cells a weight and sign, against the whole network at 9 bits."""
    pruned = Pruned.of(path)
    found: dict[str, object] = {}
    for what, (whole, some) in pruned.parts().items():
        found |= {f"weights_{what}": weights(whole), f"kept_{what}": weights(some)}
        found[f"rate_{what}"] = round(weights(whole) / weights(some), 2)
        share = 2 * slices / CELLS_BASELINE
        found[f"ideal_percent_{what}"] = round(100 * (1 - share * weights(some) / weights(whole)), 2)
        before, after = priced(whole, pruned.config, CELLS_BASELINE // 2), priced(some, pruned.config, slices)
        found |= {f"arrays_baseline_{what}": before["arrays"], f"arrays_{what}": after["arrays"]}
        for key in ("area", "power"):
            found[f"{key}_percent_{what}"] = round(100 * (1 - after[key] / before[key]), 2)
    whole, some = pruned.parts()["conv"]
    before, after = (
        priced(layers, pruned.config, cells)["arrays"]
        for layers, cells in (
            (whole, CELLS_BASELINE // 2),
            (alike(whole, weights(whole) / weights(some)), slices),
        )
    )
    return found | {"area_percent_conv_alike": round(100 * (1 - after / before), 2)}


def row(network: str, rate: float, bits: int) -> dict[str, object]:
    """One row of Table I, ours beside the paper's."""
    stem = f"filters-{round(100 * rate)}"
    slices = array_spec(configuration.load(ROWS / network / f"{stem}-{bits}bit.toml")).slices
    saved, accuracy, figure = PAPER[network, rate]
    found: dict[str, object] = {"network": network, "rate_paper": rate, "bits": bits}
    found |= hardware(ROWS / network / f"{stem}-9bit.toml", slices)
    found |= {"paper_area_saved_percent_9bit": saved, "paper_accuracy_percent": accuracy[bits]}
    at_five = figure if bits == 5 else {}
    return found | {f"paper_{key}_percent": at_five.get(key) for key in ("area", "power")}


def picture(table: pd.DataFrame, path: Path) -> None:
    """What is left of the baseline's arrays, row by row: the papers' count, and whole arrays by two plans."""
    import matplotlib.pyplot as plt

    some = table[table["bits"].isin((9, 5))].reset_index(drop=True)
    plt.rcParams |= {"svg.hashsalt": "ohmweave", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    figure, axes = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    places = range(len(some))
    series = (
        ("ideal_percent_conv", "kept cells, the papers' count", "|", "#444444", 140),
        ("area_percent_conv", "whole arrays, plan fits them", "o", "#1f6fb4", 28),
        ("area_percent_conv_alike", "whole arrays, every layer pruned alike", "s", "#d1701c", 24),
        ("paper_area_percent", "area in the paper's Fig. 8", "x", "#b3202c", 36),
    )
    for key, label, marker, colour, size in series:
        left = 100 - some[key]
        axes.scatter(left, places, marker=marker, color=colour, s=size, label=label, zorder=3)
    names = {"convnet": "ConvNet", "vgg16": "VGG-16", "resnet18": "ResNet-18"}
    labels = [f"{names[r.network]} {r.rate_paper:g}×, {r.bits} bits" for r in some.itertuples()]
    axes.set_yticks(list(places), labels)
    axes.invert_yaxis()
    axes.set_xscale("log")
    ticks = [1, 2, 5, 10, 20, 50]
    axes.set_xticks(ticks, [f"{tick} %" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("of the 9-bit network's arrays (3 × 3 convolutions)")
    axes.grid(axis="both", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=True, framealpha=1, edgecolor="#dddddd")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Write the table and the picture."""
    table = pd.DataFrame([row(network, rate, bits) for network, rate in PAPER for bits in (9, 7, 6, 5)])
    table.to_csv(HERE / "cifar10-hardware.csv", index=False)
    picture(table, HERE / "cifar10-hardware.svg")


if __name__ == "__main__":
    main()
