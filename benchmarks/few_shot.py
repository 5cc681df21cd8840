"""Learning from few examples: MAML and its relatives beside prototypical networks, on Omniglot, digits and sinusoids.

Omniglot: classes are characters and their rotations by quarters, 28x28 pixels; all learning is on the background set,
all figures are on the evaluation set, whose alphabets are others (Lake et al., doi:10.1126/science.aab3050). The
published figures stand in a column of their own: their protocol (Vinyals et al., arXiv:1606.04080) trains on 1,200
characters of all alphabets. 15 queries of each class; 95 % intervals over tasks. The rows were trained by
`benchmarks.few_shot_training` on 1 shot; how many steps they take at 1 and at 5 shots is chosen on the background
characters that were kept from training.

`normalization` says what statistics BatchNorm normalises a query with: of the queries themselves (transductive), of the
task's examples at the last step (per step), or constants (frozen).

Digits: scikit-learn's, 8x8; digits 0-4 and their rotations to learn from, 5-9 to be told apart. Sinusoids: mean square
error after steps on 10 points (arXiv:1703.03400). Both are trained here.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import metaopt as mo
from metaopt.data import read_digits, read_omniglot
from metaopt.losses import Supervised, cross_entropy
from metaopt.models import first_order_maml, load, maml, meta_lstm, meta_sgd, prototypes
from metaopt.networks import few_shot_network
from metaopt.tasks import FewShot, Sinusoids
from metaopt.training import LearningRate, Settings, train

from .few_shot_training import OMNIGLOT, TRAINED_ON, TRAININGS, row_of
from .report import need, paired, parse_options, table
from .rows import Rows
from .training import WEIGHTS

FULL: dict[str, Any] = {"tasks": {5: 400, 20: 120}, "updates": 2000, "rounds": 15, "names": tuple(TRAININGS)}
QUICK: dict[str, Any] = {"tasks": {5: 20, 20: 2}, "updates": 24, "rounds": 1, "names": ("prototypes_20", "maml_5")}
CHOICE, CHOSEN_ON = (1, 2, 3, 5, 8, 12), 40  # steps, of which at most three times the trained ones, and tasks
TEST_SEED = 10**6
PUBLISHED = {(5, 1): 98.7, (5, 5): 99.9, (20, 1): 95.8, (20, 5): 98.9}  # MAML
ADAPTING: dict[str, Callable[..., Any]] = {
    "MAML": maml,
    "first-order MAML": first_order_maml,
    "Meta-SGD": meta_sgd,
    "meta-LSTM": meta_lstm,
}


@torch.no_grad()
def accuracies(net: Any, task: FewShot, count: int, seed: int, steps: int | None = None) -> Tensor:
    """Of ``count`` tasks, in percent."""
    found = []
    for i in range(0, count, 10):
        episode, answers = dataclasses.replace(task, tasks=min(10, count - i)).sample(mo.core.random.derive(seed, i))
        right = net(episode, steps=steps).final.argmax(-1) == answers
        found.append(100 * right.float().mean(1))
    return torch.cat(found)


def interval(values: Tensor) -> float:
    return float(1.96 * values.std() / len(values) ** 0.5)


def omniglot_rows(names: Sequence[str], tasks: dict[int, int], saved: Rows) -> list[dict[str, Any]]:
    kept, test = read_omniglot(OMNIGLOT, "background", first=TRAINED_ON), read_omniglot(OMNIGLOT, "evaluation")
    rows = []
    for name in names:
        of = row_of(name)
        net = load(WEIGHTS / f"{name}.safetensors")
        for ways in (5, 20) if of.method == "prototypes" else (of.ways,):
            for shots in (1, 5):
                row = {
                    "method": of.method.replace("_", " "),
                    "normalization": (of.policy or "transductive").replace("_", " "),
                    "ways": ways,
                    "shots": shots,
                    **saved.row(
                        f"{name} {ways} {shots}",
                        lambda n=net, w=ways, s=shots: tested(n, FewShot(kept, w, s), FewShot(test, w, s), tasks[w]),
                        [OMNIGLOT, WEIGHTS / f"{name}.safetensors"],
                    ),
                    "published MAML": PUBLISHED[ways, shots] if (of.method, of.policy) == ("maml", "") else "",
                }
                print(f"{name}, {ways} ways, {shots} shots: {row['accuracy']:.2f} %", flush=True)
                rows.append(row)
    return rows


def tested(net: Any, choice: FewShot, test: FewShot, count: int) -> dict[str, Any]:
    by_steps = {1: 0.0}
    if net.steps > 1:
        chosen_from = [n for n in CHOICE if n <= 3 * net.steps]
        by_steps = {n: float(accuracies(net, choice, min(count, CHOSEN_ON), 0, n).mean()) for n in chosen_from}
    steps = max(by_steps, key=lambda n: by_steps[n])
    found = accuracies(net, test, count, TEST_SEED, steps)
    return {"accuracy": float(found.mean()), "+-": interval(found), "steps": steps}


def trained(net: Any, task: Any, updates: int, loss: Any, peak: float) -> Any:
    settings = Settings(updates, (1, net.steps), LearningRate(peak, peak / 100, 20), ema=0.99, weights="last")
    with tempfile.TemporaryDirectory() as folder:
        train(net, task, Path(folder), settings, loss=Supervised(loss))
    return net


def digit_rows(updates: int) -> list[dict[str, Any]]:
    images, labels = read_digits()
    by_digit = [images[labels == digit] for digit in range(10)]
    fewest = min(map(len, by_digit))
    classes = torch.stack([of[:fewest] for of in by_digit])

    def network(outputs: int | None) -> nn.Module:
        return few_shot_network(outputs, hidden=32, layers=2, size=8)

    rows = []
    for name, build in {**ADAPTING, "prototypes": prototypes}.items():
        with mo.foundation.drawing.drawing_from(0):
            net = build(network(None)) if build is prototypes else build(network(5), steps=2)
        tasks = 2 if build is meta_lstm else 8
        trained(net, FewShot(classes[:5], 5, 1, 5, tasks), updates // 4, cross_entropy, 2e-3)
        for shots in (1, 5):
            found = accuracies(net, FewShot(classes[5:], 5, shots, rotations=False), 200, TEST_SEED)
            rows.append({"method": name, "shots": shots, "accuracy": float(found.mean()), "+-": interval(found)})
    return rows


def sinusoid_network() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))


def sinusoid_rows(updates: int) -> list[dict[str, Any]]:
    """Each trained for one step, as published; one row more for a network that was trained on all tasks at once.

    What three steps give is None where they diverge: nobody told them not to.
    """
    rows, test = [], Sinusoids(queries=100, tasks=600).sample(TEST_SEED)
    for name, build in {**ADAPTING, "pretrained": maml}.items():
        with mo.foundation.drawing.drawing_from(0):
            net = build(sinusoid_network(), steps=1, step_size=0.01, loss=F.mse_loss)
            if name == "pretrained":
                net = mo.unroll(mo.Adaptation(sinusoid_network(), mo.updates.Sgd(0.02), F.mse_loss), 1)
        if name == "pretrained":
            trained_at_once(net.algorithm.network, updates)  # type: ignore[arg-type]
        else:
            trained(net, Sinusoids(), updates, mo.mse, 1e-3)
        with torch.no_grad():
            errors = [(out - test[1]).square().mean((1, 2)) for out in net(test[0], steps=3).outputs]
        once, thrice = float(errors[0].mean()), float(errors[2].mean())
        at = {"after 1 step": once, "+-": interval(errors[0]), "after 3 steps": thrice if thrice < 100 else None}
        rows.append({"method": name, **at})
    return rows


def trained_at_once(network: nn.Module, updates: int) -> None:
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for seed in range(updates):
        episode, y = Sinusoids().sample(seed)
        optimizer.zero_grad()
        F.mse_loss(network(episode.queries), y).backward()
        optimizer.step()


def meta_gradients(net: Any, episode: mo.Episode, targets: Tensor) -> dict[str, Callable[[], Any]]:
    """That of an episode by vmap, and by a Python loop over its tasks."""
    parameters, algorithm = list(net.parameters()), net.algorithm
    loop = mo.unroll(algorithm.descent, net.steps, keep="last")
    inputs = zip(episode.inputs, episode.targets, episode.queries, targets, strict=True)
    problems = [(mo.Objective(algorithm.network, algorithm.loss, [(x, y)]), q, t) for x, y, q, t in inputs]

    def mapped() -> Any:
        answers = net(episode).final.flatten(0, 1)
        return torch.autograd.grad(algorithm.loss(answers, targets.flatten(0, 1)), parameters)

    def looped() -> Any:
        losses = [algorithm.loss(problem.network(loop(problem).final)(q), t) for problem, q, t in problems]
        return torch.autograd.grad(torch.stack(losses).mean(), parameters)

    return {"vmap": mapped, "loop": looped}


def speed_rows(rounds: int) -> list[dict[str, Any]]:
    sines, y = Sinusoids(queries=10).sample(0)
    pictures, labels = FewShot(torch.rand(30, 20, 1, 28, 28), 5, 1, 5, tasks=16).sample(0)
    cases = {
        "sinusoid MLP, 25 tasks": (maml(sinusoid_network(), 1, 0.01, F.mse_loss), sines, y),
        "conv net, 16 tasks of 5 ways": (maml(few_shot_network(5)), pictures, labels),
    }
    rows = []
    for name, case in cases.items():
        for run, timing in paired(meta_gradients(*case), rounds).items():
            rows.append({"network": name, "run": run, "ms": 1e3 * timing.pop("seconds"), **timing})
    return rows


def main() -> None:
    options = parse_options(__doc__)
    need(options, [OMNIGLOT])
    size = dict(QUICK if options.quick else FULL)
    if missing := [name for name in size["names"] if not (WEIGHTS / f"{name}.safetensors").exists()]:
        print(f"not trained (python -m benchmarks.few_shot_training NAME): {', '.join(missing)}", flush=True)
        size["names"] = tuple(name for name in size["names"] if name not in missing)
    saved = Rows("few_shot", {**size, "choice": CHOICE}, options)
    omniglot = omniglot_rows(size["names"], size["tasks"], saved)
    digits = saved.rows("digits", lambda: digit_rows(size["updates"]))
    sinusoids = saved.rows("sinusoids", lambda: sinusoid_rows(size["updates"]))
    speed = saved.rows("speed", lambda: speed_rows(size["rounds"]))
    for rows in (omniglot, digits, sinusoids, speed):
        print("\n" + table(rows))
    print()
    of = {(r["ways"], r["shots"]): r["accuracy"] for r in omniglot if r["published MAML"]}
    ratio = {row["network"].split(",")[0]: row["ratio"] for row in speed if row["run"] == "loop"}
    headline = {
        **{f"maml_{w}w{s}s": round(of[w, s], 2) for w, s in ((5, 1), (5, 5), (20, 1)) if (w, s) in of},
        "vmap_speedup_mlp": round(ratio["sinusoid MLP"], 2),
        "vmap_speedup_conv": round(ratio["conv net"], 2),
    }
    saved.write(headline, [*omniglot, *digits, *sinusoids, *speed], [0])


if __name__ == "__main__":
    main()
