"""What [mapping] asks for: how a run's network is put on arrays, and what is to be known of it."""

from __future__ import annotations

from typing import Any

from crossbar import ArraySpec
from experiments.config import Config
from experiments.progress import Progress
from hwmodels.devices.faults import any_faults
from hwmodels.errors import UserError
from mapping import Placement, Placing
from mapping.array_choice import check_spares


def placing_of(config: Config) -> Placing:
    """The choices of [mapping] that placing takes."""
    section = config.mapping
    return Placing(
        repack=section.repack, share=section.share, spare_rows=section.spare_rows, spare_cols=section.spare_cols
    )


def check(config: Config, array: ArraySpec, progress: Progress) -> None:
    """Raise UserError for spares that leave no room, or a target beside them; note faults that there are none of."""
    section = config.mapping
    try:
        check_spares(array, section.spare_rows, section.spare_cols)
    except UserError as error:
        raise UserError(f"[mapping] {error}") from None
    if config.compress.target is not None and placing_of(config) != Placing():
        raise UserError(
            "compress.target prices what plain tiling takes; leave out mapping.repack, mapping.share and the spare "
            "lines, or the target."
        )
    if section.avoid_faults and not any_faults(array.device):
        progress.note(f"{array.device.name} has no faulty cells: mapping.avoid_faults changes nothing.")


def sentences(config: Config, placement: Placement, faults: dict[str, Any] | None) -> list[str]:
    """What is to be known of how the network stands on its arrays."""
    section, bits = config.mapping, sum(placement.layer_table["index_bits"].tolist())
    chosen = [*(["rows and columns repacked"] if section.repack else [])]
    chosen += [f"arrays shared within the {section.share}"] if section.share != "none" else []
    chosen += [f"{section.spare_rows} rows and {section.spare_cols} columns of every array spare"] * bool(
        section.spare_rows or section.spare_cols
    )
    how = f" ({', '.join(chosen)})" if chosen else ""
    found = [
        f"The network takes {placement.arrays} arrays{how}; no tiling of its masks takes fewer than "
        f"{placement.arrays_bound}."
    ]
    if bits:
        found.append(
            f"Tables of {bits / 8192:.3g} KiB say which input drives each word line and which output each column "
            "gives; no component library prices them, so they count 0."
        )
    if faults is not None:
        gave = faults["recovered"]
        share = "" if gave is None else f", {100 * gave:.0f} % of what the chips lose against the quantised network"
        found.append(
            f"Every chip counts as tested: its map of stuck cells is the one that its seed draws, and the network is "
            f"placed for that chip. Moving gives back "
            f"{100 * (faults['accuracy_moved_mean'] - faults['accuracy_unmoved_mean']):.2f} points of accuracy{share}; "
            f"as placed the mean is {100 * faults['accuracy_unmoved_mean']:.2f} %. It takes index tables of "
            f"{faults['index_bits'] / 8192:.3g} KiB instead of {faults['index_bits_unmoved'] / 8192:.3g} KiB. Testing "
            "chips, placing for each and these tables are not priced."
        )
    return found
