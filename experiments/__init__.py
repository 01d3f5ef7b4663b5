"""What a user starts: configuration, data, networks, training, the pipeline, sweeps, reports, and the command line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load_results(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """The table of a sweep: a row per point, a column per swept key by its own name, then the results.

    The columns and their units are in docs/sweeps.md. Raises UserError where the folder has no table, or one that is
    damaged or newer than this program.
    """
    from experiments.sweeping import table  # here, so that importing the package stays light

    return table.load_results(folder)
