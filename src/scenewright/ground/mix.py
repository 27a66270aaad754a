"""The mixing block of the grounding head: two spectrally normalised convolutions around batch norms.

From BigGAN's generator (Brock et al. 2019, arXiv 1809.11096), as the released heads use it. Two things a
reader would not expect and trained heads rely on: the shortcut is the normalised and rectified input (the
original's ReLU overwrites it), and the spectral norm is an estimate by one power iteration from a stored
vector, so that vector belongs to the weights (Miyato et al. 2018, arXiv 1802.05957, algorithm 1).

Letters: B samples, C channels, h w cells, N weights per output channel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

EPS = 1e-4
"""Of the batch norms' variance and the power iteration's norms."""

MOMENTUM = 0.1


class MixBlock(nn.Module):
    """C -> C: r = ReLU(BN(x)), then conv, BN, ReLU, conv, plus r."""

    def __init__(self, channels: int, bn_mode: str = "running") -> None:
        super().__init__()
        self.norm1 = PlainNorm(channels, bn_mode)
        self.conv1 = SpectralConv(channels)
        self.norm2 = PlainNorm(channels, bn_mode)
        self.conv2 = SpectralConv(channels)

    def forward(self, x_BChw: Tensor) -> Tensor:
        """The mixed map [B, C, h, w]."""
        residual = nnf.relu(self.norm1(x_BChw))
        out: Tensor = self.conv2(nnf.relu(self.norm2(self.conv1(residual))))
        return out + residual


class PlainNorm(nn.Module):
    """Batch norm without gain and offset.

    Mode "running" is the usual one: batch statistics in training, stored ones otherwise. Mode "batch" always
    takes the statistics of each picture itself (the released paper code never left training mode, with one
    picture at a time); the stored ones follow in training only.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int, mode: str = "running") -> None:
        super().__init__()
        self.mode = mode
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x_BChw: Tensor) -> Tensor:
        """x normalised per channel."""
        if self.mode == "batch":
            mean, var = (self.mean, self.var) if self.training else (None, None)
            return nnf.instance_norm(x_BChw, mean, var, use_input_stats=True, momentum=MOMENTUM, eps=EPS)
        return nnf.batch_norm(x_BChw, self.mean, self.var, training=self.training, momentum=MOMENTUM, eps=EPS)


class SpectralConv(nn.Module):
    """3x3 convolution whose weight is divided by an estimate of its largest singular value.

    `u` is the stored vector of the power iteration [1, C]; every forward in training moves it and writes the
    estimate to `sigma`. Evaluation writes nothing.
    """

    u: Tensor
    sigma: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("u", torch.randn(1, channels))
        self.register_buffer("sigma", torch.ones(1))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x_BChw: Tensor) -> Tensor:
        """The convolution, same size."""
        return nnf.conv2d(x_BChw, self.weight / self._norm(), self.bias, padding=1)

    def _norm(self) -> Tensor:
        """The estimate, 0-d and differentiable in the weight alone."""
        with torch.autocast(self.weight.device.type, enabled=False):
            matrix_CN = self.weight.flatten(1)
            with torch.no_grad():
                v_1N = nnf.normalize(self.u @ matrix_CN, eps=EPS)
                u_1C = nnf.normalize(v_1N @ matrix_CN.T, eps=EPS)
            sigma = (v_1N @ matrix_CN.T @ u_1C.T).squeeze()
        if self.training:
            with torch.no_grad():
                self.u.copy_(u_1C)
                self.sigma.fill_(sigma.detach())
        return sigma
