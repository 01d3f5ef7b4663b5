"""The configuration: one TOML file, every key also a flag, validated once, with the way out in every message."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

import tomli_w
from pydantic import ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from hwmodels.errors import UserError, suggestion
from hwmodels.quantities import Count, Fraction, NonNegative, NonNegativeInt, Percentile, Positive

T = TypeVar("T")

Keep = Annotated[int, Strict(), Field(ge=1)] | Annotated[float, Strict(), Field(gt=0, le=1)]
"""How many groups to keep: a whole number counts them, a number with a point is a fraction (0 < x ≤ 1)."""


Counted = Literal["filter", "channel", "column", "block", "kernel", "array_row", "array_column", "unstructured"]
COUNTED_KEYS: tuple[str, ...] = get_args(Counted)
"""Keys of [compress.prune] that set by hand how many groups stay."""
Lsb = Annotated[float, Strict(), Field(allow_inf_nan=False)]
"""A finite number of converter steps, of either sign."""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field, Field))
def _section(cls: type[T]) -> type[T]:
    """A frozen, strict section whose mistakes read like those of the file: flags build sections one by one."""
    made = pydantic_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))(cls)
    plain_init = made.__init__

    def __init__(self: Any, **values: Any) -> None:  # noqa: N807  it replaces the generated one
        try:
            plain_init(self, **values)
        except ValidationError as error:
            raise UserError("\n".join(_sentences(error, made))) from None

    __init__.__doc__ = plain_init.__doc__
    made.__init__ = __init__  # type: ignore[assignment, method-assign]
    return made  # type: ignore[return-value]


@_section
class Network:
    """What is compressed and placed."""

    name: str = "digits-conv"
    """A packaged model, or your own as `package.module:factory`."""
    weights: str | None = None
    """Safetensors file with trained weights; training then starts from them."""


@_section
class Data:
    """What it is trained and tested on."""

    name: str = "digits"
    """digits (inside scikit-learn, no download), mnist or cifar10."""
    dir: str | None = None
    """Folder that holds the data set in torchvision's layout; same as --data-dir."""
    train_limit: Count | None = None
    """Use only this many training samples (for a quick look)."""
    test_limit: Count | None = None
    """Use only this many test samples."""


@_section
class Train:
    """Training of the dense network, before any compression."""

    epochs: NonNegativeInt = 20
    """Passes over the training set; 0 takes the weights as they are."""
    batch_size: Count = 64
    lr: Positive = 1e-3
    """Learning rate at the start."""
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: Annotated[float, Strict(), Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD, the first beta of Adam."""
    weight_decay: NonNegative = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    label_smoothing: Fraction = 0.0
    augment: Literal["none", "shift", "crop-flip"] = "none"
    """Random changes of the training images, drawn anew each epoch."""


@_section
class Prune:
    """Pruning of the layers that one pattern names: what to keep of each kind of group."""

    filter: Keep | None = None
    """Filters (columns of the lowered matrix)."""
    channel: Keep | None = None
    """Input channels."""
    column: Keep | None = None
    """Filter-shape positions (rows of the lowered matrix; the GEMM columns of the papers)."""
    block: Keep | None = None
    """Blocks of the size of one array."""
    kernel: Keep | None = None
    """Kernels: all positions of one input channel in one filter (convolutions only)."""
    array_row: Keep | None = None
    """Rows of single arrays: the stretch of a word line inside one array."""
    array_column: Keep | None = None
    """Columns of single arrays: the stretch of a bit line inside one array."""
    unstructured: Keep | None = None
    """Single weights."""
    n_m: Annotated[str, Strict(), Field(pattern=r"^[1-9]\d*:[1-9]\d*$")] | None = None
    """N:M sparsity, "2:4": at most 2 of every 4 neighbouring weights."""
    n_m_axis: Literal["channels", "rows", "cols"] | None = None
    """Where the neighbours of n_m lie: input channels (the default), word lines or bit lines."""
    balanced: Count | None = None
    """Live cells that a column of an array may have, for smaller converters."""
    pattern: Count | None = None
    """Size of the layer's library of kernel patterns (convolutions only); each kernel keeps one of them."""
    pattern_entries: Count | None = None
    """Weights that a kernel pattern has; default: 4."""
    polarised: Count | None = None
    """Consecutive weights of a filter that must have one sign (a fragment)."""
    polarised_order: Literal["W", "H", "C"] | None = None
    """What runs fastest along a fragment: kernel width (the default), kernel height or channels."""
    polarised_refresh: Count | None = None
    """Updates of the copies between two choices of the fragments' signs; default: 1."""


@_section
class LevelSet:
    """Which levels the layers of one pattern get, where it is not all of the array's."""

    kind: Literal["array", "levels", "uniform", "power_of_two", "binary", "ternary", "cluster", "free"] = "array"
    """array: all levels of the array; levels: `count` of them; uniform, power_of_two, binary, ternary: values of a
    formula; cluster: learned values; free: not quantised. Levels that the array lacks need compress.snap."""
    count: Annotated[int, Strict(), Field(ge=2, le=65536)] | None = None
    """How many levels, those of both signs together, for kind = "levels" or "cluster" (there at most 256)."""
    bits: Annotated[int, Strict(), Field(ge=1, le=12)] | None = None
    """For kind = "uniform": 2^bits multiples of a step, ±1, ±2, …; with zero = true 2^bits − 1, zero among them."""
    exponents: Annotated[int, Strict(), Field(ge=1, le=24)] | None = None
    """For kind = "power_of_two": magnitudes 1, 1/2, 1/4, …, so many."""
    zero: Annotated[bool, Strict()] | None = None
    """Whether zero is a level of a "uniform" or "power_of_two" set; default: false."""
    shift: Annotated[bool, Strict()] | None = None
    """Whether the scale of a "power_of_two" set is a power of two as well; default: true."""
    scale: Positive | None = None
    """The largest level; default: fitted to the weights at every projection."""
    per: Literal["layer", "channel"] | None = None
    """One scale for a layer (the default), or one for every filter."""


@_section
class Budget:
    """One pruning budget that all layers of a pattern share: where to prune is decided by the weights."""

    kind: Counted = "unstructured"
    """What is counted; blocks and array rows and columns have the size of [crossbar]."""
    keep: Keep = 1.0
    """How many to keep over all the layers."""
    cost: Literal["groups", "weights"] = "groups"
    """Whether every group counts as one, or as its weights."""
    floor: NonNegativeInt = 1
    """Groups that stay in every layer in any case."""


@_section
class Compress:
    """Hardware-aware ADMM: pruning to crossbar-shaped groups and quantisation to the device's levels."""

    start: str | None = None
    """Folder of a finished run whose compressed network to go on from: its weights, and what it has pruned stays so."""
    order: Literal["joint", "sequential", "quantise-first"] = "joint"
    """joint: both copies at once (Yuan et al. 2019); sequential: prune first, then quantise what is left;
    quantise-first: the other way round, pruning with the weights on their levels."""
    quantise: bool = True
    """Pull live weights to the conductance levels."""
    levels: dict[str, LevelSet] = field(default_factory=dict)
    """Levels of single layers or patterns of layers: [compress.levels.conv2]; all others get those of the array."""
    snap: Annotated[bool, Strict()] = False
    """Weights on levels that the array lacks move to its nearest ones when they are placed; false: such levels are
    refused before anything starts."""
    admm_epochs: NonNegativeInt = 27
    """Epochs that pull the weights to their copies."""
    update_every: Count = 3
    """Epochs between two updates of the copies and duals."""
    rho: Positive = 1e-2
    """Penalty at the start."""
    rho_growth: Annotated[float, Strict(), Field(ge=1, allow_inf_nan=False)] = 1.3
    """Factor on the penalty at every update."""
    retrain_epochs: NonNegativeInt = 12
    """Masked retraining once the pruning is fixed."""
    quantise_epochs: NonNegativeInt | None = None
    """ADMM towards the levels, for order = "sequential" or "quantise-first"; default: admm_epochs."""
    finish_epochs: NonNegativeInt = 6
    """Straight-through retraining on the final levels; biases and normalisation are free."""
    lr: Positive = 1e-3
    """Learning rate of the ADMM stages."""
    retrain_lr: Positive | None = None
    """Learning rate of masked retraining; default: ten times lr."""
    finish_lr: Positive | None = None
    """Learning rate of the last stage; default: lr."""
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: Annotated[float, Strict(), Field(ge=0, lt=1)] | None = None
    """Momentum of SGD (default 0.9)."""
    weight_decay: NonNegative = 0.0
    lr_schedule: Literal["cosine", "step", "constant"] = "cosine"
    """Course of the learning rate between two updates of the copies."""
    solver: Literal["admm", "slr"] = "admm"
    """How the duals move; slr: surrogate Lagrangian relaxation (Gurevin et al. 2021), at the price of one more pass
    over the training data an update."""
    slr_step: Positive | None = None
    """First step of SLR; default: 0.01."""
    slr_m: Annotated[float, Strict(), Field(gt=1, allow_inf_nan=False)] | None = None
    """M of SLR's step rule; default: 300."""
    slr_r: Annotated[float, Strict(), Field(gt=0, lt=1)] | None = None
    """r of SLR's step rule; default: 0.1."""
    rho_rule: Literal["grow", "balance"] = "grow"
    """grow: rho_growth at every update; balance: up or down by it, towards equal primal and dual residuals."""
    rho_threshold: Annotated[float, Strict(), Field(ge=1, allow_inf_nan=False)] | None = None
    """Ratio of the residuals from which rho_rule = "balance" acts; default: 10."""
    stop: Positive | None = None
    """End an ADMM stage early once all residuals over the norm of the weights are below this; default: never."""
    steps: Count = 1
    """Rounds of progressive pruning, each with all of admm_epochs and retrain_epochs."""
    step_ratio: Annotated[float, Strict(), Field(gt=1, allow_inf_nan=False)] | None = None
    """How many times fewer groups each round leaves than the one before; default: 2."""
    quantise_steps: Literal[1, 2] = 1
    """2: quantise the first and the last layer after all others, for order = "sequential"."""
    accumulate: Count = 1
    """Batches per step of the optimiser."""
    precision: Literal["full", "bfloat16"] = "full"
    """bfloat16: forward passes in mixed precision; the weights stay float32."""
    distill: Fraction = 0.0
    """Share of the loss that comes from the dense network's outputs, once the pruning is fixed."""
    distill_temperature: Positive | None = None
    """Temperature of those outputs; default: 1."""
    purify: Fraction | None = None
    """Accuracy on the training data that removing weak rows, channels and filters may cost at the end; unused paths go
    in any case. Default: no purification."""
    batch_size: Count | None = None
    """Default: that of [train]."""
    rank: Literal["norm", "gain"] = "norm"
    """What stays: groups of largest norm (Yuan et al. 2019), or those that gain most once they stand on levels."""
    prune: dict[str, Prune] = field(default_factory=dict)
    """What to keep, by layer name or pattern: [compress.prune.conv2], ["compress.prune.features.*"]."""
    budget: dict[str, Budget] = field(default_factory=dict)
    """Budgets that layers share, by pattern of their names: [compress.budget."conv*"]."""
    target: Literal["area", "power", "energy", "arrays", "reduction"] | None = None
    """What the whole chip may cost; what each layer keeps is found by the optimiser, not by ratios."""
    limit: Annotated[int, Strict(), Field(ge=1)] | Annotated[str, Strict()] | Annotated[float, Strict()] | None = None
    """The most that the target may come to, with its unit: "0.05mm2", "10mW", "2uJ", 40 (arrays), 10 (reduction)."""
    measure: Literal["energy", "share"] = "energy"
    """What pruning towards a target loses least of: the weights' squares, or their share of each layer's own sum."""
    accuracy_floor: Fraction | None = None
    """Least accuracy on held-out training samples; without a limit, the smallest that keeps it is searched."""


@_section
class AdcErrors:
    """Errors of the converters, [crossbar.adc_errors]: every key is a field of `crossbar.AdcErrors`."""

    offset_lsb: NonNegative = 0.0
    """Standard deviation of the offset over the converters of a chip [LSB]."""
    gain: NonNegative = 0.0
    """Standard deviation of the relative gain error over the converters of a chip."""
    inl_lsb: Lsb = 0.0
    """Largest integral non-linearity [LSB], of the shape inl_shape."""
    inl_shape: Literal["bow", "s"] = "bow"
    """Its shape: one bow, or an S of both signs."""
    inl_table_lsb: tuple[Lsb, ...] | None = None
    """Measured INL of the transition levels [LSB] instead, evenly spaced over the range."""
    noise_lsb: NonNegative = 0.0
    """Standard deviation of the input-referred noise of a conversion [LSB]."""


@_section
class DacErrors:
    """Errors of the word-line drivers, [crossbar.dac_errors]: every key is a field of `crossbar.DacErrors`."""

    offset_lsb: NonNegative = 0.0
    """Standard deviation of the offset over the drivers of a chip [LSB]; one LSB of a 1-bit driver is V_read."""
    gain: NonNegative = 0.0
    """Standard deviation of the relative gain error over the drivers of a chip."""
    inl_lsb: Lsb = 0.0
    """Largest deviation of the output from a straight line [LSB], of the shape inl_shape."""
    inl_shape: Literal["bow", "s"] = "bow"
    """Its shape: one bow, or an S of both signs."""
    inl_table_lsb: tuple[Lsb, ...] | None = None
    """Measured deviation [LSB] instead, evenly spaced from code 0 to the highest."""


@_section
class Crossbar:
    """One array and its converters: every key is a field of `crossbar.ArraySpec`."""

    rows: Count = 128
    """Word lines."""
    cols: Count = 128
    """Bit lines."""
    encoding: Literal["pair", "offset", "flipped", "polarised"] = "pair"
    """Weights on cells: positive and negative apart, offset codes, ISAAC's flipped columns, or one sign a fragment."""
    slices: Count = 1
    """Cells that share the digits of one weight."""
    slice_bits: tuple[Count, ...] | None = None
    """Bits on each slice, least significant first (3 3 2); default: all levels of the cell on every slice."""
    slice_layout: Literal["arrays", "columns"] = "arrays"
    """Slices on arrays of their own, or on neighbouring columns of one."""
    idle: Literal["open", "hrs"] | None = None
    """What stands where no weight does: open (0 S) or hrs (a cell at g_min); default: the device's own."""
    pair_subtraction: Literal["digital", "analog"] = "digital"
    """Subtract a pair's halves after their converters, or their currents before one that takes both signs."""
    pair_layout: Literal["arrays", "columns"] = "arrays"
    """A pair's halves on two arrays, or on neighbouring columns of one."""
    offset_correction: Literal["digital", "analog"] = "digital"
    """Take the offset off digitally, or as the current of a dummy column before the converter."""
    fragment: Count | None = None
    """Rows that share a sign in a column, for encoding = "polarised"; default: 8."""
    input_bits: Count | Literal["ideal"] = 8
    """Resolution of an input; ideal: the exact real value."""
    dac_bits: Count = 1
    """Bits that a word-line driver applies per cycle."""
    signed_inputs: Literal["phases", "twos_complement"] = "phases"
    """Inputs of both signs: positive part, then negative part; or one phase of signed codes."""
    input_range: Literal["calibrated", "percentile", "fixed"] = "calibrated"
    """Range of the inputs: the largest seen in calibration, their input_percentile, or input_full_scale."""
    input_percentile: Percentile | None = None
    """Percentile of the inputs' magnitudes, for input_range = "percentile"."""
    input_full_scale: Positive | None = None
    """Range of the inputs of every layer, for input_range = "fixed"."""
    dac_errors: DacErrors = field(default_factory=DacErrors)
    """Errors of the word-line drivers."""
    adc_bits: Count | Literal["ideal"] = 8
    """Resolution of the converters; ideal: the exact sum; 1: sense amplifiers."""
    cols_per_adc: Count | None = None
    """Columns that share a converter; default: all of the array."""
    adc_range: Literal["calibrated", "percentile", "full"] = "calibrated"
    """Full scale: the largest sum seen in calibration, the sums' adc_percentile, or the largest possible."""
    adc_percentile: Percentile | None = None
    """Percentile of the sums' magnitudes, for adc_range = "percentile"."""
    adc_range_per: Literal["layer", "converter"] = "layer"
    """Whose sums a measured range is taken over."""
    adc_errors: AdcErrors = field(default_factory=AdcErrors)
    """Errors of the converters."""
    r_word_ohm: NonNegative = 0.0
    """Resistance of a word-line segment [Ω]; 0: an ideal wire."""
    r_bit_ohm: NonNegative = 0.0
    """Resistance of a bit-line segment [Ω]."""
    r_source_ohm: NonNegative = 0.0
    """Resistance of a word-line driver [Ω]."""
    r_sink_ohm: NonNegative = 0.0
    """Resistance of a bit line's read-out [Ω]."""
    r_access_ohm: NonNegative = 0.0
    """Resistance of the access transistor in series with every cell [Ω]; 0: cells without transistors (1R)."""
    both_ends: Annotated[bool, Strict()] = False
    """A second, equal driver stands at the far end of every word line."""
    unused_rows: Literal["off", "grounded", "floating"] = "off"
    """Word lines without weights whose idle cells conduct (idle = "hrs"): shut off, held at 0 V, or floating."""
    wire_model: Literal["exact", "fast"] = "exact"
    """fast: an approximation for screening, over ten times faster, with a bound of its error that it warns by."""
    t_read_s: Positive = 100e-9
    """Time of one array read [s]."""


@_section
class DeviceSection:
    """The cells: a preset, and what to change of it."""

    preset: str = "yuan2019"
    """A name that `ohmweave devices` lists, or the path of your own file."""
    levels: Annotated[int, Strict(), Field(ge=2)] | None = None
    """Programmable conductances per cell; default: the preset's."""
    stuck_at_lrs: Fraction | None = None
    """Share of cells stuck at low resistance (g_max); default: the preset's."""
    stuck_at_hrs: Fraction | None = None
    """Share of cells stuck at high resistance (g_min)."""
    mismatch: NonNegative = 1.0
    """Factor on the preset's programming error; 0 switches it off."""


@_section
class Hardware:
    """What the parts cost."""

    library: str = "isaac-32nm"
    """A name that `ohmweave libraries` lists, or the path of your own file."""
    adc_model: Literal["table", "andrulis", "isaac"] | None = None
    """Where a converter's cost comes from: the library's table, the published regression, or ISAAC's scaling rule."""
    node_nm: Positive | None = None
    """Move the digital parts to this node [nm]; converters, drivers and cells stay."""
    execution: Literal["pipelined", "layer-by-layer"] = "pipelined"
    """Whether inferences overlap, every layer on the next one, or run one at a time."""
    frame_rate_hz: Positive | None = None
    """Inferences per second that both chips are priced at; default: the highest that both reach."""
    replicas: dict[str, Count] = field(default_factory=dict)
    """Copies of a layer's arrays, by layer name; they share its input vectors."""
    baseline_bits: Annotated[int, Strict(), Field(ge=2, le=17)] = 9
    """Signed weight precision of the unpruned baseline (9 in Yuan et al. 2019)."""


@_section
class Simulate:
    """Running the placed network with device errors."""

    seeds: Count = 10
    """Chips (device seeds) to run; the interval is over them."""
    batch_size: Count = 256
    calibration_samples: Count = 128
    """Training images that the converter and input ranges are measured on."""
    t_s: NonNegative = 0.0
    """Time between programming and reading [s], over which cells drift (86400: a day)."""
    temperature_k: Positive | None = None
    """Temperature of the cells [K]; default: the reference temperature of the device."""
    read_noise: bool = True
    """Draw the device's read noise anew at every read, where it has data on it."""


@_section
class Report:
    """What the report looks like."""

    title: str | None = None
    """Heading of the page; default: the configuration's name."""
    figures: tuple[Literal["svg", "png", "pdf"], ...] = ("svg", "png")
    """Formats of the pictures beside the page."""


@_section
class Config:
    """A whole run: network → compression → placement → simulation and cost → report."""

    seed: Annotated[int, Strict(), Field(ge=0, lt=2**32)] = 0
    """Seed of everything random: data split and order, initial weights, devices."""
    network: Network = field(default_factory=Network)
    data: Data = field(default_factory=Data)
    train: Train = field(default_factory=Train)
    compress: Compress = field(default_factory=Compress)
    crossbar: Crossbar = field(default_factory=Crossbar)
    device: DeviceSection = field(default_factory=DeviceSection)
    hardware: Hardware = field(default_factory=Hardware)
    simulate: Simulate = field(default_factory=Simulate)
    report: Report = field(default_factory=Report)

    def resolved(self) -> dict[str, Any]:
        """Every key with its value, plain types only; keys without a value (None) are left out."""
        return _without_none(asdict(self))  # type: ignore[call-overload]

    def digest(self) -> str:
        """Hash of the resolved configuration, 8 hex digits: it names the run's folder."""
        text = json.dumps(self.resolved(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def toml(self) -> str:
        """The resolved configuration as a TOML file that can be run again."""
        return tomli_w.dumps(self.resolved())


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, tuple | list):
        return [_without_none(item) for item in value]
    return value


def load(path: Path) -> Config:
    """Read and validate a configuration file.

    Raises UserError that names the file and, for each mistake, the key, the value, what is allowed and the
    nearest valid spelling.
    """
    values = read(path)
    if "sweep" in values:
        raise UserError(f"{path} holds a [sweep]: run it with `ohmweave sweep {path}`.")
    return validated(values, str(path))


def read(path: Path) -> dict[str, Any]:
    """The values of a TOML file, not yet checked against any key; UserError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"There is no configuration file {str(path)!r}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The configuration file {str(path)!r} cannot be read: {error}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None


_CONFIG = TypeAdapter(Config)


def validated(values: Mapping[str, Any], where: str) -> Config:
    """The configuration of plain values; UserError with a line per mistake, each beginning with `where`."""
    try:
        return _CONFIG.validate_python(dict(values))
    except ValidationError as error:
        raise UserError("\n".join(f"{where}: {line}" for line in _sentences(error, Config))) from None


PATTERNS: dict[str, type] = {"prune": Prune, "budget": Budget, "levels": LevelSet}
"""Keys of [compress] that hold a section for every pattern of layers."""


def with_flagged_patterns(config: Config, args: Sequence[str]) -> Config:
    """Make room for patterns of layers that only the flags name: --compress.prune.fc1.column 0.5."""
    made = {name: dict(getattr(config.compress, name)) for name in PATTERNS}
    for arg in args:
        head, _, rest = arg.partition("=")[0].rpartition(".")[0].removeprefix("--compress.").partition(".")
        if head in made:
            made[head].setdefault(rest, PATTERNS[head]())
    return replace(config, compress=replace(config.compress, **made))


def example_names() -> list[str]:
    """Names of the packaged configurations, for `ohmweave run NAME`."""
    return sorted(path.stem for path in _examples_folder().glob("*.toml"))


def find(name_or_path: str) -> Path:
    """The file of a configuration: a path, or the name of a packaged one (`digits`).

    Raises UserError with the nearest packaged name when there is neither.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    packaged = _examples_folder() / f"{name_or_path}.toml"
    if packaged.is_file() and Path(name_or_path).name == name_or_path:
        return packaged
    raise UserError(
        f"There is no configuration file {name_or_path!r}, and no packaged one of that name. "
        f"{suggestion(path.stem, example_names())}"
    )


def _examples_folder() -> Path:
    # An installed wheel carries the examples inside the package; a checkout has them beside it.
    inside = Path(__file__).parent / "examples"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "examples"


# Messages -------------------------------------------------------------------------------------------------------


def _sentences(error: ValidationError, root: type) -> list[str]:
    """One sentence per mistake: the key, the value, what is allowed, the nearest spelling."""
    lines: dict[str, str] = {}
    for problem in error.errors():
        key, owner = _place(problem["loc"], root)
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            lines[key] = f"unknown key {key!r}. {suggestion(key.rpartition('.')[2], _keys(owner))}"
        elif problem["type"] in ("dataclass_type", "dict_type"):
            lines[key] = f"{key!r} is a section ([{key}]), not the value {problem['input']!r}."
        else:
            said = lines.get(key)
            reason = problem["msg"].removeprefix("Value error, ")
            reason = reason[:1].lower() + reason[1:]
            # A union reports one reason per member; together they say what is allowed.
            lines[key] = f"{said}, or {reason}" if said else f"{key} = {problem['input']!r}: {reason}"
    return [line if line.endswith((".", "?")) else f"{line}." for line in lines.values()]


def _place(loc: tuple[int | str, ...], root: type) -> tuple[str, Any]:
    """Dotted key of a pydantic location, and the section that the last part was looked up in."""
    parts: list[str] = []
    owner: Any = root
    here: Any = root
    for part in loc:
        following = _member(here, part)
        if following is None and parts and not (is_dataclass(here) or get_origin(here) is dict):
            break  # the rest of the location names the member of a union, not a key
        owner, here = here, following
        parts.append(str(part))
    return ".".join(parts), owner


def _member(kind: Any, part: int | str) -> Any:
    if is_dataclass(kind):
        return _sections(kind).get(str(part))
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return None


def _sections(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=False)
    return {item.name: _unwrapped(hints[item.name]) for item in fields(kind)}


def _unwrapped(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        return next((arg for arg in get_args(kind) if is_dataclass(arg)), kind)
    return kind


def _keys(owner: Any) -> list[str]:
    return [item.name for item in fields(owner)] if is_dataclass(owner) else []
