"""The U-Nets of nnU-Net v2, plain and with a residual encoder, written out for running only.

Names of parameters are those of its checkpoints, without the copies that its modules keep under second names
(`all_modules`, `decoder.encoder`). Source: Isensee et al. 2021 and 2024; the plans state every number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

CONVOLUTIONS: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORMS: dict[int, Any] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
POOLS: dict[int, Any] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
Sides = Sequence[int]


class _Conv(nn.Module):
    """Convolution, instance normalisation, leaky ReLU where `active`."""

    def __init__(self, stated: Mapping[str, Any], before: int, after: int, kernel: Sides, stride: Sides, *,
                 active: bool = True, bias: bool | None = None) -> None:
        super().__init__()
        dimensions = int(stated["dimensions"])
        self.conv = CONVOLUTIONS[dimensions](
            before, after, tuple(kernel), tuple(stride), [(side - 1) // 2 for side in kernel],
            bias=bool(stated["conv_bias"]) if bias is None else bias)
        self.norm = NORMS[dimensions](after, eps=float(stated["norm_eps"]), affine=bool(stated["norm_affine"]))
        self.slope = float(stated["negative_slope"]) if active else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return x if self.slope is None else nn.functional.leaky_relu_(x, self.slope)


class _Stack(nn.Module):
    """Convolutions one after another; the first has the stride."""

    def __init__(self, stated: Mapping[str, Any], count: int, before: int, after: int, kernel: Sides,
                 stride: Sides) -> None:
        super().__init__()
        ones = [1] * int(stated["dimensions"])
        self.convs = nn.Sequential(*[
            _Conv(stated, before if number == 0 else after, after, kernel, stride if number == 0 else ones)
            for number in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        return self.convs(x)  # type: ignore[no-any-return]


class _Residual(nn.Module):
    """Two convolutions beside a shortcut that is averaged and projected where sizes differ (ResNet-D)."""

    def __init__(self, stated: Mapping[str, Any], before: int, after: int, kernel: Sides, stride: Sides) -> None:
        super().__init__()
        dimensions = int(stated["dimensions"])
        ones = [1] * dimensions
        self.conv1 = _Conv(stated, before, after, kernel, stride)
        self.conv2 = _Conv(stated, after, after, kernel, ones, active=False)
        self.slope = float(stated["negative_slope"])
        beside: list[nn.Module] = []
        if any(side != 1 for side in stride):
            beside.append(POOLS[dimensions](tuple(stride), tuple(stride)))
        if before != after:
            beside.append(_Conv(stated, before, after, ones, ones, active=False, bias=False))
        if beside:
            self.skip = nn.Sequential(*beside)

    def forward(self, x: Tensor) -> Tensor:
        beside = self.skip(x) if hasattr(self, "skip") else x
        out = self.conv2(self.conv1(x))
        out += beside
        return nn.functional.leaky_relu_(out, self.slope)


class _ResidualStage(nn.Module):
    def __init__(self, stated: Mapping[str, Any], count: int, before: int, after: int, kernel: Sides,
                 stride: Sides) -> None:
        super().__init__()
        ones = [1] * int(stated["dimensions"])
        self.blocks = nn.Sequential(*[
            _Residual(stated, before if number == 0 else after, after, kernel, stride if number == 0 else ones)
            for number in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)  # type: ignore[no-any-return]


class _Encoder(nn.Module):
    def __init__(self, stated: Mapping[str, Any], channels: int) -> None:
        super().__init__()
        features, kernels, strides = stated["features"], stated["kernels"], stated["strides"]
        before = channels
        if stated["residual"]:
            self.stem = _Stack(stated, 1, channels, features[0], kernels[0], [1] * int(stated["dimensions"]))
            before = features[0]
        stages: list[nn.Module] = []
        for count, after, kernel, stride in zip(stated["blocks"], features, kernels, strides, strict=True):
            stages.append(_ResidualStage(stated, count, before, after, kernel, stride) if stated["residual"]
                          else nn.Sequential(_Stack(stated, count, before, after, kernel, stride)))
            before = after
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        if hasattr(self, "stem"):
            x = self.stem(x)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class _Decoder(nn.Module):
    def __init__(self, stated: Mapping[str, Any], classes: int) -> None:
        super().__init__()
        dimensions = int(stated["dimensions"])
        features, kernels, strides = stated["features"], stated["kernels"], stated["strides"]
        stages, up, heads = [], [], []
        for number, count in enumerate(stated["decoder_blocks"], start=1):
            below, beside, stride = features[-number], features[-number - 1], tuple(strides[-number])
            up.append(TRANSPOSED[dimensions](below, beside, stride, stride, bias=bool(stated["conv_bias"])))
            stages.append(_Stack(stated, count, 2 * beside, beside, kernels[-number - 1], [1] * dimensions))
            # Heads of the lower stages served training; they are kept, so that every tensor has its place.
            heads.append(CONVOLUTIONS[dimensions](beside, classes, 1, 1, 0, bias=True))
        self.stages, self.transpconvs, self.seg_layers = nn.ModuleList(stages), nn.ModuleList(up), nn.ModuleList(heads)

    def forward(self, found: list[Tensor]) -> Tensor:
        x = found[-1]
        for number, (up, stage) in enumerate(zip(self.transpconvs, self.stages, strict=True)):
            x = stage(torch.cat((up(x), found[-number - 2]), 1))
        return self.seg_layers[-1](x)  # type: ignore[no-any-return]


class NnUNet(nn.Module):
    """Channels in, one score per class out, on the same grid. `stated`: what conversion wrote from the plans."""

    def __init__(self, stated: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder = _Encoder(stated, int(stated["in_channels"]))
        self.decoder = _Decoder(stated, int(stated["out_channels"]))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))  # type: ignore[no-any-return]
