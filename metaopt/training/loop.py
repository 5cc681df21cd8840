"""Run a training: seeded, resumable to the same numbers, and data-parallel under ``torchrun``."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core import MetaoptError, Unrolled
from ..core.errors import warn
from ..core.tree import describe
from ..core.tree import to as moved
from ..files import clear_parts, locked, make_folder
from ..foundation.drawing import drawing_from
from ..losses import Supervised, TrainingLoss
from ..losses.adapters import with_default_weights
from ..losses.training_loss import check_training_loss, evaluate, name_of
from ..tasks import Task
from ..weights import save_tensors
from ..weights.cards import check_json, thaw, write_card
from ..weights.tensors import not_finite
from .arguments import check_arguments, check_unrolled
from .cards import arguments_of, card_of_training
from .checkpoint import (
    NEWEST,
    WEIGHTS,
    check_places,
    pack_optimizer,
    read_checkpoint,
    unpack_optimizer,
    write_checkpoint,
)
from .distributed import Workers, workers
from .feed import Seeds, batch_seed, feed
from .identity import CHANGING, changing, check_same_training, describe_training
from .log import Log
from .settings import MOST_UPDATES, OPTIMIZERS, Settings, Watch
from .validation import validation_loss


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
    recipe: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train ``net`` in place on ``task``, and write averaged weights, their card, a log and a checkpoint.

    The seed of every batch depends on (seed, update, number in the update) alone. A run that was cut off at any moment
    and is started again continues to the same numbers; with another task, loss, network, settings (but for
    ``updates``), validation or recipe it is refused. Attributes that change while batches are drawn, such as a counter
    of a task, are not compared. Where the checkpoint is damaged, it continues from the one before. One process at a
    time trains in a folder. Training runs on the device of ``net``.

    Parameters that require no gradient stay as they are. Of a network in which none does, as
    :func:`~metaopt.models.load` returns it, those are trained that required one when it was made, in training mode.

    Args:
        net: The unrolled network. Afterwards it holds the averaged weights.
        task: Draws the batches.
        folder: Receives ``weights.safetensors``, ``weights.json``, ``log.csv``, ``checkpoint.safetensors`` and the
            checkpoint before that. A checkpoint that is there already is continued.
        settings: The number of updates, unrolled steps, learning rate and so on.
        validation: Draws the batches of the validation. None: there is no validation.
        loss: ``loss(net, trajectory, problem, target)``, one real number. For :class:`~metaopt.losses.Supervised` and
            :class:`~metaopt.losses.Unsupervised` without step weights of their own, ``settings.weights`` holds.
        watch: How often to log, validate and save.
        seed: The seed of the batches.
        num_workers: Number of processes that draw batches ahead, which keeps an accelerator busy and changes no number.
            0: this process draws each batch when it is needed.
        recipe: The entries of the recipe that describes the training, which its checkpoints keep.

    Returns:
        A mapping of ``loss`` (of the last update, or None where the run was complete already), ``validation``,
        ``minutes`` and ``updates``.

    Raises:
        MetaoptError: The loss is not finite (the message names the update, the seed of the batch and the largest
            gradient, and the last checkpoint is kept), is not one real number, or depends on no parameter; the folder
            cannot be written, or another process trains in it; the checkpoint is of another network or training, or
            is damaged and there is none before it; an argument is of the wrong type.
    """
    check_unrolled(net)
    check_training_loss(loss)
    check_arguments(task, folder, settings, validation, watch, seed, num_workers, recipe)
    with workers(next(net.parameters()).device) as team, contextlib.ExitStack() as held:
        settings = replace(settings, batches=settings.batches_among(team.world))
        team.check_alike(net, {"settings": settings, "watch": watch, "seed": seed})
        run, log = _Run(net, settings, Path(folder), team, loss, seed), None
        with team.together():
            if team.leads:
                held.enter_context(locked(make_folder(run.folder)))
                check_places(run.folder)
                run.describe = functools.partial(describe_training, net, settings, loss, task, validation, recipe)
                run.description = run.describe()
                run.resume()
                run.check_card({"name": run.folder.name, "seed": seed})
                log = Log(run.folder, run.update)
        run.spread()
        batches = feed(task, run.seeds(), num_workers, run.device)
        result: dict[str, Any] = {"loss": None, "validation": None}
        for update in _progress(range(run.update, settings.updates), settings.updates, team):
            row = run.step(batches)
            due = run.update % watch.validate_every == 0 or run.update == settings.updates
            if run.update % watch.log_every == 0 or due:
                with team.together():
                    if validation is not None and due:
                        result["validation"] = row["validation"] = run.validate(validation, watch.batches)
                    if log is not None:
                        log.write({**row, "update": run.update, "minutes": round(run.minutes(), 3)})
            if run.update % watch.checkpoint_every == 0 or update + 1 == settings.updates:
                run.save()
            result["loss"] = row["loss"]
        with team.together():
            if result["loss"] is None:  # the run was complete already, but its weights may be gone or damaged
                run.save_weights()
            run.adopt_average()
            if validation is not None and result["validation"] is None:  # the run was complete already
                result["validation"] = run.validate(validation, watch.batches)
            result |= {"minutes": run.minutes(), "updates": run.update}
            run.write_card({"name": run.folder.name, "seed": seed}, result)
        return result


def _progress(updates: range, total: int, team: Workers) -> Any:
    from tqdm import tqdm

    return tqdm(updates, total=total, initial=updates.start, disable=not team.leads, desc="train", mininterval=1.0)


class _Run:
    """Hold what changes during a training: parameters, their average, the optimizer and the count of updates."""

    describe: Callable[[], dict[str, Any]]
    description: dict[str, Any]  # from before the first batch

    def __init__(self, net: Any, settings: Settings, folder: Path, team: Workers, loss: TrainingLoss, seed: int):
        self.net, self.settings, self.folder, self.team = net, settings, folder, team
        self.loss = with_default_weights(loss, settings.weights)
        self.seed, self.device = seed, next(net.parameters()).device
        if not any(p.requires_grad for p in net.parameters()):
            thaw(net.train())
        self.parameters = dict(net.named_parameters())
        self.average = {n: p.detach().clone() for n, p in self.parameters.items()}
        self.optimizer = OPTIMIZERS[settings.rate.optimizer](net.parameters(), lr=settings.rate.peak)
        self.update, self.before, self.begun = 0, 0.0, time.monotonic()
        self.arguments = arguments_of(net)
        self.varying: set[str] = set()
        self.mine = team.share(settings.batches_among(team.world))

    def minutes(self) -> float:
        return self.before + (time.monotonic() - self.begun) / 60

    def seeds(self) -> Seeds:
        """Return the seeds of the batches of this process, from the next update to the last."""
        return Seeds(self.seed, range(self.update, self.settings.updates), self.mine)

    def step(self, batches: Iterator[tuple[Any, Any]]) -> dict[str, Any]:
        """Update the parameters and their average once, with the next of ``batches``."""
        rate = self.settings.rate.at(self.update, self.settings.updates)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with self.team.together():
            total = self._backpropagate(batches)
        loss = float(self.team.average(self.parameters.values(), total))
        norm = self._gradient_norm()
        if not torch.isfinite(norm):
            self._stop(range(self.settings.batches_among(self.team.world)), loss)
        nn.utils.clip_grads_with_norm_(self.parameters.values(), self.settings.clip, norm)
        self.optimizer.step()
        self.update += 1
        decay = min(self.settings.ema, self.update / (self.update + 10))
        for name, parameter in self.parameters.items():
            self.average[name].lerp_(parameter.detach(), 1 - decay)
        self.team.spread(self.net.buffers())  # those of the first process count, as in DistributedDataParallel
        return {"loss": loss, "rate": rate, "gradient_norm": float(norm)}

    def _backpropagate(self, batches: Iterator[tuple[Any, Any]]) -> Tensor:
        """Accumulate the gradients of this process's share of ``batches``, and return the mean of their losses."""
        total = torch.zeros((), dtype=torch.float64)
        for j in self.mine:
            steps = self.settings.steps_at(batch_seed(self.seed, self.update, j))
            problem, target = next(batches)
            with drawing_from(self.seed, self.update, j, 0):  # the same in any number of processes, and after a break
                loss, trajectory = self._batch_loss(problem, target, steps)
                (loss / len(self.mine)).backward()
            total += loss.detach().double().cpu() / len(self.mine)
            if not torch.isfinite(total):
                self._stop([j], float(total), trajectory.not_finite_at)
        if self.team.world > 1 and not torch.isfinite(self._gradient_norm()):  # here its rank is known
            self._stop(self.mine, float(total))
        return total

    def _gradient_norm(self) -> Tensor:
        return nn.utils.get_total_norm([p.grad for p in self.parameters.values() if p.grad is not None])

    def _batch_loss(self, problem: Any, target: Any, steps: int) -> tuple[Tensor, Any]:
        context = torch.autocast(self.device.type, torch.bfloat16) if self.settings.bfloat16 else None
        with context or contextlib.nullcontext():
            trajectory = self.net(problem, steps=steps)
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

    def validate(self, task: Task, batches: int) -> float:
        """Return the mean loss of the last step over fixed batches, with the averaged weights."""
        with self.averaged():
            return validation_loss(self.net, task, batches, self.loss)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the network its averaged weights within the context."""
        live = {n: p.detach().clone() for n, p in self.parameters.items()}
        self.adopt_average()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(live[name])

    @torch.no_grad()
    def adopt_average(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(self.average[name])

    def state(self) -> dict[str, Tensor]:
        """Return the tensors of the network as they are saved: tied ones by each of their names, no transient ones."""
        return {n: t.detach().clone() for n, t in self.net.state_dict().items() if isinstance(t, Tensor)}

    def buffers(self) -> dict[str, Tensor]:
        """Return what changes in a network beside its parameters, such as the statistics of BatchNorm."""
        stored, shared = self.net.state_dict().keys(), self.net.named_buffers(remove_duplicate=False)
        return {n: t for n, t in shared if n in stored}

    def save(self) -> None:
        """Write the weights, then the checkpoint, so that a run that is cut off in between writes both again."""
        with self.team.together():
            self.save_weights()
            if not self.team.leads:
                return
            state, rest = pack_optimizer(self.optimizer)
            kept = {"parameter": self.parameters, "average": self.average, "buffer": self.buffers(), "optimizer": state}
            card = {"update": self.update, "minutes": self.minutes(), "optimizer": rest, "seed": self.seed}
            self.varying |= set(changing(self.description, self.describe()))
            write_checkpoint(
                self.folder, kept, {**card, "training": {**self.description, CHANGING: sorted(self.varying)}}
            )

    def save_weights(self) -> None:
        """Write the averaged weights."""
        if not self.team.leads:
            return
        with self.averaged():
            weights = self.state()
        if (name := not_finite(self.average)) is not None:
            raise MetaoptError(
                f"After update {self.update}, the average of {name} holds values that are NaN or infinite. The "
                f"last checkpoint in {self.folder} is intact; lower the rate or the clip."
            )
        save_tensors(self.folder / WEIGHTS, {**weights, **self.arguments}, {"update": self.update})

    def check_card(self, card: Mapping[str, Any]) -> None:
        """Check before the work that the card, which is written after it, can be written."""
        nothing = {"updates": 0, "minutes": 0.0, "validation": None}
        if (full := card_of_training(self.net, nothing, card)) is not None:
            check_json(full)

    def write_card(self, card: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Write the card beside the weights where it can say how the network is built."""
        if self.team.leads and (full := card_of_training(self.net, result, card)) is not None:
            write_card(self.folder / WEIGHTS, full)

    def spread(self) -> None:
        """Take over the state of the first process, which alone has read the checkpoint."""
        if self.team.world == 1:
            return
        self.team.spread([*self.net.parameters(), *self.net.buffers(), *self.average.values()])
        own = self.update, self.before, moved(self.optimizer.state_dict(), "cpu")
        self.update, self.before, state = self.team.first(own)
        self.optimizer.load_state_dict(state)

    def resume(self) -> None:
        clear_parts(self.folder)  # of a run that was killed while it wrote
        if (read := read_checkpoint(self.folder)) is None:
            return
        path, parts, card = read
        self.varying = check_same_training(path, card.get("training"), self.description)
        values: list[Any] = [card.get(key) for key in ("update", "minutes", "seed")]
        update, minutes, seed = values
        whole = type(update) is int and 0 <= update <= MOST_UPDATES and type(seed) is int
        if not whole or not isinstance(minutes, int | float) or not isinstance(card.get("optimizer"), dict):
            raise MetaoptError(f"{path} is not the checkpoint of a training; train in a new folder, or remove it.")
        found, own = ({n: describe(t) for n, t in of.items()} for of in (parts["parameter"], self.parameters))
        averaged, buffers = {n: describe(t) for n, t in parts["average"].items()}, self.buffers()
        fits = all(n in buffers and t.shape == buffers[n].shape for n, t in parts["buffer"].items())
        if found != own or averaged != own or not fits:
            raise MetaoptError(f"{path} belongs to another network; train in a new folder, or remove it.")
        if seed != self.seed:
            raise MetaoptError(
                f"{path} belongs to a training of seed {seed}, not {self.seed}; train in a new folder, or remove it."
            )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(parts["parameter"][name])
            for name, tensor in parts["buffer"].items():  # of earlier versions there are none
                buffers[name].copy_(tensor)
        self.average = {name: tensor.to(self.device) for name, tensor in parts["average"].items()}
        unpack_optimizer(self.optimizer, parts["optimizer"], card["optimizer"])
        self.update, self.before = update, minutes
        if path != self.folder / NEWEST:
            (self.folder / NEWEST).unlink(missing_ok=True)  # it is damaged, and must not take the place of this one
        if update > self.settings.updates:
            warn(
                f"The training in {self.folder} has made {update} updates already, more than the "
                f"{self.settings.updates} that are asked for; its weights stay those after update {update}."
            )
