"""Run a training: seeded, resumable to the same numbers, and data-parallel under ``torchrun``."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core import MetaoptError, Unrolled, random, tree
from ..core.tree import describe
from ..files import make_folder
from ..losses import Supervised, TrainingLoss
from ..losses.adapters import of_last_step, with_default_weights
from ..losses.training_loss import check_training_loss, evaluate, name_of
from ..tasks import Task
from ..weights import load_tensors, save_tensors
from ..weights.cards import write_card
from .cards import arguments_of, card_of_training
from .checkpoint import pack_optimizer, unpack_optimizer
from .distributed import Workers, hold_gradients, workers
from .feed import feed
from .log import Log
from .settings import OPTIMIZERS, Settings, Watch


def train(
    net: Unrolled[Any, Any, Any],
    task: Task,
    folder: Path | str,
    settings: Settings = Settings(),  # noqa: B008
    validation: Task | None = None,
    loss: TrainingLoss = Supervised(),  # noqa: B008
    watch: Watch = Watch(),  # noqa: B008
    seed: int = 0,
    num_workers: int = 0,
) -> dict[str, Any]:
    """Train ``net`` in place on ``task``, and write averaged weights, their card, a log and a checkpoint.

    The seed of every batch depends on (seed, update, number in the update) alone. A run that was cut off at any moment
    and is started again continues to the same numbers. Training runs on the device of ``net``.

    Args:
        net: The unrolled network. Afterwards it holds the averaged weights.
        task: Draws the batches.
        folder: Receives ``weights.safetensors``, ``weights.json``, ``log.csv`` and ``checkpoint.safetensors``. A
            checkpoint that is there already is continued.
        settings: The number of updates, unrolled steps, learning rate and so on.
        validation: Draws the batches of the validation. None: there is no validation.
        loss: ``loss(net, trajectory, problem, target)``, one real number. For :class:`~metaopt.losses.Supervised` and
            :class:`~metaopt.losses.Unsupervised` without step weights of their own, ``settings.weights`` holds.
        watch: How often to log, validate and save.
        seed: The seed of the batches.
        num_workers: Number of processes that draw batches ahead, which keeps an accelerator busy and changes no number.
            0: this process draws each batch when it is needed.

    Returns:
        A mapping of ``loss`` (of the last update, or None where the run was complete already), ``validation``,
        ``minutes`` and ``updates``.

    Raises:
        MetaoptError: The loss is not finite (the message names the update, the seed of the batch and the largest
            gradient, and the last checkpoint is kept), is not one real number, or depends on no parameter; the folder
            cannot be written; the checkpoint is of another network or seed.
    """
    check_unrolled(net)
    check_training_loss(loss)
    with workers() as team:
        run = _Run(net, settings, Path(folder), team, loss, seed)
        run.resume()
        batches = feed(task, run.seeds(), num_workers, run.device)
        log = Log(run.folder, run.update) if team.leads else None
        result: dict[str, Any] = {"loss": None, "validation": None}
        for update in _progress(range(run.update, settings.updates), settings.updates, team):
            row = run.step(batches)
            due = run.update % watch.validate_every == 0 or run.update == settings.updates
            if validation is not None and due:
                result["validation"] = row["validation"] = run.validate(validation, watch.batches)
            if log is not None and (run.update % watch.log_every == 0 or due):
                log.write({**row, "update": run.update, "minutes": round(run.minutes(), 3)})
            if run.update % watch.checkpoint_every == 0 or update + 1 == settings.updates:
                run.save()
            result["loss"] = row["loss"]
        run.adopt_average()
        if validation is not None and result["validation"] is None:  # the run was complete already
            result["validation"] = run.validate(validation, watch.batches)
        result |= {"minutes": run.minutes(), "updates": run.update}
        run.write_card({"name": run.folder.name, "seed": seed}, result)
        return result


def check_unrolled(net: Any) -> None:
    """Check that ``net`` is an unrolled algorithm.

    Args:
        net: Anything that was given to be trained.

    Raises:
        MetaoptError: It is not.
    """
    if not isinstance(net, Unrolled):
        raise MetaoptError(f"train needs an unrolled algorithm, as metaopt.unroll gives, not {type(net).__name__}.")


def _progress(updates: range, total: int, team: Workers) -> Any:
    from tqdm import tqdm

    return tqdm(updates, total=total, initial=updates.start, disable=not team.leads, desc="train", mininterval=1.0)


@torch.no_grad()
def validation_loss(
    net: Unrolled[Any, Any, Any],
    task: Task,
    batches: int,
    loss: TrainingLoss = Supervised(),  # noqa: B008
) -> float:
    """Return the mean loss over fixed batches, the same in every training.

    :class:`~metaopt.losses.Supervised` and :class:`~metaopt.losses.Unsupervised` are evaluated on the last step alone.
    Any other loss sees the whole trajectory, as in training.

    Args:
        net: The unrolled network.
        task: Draws the batches.
        batches: Number of batches.
        loss: The training loss.

    Returns:
        The mean.

    Raises:
        MetaoptError: The loss cannot be called as a training loss, or is not one real number.
    """
    check_training_loss(loss)
    device, last = next(net.parameters()).device, of_last_step(loss)
    samples = (tree.to(task.sample(batch_seed(-1, 0, j) % 2**31), device) for j in range(batches))
    losses = [float(evaluate(last, net, net(problem), problem, target)) for problem, target in samples]
    return sum(losses) / len(losses)


def batch_seed(seed: int, update: int, batch: int) -> int:
    """Return a seed for every batch; the seeds of two batches, of one training or of two, are unrelated.

    Args:
        seed: The seed of the training.
        update: The number of the update.
        batch: The number of the batch in the update.

    Returns:
        The seed.
    """
    return random.derive(seed, update, batch)


class _Run:
    """Hold what changes during a training: parameters, their average, the optimizer and the count of updates."""

    def __init__(self, net: Any, settings: Settings, folder: Path, team: Workers, loss: TrainingLoss, seed: int):
        self.net, self.settings, self.folder, self.team = net, settings, folder, team
        self.loss = with_default_weights(loss, settings.weights)
        self.seed, self.device = seed, next(net.parameters()).device
        self.parallel = team.wrap(net)  # DDP copies the first process's parameters to all
        self.parameters = dict(net.named_parameters())
        self.average = {n: p.detach().clone() for n, p in self.parameters.items()}
        self.optimizer = OPTIMIZERS[settings.rate.optimizer](net.parameters(), lr=settings.rate.peak)
        self.update, self.before, self.begun = 0, 0.0, time.monotonic()
        self.arguments = arguments_of(net)
        make_folder(folder)

    def minutes(self) -> float:
        return self.before + (time.monotonic() - self.begun) / 60

    def seeds(self) -> list[int]:
        """Return the seeds of the batches of this process, from the next update to the last."""
        mine = self.team.share(self.settings.batches)
        return [batch_seed(self.seed, u, j) for u in range(self.update, self.settings.updates) for j in mine]

    def step(self, batches: Iterator[tuple[Any, Any]]) -> dict[str, Any]:
        """Update the parameters and their average once, with the next of ``batches``."""
        rate = self.settings.rate.at(self.update, self.settings.updates)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        mine = list(self.team.share(self.settings.batches))
        total = torch.zeros((), dtype=torch.float64)
        for j in mine:
            steps = self.settings.steps_at(batch_seed(self.seed, self.update, j))
            with hold_gradients(self.parallel, last=j == mine[-1]):
                loss, trajectory = self._batch_loss(*next(batches), steps)
                (loss / len(mine)).backward()
            total += loss.detach().double().cpu() / len(mine)
            if not torch.isfinite(total):
                self._stop([j], float(total), trajectory.not_finite_at)
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters.values() if p.grad is not None])
        if not torch.isfinite(norm):
            self._stop(range(self.settings.batches), float(total))
        nn.utils.clip_grads_with_norm_(self.parameters.values(), self.settings.clip, norm)
        self.optimizer.step()
        self.update += 1
        decay = min(self.settings.ema, self.update / (self.update + 10))
        for name, parameter in self.parameters.items():
            self.average[name].lerp_(parameter.detach(), 1 - decay)
        return {"loss": float(self.team.mean(total)), "rate": rate, "gradient_norm": float(norm)}

    def _batch_loss(self, problem: Any, target: Any, steps: int) -> tuple[Tensor, Any]:
        context = torch.autocast(self.device.type, torch.bfloat16) if self.settings.bfloat16 else None
        with context or contextlib.nullcontext():
            trajectory = self.parallel(problem, steps=steps)
        loss = evaluate(self.loss, self.net, trajectory, problem, target)
        if not loss.requires_grad:
            raise MetaoptError(
                f"The loss of {name_of(self.loss)} does not depend on any parameter that is trained; is one detached, "
                "or is nothing in the network learned?"
            )
        return loss, trajectory

    def _stop(self, batches: Sequence[int], loss: float, k: int | None = None) -> None:
        seeds = ", ".join(str(batch_seed(self.seed, self.update, j)) for j in batches)
        norms = {n: float(p.grad.abs().max()) for n, p in self.parameters.items() if p.grad is not None}
        name = max(norms, key=lambda n: math.inf if math.isnan(norms[n]) else norms[n], default="none")
        where = seeds if k is None else f"{seeds} from step k={k} on"
        raise MetaoptError(
            f"Training stopped at update {self.update}: the loss is {loss} on the batch of seed {where}, and the "
            f"largest gradient, {norms.get(name, 0.0):.3g}, is that of {name}. The last checkpoint in {self.folder} "
            "is intact; lower the rate or the clip, or look at that batch by task.sample(seed)."
        )

    @torch.no_grad()
    def validate(self, task: Task, batches: int) -> float:
        """Return the mean loss of the last step over fixed batches, with the averaged weights."""
        live = {n: p.detach().clone() for n, p in self.parameters.items()}
        self.adopt_average()
        loss = validation_loss(self.net, task, batches, self.loss)
        for name, parameter in self.parameters.items():
            parameter.copy_(live[name])
        return loss

    @torch.no_grad()
    def adopt_average(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(self.average[name])

    def save(self) -> None:
        """Write the weights, then the checkpoint, so that a run that is cut off in between writes both again."""
        if self.team.leads:
            shipped = {**dict(self.net.named_buffers()), **self.average, **self.arguments}
            save_tensors(self.folder / "weights.safetensors", shipped, {"update": self.update})
            state, rest = pack_optimizer(self.optimizer)
            tensors = {f"parameter/{n}": p for n, p in self.parameters.items()}
            tensors |= {f"average/{n}": t for n, t in self.average.items()}
            tensors |= {f"optimizer/{n}": t for n, t in state.items()}
            card = {"update": self.update, "minutes": self.minutes(), "optimizer": rest, "seed": self.seed}
            save_tensors(self.folder / "checkpoint.safetensors", tensors, card)
        self.team.wait()

    def write_card(self, card: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Write the card beside the weights where it can say how the network is built."""
        if self.team.leads and (full := card_of_training(self.net, result, card)) is not None:
            write_card(self.folder / "weights.safetensors", full)

    def resume(self) -> None:
        path = self.folder / "checkpoint.safetensors"
        if self.team.leads:
            for part in self.folder.glob(".*.part"):  # of a run that was killed while it wrote
                part.unlink(missing_ok=True)
        if not path.exists():
            return
        tensors, card = load_tensors(path)
        parts: dict[str, dict[str, Tensor]] = {"parameter": {}, "average": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            parts.setdefault(kind, {})[rest] = tensor
        found, own = ({n: describe(t) for n, t in of.items()} for of in (parts["parameter"], self.parameters))
        if found != own:
            raise MetaoptError(f"{path} belongs to another network; train in a new folder, or remove it.")
        if card["seed"] != self.seed:
            raise MetaoptError(
                f"{path} belongs to a training of seed {card['seed']}, not {self.seed}; train in a new folder, or "
                "remove it."
            )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(parts["parameter"][name])
        self.average = {name: tensor.to(self.device) for name, tensor in parts["average"].items()}
        unpack_optimizer(self.optimizer, parts["optimizer"], card["optimizer"])
        self.update, self.before = card["update"], card["minutes"]
