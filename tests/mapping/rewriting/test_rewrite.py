"""What is rewritten computes what torch computes, to 1e-6, in every form that torch's modules have."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils._pytree import tree_leaves

from hwmodels.errors import UserError
from mapping.rewriting import rewritable, rewritten


@torch.no_grad()
def _same(module, *args, **kwargs):
    """Whether the rewritten module gives the same, and what it is."""
    module = module.eval()
    other = rewritten(copy.deepcopy(module))
    expected, found = tree_leaves(module(*args, **kwargs)), tree_leaves(other(*args, **kwargs))
    assert len(expected) == len(found)
    for a, b in zip(expected, found, strict=True):
        if a is None:
            assert b is None
            continue
        assert a.shape == b.shape
        torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-6)
    return other


@pytest.mark.filterwarnings("ignore:LSTM with projections", "ignore:dropout option adds")
@given(
    st.sampled_from([nn.LSTM, nn.GRU, nn.RNN]),
    st.integers(1, 3),
    *[st.booleans()] * 4,
    st.sampled_from(["none", "given", "unbatched", "unbatched given"]),
)
def test_recurrent_layers(kind, layers, two_ways, batch_first, bias, project, how):
    torch.manual_seed(layers)
    options = {"proj_size": 2} if project and kind is nn.LSTM else {}
    if kind is nn.RNN and project:
        options = {"nonlinearity": "relu"}
    net = kind(3, 4, layers, bidirectional=two_ways, batch_first=batch_first, bias=bias, **options)
    unbatched, given_state = "unbatched" in how, "given" in how
    x = torch.randn(5, 3) if unbatched else torch.randn(*((2, 5) if batch_first else (5, 2)), 3)
    count = layers * (2 if two_ways else 1)
    shape = (count,) if unbatched else (count, 2)
    state = torch.randn(*shape, options.get("proj_size", 4))
    if kind is nn.LSTM:
        state = (state, torch.randn(*shape, 4))
    made = _same(net, x, state) if given_state else _same(net, x)
    names = {name for name, module in made.named_modules() if isinstance(module, nn.Linear)}
    assert names == {name for name, _ in net.named_parameters() if name.startswith("weight")}


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("unbatched", [False, True])
@pytest.mark.parametrize("given_state", [False, True])
def test_cells(kind, unbatched, given_state):
    torch.manual_seed(0)
    x, h, c = (torch.randn(n) if unbatched else torch.randn(2, n) for n in (3, 4, 4))
    state = ((h, c) if kind is nn.LSTMCell else h,) if given_state else ()
    _same(kind(3, 4), x, *state)


@given(
    *[st.booleans()] * 6,
    st.sampled_from(["none", "bool", "float", "per head"]),
    st.booleans(),
)
def test_attention(batch_first, bias, extra_keys, zero_key, other_sizes, weights, mask, padding):
    torch.manual_seed(0)
    sizes = {"kdim": 5, "vdim": 7} if other_sizes else {}
    net = nn.MultiheadAttention(
        8, 2, bias=bias, add_bias_kv=extra_keys, add_zero_attn=zero_key, batch_first=batch_first, **sizes
    )
    x = [torch.randn(3, n, e) for n, e in ((4, 8), (6, sizes.get("kdim", 8)), (6, sizes.get("vdim", 8)))]
    x = x if batch_first else [each.transpose(0, 1) for each in x]
    masks = {
        "none": None,
        "bool": torch.rand(4, 6) < 0.3,
        "float": torch.randn(4, 6),
        "per head": torch.randn(6, 4, 6),
    }
    ignored = torch.zeros(3, 6, dtype=torch.bool)
    ignored[1, 4:] = True
    if mask in ("float", "per head"):  # torch wants masks of one type
        ignored = torch.zeros(3, 6).masked_fill(ignored, -torch.inf)
    _same(net, *x, key_padding_mask=ignored if padding else None, need_weights=weights, attn_mask=masks[mask])


def test_attention_of_one_sample_and_of_every_head():
    torch.manual_seed(0)
    x = torch.randn(4, 8)
    _same(nn.MultiheadAttention(8, 2), x, x, x, average_attn_weights=False)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_a_stack_of_encoder_layers_leaves_its_fused_kernel(masked, norm_first):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=norm_first)
    net = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    called = []
    other = rewritten(copy.deepcopy(net).eval())
    for module in other.modules():
        if isinstance(module, nn.Linear):
            inner = module.forward
            module.forward = lambda x, inner=inner: called.append(1) or inner(x)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2]) if masked else None
    x = torch.randn(2, 5, 8)
    with torch.no_grad():
        torch.testing.assert_close(
            other(x, src_key_padding_mask=padding), net.eval()(x, src_key_padding_mask=padding), rtol=1e-5, atol=1e-6
        )
    assert len(called) == 2 * 6


def test_a_whole_transformer():
    torch.manual_seed(0)
    net = nn.Transformer(8, 2, 1, 1, 12, batch_first=True)
    _same(net, torch.randn(2, 5, 8), torch.randn(2, 4, 8))


def test_a_module_under_two_names_stays_one():
    shared = nn.LSTM(3, 3)
    net = nn.ModuleDict({"a": shared, "b": shared})
    assert rewritable(net) == ["a"]
    made = rewritten(net)
    assert made["a"] is made["b"]
    assert rewritable(made) == []


def test_a_subclass_that_computes_something_else_stays():
    class Twice(nn.LSTM):
        def forward(self, input, hx=None):
            y, state = super().forward(input, hx)
            return 2 * y, state

    assert rewritable(Twice(2, 2)) == []


def test_packed_sequences_are_refused():
    with pytest.raises(UserError, match="Packed sequences are not supported"):
        rewritten(nn.LSTM(3, 2))(pack_sequence([torch.randn(4, 3)]))
