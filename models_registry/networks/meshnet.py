"""MeshNet: dilated 3D convolutions one after another, built from the layer list that a bundle states (Fedorov 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn


class MeshNet(nn.Module):
    """One channel in, one score per class out, on the same grid. `layers`: name, in, out, kernel, dilation, relu."""

    def __init__(self, layers: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        self._order = [(str(layer["name"]), bool(layer["relu"])) for layer in layers]
        for layer in layers:
            kernel, dilation = int(layer["kernel"]), int(layer["dilation"])
            self.layers[str(layer["name"])] = nn.Conv3d(
                int(layer["in"]), int(layer["out"]), kernel, padding=dilation * (kernel - 1) // 2, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        for name, relu in self._order:
            x = self.layers[name](x)
            if relu:
                x = x.relu_()
        return x
