"""Distillation: a compressed student learns from the dense teacher's outputs as well as from the targets.

    loss = (1 − s) · L(student, target) + s T² · KL(softmax(teacher / T) ‖ softmax(student / T))

(Hinton et al. 2015, arXiv 1503.02531; with quantised students Ma et al. 2020, arXiv 1908.10017, algorithm 2.)
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from hwmodels.errors import UserError

Loss = Callable[[Any, Tensor], Tensor]


class Teacher:
    """A frozen copy of a model in evaluation mode, and the loss that mixes its outputs in.

    share: s, 0 < s ≤ 1; temperature: T > 0. Outputs are logits, classes last.
    """

    def __init__(self, model: nn.Module, share: float, temperature: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.share, self.temperature = share, temperature

    @torch.no_grad()
    def outputs(self, inputs: Tensor) -> Any:
        """What the teacher says."""
        return self.model(inputs)

    def mixed(self, loss: Loss) -> Callable[[tuple[Any, Any], Tensor], Tensor]:
        """(student outputs, teacher outputs), targets → the loss above, means over the batch.

        Raises UserError when the outputs are no logits of one shape.
        """

        def value(outputs: tuple[Any, Any], targets: Tensor) -> Tensor:
            student, teacher = outputs
            if not (isinstance(student, Tensor) and isinstance(teacher, Tensor) and student.shape == teacher.shape):
                raise UserError("Distillation needs a student and a teacher that give logits of one shape.")
            t = self.temperature
            target = log_softmax(teacher.flatten(0, -2) / t, -1)
            divergence = kl_div(
                log_softmax(student.flatten(0, -2) / t, -1), target, reduction="batchmean", log_target=True
            )
            return (1 - self.share) * loss(student, targets) + self.share * t**2 * divergence

        return value
