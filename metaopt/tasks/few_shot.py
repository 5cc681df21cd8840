"""Draw few-shot episodes, each with a few examples to learn from and queries to be tested on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments.contracts import Axes, Count, NotNegative, checked
from ..core import MetaoptError, random
from ..problems import Episode

Images = Annotated[Tensor, Axes("real", "(classes, examples, channels, height, width)")]


@checked
@dataclass(frozen=True, eq=False)
class FewShot:
    """Distinguish ``ways`` classes that were never seen before, after ``shots`` examples of each.

    Each of the ``tasks`` episodes of a batch draws its own classes and examples. ``sample`` gives an
    :class:`~metaopt.problems.Episode` of inputs (tasks, ways * n, C, H, W) and labels (tasks, ways * n), and the labels
    of its queries.

    Args:
        images: (classes, examples, C, H, W).
        ways: Number of classes in an episode.
        shots: Number of examples of each class.
        queries: Number of queries of each class.
        tasks: Number of episodes in a batch.
        rotations: Whether each class turned by 90, 180 and 270 degrees counts as a further class, as is usual for
            Omniglot.
        distortion: Every image is seen through a random affine map whose six entries differ from those of the identity
            by at most this much, uniformly, where the image spans [-1, 1]. It keeps a network from memorising the
            images.

    Raises:
        MetaoptError: There are fewer classes than ways, or fewer examples than shots and queries together.
    """

    images: Images
    ways: Count = 5
    shots: Count = 1
    queries: Count = 15
    tasks: Count = 32
    rotations: bool = True
    distortion: NotNegative = 0.0

    def __post_init__(self) -> None:
        if self.rotations and self.images.shape[3] != self.images.shape[4]:
            raise MetaoptError(
                f"Only square images are turned, not {tuple(self.images.shape[3:])}; crop them or give rotations=False."
            )
        classes, examples = len(self.images) * (4 if self.rotations else 1), self.images.shape[1]
        if classes < self.ways:
            raise MetaoptError(f"A task of {self.ways} ways needs as many classes, but there are {classes}.")
        if examples < self.shots + self.queries:
            raise MetaoptError(
                f"A class has {examples} examples, fewer than {self.shots} shots and {self.queries} queries together; "
                "ask for fewer."
            )

    def sample(self, seed: int) -> tuple[Episode, Tensor]:
        generator = random.generator(seed)
        tasks = [self._task(generator) for _ in range(self.tasks)]
        support, queries = (torch.stack([task[i] for task in tasks]) for i in (0, 1))
        return Episode(support.flatten(1, 2), self._labels(support), queries.flatten(1, 2)), self._labels(queries)

    def _task(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return images (ways, shots, C, H, W) and queries (ways, queries, C, H, W) of one episode."""
        turns = 4 if self.rotations else 1
        chosen = torch.randperm(turns * len(self.images), generator=generator)[: self.ways].tolist()
        found = []
        for number in chosen:
            order = torch.randperm(self.images.shape[1], generator=generator)[: self.shots + self.queries]
            found.append(torch.rot90(self.images[number // turns, order], number % turns, (-2, -1)))
        drawn = torch.stack(found)
        if self.distortion:
            drawn = self._distorted(drawn, generator)
        return drawn[:, : self.shots], drawn[:, self.shots :]

    def _distorted(self, drawn: Tensor, generator: torch.Generator) -> Tensor:
        flat = drawn.flatten(0, 1).float()
        away = self.distortion * (2 * torch.rand(len(flat), 2, 3, generator=generator) - 1)
        grid = F.affine_grid(torch.eye(2, 3) + away, list(flat.shape), align_corners=False)
        return F.grid_sample(flat, grid, align_corners=False).to(drawn.dtype).unflatten(0, drawn.shape[:2])

    def _labels(self, drawn: Tensor) -> Tensor:
        return torch.arange(self.ways)[None, :, None].expand(drawn.shape[:3]).flatten(1)


@checked
@dataclass(frozen=True, eq=False)
class Sinusoids:
    """Fit y = a sin(x - p) from ``shots`` points, with a from [0.1, 5], p from [0, pi] and x from [-5, 5], uniformly.

    ``sample`` gives an :class:`~metaopt.problems.Episode` of x and y, (tasks, n, 1) each, and y at its queries.

    Args:
        shots: Number of points to learn from.
        queries: Number of points to predict.
        tasks: Number of episodes in a batch.

    Source:
        Finn et al., arXiv:1703.03400.
    """

    shots: Count = 10
    queries: Count = 100
    tasks: Count = 25

    def sample(self, seed: int) -> tuple[Episode, Tensor]:
        generator = random.generator(seed)
        amplitude = 0.1 + 4.9 * torch.rand(self.tasks, 1, 1, generator=generator)
        phase = math.pi * torch.rand(self.tasks, 1, 1, generator=generator)
        x = 10 * torch.rand(self.tasks, self.shots + self.queries, 1, generator=generator) - 5
        y = amplitude * torch.sin(x - phase)
        return Episode(x[:, : self.shots], y[:, : self.shots], x[:, self.shots :]), y[:, self.shots :]
