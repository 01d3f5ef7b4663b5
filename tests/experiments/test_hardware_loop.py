"""What training sees of the arrays, and the file of stuck cells."""

import pytest
import torch
from torch import nn

import mapping
from admm import compress, pins
from admm.layers import resolve
from crossbar import AdcErrors, ArraySpec, DacErrors
from experiments.config import Compress, Config
from experiments.hardware_loop import read_stuck, training_array, training_conditions, wrapper
from experiments.plans import compression_plan
from hwmodels import Device
from hwmodels.errors import UserError
from mapping import Conditions

FULL = ArraySpec(
    rows=32, cols=32, device=Device.load("yuan2019").with_(stuck_at_lrs=0.01), r_word_ohm=1.0, r_bit_ohm=2.0,
    adc_bits=6, adc_errors=AdcErrors(gain=0.1), dac_errors=DacErrors(gain=0.1), adc_range="percentile",
    adc_percentile=99.0,
)  # fmt: skip
LATER = Conditions(t_s=10.0, temperature_k=320.0)


def test_every_effect_is_there_only_when_it_is_named():
    seen = {
        "mismatch": lambda a: a.device.programming_error == FULL.device.programming_error,
        "stuck": lambda a: a.device.stuck_at_lrs == 0.01,
        "wires": lambda a: (a.r_word_ohm, a.r_bit_ohm) == (1.0, 2.0),
        "adc": lambda a: (a.adc_bits, a.adc_errors, a.adc_percentile) == (6, FULL.adc_errors, 99.0),
        "dac": lambda a: (a.input_bits, a.dac_errors) == (8, FULL.dac_errors),
    }
    for named in seen:
        made = training_array(Compress(train_on=(named,)), FULL)
        assert [effect for effect, is_there in seen.items() if is_there(made)] == [named]
    assert (
        training_array(Compress(train_on=tuple(seen)), FULL).weight_levels().tolist() == FULL.weight_levels().tolist()
    )


def test_drift_and_read_noise_are_conditions():
    assert training_conditions(Compress(train_on=("adc",)), LATER) == Conditions(read_noise=False)
    assert training_conditions(Compress(train_on=("drift", "read_noise")), LATER) == LATER


def test_no_effect_no_wrapper_and_a_useless_key_is_refused():
    assert wrapper(Compress(), FULL, LATER, torch.zeros(1)) is None
    with pytest.raises(UserError, match=r"compress\.train_chips .* give compress\.train_on"):
        wrapper(Compress(train_chips="epoch"), FULL, LATER, torch.zeros(1))
    made = wrapper(Compress(train_on=("mismatch",)), FULL, LATER, torch.zeros(1))
    assert made is not None
    assert made.chips == "step"


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 2, groups=2), nn.Flatten(), nn.Linear(16, 3))


def test_the_table_of_a_chip_goes_to_a_file_and_back_to_pins(network, tmp_path):
    array = ArraySpec(rows=8, cols=8, device=Device.load("yuan2019").with_(stuck_at_lrs=0.1, stuck_at_hrs=0.1))
    images = torch.rand(4, 2, 3, 3)
    placement = mapping.place(network, array, images)
    table = mapping.stuck_weights(placement, seed=3)
    table.to_csv(tmp_path / "stuck.csv", index=False)
    found = read_stuck(tmp_path / "stuck.csv", network)
    assert set(found) == {"0", "2"}
    for name, pin in found.items():
        mine = table[table["layer"].astype(str) == name]
        assert int(pin.where.sum()) == len(mine)
        assert pin.value[pin.where].sort().values.tolist() == pytest.approx(sorted(mine["value"]), abs=1e-6)
    plan = compression_plan(Config(compress=Compress(admm_epochs=1, retrain_epochs=1, finish_epochs=1)), array)
    pins.check(found, resolve(plan, network))
    batches = [(images, torch.tensor([0, 1, 2, 0]))]
    made = compress(network, plan, batches, lambda model: 0.0, stuck=found)
    for name, pin in found.items():
        weight, scale = made.model.get_submodule(name).weight, float(made.grids[name].scale)
        assert torch.allclose(weight[pin.where], (pin.value * scale)[pin.where], rtol=1e-6)


def test_a_place_is_that_of_the_lowered_matrix(network, tmp_path):
    path = tmp_path / "stuck.csv"
    path.write_text("layer,group,row,col,value\n0,1,3,0,-0.5\n2,0,5,2,1\n")
    found = read_stuck(path, network)
    assert found["0"].where.nonzero().tolist() == [[2, 0, 1, 1]]  # group 1, its first filter; row 3: kh = kw = 1
    assert found["0"].value[2, 0, 1, 1] == -0.5
    assert found["2"].where.nonzero().tolist() == [[2, 5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer,row,col,value\nfc,0,0,1\n", "stuck.csv: Unknown layer 'fc'"),
        ("layer,row,col,value\n2,16,0,1\n", r"outside layer '2' of 16 rows and 3 columns"),
        ("layer,row,col,value\n2,-1,0,1\n", r"outside layer '2'"),
        ("layer,row,col,value\n2,x,0,1\n", r"layer '2': not a number"),
        ("layer,row,value\n2,0,1\n", r"has the columns layer, row, value, group; it needs layer, group, row"),
        ("", "cannot be read as a CSV"),
    ],
)
def test_files_that_say_nothing_useful_are_refused(network, tmp_path, text, message):
    path = tmp_path / "stuck.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_stuck(path, network)
    with pytest.raises(UserError, match="There is no file"):
        read_stuck(tmp_path / "none.csv", network)
