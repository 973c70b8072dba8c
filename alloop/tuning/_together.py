"""Several processes that train one model, on a GPU each: `accelerate` joins them, an executor starts them.

All hold the same weights, draw the same random numbers and take the same steps. Of a step's examples each computes
the gradient of its share; the sum of these is the gradient of all, up to rounding. A process that was not asked to join
others is alone, and everything here does nothing to it.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from alloop.errors import ConfigError

T = TypeVar("T")
TEAM: ContextVar[Any] = ContextVar("TEAM", default=None)  # accelerate's PartialState


def join() -> None:
    """Join the processes that the environment names (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT)."""
    import os

    import torch
    from accelerate import PartialState

    processes, gpus = int(os.environ["WORLD_SIZE"]), torch.cuda.device_count()
    if 0 < gpus < processes:
        raise ConfigError(
            f"{processes} processes were asked for, and there are {gpus} GPUs: each needs one of its own",
            f"set processes = {gpus} under [options.subprocess]",
        )
    TEAM.set(PartialState(cpu=not gpus))


def leave() -> None:
    """Say farewell to the others; without it some of them complain at their end."""
    if TEAM.get() is not None:
        TEAM.get().destroy_process_group()


def is_main() -> bool:
    """Whether this process writes what all have trained."""
    return TEAM.get() is None or TEAM.get().is_main_process


def share(rows: Sequence[int]) -> Sequence[int]:
    """This process's part of a step's examples: every n-th, as neighbours are of similar length."""
    team = TEAM.get()
    return rows if team is None else rows[team.process_index :: team.num_processes]


def add_up(loss: float, parameters: Sequence[Any]) -> float:
    """The sum of all processes' losses; their gradients, which this changes in place, are added up with it."""
    if TEAM.get() is None:
        return loss
    import torch
    from accelerate.utils import reduce

    for parameter in parameters:
        if parameter.grad is None:  # more processes than examples
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters]
    flat = torch.cat([*(one.flatten() for one in gradients), gradients[0].new_tensor([loss])])  # one message, not many
    *sums, total = reduce(flat, "sum").split([*(one.numel() for one in gradients), 1])
    for gradient, its in zip(gradients, sums, strict=True):
        gradient.copy_(its.view_as(gradient))
    return float(total)


def as_main_says(found: T) -> T:
    """What the main process found: two GPUs may differ in the last bit, and all have to decide the same."""
    if TEAM.get() is None:
        return found
    from accelerate.utils import broadcast_object_list

    said: T = broadcast_object_list([found])[0]
    return said
