"""Multi-head attention with its projections as linear layers; scores, softmax and the weighted sum are digital."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapping.rewriting.recurrent import linear_of


class Attention(nn.Module):
    """nn.MultiheadAttention with linear layers `q_proj`, `k_proj`, `v_proj` and `out_proj`.

    torch keeps the first three behind each other in `in_proj_weight`; here each stands on arrays of its own, since
    query, key and value may be different inputs.
    """

    # Says to nn.TransformerEncoderLayer that its fused kernel, which would pass the layers by, does not apply.
    in_proj_bias = None
    in_proj_weight = None

    def __init__(self, source: nn.MultiheadAttention) -> None:
        """Take over the parameters of an attention of torch."""
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim = source.embed_dim, source.num_heads, source.head_dim
        self.batch_first, self.add_zero_attn, self.dropout = source.batch_first, source.add_zero_attn, source.dropout
        self.kdim, self.vdim = source.kdim, source.vdim
        self._qkv_same_embed_dim = source._qkv_same_embed_dim
        if source.in_proj_weight is None:
            weights = (source.q_proj_weight, source.k_proj_weight, source.v_proj_weight)
        else:
            weights = tuple(part.detach().clone() for part in source.in_proj_weight.chunk(3))
        none = (None, None, None)
        bias = source.in_proj_bias
        biases = none if bias is None else tuple(part.detach().clone() for part in bias.chunk(3))
        for name, weight, own in zip(("q_proj", "k_proj", "v_proj"), weights, biases, strict=True):
            self.add_module(name, linear_of(weight, own))
        self.out_proj = source.out_proj
        self.bias_k, self.bias_v = source.bias_k, source.bias_v

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As nn.MultiheadAttention; is_causal is only a hint that attn_mask is causal, and changes nothing."""
        unbatched = query.dim() == 2
        axis = 0 if self.batch_first else 1
        if unbatched:
            query, key, value = (each.unsqueeze(axis) for each in (query, key, value))
        projected = [self.get_submodule(f"{n}_proj")(x) for n, x in (("q", query), ("k", key), ("v", value))]
        q, k, v = projected if self.batch_first else [each.transpose(0, 1) for each in projected]
        k, v, more = self._extended(k, v)
        q, k, v = (each.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for each in (q, k, v))
        scores = q @ k.transpose(-2, -1) / sqrt(self.head_dim)
        scores = self._masked(scores, attn_mask, key_padding_mask, more)
        weights = F.dropout(scores.softmax(dim=-1), self.dropout, self.training)
        y = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        y = y if self.batch_first else y.transpose(0, 1)
        told = None
        if need_weights:
            told = weights.mean(dim=1) if average_attn_weights else weights
            told = told.squeeze(0) if unbatched else told
        return y.squeeze(axis) if unbatched else y, told

    def _extended(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, int]:
        """Keys and values (n, length, embed) with torch's optional extra positions, and how many were added."""
        more = 0
        if self.bias_k is not None and self.bias_v is not None:
            k, v = (
                torch.cat([each, b.expand(len(each), 1, -1)], 1) for each, b in ((k, self.bias_k), (v, self.bias_v))
            )
            more += 1
        if self.add_zero_attn:
            k, v = (F.pad(each, (0, 0, 0, 1)) for each in (k, v))
            more += 1
        return k, v, more

    def _masked(self, scores: Tensor, mask: Tensor | None, padding: Tensor | None, more: int) -> Tensor:
        """Scores (n, heads, targets, sources) with both masks added; the extra positions are always seen."""
        if mask is not None:
            mask = F.pad(_additive(mask, scores), (0, more))
            scores = scores + (mask if mask.dim() == 2 else mask.view(-1, self.num_heads, *mask.shape[-2:]))
        if padding is not None:
            padding = F.pad(_additive(padding, scores), (0, more))
            scores = scores + padding.view(-1, 1, 1, padding.shape[-1])
        return scores


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    """A mask whose True stands for −∞, or one that is added as it is."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -torch.inf)
