import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import Wiring, effective_conductance, solve, wires_torch
from hwmodels.errors import UserError

ohms = st.one_of(st.just(0.0), st.floats(-3, 3).map(lambda x: 10**x))
WIRINGS = {
    "1R": Wiring(),
    "1T1R, both ends": Wiring(r_access_ohm=3e3, r_far_source_ohm=20.0),
    "grounded": Wiring(driven=(True, False, True, True), undriven="grounded"),
    "floating": Wiring(driven=(True, False, True, False), undriven="floating"),
    "off": Wiring(driven=(True, False, True, True), undriven="off"),
}


@st.composite
def arrays(draw, most=12):
    rows, cols = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    closed = rng.random((2, rows, cols)) >= draw(st.sampled_from([0.0, 0.3, 0.9]))
    wiring = Wiring(
        r_access_ohm=draw(ohms),
        r_far_source_ohm=draw(st.one_of(st.none(), ohms)),
        driven=rng.random(rows) >= draw(st.sampled_from([0.0, 0.4])),
        undriven=draw(st.sampled_from(["grounded", "floating", "off"])),
    )
    return 10 ** rng.uniform(-6, -3, (2, rows, cols)) * closed, [draw(ohms) for _ in range(4)], wiring


@settings(max_examples=60)
@given(case=arrays())
def test_it_is_the_numba_version(case):
    g, wires, wiring = case
    expected = effective_conductance(g, *wires, wiring=wiring)
    found = wires_torch.effective_conductance(torch.tensor(g), *wires, wiring=wiring)
    assert found.dtype == torch.float64
    assert np.abs(found.numpy() - expected).max() <= 1e-10 * np.abs(expected).max()


@pytest.mark.parametrize("shape", [(33, 33), (12, 40), (40, 12)], ids=str)
@pytest.mark.parametrize("r", [1e-6, 1.0, 50.0])
def test_larger_arrays(shape, r):
    g = 10 ** np.random.default_rng(1).uniform(-6, -4, shape)
    found = wires_torch.effective_conductance(torch.tensor(g), r, 2 * r, 3 * r, r).numpy()
    np.testing.assert_allclose(found, effective_conductance(g, r, 2 * r, 3 * r, r), rtol=1e-10)


@pytest.mark.parametrize("wires", [(50.0, 70.0, 10.0, 20.0), (0.0, 70.0, 0.0, 0.0), (50.0, 0.0, 0.0, 0.0)], ids=str)
@pytest.mark.parametrize("wiring", WIRINGS.values(), ids=WIRINGS)
def test_gradients_are_right(wires, wiring):
    """Conductances in mS, so that steps of the finite differences suit them; one cell is open."""
    g = torch.rand(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1
    g[0, 1, 2] = 0.01
    g = g.requires_grad_()
    compute = lambda milli: 1e3 * wires_torch.effective_conductance(milli * 1e-3, *wires, wiring=wiring)  # noqa: E731
    assert torch.autograd.gradcheck(compute, (g,), eps=1e-5, atol=1e-7)


def test_a_gradient_is_the_product_of_two_voltage_drops():
    """Closed form, by another solver: the drop over a cell with 1 V at the driver, and with 1 V at the sink."""
    rng = np.random.default_rng(2)
    g = 10 ** rng.uniform(-6, -4, (9, 7))
    g[4, 2] = 0.0
    wires = (20.0, 30.0, 40.0, 50.0)
    i, j = 3, 5
    forward = solve(g, np.eye(9)[i], *wires)
    # With 1 V at sink j alone: the array turned over its other diagonal has drivers where the sinks are.
    backward = solve(g[::-1, ::-1].T, np.eye(7)[6 - j], 30.0, 20.0, 50.0, 40.0)
    drop = (forward.v_word - forward.v_bit)[0]
    adjoint = (backward.v_word - backward.v_bit)[0].T[::-1, ::-1]
    tensor = torch.tensor(g, requires_grad=True)
    wires_torch.effective_conductance(tensor, *wires)[i, j].backward()
    assert tensor.grad is not None
    np.testing.assert_allclose(tensor.grad.numpy(), drop * adjoint, rtol=1e-7, atol=1e-13)


def test_single_precision_and_any_batch():
    g = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(3)) * 1e-4
    g.requires_grad_()
    found = wires_torch.effective_conductance(g, 1.0, 2.0)
    np.testing.assert_allclose(found.detach().numpy(), effective_conductance(g.detach().numpy(), 1.0, 2.0), rtol=1e-12)
    found.sum().backward()
    assert g.grad is not None
    assert g.grad.dtype == torch.float32
    assert torch.isfinite(g.grad).all()
    ideal = wires_torch.effective_conductance(g, 0.0, 0.0)
    assert torch.equal(ideal, g.to(torch.float64))


@pytest.mark.parametrize(
    ("g", "message"),
    [
        (torch.tensor([[1.0, float("nan")]]), r"^g\[0, 1\] = nan S is no conductance\."),
        (torch.tensor([[1.0, -1.0]]), r"^g\[0, 1\] = -1\.0 S is no conductance\."),
        (torch.tensor([1.0]), r"^g has shape \(1,\)\."),
        (torch.tensor([[1]]), r"^g has dtype torch\.int64\."),
    ],
)
def test_bad_input(g, message):
    with pytest.raises(UserError, match=message):
        wires_torch.effective_conductance(g, 1.0, 1.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu():
    g = 10 ** np.random.default_rng(4).uniform(-6, -4, (3, 40, 30))
    found = wires_torch.effective_conductance(torch.tensor(g, device="cuda"), 1.0, 2.0)
    np.testing.assert_allclose(found.cpu().numpy(), effective_conductance(g, 1.0, 2.0), rtol=1e-10)
