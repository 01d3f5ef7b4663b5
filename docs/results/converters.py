"""What each converter error costs a finished run: `python docs/results/converters.py RUN_FOLDER > converters.csv`.

The compressed network of the run is placed again with one change to the arrays and run on ten chips each, the same
chip numbers for every row; mean, standard deviation and 95 % Student-t interval are over the chips.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from scipy import stats

import mapping
from admm import Compressed
from crossbar import AdcErrors, DacErrors
from experiments import config, training
from experiments.pipeline import device_seed
from experiments.progress import SILENT
from experiments.setup import prepare

CHIPS = 10

CASES = {
    "as run": {},
    "range full": {"adc_range": "full"},
    "range per converter (8 columns)": {"adc_range_per": "converter", "cols_per_adc": 8},
    "range 99.9th percentile": {"adc_range": "percentile", "adc_percentile": 99.9},
    "range 99th percentile": {"adc_range": "percentile", "adc_percentile": 99.0},
    "range 95th percentile": {"adc_range": "percentile", "adc_percentile": 95.0},
    "6 bits": {"adc_bits": 6},
    "5 bits": {"adc_bits": 5},
    "4 bits": {"adc_bits": 4},
    "offset 0.5 LSB": {"adc_errors": AdcErrors(offset_lsb=0.5)},
    "offset 2 LSB": {"adc_errors": AdcErrors(offset_lsb=2.0)},
    "gain 1 %": {"adc_errors": AdcErrors(gain=0.01)},
    "gain 5 %": {"adc_errors": AdcErrors(gain=0.05)},
    "INL bow 2 LSB": {"adc_errors": AdcErrors(inl_lsb=2.0)},
    "INL bow 8 LSB": {"adc_errors": AdcErrors(inl_lsb=8.0)},
    "INL S 8 LSB": {"adc_errors": AdcErrors(inl_lsb=8.0, inl_shape="s")},
    "noise 0.5 LSB": {"adc_errors": AdcErrors(noise_lsb=0.5)},
    "noise 2 LSB": {"adc_errors": AdcErrors(noise_lsb=2.0)},
    "driver gain 5 %": {"dac_errors": DacErrors(gain=0.05)},
    "driver offset 0.01 LSB (1 bit)": {"dac_errors": DacErrors(offset_lsb=0.01)},
    "driver offset 0.05 LSB (1 bit)": {"dac_errors": DacErrors(offset_lsb=0.05)},
}


def main() -> None:
    """Print the table for the run named on the command line."""
    folder = Path(sys.argv[1])
    setup = prepare(config.load(folder / "config.toml"), "converters", SILENT)
    compressed = Compressed.load(folder / "state" / "compressed", setup.network)
    test = setup.batches("test")
    writer = None
    for name, changes in CASES.items():
        placement = mapping.place(compressed, setup.array.with_(**changes), setup.calibration)
        chip = mapping.CrossbarNetwork(placement)
        accuracies = []
        for number in range(CHIPS):
            chip.program(device_seed(setup.config.seed, number))
            accuracies.append(training.accuracy(chip, test))
        clipping = chip.clipping().values()
        clipped = sum(item.adc_clipped for item in clipping) / max(sum(item.adc_samples for item in clipping), 1)
        std = float(np.std(accuracies, ddof=1))
        row = {
            "change": name,
            "accuracy_mean": round(float(np.mean(accuracies)), 4),
            "accuracy_std": round(std, 4),
            "accuracy_half_width": round(float(stats.t.ppf(0.975, CHIPS - 1)) * std / CHIPS**0.5, 4),
            "adc_clipped": float(f"{clipped:.3g}"),
            "chips": CHIPS,
        }
        if writer is None:
            writer = csv.DictWriter(sys.stdout, fieldnames=list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
