import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from admm import LayerPlan, Plan, Schedule, compress
from admm.constraints import Unstructured
from admm.gates import box_with_sum, prune_jointly, sphere
from hwmodels.errors import UserError


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.integers(2, 9))
def test_the_projections_are_the_nearest_points(seed, m):
    generator = np.random.default_rng(seed)
    v, k = generator.normal(0.5, 1.0, m), int(generator.integers(0, m + 1))
    z = box_with_sum(v, k)
    truth = scipy.optimize.minimize(
        lambda x: ((x - v) ** 2).sum(),
        np.full(m, k / m),
        bounds=[(0, 1)] * m,
        constraints={"type": "eq", "fun": lambda x: x.sum() - k},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(z, truth.x, atol=1e-5)
    assert z.sum() == pytest.approx(k, abs=1e-9)
    assert z.min() >= 0
    assert z.max() <= 1
    on = sphere(v)
    assert ((on - 0.5) ** 2).sum() == pytest.approx(m / 4)
    others = generator.normal(size=(500, m))
    others = 0.5 + np.sqrt(m) / 2 * others / np.linalg.norm(others, axis=1, keepdims=True)
    assert ((on - v) ** 2).sum() <= ((others - v) ** 2).sum(axis=1).min() + 1e-12
    assert ((sphere(np.full(m, 0.5)) - 0.5) ** 2).sum() == pytest.approx(m / 4)
    binary = (np.arange(m) < k).astype(float)  # both sets meet in the binary vectors
    np.testing.assert_allclose(box_with_sum(binary, k), binary, atol=1e-9)
    np.testing.assert_allclose(sphere(binary), binary)
    with pytest.raises(UserError, match="gates cannot stay"):
        box_with_sum(v, m + 1)


@pytest.mark.parametrize("holistic", [False, True])
def test_the_result_has_the_numbers_asked_for(holistic, convolutional, batches, evaluate):
    weights = 0.3 if holistic else {"0": 0.8, "3": 0.3, "7": 0.3}
    gates = 0.6 if holistic else {"0": 1.0, "3": 0.5, "7": 1.0}
    settings_ = {"epochs": 12, "rho": 1.0, "lr": 5e-3}
    found = prune_jointly(convolutional, batches, weights, gates, **settings_)
    again = prune_jointly(convolutional, batches, weights, gates, **settings_)
    sizes = {"0": (72, 8), "3": (12 * 4 * 9, 48), "7": (1920, 10)}
    if holistic:
        assert sum(int(m.sum()) for m in found.masks.values()) <= 0.3 * sum(w for w, _ in sizes.values())
        assert sum(int(g.sum()) for g in found.gates.values()) == int(0.6 * sum(g for _, g in sizes.values()))
    else:
        for name, (count, m) in sizes.items():
            assert int(found.masks[name].sum()) <= weights[name] * count
            assert int(found.gates[name].sum()) == int(gates[name] * m)
    for name, mask in found.masks.items():
        w = found.model.get_submodule(name).weight
        assert (w[~mask] == 0).all()
        assert not (mask.flatten(2).any(2) if mask.ndim > 2 else mask.any(1))[~found.gates[name]].any()
        assert torch.equal(mask, again.masks[name])
    assert found.history["primal_weights"].iloc[-1] < 0.7 * found.history["primal_weights"].max()
    assert found.history["gates_undecided"].between(0, 1).all()
    plan = Plan(
        layers=(LayerPlan(name="*", prune=(Unstructured(1.0),)),),
        schedule=Schedule(admm_epochs=0, retrain_epochs=8, retrain_lr=1e-2),
    )
    retrained = compress(found.model, plan, batches, evaluate, masks=found.masks)
    assert all(not (retrained.masks[name] & ~mask).any() for name, mask in found.masks.items())
    assert retrained.stages["pruned"] > (0.6 if holistic else 0.9)


def test_mixed_up_numbers_are_named(convolutional, batches):
    with pytest.raises(UserError, match="both by layer or both as one number"):
        prune_jointly(convolutional, batches, 0.1, {"0": 0.5})
    with pytest.raises(UserError, match="for the same layers"):
        prune_jointly(convolutional, batches, {"3": 0.1}, {"0": 0.5})
    with pytest.raises(UserError, match="layer"):
        prune_jointly(convolutional, batches, {"fc": 0.1}, {"fc": 0.5})
