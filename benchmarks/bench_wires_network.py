"""Wires of a whole network: every array of a VGG-16 placement behind wires of 1 Ω, exactly.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/bench_wires_network.py [--arrays N] [--out FILE.csv]

Random weights (their values do not matter to the time), 128 × 128 arrays, two cells of 16 levels a magnitude, positive
and negative weights on separate arrays, open crossings where no weight stands. One thread; processor seconds are those
of `crossbar.array_circuit.behind_wires`, array by array as a network on crossbars asks for them; neither placing nor
programming is counted.
"""

from __future__ import annotations

import argparse
import csv
import time
from itertools import islice
from pathlib import Path

import torch

import mapping
from crossbar import ArraySpec
from crossbar.array_circuit import behind_wires
from experiments.networks import vgg16
from hwmodels import Device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arrays", type=int, help="only the first so many arrays")
    parser.add_argument("--model", choices=["exact", "fast"], default="exact")
    parser.add_argument("--slices", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a CSV file to add a row to")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    device = Device.load("yuan2019")
    wires = {"r_word_ohm": 1.0, "r_bit_ohm": 1.0, "wire_model": options.model}
    spec = ArraySpec(rows=128, cols=128, device=device, idle="open", slices=options.slices, adc_bits=None, **wires)
    placement = mapping.place(vgg16(3, 10, 32), spec.with_(r_word_ohm=0.0, r_bit_ohm=0.0), torch.rand(1, 3, 32, 32))
    pieces = placement.pieces()
    behind_wires(next(pieces).target, spec)  # compile
    count, cells, cpu, wall = 0, 0, 0.0, 0.0
    for piece in islice(placement.pieces(), options.arrays):
        start, began = time.process_time(), time.perf_counter()
        behind_wires(piece.target, spec)
        cpu, wall = cpu + time.process_time() - start, wall + time.perf_counter() - began
        count, cells = count + 1, cells + piece.target.size
    print(f"{count} arrays, {cells} cells, {options.model}: {cpu:.1f} s processor time, {wall:.1f} s")
    if options.out:
        new = not options.out.exists()
        with options.out.open("a", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            if new:
                table.writerow(["network", "wire_model", "slices", "arrays", "cells", "cpu_s", "wall_s"])
            table.writerow(["vgg16", options.model, options.slices, count, cells, f"{cpu:.1f}", f"{wall:.1f}"])


if __name__ == "__main__":
    main()
