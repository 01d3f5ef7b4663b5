"""What the stages of a run have made: all that its record is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from admm import Compressed
from hwmodels import Estimate
from mapping import Placement


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the stages have made: all that the record is written from.

    accuracy: on the test set, by stage (dense, pruned, quantised); training: history of the dense network; seeds: per
    chip its number, accuracy and clipped samples; waterfall: where accuracy is lost (`experiments.waterfall`), None
    where not asked for; cost: of "baseline" and "placed"; seconds: by stage.
    """

    accuracy: dict[str, float]
    training: pd.DataFrame
    compressed: Compressed
    placement: Placement
    seeds: list[dict[str, Any]]
    waterfall: dict[str, Any] | None
    baseline: Placement
    cost: dict[str, Estimate]
    seconds: dict[str, float]
