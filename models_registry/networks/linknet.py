"""LinkNet with residual blocks and instance normalisation in 3D, as deepbet's two TorchScript archives state it.

Names of parameters are those of the archives, so that their tensors load as they are (Chaurasia and Culurciello 2017;
Fisch et al. 2024, deepbet 1.0.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 128)


def _normed(convolution: nn.Module, channels: int, *more: nn.Module) -> nn.Sequential:
    return nn.Sequential(convolution, nn.InstanceNorm3d(channels), *more)


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv3d(before, after, 3, stride, 1, bias=False), nn.InstanceNorm3d(after), nn.ReLU(),
            nn.Conv3d(after, after, 3, 1, 1, bias=False), nn.InstanceNorm3d(after))
        if before != after:
            self.downsample = _normed(nn.Conv3d(before, after, 1, stride, bias=False), after)

    def forward(self, x: Tensor) -> Tensor:
        beside = self.downsample(x) if hasattr(self, "downsample") else x
        return torch.relu(self.double_conv(x) + beside)


class _Down(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.block1 = _Block(before, after, 1 if before == after else 2)
        self.block2 = _Block(after, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.block2(self.block1(x))  # type: ignore[no-any-return]


class _Up(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        inner = before // 4
        self.conv1 = _normed(nn.Conv3d(before, inner, 1, bias=False), inner, nn.ReLU())
        self.tp_conv = _normed(nn.ConvTranspose3d(inner, inner, 3, stride, 1, stride - 1, bias=False), inner, nn.ReLU())
        self.conv2 = _normed(nn.Conv3d(inner, after, 1, bias=False), after, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.tp_conv(self.conv1(x)))  # type: ignore[no-any-return]


class LinkNet3d(nn.Module):
    """One channel in, two class probabilities out, on the same grid; each side a multiple of 32."""

    def __init__(self) -> None:
        super().__init__()
        first = WIDTHS[0]
        self.init = _normed(nn.Conv3d(1, first, 7, 2, 3, bias=False), first, nn.ReLU(), nn.MaxPool3d(3, 2, 1))
        self.down0, self.down1 = _Down(first, first), _Down(first, WIDTHS[1])
        self.down2, self.down3 = _Down(WIDTHS[1], WIDTHS[2]), _Down(WIDTHS[2], WIDTHS[3])
        self.up0, self.up1 = _Up(WIDTHS[3], WIDTHS[2], 2), _Up(WIDTHS[2], WIDTHS[1], 2)
        self.up2, self.up3 = _Up(WIDTHS[1], first, 2), _Up(first, first, 1)
        self.tp_conv1 = _normed(nn.ConvTranspose3d(first, 8, 3, 2, 1, 1), 8, nn.ReLU())
        self.conv = _normed(nn.Conv3d(8, 8, 3, 1, 1), 8, nn.ReLU())
        self.tp_conv2 = nn.ConvTranspose3d(8, 2, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        start = self.init(x)
        one = self.down0(start)
        two = self.down1(one)
        three = self.down2(two)
        up = self.up0(self.down3(three)) + three
        up = self.up1(up) + two
        up = self.up2(up) + one
        up = self.up3(up) + start
        return torch.softmax(self.tp_conv2(self.conv(self.tp_conv1(up))), 1)
