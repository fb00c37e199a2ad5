"""The same network, weights, batches and seed as NumPy layers and as a torch module: accuracies and seconds, in turn.

    cd tests; python -m bench.torch_path --models lenet,three_linear dataset=mnist

Each repeat trains both, one after the other, so that what else the machine does meets both; seconds are the
processor's, of all threads together.
"""

import argparse
import time
from typing import Any

from annealtrain.experiment.builder import Experiment, build
from annealtrain.experiment.compose import compose_config
from annealtrain.nn.run_module import RunModule
from annealtrain.nn.torch_network import torch_network, torch_threads
from annealtrain.runtime import thread_pool
from annealtrain.training.trainer import Trainer


def as_module(experiment: Experiment) -> Experiment:
    """Return the experiment with its network as a torch module, from the same first weights."""
    network = experiment.network
    made = RunModule(torch_network(network), network.in_shape, seed=experiment.config["seed"])
    made.in_shape = network.in_shape
    experiment.network = made
    torch_threads(experiment.threads)
    return experiment


def trained(config: dict[str, Any], *, is_torch: bool) -> dict[str, Any]:
    """Train once; return processor seconds of the epochs without their scores, and accuracy and loss after them."""
    experiment = build(config)
    experiment = as_module(experiment) if is_torch else experiment
    with thread_pool.threads(experiment.threads):
        experiment.optimizer.prepare(experiment.network, experiment.steps)
        trainer = experiment.trainer()
        tape = experiment.network.training_tape(trainer.sets["train"][:8])  # what is imported only once is not timed
        tape.gradients(tape.outputs)
        began = time.process_time()
        _epochs(trainer)
        seconds = time.process_time() - began
        scores = trainer.scores()
    return {"seconds": seconds, "accuracy": scores["test_accuracy"], "loss": scores["train_loss"]}


def _epochs(trainer: Trainer) -> None:
    for epoch in range(trainer.epochs):
        for step, batch in trainer._batches(epoch):
            trainer.optimizer.step(batch, step, lambda layer, done: None)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="lenet,three_linear")
    parser.add_argument("--optimizers", default="kronecker,gauss_newton")
    parser.add_argument("--repeats", type=int, default=2, help="seeds")
    parser.add_argument("more", nargs="*", help="words for every run, such as dataset=mnist threads=1")
    given = parser.parse_intermixed_args(arguments)
    print("| model | optimizer | seed | accuracy NumPy | torch | loss NumPy | torch | CPU s NumPy | torch | ratio |")
    print("|" + " --- |" * 10)
    for model in given.models.split(","):
        for optimizer in given.optimizers.split(","):
            for seed in range(given.repeats):
                words = [f"model={model}", f"optimizer={optimizer}", f"seed={seed}", *given.more]
                config = compose_config(words, None)
                ours, other = (trained(config, is_torch=is_torch) for is_torch in (False, True))
                pairs = [f"{ours[name]:.4f} | {other[name]:.4f}" for name in ("accuracy", "loss")]
                ratio = other["seconds"] / ours["seconds"]
                times = f"{ours['seconds']:.2f} | {other['seconds']:.2f} | {ratio:.2f}"
                print(f"| {model} | {optimizer} | {seed} | {' | '.join(pairs)} | {times} |", flush=True)


if __name__ == "__main__":
    main()
