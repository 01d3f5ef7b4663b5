import tomllib
from dataclasses import MISSING, asdict, fields
from pathlib import Path

import pytest
import torch

from admm import Schedule
from admm.constraints import Polarised
from crossbar import AdcErrors, ArraySpec, DacErrors
from experiments import config as configuration
from experiments import models
from experiments.config import Config, Crossbar
from experiments.plans import compression_plan
from experiments.setup import array_spec, baseline_spec, device
from hwmodels import Device
from hwmodels.errors import UserError

EXAMPLES = Path(configuration._examples_folder())


def _load(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    return configuration.load(path)


@pytest.mark.parametrize("name", ["digits", "mnist-lenet5", "cifar10-vgg16", "cifar10-resnet18"])
def test_packaged_examples_load(name):
    path = configuration.find(name)
    assert path == EXAMPLES / f"{name}.toml"
    assert isinstance(configuration.load(path), Config)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_are_plain_tables_one_key_a_line(path):
    for line in path.read_text().splitlines():
        assert not line or line.startswith(("#", "[")) or line.count(" = ") == 1, line


CIFAR10 = sorted(EXAMPLES.glob("cifar10/*/filters-*-9bit.toml"))
CONVOLUTIONS = {"convnet": 155_232, "vgg16": 14_710_464, "resnet18": 10_987_200}


@pytest.mark.parametrize("path", CIFAR10, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_rows_of_cifar10_leave_the_weights_that_their_names_say(path):
    """Counted by hand: 3 × 3 convolutions that no section names stay whole, 1 × 1 shortcuts do not count."""
    config = configuration.load(path)
    with torch.device("meta"):
        network = models._SQUARE[config.network.name](3, 10, 32)
    whole = kept = 0
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3):
            asked = config.compress.prune.get(name, configuration.Prune())
            assert isinstance(asked.filter, int | None)
            assert isinstance(asked.column, int | None)
            rows, cols = module.weight[0].numel(), len(module.weight)
            whole += rows * cols
            kept += (asked.column or rows) * (asked.filter or cols)
    assert whole == CONVOLUTIONS[config.network.name]
    assert whole / kept == pytest.approx(int(path.stem.split("-")[1]) / 100, abs=0.015)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("cifar10/*/*.toml")), ids=lambda path: path.stem)
def test_the_files_of_cifar10_name_folders_that_another_one_makes(path):
    if path.stem == "yuan2019-drift":
        assert Device.load(path).drift is not None
        return
    values = configuration.read(path)
    swept = values.pop("sweep", None)
    config = configuration.validated(values, str(path))
    made = f"runs/{path.parent.name}/"
    assert f"--out {made}{path.stem}\n" in path.read_text()
    assert (swept is not None) == (
        f"ohmweave sweep examples/cifar10/{path.parent.name}/{path.stem}.toml" in path.read_text()
    )
    for folder in (config.network.weights, config.compress.start):
        if folder is not None:
            assert (path.parent / f"{folder.removeprefix(made).split('/')[0]}.toml").is_file(), folder
    bits = {"9bit": 512, "7bit": 128, "6bit": 64, "5bit": 32}.get(path.stem.rpartition("-")[2])
    if bits:
        assert array_spec(config).weight_levels().shape == (bits,)


def test_the_resolved_configuration_is_a_file_that_means_the_same(tmp_path):
    first = configuration.load(configuration.find("mnist-lenet5"))
    again = _load(tmp_path, first.toml())
    assert again == first
    assert again.digest() == first.digest()


def test_every_key_changes_the_hash(tmp_path):
    digests = {
        _load(tmp_path, text).digest()
        for text in ("", "seed = 1", "[crossbar]\nrows = 64", "[device]\nlevels = 8", '[data]\ndir = "x"')
    }
    assert len(digests) == 5


def test_the_crossbar_section_is_the_array_spec():
    """One truth: the section has the spec's fields (the device apart) with the spec's own defaults."""
    errors = {"adc_errors": AdcErrors, "dac_errors": DacErrors}
    spec = {item.name: item.default for item in fields(ArraySpec) if item.name not in ("device", *errors)}
    section = {item.name: item.default for item in fields(Crossbar) if item.name not in errors}
    assert section == spec
    for name, kind in errors.items():
        assert asdict(getattr(Crossbar(), name)) == asdict(kind())
        assert getattr(array_spec(Config()), name) is None  # nothing but zeros: ideal


def test_the_compress_section_is_the_schedule():
    section = {item.name: item.default for item in fields(configuration.Compress)}
    for item in fields(Schedule):
        assert item.default is not MISSING
        assert section[item.name] == item.default, item.name


def test_every_key_of_the_array_reaches_it(tmp_path):
    loaded = _load(
        tmp_path,
        "[crossbar]\nrows = 64\ncols = 32\nslices = 2\nidle = 'hrs'\ninput_bits = 6\ndac_bits = 2\nadc_bits = 'ideal'\n"
        "cols_per_adc = 4\nadc_range = 'full'\nt_read_s = 5e-8\n"
        "slice_layout = 'columns'\npair_subtraction = 'analog'\npair_layout = 'columns'\n",
    )
    spec = array_spec(loaded)
    assert (spec.rows, spec.cols, spec.slices, spec.idle, spec.input_bits, spec.dac_bits) == (64, 32, 2, "hrs", 6, 2)
    assert (spec.adc_bits, spec.cols_per_adc, spec.adc_range, spec.t_read_s) == (None, 4, "full", 5e-8)
    assert (spec.slice_layout, spec.pair_subtraction, spec.pair_layout) == ("columns", "analog", "columns")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("encoding = 'offset'\noffset_correction = 'analog'", {"offset_correction": "analog", "idle": "hrs"}),
        ("encoding = 'flipped'\nslice_bits = [2, 2]", {"slice_bits": (2, 2), "slices": 2, "idle": "hrs"}),
        ("encoding = 'polarised'\nfragment = 4", {"fragment": 4, "idle": "open"}),
    ],
)
def test_every_encoding_is_chosen_by_name(tmp_path, text, fields):
    loaded = _load(tmp_path, f"[crossbar]\n{text}\n")
    spec = array_spec(loaded)
    assert spec.encoding == loaded.crossbar.encoding
    assert {name: getattr(spec, name) for name in fields} == fields
    assert _load(tmp_path, loaded.toml()) == loaded


def test_a_polarised_chip_is_compared_with_pairs(tmp_path):
    loaded = _load(tmp_path, "[crossbar]\nencoding = 'polarised'\n")
    baseline = baseline_spec(loaded, array_spec(loaded))
    assert (baseline.encoding, baseline.fragment, baseline.slices) == ("pair", None, 2)


def test_keys_of_another_encoding_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"\[crossbar\] fragment = 4 is for encoding 'polarised', not 'pair'"):
        array_spec(_load(tmp_path, "[crossbar]\nfragment = 4\n"))


def test_every_key_of_the_device_reaches_it(tmp_path):
    made = device(
        _load(
            tmp_path,
            "[device]\npreset = 'yuan2019'\nlevels = 8\nstuck_at_lrs = 0.01\nstuck_at_hrs = 0.02\nmismatch = 2.0",
        )
    )
    assert (made.levels, made.stuck_at_lrs, made.stuck_at_hrs) == (8, 0.01, 0.02)
    assert made.programming_error.sigma == 2 * Device.load("yuan2019").programming_error.sigma


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[crossbar]\nrow = 64", r"unknown key 'crossbar\.row'\. Did you mean 'rows'\?"),
        ("[crosbar]\nrows = 64", r"unknown key 'crosbar'\. Did you mean 'crossbar'\?"),
        ("[crossbar]\nrows = 0", r"crossbar\.rows = 0: .*greater than or equal to 1"),
        ("[crossbar]\nrows = 64.0", r"crossbar\.rows = 64\.0: .*integer"),
        ("[crossbar]\nrows = '64'", r"crossbar\.rows = '64': .*integer"),
        ("[crossbar]\nadc_bits = 'none'", r"crossbar\.adc_bits = 'none': .*'ideal'"),
        ("[hardware]\nadc_model = 'walden'", r"hardware\.adc_model = 'walden': .*'table', 'andrulis' or 'isaac'"),
        ("[hardware]\nexecution = 'parallel'", r"hardware\.execution = 'parallel': .*'pipelined' or 'layer-by-layer'"),
        ("[hardware]\nnode_nm = 0.0", r"hardware\.node_nm = 0\.0: .*greater than 0"),
        ("[hardware]\nframe_rate_hz = -1.0", r"hardware\.frame_rate_hz = -1\.0: .*greater than 0"),
        ("[hardware.replicas]\nconv1 = 0", r"hardware\.replicas\.conv1 = 0: .*greater than or equal to 1"),
        ("[train]\nlr = nan", r"train\.lr = nan: .*finite"),
        ("[train]\noptimizer = 'adm'", r"train\.optimizer = 'adm': .*'adam' or 'sgd'"),
        ("[device]\nstuck_at_lrs = 1.5", r"device\.stuck_at_lrs = 1\.5: .*less than or equal to 1"),
        ("[compress.prune.fc1]\ncolum = 3", r"unknown key 'compress\.prune\.fc1\.colum'\. Did you mean 'column'\?"),
        ("[compress.prune.fc1]\ncolumn = 1.5", r"compress\.prune\.fc1\.column = 1\.5"),
        ("[compress.prune.fc1]\nn_m = '4'", r"compress\.prune\.fc1\.n_m = '4': .*pattern"),
        ("[compress.prune.fc1]\npolarised_order = 'X'", r"polarised_order = 'X': .*'W', 'H' or 'C'"),
        ("[compress.budget.'*']\nkind = 'filters'", r"compress\.budget\.\*\.kind = 'filters': .*'filter'"),
        ("[compress.budget.'*']\nkep = 3", r"unknown key 'compress\.budget\.\*\.kep'\. Did you mean 'keep'\?"),
        ("crossbar = 3", r"'crossbar' is a section"),
        ("seed = true", r"seed = True: .*integer"),
        ("seed = -1", r"seed = -1"),
        ("seed 3", "not valid TOML"),
    ],
)
def test_mistakes_name_key_value_and_way_out(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        _load(tmp_path, text)


def test_all_mistakes_are_told_at_once(tmp_path):
    with pytest.raises(UserError) as caught:
        _load(tmp_path, "[crossbar]\nrow = 3\ncols = 0\n[train]\nlr = 'fast'\n")
    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_file_names_the_nearest_example():
    with pytest.raises(UserError, match=r"'digts'.*Did you mean 'digits'\?"):
        configuration.find("digts")


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        configuration.load(path)


def test_the_examples_are_valid_toml_with_the_sections_of_the_readme():
    sections = set(tomllib.loads((EXAMPLES / "digits.toml").read_text()))
    assert {"network", "data", "train", "compress", "crossbar", "device", "hardware", "simulate"} <= sections


def test_polarised_arrays_polarise_every_layer(tmp_path):
    text = "[crossbar]\nencoding = 'polarised'\nfragment = 4\n[compress.prune.fc1]\nfilter = 3\n"
    loaded = _load(tmp_path, text)
    plan = compression_plan(loaded, array_spec(loaded))
    assert {layer.name: layer.prune[-1] for layer in plan.layers} == {"fc1": Polarised(4), "*": Polarised(4)}
    other = _load(tmp_path, text + "polarised = 6\n")
    with pytest.raises(UserError, match=r"fc1.polarised = 6 .* crossbar.fragment = 4 rows polarised"):
        compression_plan(other, array_spec(other))
