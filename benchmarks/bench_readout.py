"""Read-out of a strip, and a whole network on crossbars: processor time as ratios within one run, one thread.

    python benchmarks/bench_readout.py

Prints (a) the compiled converter-and-shift-add pass against its torch twin, ns per converter sample, and the pass for
converters that differ and err against the plain one; (b) LeNet-5 on
crossbars (32×32 arrays, 8-bit inputs one bit at a time, 8-bit converters, log-normal mismatch) against plain
torch float32 on the same images. Cost grows with input cycles × signs × slices × row strips × columns × positions.
"""

import time

import numpy as np
import torch

import mapping
from crossbar import AdcErrors, ArraySpec
from crossbar.converter_bank import column_converters
from crossbar.converters import Converter, adc_codes
from crossbar.product_kernels import adc_accumulate
from experiments import models

ROUNDS = 7


def seconds(call):
    """Least processor time of several rounds, after one to warm up (and compile)."""
    call()
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def read_out():
    sums = torch.rand(2000, 1000, generator=torch.Generator().manual_seed(0)) * 300
    total, weights = torch.zeros(2000, 500, dtype=torch.float64), np.array([1.0, -1.0])
    converter = Converter(1.3, 0, 255)
    digital = np.repeat(weights[:, None], 500, axis=1)
    limits = [np.float32(value) for value in (converter.step, converter.low, converter.top)]

    def plain():
        codes, _ = adc_codes(sums.clone(), converter)
        total.add_(torch.einsum("nkc,kc->nc", codes.double().view(2000, -1, 500), torch.from_numpy(digital)))

    fast = seconds(lambda: adc_accumulate(sums.numpy(), *limits, 1.0, digital, total.numpy(), 0, 0))
    slow = seconds(plain)
    per_sample = 1e9 / sums.numel()
    print(
        f"converter and shift-add: {fast * per_sample:.2f} ns a sample, torch twin {slow * per_sample:.2f} ns: ", end=""
    )
    print(f"{slow / fast:.1f}×")
    columns = np.stack([np.zeros(1000, dtype=np.int64), np.arange(1000)])
    scale, counts = np.full(1000, 1.3 * 255), torch.from_numpy(np.repeat(weights, 500))
    for name, errors in {
        "no errors": None,
        "offset and gain": AdcErrors(offset_lsb=0.5, gain=0.01),
        "INL of 1 LSB": AdcErrors(inl_lsb=1.0),
        "noise": AdcErrors(noise_lsb=0.5),
    }.items():
        bank = column_converters(scale, 8, signed=False, errors=errors, place=columns, columns_per_converter=8)
        taken = seconds(lambda bank=bank: bank.convert_and_add(sums, counts, total, 0, 0))
        print(f"  converters of their own, {name}: {taken * per_sample:.2f} ns a sample, {taken / fast:.1f}× plain")


def network():
    net = models.build("lenet5", in_channels=1, classes=10, image_size=28, seed=0)
    images = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        plain = seconds(lambda: net(images))
        for label, changes in {
            "bit-serial, 8-bit converters": {},
            "one pass, 8-bit DAC and converters": {"dac_bits": 8},
            "no converter": {"adc_bits": None},
        }.items():
            spec = ArraySpec(**({"rows": 32, "cols": 32, "device": "yuan2019"} | changes))
            chip = mapping.CrossbarNetwork(mapping.place(net, spec, images[:16]))
            taken = seconds(lambda chip=chip: chip(images))
            print(f"LeNet-5, {label}: {1e3 * taken / 64:.2f} ms an image, {taken / plain:.1f}× plain torch")


if __name__ == "__main__":
    torch.set_num_threads(1)
    read_out()
    network()
