import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from admm import LayerPlan, Plan, Schedule, compress
from admm.constraints import Column
from admm.distill import Teacher
from hwmodels.errors import UserError


def test_the_mixed_loss_is_the_formula():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator)
    targets = torch.tensor([0, 1, 2, 3, 0, 1])
    value = Teacher(nn.Identity(), 0.3, 2.5).mixed(cross_entropy)((student, teacher), targets)
    p, q = torch.softmax(teacher / 2.5, 1), torch.softmax(student / 2.5, 1)
    divergence = (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(value, 0.7 * cross_entropy(student, targets) + 0.3 * 2.5**2 * divergence)
    assert float(Teacher(nn.Identity(), 1.0, 1.0).mixed(cross_entropy)((teacher, teacher), targets)) < 1e-6
    with pytest.raises(UserError, match="logits of one shape"):
        Teacher(nn.Identity(), 0.3, 1.0).mixed(cross_entropy)((student, teacher[:3]), targets)


def test_a_teacher_is_a_frozen_copy():
    model = nn.Linear(3, 2)
    teacher = Teacher(model, 0.5, 1.0)
    with torch.no_grad():
        model.weight.zero_()
    assert teacher.outputs(torch.ones(1, 3)).requires_grad is False
    assert (teacher.model.weight != 0).any()


def test_a_student_of_the_dense_network_needs_no_targets(convolutional, digits, evaluate):
    """With all of the loss from the teacher, wrong targets do no harm in retraining."""
    x, y = digits
    wrong = list(zip(x.split(50), ((y + 1) % 10).split(50), strict=True))
    layers = (LayerPlan(name="7", prune=(Column(0.3),)),)
    common = {"admm_epochs": 0, "retrain_epochs": 6, "retrain_lr": 1e-2}
    taught = compress(
        convolutional, Plan(layers=layers, schedule=Schedule(**common, distill=1.0)), wrong, evaluate
    ).stages["pruned"]  # fmt: skip
    misled = compress(convolutional, Plan(layers=layers, schedule=Schedule(**common)), wrong, evaluate).stages["pruned"]
    assert taught > misled + 0.3
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(UserError, match="logits of one shape"):
        compress(
            convolutional, Plan(layers=layers, schedule=Schedule(**common, distill=0.5)), wrong, evaluate, teacher=other
        )
