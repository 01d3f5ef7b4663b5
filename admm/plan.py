"""What a compression should reach: which constraints hold for which layer, in what order, on what schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, Strict, model_validator
from pydantic.dataclasses import dataclass

from admm.constraints import Levels, Prune, Shared, Values
from hwmodels.quantities import Count, Fraction, NonNegative, NonNegativeInt, Positive

if TYPE_CHECKING:
    from crossbar.spec import ArraySpec

STRICT = ConfigDict(extra="forbid")
Growth = Annotated[float, Strict(), Field(ge=1, allow_inf_nan=False)]
Momentum = Annotated[float, Strict(), Field(ge=0, lt=1)]
Name = Annotated[str, Field(min_length=1)]
Order = Literal["joint", "sequential", "quantise-first"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LayerPlan:
    """The constraints of one layer, or of every layer that a pattern names.

    name: a module name as in `model.named_modules()`, or a glob ("features.*", "*").
    prune: pruning sets, projected on in this order, but inner ones before those they are nested in (see
        `constraints.nested_mask`); empty: the layer is not pruned. A `Pattern` without a library takes one from the
        weights that the compression starts with.
    levels: the quantisation set; None: the layer is not quantised. With neither, the layer is left alone.
    joint: what stays is decided by all sets at once (`constraints.Joint`): a group by what it gains when its weights
        stand on levels, overlapping sets in turns. False: by the weights' norms, one set after the other, as
        Yuan et al. 2019 (arXiv 1908.11691) do.
    """

    name: Name
    prune: tuple[Annotated[Prune, Field(discriminator="kind")], ...] = ()
    levels: Annotated[Values, Field(discriminator="kind")] | None = None
    joint: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LayerLevels:
    """The quantisation set of one layer, or of every layer that a pattern names.

    name: as in `LayerPlan`; levels: the set, None: the layer is not quantised.
    """

    name: Name
    levels: Annotated[Values, Field(discriminator="kind")] | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Schedule:
    """How long, how fast and how hard the stages pull (the defaults: see docs/compression.md).

    admm_epochs: passes over the training data while the weights are pulled to their copies.
    update_every: epochs between two updates of copies and duals (the last epoch of a stage also updates).
    rho: first penalty; rho_growth: its factor at every update. Ye et al. 2019 (arXiv 1903.09769) take 1e-3 and
        1.3 with SGD at 0.01 over hundreds of epochs; the default 1e-2 suits Adam and shorter runs.
    retrain_epochs: masked retraining after the pruning is fixed.
    quantise_epochs: ADMM towards the levels for order="sequential" (under the mask) and "quantise-first"; None:
        admm_epochs.
    finish_epochs: straight-through retraining on the final levels.
    lr: learning rate of the ADMM stages; retrain_lr: of masked retraining, None: 10 · lr, as the papers have it;
        finish_lr: of the finish, None: lr.
    optimizer: "adam" or "sgd"; momentum: for "sgd" only, None means 0.9. weight_decay: L2, on all parameters.
    lr_schedule: course of the learning rate from one update of the copies to the next (over the whole stage
        for "retrain" and "finish"), restarting each time: "cosine" towards 0, "step" × 0.1 after each third
        (arXiv 1903.09769), or "constant".
    solver: how the duals move: "admm", or "slr", surrogate Lagrangian relaxation (see `relatives`); slr_step: its
        first step s⁰, slr_m and slr_r: M > 1 and 0 < r < 1 of its step rule, None: 0.01, 300 and 0.1.
    rho_rule: "grow" multiplies ρ by rho_growth at every update; "balance" multiplies or divides by it where one
        residual is more than rho_threshold times the other (Boyd et al. 2011, section 3.4.1), None: 10, as there.
    stop: an ADMM stage ends early once, at an update, every copy is within stop · ‖W‖ of its weights and moved by no
        more than that (Boyd et al. 2011, section 3.3.1, relative); None: all its epochs.
    steps, step_ratio: progressive pruning: so many rounds of ADMM and masked retraining, each from the mask of the
        one before, with step_ratio times fewer groups (None: 2, Ye et al. 2019, arXiv 1903.09769, whose second step
        doubles the rate); the last round has the budgets of the plan, and each takes the epochs of a whole schedule.
    quantise_steps: with 2, order="sequential" quantises first all layers but the first and the last, and then, those
        on their levels, these two (arXiv 1903.09769).
    accumulate: batches per step of the optimiser; their gradients weigh as if they were one batch.
    precision: "bfloat16" runs forward passes in autocast; weights, projections and updates stay as they are.
    distill: share s of the loss that comes from the dense network, at distill_temperature T (None: 1), in all masked
        stages: (1 − s) · loss + s T² · KL(teacher ‖ student) of the softmax of outputs / T (Ma et al. 2020, arXiv
        1908.10017, algorithm 2).
    """

    admm_epochs: NonNegativeInt = 27
    update_every: Count = 3
    rho: Positive = 1e-2
    rho_growth: Growth = 1.3
    retrain_epochs: NonNegativeInt = 12
    quantise_epochs: NonNegativeInt | None = None
    finish_epochs: NonNegativeInt = 6
    lr: Positive = 1e-3
    retrain_lr: Positive | None = None
    finish_lr: Positive | None = None
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: Momentum | None = None
    weight_decay: NonNegative = 0.0
    lr_schedule: Literal["cosine", "step", "constant"] = "cosine"
    solver: Literal["admm", "slr"] = "admm"
    slr_step: Positive | None = None
    slr_m: Annotated[float, Strict(), Field(gt=1, allow_inf_nan=False)] | None = None
    slr_r: Annotated[float, Strict(), Field(gt=0, lt=1)] | None = None
    rho_rule: Literal["grow", "balance"] = "grow"
    rho_threshold: Growth | None = None
    stop: Positive | None = None
    steps: Count = 1
    step_ratio: Annotated[float, Strict(), Field(gt=1, allow_inf_nan=False)] | None = None
    quantise_steps: Literal[1, 2] = 1
    accumulate: Count = 1
    precision: Literal["full", "bfloat16"] = "full"
    distill: Fraction = 0.0
    distill_temperature: Positive | None = None

    @model_validator(mode="after")
    def _check(self) -> Schedule:
        if self.momentum is not None and self.optimizer == "adam":
            raise ValueError('momentum is a setting of optimizer="sgd"; leave it out or choose "sgd"')
        idle = [name for name in ("slr_step", "slr_m", "slr_r") if getattr(self, name) is not None]
        if idle and self.solver == "admm":
            raise ValueError(f'{idle[0]} is a setting of solver="slr"; leave it out or choose "slr"')
        if self.solver == "slr" and self.rho_rule == "balance":
            raise ValueError('rho_rule="balance" weighs residuals of solver="admm"; with "slr" take "grow"')
        for name, needed, given in (
            ("rho_threshold", 'rho_rule="balance"', self.rho_rule == "balance"),
            ("step_ratio", "steps of at least 2", self.steps > 1),
            ("distill_temperature", "distill above 0", self.distill > 0),
        ):
            if getattr(self, name) is not None and not given:
                raise ValueError(f"{name} needs {needed}; leave it out or give that as well")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Plan:
    """Constraints, order and schedule of one compression.

    layers: an exact name beats a glob, among globs the first that matches wins; a layer that no entry names
        is left alone. Every entry must match a layer, only a final "*" may come away empty.
    order: "joint" pulls to the pruning copy and the quantisation copy at once (Yuan et al. 2019, arXiv
        1908.11691); "sequential" prunes, retrains, and quantises what is left; "quantise-first" brings all weights to
        their levels, and prunes while the forward pass keeps them there.
    budgets: pruning budgets that several layers share, projected on after each layer's own sets; their layers need
        no entry of their own.
    levels: quantisation sets that stand in the place of what `layers` says, by patterns of their own, matched alike.
    """

    layers: tuple[LayerPlan, ...] = ()
    budgets: tuple[Shared, ...] = ()
    levels: tuple[LayerLevels, ...] = ()
    order: Order = "joint"
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _check(self) -> Plan:
        if not self.layers and not self.budgets and not self.levels:
            raise ValueError("a plan names at least one layer, or a budget that layers share")
        for entries in (self.layers, self.levels):
            names = [entry.name for entry in entries]
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"layer {name!r} is planned twice; put all its constraints into one entry")
        if self.order == "joint" and self.schedule.quantise_epochs is not None:
            raise ValueError('quantise_epochs is a stage of order="sequential"; with "joint" leave it out')
        if self.order != "sequential" and self.schedule.quantise_steps > 1:
            raise ValueError(f'quantise_steps = 2 needs order="sequential", not "{self.order}"')
        return self

    @classmethod
    def for_array(
        cls,
        array: ArraySpec,
        prune: Mapping[str, Prune | Sequence[Prune]] | None = None,
        *,
        levels: Mapping[str, Values | None] | None = None,
        quantise: bool = True,
        order: Order = "joint",
        schedule: Schedule | None = None,
        budgets: Sequence[Shared] = (),
        joint: bool = False,
    ) -> Plan:
        """A plan for a crossbar: all convolutions and linear layers on the array's weight levels.

        array: where the levels come from (`weight_levels()`); each layer gets its own fitted scale.
        prune: module name or glob → pruning sets, as `Plan.layers`. quantise=False: pruning only.
        levels: module name or glob → the quantisation set of these layers in the place of the array's levels, None: not
        quantised. Only levels that are some of the array's stay as they are when placed.
        budgets: as `Plan.budgets`; joint: as `LayerPlan.joint`, for all layers.
        """
        own = Levels(tuple(array.weight_levels().tolist()), "fit") if quantise else None
        chosen = {name: tuple(sets) if isinstance(sets, Sequence) else (sets,) for name, sets in (prune or {}).items()}
        if quantise:
            chosen.setdefault("*", ())
        layers = tuple(LayerPlan(name=name, prune=sets, levels=own, joint=joint) for name, sets in chosen.items())
        chosen_levels = tuple(LayerLevels(name=name, levels=chosen) for name, chosen in (levels or {}).items())
        return cls(
            layers=layers, order=order, schedule=schedule or Schedule(), budgets=tuple(budgets), levels=chosen_levels
        )
