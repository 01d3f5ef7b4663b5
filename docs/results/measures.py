"""What a budget of weights should lose least of: `python docs/results/measures.py > docs/results/measures.csv`.

The packaged digits network is trained (three seeds) and pruned at once, all layers by one number of weights, by the
squares of weights ("energy") and by the estimate of the loss ("loss"). Nothing is retrained after it: the columns say
what the cut alone costs, in training loss and in test accuracy. One core, under a minute.
"""

import csv
import sys
from dataclasses import replace

import torch
from torch.nn.functional import cross_entropy

from admm import LayerPlan, Plan
from admm.constraints import GlobalBudget, Unstructured
from admm.curvature import weight_curvature
from admm.epoch import mean_loss
from admm.layers import resolve
from experiments import config as configs
from experiments import training
from experiments.progress import SILENT
from experiments.setup import prepare

RATES = (5, 10, 20, 40)
CPU = torch.device("cpu")


def rows(seed: int) -> list[dict[str, object]]:
    """A row for every rate and measure of one seed."""
    config = replace(configs.load(configs.find("digits")), seed=seed)
    setup = prepare(config, "digits", SILENT)
    model, batches = setup.network, setup.batches("train")
    section = config.train
    training.train(model, batches, epochs=section.epochs, lr=section.lr, seed=seed)
    dense = {name: value.clone() for name, value in model.state_dict().items()}
    layers = resolve(Plan(layers=(LayerPlan(name="*", prune=(Unstructured(1.0),)),)), model)
    weights = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    curvature = weight_curvature(model, layers, batches, cross_entropy, CPU)
    found: list[dict[str, object]] = []
    for rate in RATES:
        for measure in ("energy", "loss"):
            budget = GlobalBudget(layers=tuple(layers), of=Unstructured(1 / rate), measure=measure)
            masks = budget.masks(weights, curvature=curvature)
            for name, mask in masks.items():
                layers[name].weight.data.mul_(mask)
            loss, accuracy = (
                mean_loss(model, batches, cross_entropy, CPU),
                training.accuracy(model, setup.batches("test")),
            )
            kept = " ".join(f"{name}:{int(mask.sum())}" for name, mask in masks.items())
            shown = {"loss": round(loss, 4), "test_accuracy": round(accuracy, 4), "kept": kept}
            found.append({"seed": seed, "rate": rate, "measure": measure, **shown})
            model.load_state_dict(dense)
    return found


if __name__ == "__main__":
    table = [row for seed in range(3) for row in rows(seed)]
    writer = csv.DictWriter(sys.stdout, fieldnames=list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
