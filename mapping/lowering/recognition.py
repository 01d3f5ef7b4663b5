"""Which modules arrays can compute, and the geometry of each."""

from __future__ import annotations

from torch import nn

from mapping.lowering.geometry import Geometry

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
KINDS = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)
"""Layer types of torch whose weight is one matrix (per group) times an input vector."""


def is_hf_conv1d(module: nn.Module) -> bool:
    """Whether a module is the Conv1D of Hugging Face's transformers: a linear layer with its weight stored (in, out).

    Known by name, so that transformers need not be installed.
    """
    kind = type(module)
    return kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"


def _kind(module: nn.Module) -> type[nn.Module] | None:
    return next((kind for kind in KINDS if isinstance(module, kind)), None)


def why_not_mappable(module: nn.Module) -> str | None:
    """None for a layer that arrays can compute, else the reason why it stays digital."""
    if is_hf_conv1d(module):
        return None
    kind = _kind(module)
    if kind is not None:
        if type(module).forward is kind.forward:
            return None
        return "it overrides the forward of its layer type, so it may compute something else"
    if not any(True for _ in module.parameters(recurse=False)):
        return "has no weights"
    if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm):
        return "normalisation: a scale and shift per channel, done digitally"
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "embedding: a look-up in a memory, no matrix product"
    return "layer type not supported on crossbars"


def geometry(module: nn.Module) -> Geometry:
    """The geometry of a mappable layer."""
    if is_hf_conv1d(module):
        rows, cols = module.weight.shape  # type: ignore[union-attr, misc]
        return Geometry(kind="Conv1D", weight_shape=(int(cols), int(rows)))
    if isinstance(module, nn.Linear):
        return Geometry(kind="Linear", weight_shape=tuple(module.weight.shape))
    if isinstance(module, TRANSPOSED):
        return _transposed(module)
    assert isinstance(module, CONVOLUTIONS)
    return Geometry(
        kind=_kind_name(module),
        weight_shape=tuple(module.weight.shape),
        groups=module.groups,
        stride=tuple(module.stride),
        dilation=tuple(module.dilation),
        padding=tuple(module._reversed_padding_repeated_twice),
        padding_mode="constant" if module.padding_mode == "zeros" else module.padding_mode,
    )


def _kind_name(module: nn.Module) -> str:
    kind = _kind(module)
    assert kind is not None
    return kind.__name__


def _transposed(module: nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) -> Geometry:
    inputs, outputs_per_group, *kernel = module.weight.shape
    padding: list[int] = []
    # A border of dilation · (kernel − 1) makes the stuffed input's convolution full; what torch calls padding cuts it.
    for size, dilation, cut, more in reversed(
        list(zip(kernel, module.dilation, module.padding, module.output_padding, strict=True))
    ):
        border = dilation * (size - 1) - int(cut)
        padding += [border, border + more]
    return Geometry(
        kind=_kind_name(module),
        weight_shape=(outputs_per_group * module.groups, inputs // module.groups, *kernel),
        groups=module.groups,
        stride=(1,) * len(kernel),
        dilation=tuple(module.dilation),
        padding=tuple(padding),
        stuffing=tuple(module.stride),
    )
