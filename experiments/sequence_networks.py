"""The packaged networks that read a sequence: of spectrogram frames, or of image patches.

Made as those of `experiments.networks`, by `factory(in_channels, classes, image_size)`, with one difference: image_size
may be (height, width), since a spectrogram (bands, frames) is no square. Weight counts leave biases, normalisation and
positions out.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from hwmodels.errors import UserError

ImageSize = int | tuple[int, int]
"""Pixels each way of a square image, or its (height, width)."""


def sides(image_size: ImageSize) -> tuple[int, int]:
    """Height and width."""
    return (image_size, image_size) if isinstance(image_size, int) else image_size


@final
class SpeechGRU(nn.Module):
    """One gated recurrent layer over the frames of a spectrogram; 65 792 weights at 40 bands and 10 classes.

    gru: 128 units (K. Cho et al., EMNLP 2014, arXiv:1406.1078, as torch has it), weight_ih 384×40, weight_hh 384×128;
    fc 10×128 reads the mean of its states over all frames. Channels stand beside each other in a frame.
    """

    hidden = 128

    def __init__(self, in_channels: int, classes: int, image_size: ImageSize) -> None:
        """See the class."""
        super().__init__()
        self.gru = nn.GRU(in_channels * sides(image_size)[0], self.hidden, batch_first=True)
        self.fc = nn.Linear(self.hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Spectrograms (n, in_channels, bands, frames) -> class scores (n, classes)."""
        states, _ = self.gru(x.flatten(1, 2).transpose(1, 2))
        return self.fc(states.mean(dim=1))


class EncoderBlock(nn.Module):
    """Self-attention, then two linear layers with a ReLU, each on normalised inputs and added to them ("pre-norm").

    ReLU in the place of the usual GELU, so that fc2 meets no negative input (which would cost it a second read).
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        """width: of a token; heads: of the attention; hidden: width between fc1 and fc2."""
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (n, length, width) -> the same shape."""
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.fc2(self.relu(self.fc1(self.norm2(x))))


@final
class VisionTransformer(nn.Module):
    """A vision transformer without a class token: patches, learned positions, encoder blocks, mean over the tokens.

    A. Dosovitskiy et al., ICLR 2021, arXiv:2010.11929; the mean in the place of the class token as in L. Beyer,
    X. Zhai, A. Kolesnikov, "Better plain ViT baselines for ImageNet-1k", arXiv:2205.01580. Layers: conv_proj,
    blocks.0.attention.{q,k,v,out}_proj (once they are linear layers), blocks.0.fc1, blocks.0.fc2, …, head.
    """

    def __init__(
        self,
        name: str,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        in_channels: int,
        classes: int,
        image_size: ImageSize,
    ) -> None:
        """patch: pixels each way; width: of a token; depth: blocks; fc1 doubles the width."""
        super().__init__()
        height, across = sides(image_size)
        if height % patch or across % patch:
            raise UserError(f"{name} cuts images into {patch} × {patch} pixels; {height} × {across} do not divide so.")
        self.conv_proj = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.positions = nn.Parameter(torch.empty(1, height // patch * (across // patch), width).normal_(std=0.02))
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads, 2 * width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, in_channels, h, w) -> class scores (n, classes)."""
        tokens = self.conv_proj(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


def vit_tiny_2(in_channels: int, classes: int, image_size: ImageSize) -> VisionTransformer:
    """`vit_tiny_4` with patches of 2 × 2 pixels, for very small images: 16 tokens at 8 × 8 pixels; 131 968 weights."""
    return VisionTransformer("vit-tiny-2", 2, 64, 4, 4, in_channels, classes, image_size)


def vit_tiny_4(in_channels: int, classes: int, image_size: ImageSize) -> VisionTransformer:
    """A vision transformer for small images: patches of 4 × 4 pixels, 4 blocks of width 64, 4 heads; 132 736 weights.

    For one channel and 10 classes; 49 tokens at 28 × 28 pixels, 64 at 32 × 32.
    """
    return VisionTransformer("vit-tiny-4", 4, 64, 4, 4, in_channels, classes, image_size)


def vit_tiny_7(in_channels: int, classes: int, image_size: ImageSize) -> VisionTransformer:
    """`vit_tiny_4` with patches of 7 × 7 pixels: 16 tokens at 28 × 28 pixels, a third of the work; 134 848 weights."""
    return VisionTransformer("vit-tiny-7", 7, 64, 4, 4, in_channels, classes, image_size)
