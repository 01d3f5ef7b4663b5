"""A VGG-8 on crossbars against plain torch: processor time as ratios within one run, one thread.

    OMP_NUM_THREADS=1 python benchmarks/bench_products.py [--images 16] [--rounds 5] [--csv docs/results/products.csv]

VGG-8 (616 M multiply-accumulates an image of 32 × 32 × 3, He-normal weights, uniform random images), 128 × 128 arrays,
16 levels, pairs subtracted before the converter, 8-bit inputs, 8-bit converters. Plain torch float32 runs between the
cases, in turn with them, so that both see the same machine; the ratio is that of the least times. Memory is the peak of
one call above what the process held before it, for crossbars and for plain torch; beside them the sum of all the
network's own layer outputs. accuracy: share of images with the same best class as the network on its levels (placed,
ideal reads),
relative error: of the scores against it; the weights are random, so this shows how far the reads stray, no more.
"""

import argparse
import csv
import ctypes
import platform
import threading
import time
from pathlib import Path

import torch

import mapping
from crossbar import ArraySpec
from experiments import models
from hwmodels import Device

PLAIN = Device.load("ideal")
REAL = PLAIN.with_(programming_error={"kind": "proportional", "sigma": 0.05})
COMMON = {"rows": 128, "cols": 128, "device": PLAIN, "pair_subtraction": "analog"}
CASES = {
    # name: (changes to the arrays, conductance bits, bound)
    "a: on the level grid, bit-serial, 8-bit ADC": ({}, None, 8.0),
    "b: 5 % programming error, exact": ({"device": REAL}, None, 16.0),
    "b: 5 % programming error, 8-bit conductances": ({"device": REAL}, 8, 10.0),
    "c: one pass, 8-bit DAC and ADC, 5 % error": ({"device": REAL, "dac_bits": 8}, None, 2.0),
    "d: no converter": ({"device": REAL, "adc_bits": None}, None, 1.3),
    "d: bit-serial, provably lossless 12-bit ADC": ({"adc_bits": 12, "adc_range": "grid"}, None, 1.3),
}


def processor_time(call):
    start = time.process_time()
    call()
    return time.process_time() - start


def resident():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def peak(call):
    """Highest resident memory [B] during a call above what was there before it, sampled every millisecond."""
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls left free would hide this one's needs
    before, highest, running = resident(), [0], True

    def watch():
        while running:
            highest[0] = max(highest[0], resident() - before)
            time.sleep(1e-3)

    thread = threading.Thread(target=watch)
    thread.start()
    call()
    running = False
    thread.join()
    return highest[0]


def activations(network, images):
    """Bytes of all layer outputs of one call."""
    total = [0]
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: total.__setitem__(0, total[0] + out.numel() * 4))
        for module in network.modules()
        if not list(module.children())
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    return total[0]


def measured(network, images, rounds, only):
    own = activations(network, images)
    for name, (changes, bits, bound) in CASES.items():
        if only and not name.startswith(tuple(only)):
            continue
        placement = mapping.place(network, ArraySpec(**(COMMON | changes)), images)
        chip = mapping.CrossbarNetwork(placement, conductance_bits=bits)
        chip(images)  # compiles
        chip.reset_clipping()
        taken, plain = [], []
        for _ in range(rounds):
            plain.append(processor_time(lambda: network(images)))
            taken.append(processor_time(lambda chip=chip: chip(images)))
        exact = placement.reference()(images)
        memory = peak(lambda chip=chip: chip(images))
        counts = chip.clipping().values()
        clipped = sum(c.adc_clipped for c in counts) / max(sum(c.adc_samples for c in counts), 1)
        yield {
            "case": name,
            "slowdown": round(min(taken) / min(plain), 2),
            "at_most": bound,
            "ms_per_image": round(1e3 * min(taken) / len(images), 2),
            "plain_ms_per_image": round(1e3 * min(plain) / len(images), 2),
            "memory_over_activations": round(memory / own, 2),
            "plain_memory_over_activations": round(peak(lambda: network(images)) / own, 2),
            "relative_error": f"{float((chip(images) - exact).norm() / exact.norm()):.3f}",
            "same_class": f"{float((chip(images).argmax(1) == exact.argmax(1)).float().mean()):.2f}",
            "adc_clipped": f"{clipped:.2g}",
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv")
    parser.add_argument("--only", nargs="*", default=[], help="cases by the start of their name: a b c d")
    args = parser.parse_args()
    torch.set_num_threads(1)
    network = models.build("vgg8", in_channels=3, classes=10, image_size=32, seed=0)
    images = torch.rand(args.images, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    rows = []
    with torch.no_grad():
        for row in measured(network, images, args.rounds, args.only):
            rows.append(row)
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if args.csv:
        with open(args.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=[*rows[0], "images", "processor", "torch"], lineterminator="\n")
            writer.writeheader()
            extra = {"images": args.images, "processor": processor(), "torch": torch.__version__}
            writer.writerows(row | extra for row in rows)


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
