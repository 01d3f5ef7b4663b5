"""[compress] and its sections by layer: pruning, levels, shared budgets, schedule, hardware targets."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal, get_args

from pydantic import Field, Strict

from experiments.sections.section import section
from hwmodels.quantities import Count, Fraction, NonNegative, NonNegativeInt, Positive

Keep = Annotated[int, Strict(), Field(ge=1)] | Annotated[float, Strict(), Field(gt=0, le=1)]
"""How many groups to keep: a whole number counts them, a number with a point is a fraction (0 < x ≤ 1)."""

Counted = Literal["filter", "channel", "column", "block", "kernel", "array_row", "array_column", "unstructured"]
COUNTED_KEYS: tuple[str, ...] = get_args(Counted)
"""Keys of [compress.prune] that set by hand how many groups stay."""


@section
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
    polarised_rule: Literal["energy", "sum"] | None = None
    """Which sign a fragment gets: that of the larger energy, the exact projection (the default), or that of its sum."""
    polarised_refresh: Count | None = None
    """Updates of the copies between two choices of the fragments' signs; default: 1."""


@section
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


@section
class Budget:
    """One pruning budget that all layers of a pattern share: where to prune is decided by the weights."""

    kind: Counted = "unstructured"
    """What is counted; blocks and array rows and columns have the size of [crossbar]."""
    keep: Keep = 1.0
    """How many to keep over all the layers."""
    cost: Literal["groups", "weights"] = "groups"
    """Whether every group counts as one, or as its weights."""
    measure: Literal["energy", "loss"] = "energy"
    """What goes least: the weights' squares, or an estimate of the loss (squares times each weight's curvature)."""
    floor: NonNegativeInt = 1
    """Groups that stay in every layer in any case."""


@section
class Gates:
    """What joint pruning of weights and architecture keeps, for method = "gates"."""

    weights: Keep = 1.0
    """Weights that stay."""
    gates: Keep = 1.0
    """Gates that stay open: kernels of a convolution, outputs of a linear layer."""


Effect = Literal["mismatch", "stuck", "drift", "read_noise", "wires", "adc", "dac"]
"""What arrays do to a product, part by part."""


@section
class Compress:
    """Hardware-aware ADMM: pruning to crossbar-shaped groups and quantisation to the device's levels."""

    start: str | None = None
    """Folder of a finished run whose compressed network to go on from: its weights, and what it has pruned stays so."""
    method: Literal["admm", "gates", "parents"] = "admm"
    """admm: the sets of [compress.prune] and [compress.budget]; gates: weights and whole kernels or neurons together by
    gates in {0, 1} (Lee and Lee 2022), then retraining and levels by ADMM; parents: ever fewer groups, each time from
    the best of several parents (Ye et al. 2018)."""
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
    """Masked retraining once the pruning is fixed; order = "sequential" has none where this run prunes nothing."""
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
    gates: dict[str, Gates] = field(default_factory=dict)
    """For method = "gates", by layer name: [compress.gates.conv2]; "*" alone: numbers for all layers together."""
    gates_epochs: Count | None = None
    """Epochs with gates; default: 10."""
    gates_rho: Positive | None = None
    """Their penalty; default: 1.5e-3."""
    gates_alpha: NonNegative | None = None
    """Their decay of the weights; default: 5e-4."""
    gates_lr: Positive | None = None
    """Their learning rate, of SGD with momentum 0.9; default: 0.01."""
    rates: tuple[Annotated[float, Strict(), Field(gt=1, allow_inf_nan=False)], ...] | None = None
    """For method = "parents": rising reductions, the last one that of the sets; a rate r leaves last / r times as
    many groups."""
    parents: Count | None = None
    """Partly pruned networks that the next rate may start from; default: 3."""
    train_on: tuple[Effect, ...] = ()
    """What masked stages train on: the mismatch, stuck cells and drift of the device, its read_noise (telegraph noise
    too), the wires, the converters (adc) and the drivers with their input codes (dac). Default: none of it."""
    train_chips: Literal["step", "epoch"] | None = None
    """How often training goes on to another chip: at every step (the default) or every epoch."""
    stuck_map: str | None = None
    """A file with the stuck cells of the one chip that is trained for (CSV: layer, group, row, col, value)."""
    prune: dict[str, Prune] = field(default_factory=dict)
    """What to keep, by layer name or pattern: [compress.prune.conv2], ["compress.prune.features.*"]."""
    budget: dict[str, Budget] = field(default_factory=dict)
    """Budgets that layers share, by pattern of their names: [compress.budget."conv*"]."""
    target: Literal["area", "power", "energy", "arrays", "reduction"] | None = None
    """What the whole chip may cost; what each layer keeps is found by the optimiser, not by ratios."""
    limit: Annotated[int, Strict(), Field(ge=1)] | Annotated[str, Strict()] | Annotated[float, Strict()] | None = None
    """The most that the target may come to, with its unit: "0.05mm2", "10mW", "2uJ", 40 (arrays), 10 (reduction)."""
    measure: Literal["energy", "share", "loss"] = "energy"
    """What pruning towards a target loses least of: the weights' squares (energy), their share of each layer's own sum,
    or an estimate of the loss (squares times each weight's curvature, measured on the training data
    whenever a round of pruning begins)."""
    accuracy_floor: Fraction | None = None
    """Least accuracy on held-out training samples; without a limit, the smallest that keeps it is searched."""
