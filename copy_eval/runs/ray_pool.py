"""Has the models of a suite evaluated side by side as Ray tasks, on this machine or on a cluster.

A task is one model at one revision, so its weights load once. It runs the same code as without Ray and writes the same
files into the results folder, which every node must see. A task whose worker is lost is started again; the cells that
have a result by then are skipped, as on any second run.
"""

import importlib
import importlib.util
import logging
import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import copy_eval
from copy_eval.errors import UserError
from copy_eval.runs.evaluator import evaluate_model
from copy_eval.runs.model_entries import ModelEntry, spread_over_gpus
from copy_eval.runs.progress import CellEvent, OnEvent
from copy_eval.runs.suite import Cell

LOCAL = "local"
"""The address of a Ray that is started on this machine for this run."""

_RETRIES = 3  # of a model whose worker is lost
_OBJECT_STORE = 100 * 2**20  # bytes; only events and cells travel
_POLL = 0.5  # seconds
_NODE_ANSWERS_WITHIN = 120  # seconds; a node may have to start Python first
_PROBE = ".shared-folder-"


def check_ray(address: str) -> None:
    """Check that Ray is installed and that something answers at an address with a port, or Ray would try on and on.

    Raises:
        UserError: if not, with what to do.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError('--ray needs Ray, which is not installed: pip install "copy-eval[ray]"')
    if address in (LOCAL, "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise UserError(f"--ray {address}: not an address (auto or HOST:PORT); SUITE stands before --ray")
    if host in ("localhost", "127.0.0.1"):
        ray: Any = importlib.import_module("ray")
        host = ray.util.get_node_ip_address()  # as Ray itself reads it: its head listens there alone
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--ray {address}: nothing answers there ({error}); `ray start --head` starts Ray") from error


def evaluate_with_ray(
    groups: Sequence[Sequence[Cell]],
    settings: Mapping[str, int | str],
    out: Path,
    on_event: OnEvent,
    address: str = LOCAL,
) -> None:
    """Evaluate groups of cells, each of one model and revision, as many at once as there is room for.

    Args:
        groups: the cells.
        settings: of the suite.
        out: the suite's folder of results; it exists.
        on_event: is told of every step, in this process.
        address: of a running Ray (``auto`` for that of this node, or ``host:port``), or ``LOCAL``.

    Raises:
        UserError: if there is no Ray at the address, a node does not see ``out`` or has another copy-eval, or a model
            asks for more GPUs than a node has.
    """
    if not groups:
        return
    with _connected(address) as ray:
        # A head without CPUs is common; nothing runs there.
        nodes = [node for node in ray.nodes() if node["Alive"] and {"CPU", "GPU"} & node["Resources"].keys()]
        if not nodes:
            raise UserError(f"--ray {address}: this Ray has no node with CPUs; `ray start --address=...` adds one")
        _check_nodes(ray, nodes, out.resolve())
        mailbox = ray.remote(_Mailbox).options(num_cpus=0, scheduling_strategy=_on_node(ray)).remote()
        tasks: dict[Any, Sequence[Cell]] = {}
        for group in groups:
            cells = [replace(cell, model=spread_over_gpus(cell.model)) for cell in group]
            options = _resources(cells[0].model, nodes, len(groups))
            task = ray.remote(_evaluate_group).options(max_retries=_RETRIES, **options)
            tasks[task.remote(cells, dict(settings), out.resolve(), mailbox)] = cells
        _follow(ray, tasks, mailbox, on_event)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Start or join Ray, and leave it at the end."""
    # Ray reads these when it is imported or starts its processes; nothing is to be sent anywhere.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # a task without GPUs sees none
    os.environ.setdefault("RAY_task_oom_retries", str(_RETRIES))  # without it, a model too large is tried for ever
    import ray

    options: dict[str, Any] = {}
    if address == LOCAL:
        options = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE, "num_cpus": os.cpu_count()}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        line = str(error).strip().split("\n")[0].rstrip(".")
        remedy = "`ray start --head` starts one; if it wants a token, set RAY_AUTH_MODE=token"
        raise UserError(f"--ray {address}: no Ray there ({line}); {remedy}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _on_node(ray: Any, node_id: str | None = None) -> Any:
    """Return Ray's strategy for running something on one node and no other, by default on the driver's."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id or ray.get_runtime_context().get_node_id(), soft=False)


def _check_nodes(ray: Any, nodes: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Check that every node sees the results folder and runs the same copy-eval."""
    probe = out / f"{_PROBE}{secrets.token_hex(8)}"
    try:
        probe.touch()
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from error
    examine = ray.remote(_examine_node)
    try:
        tasks = [examine.options(num_cpus=0, scheduling_strategy=_on_node(ray, node["NodeID"])) for node in nodes]
        answers = [task.remote(probe) for task in tasks]
        for node, answer in zip(nodes, answers, strict=True):
            _check_node(ray, answer, node["NodeManagerHostname"], out)
    finally:
        probe.unlink(missing_ok=True)


def _check_node(ray: Any, answer: Any, host: str, out: Path) -> None:
    try:
        sees, version = ray.get(answer, timeout=_NODE_ANSWERS_WITHIN)
    except ray.exceptions.RayError as error:
        line = str(error).strip().split("\n")[-1]
        raise UserError(f"the Ray node {host} cannot run copy-eval: install it there as here ({line})") from error
    if not sees:
        raise UserError(f"the Ray node {host} does not see {out}: --out must be in a folder that all nodes share")
    if version != copy_eval.__version__:
        raise UserError(f"the Ray node {host} has copy-eval {version}, this is {copy_eval.__version__}")


def _examine_node(probe: Path) -> tuple[bool, str]:
    """Run on a node: tell whether it sees the file, and which copy-eval it has."""
    return probe.exists(), copy_eval.__version__


def _resources(entry: ModelEntry, nodes: Sequence[Mapping[str, Any]], models: int) -> dict[str, float]:
    """Return the GPUs and CPUs that a model is given.

    Without a number of its own it gets a GPU where there is one, unless its device is another. Models without a GPU
    share the cores of a node evenly.
    """
    most = max(node["Resources"].get("GPU", 0) for node in nodes)
    elsewhere = not str(entry.model_args.get("device", "cuda")).startswith("cuda")
    gpus = entry.gpus if entry.gpus is not None else 0 if elsewhere else min(1, most)
    if gpus > most:
        raise UserError(f"{entry.name} asks for {gpus:g} GPUs, and no Ray node has more than {most:g}")
    if gpus:
        return {"num_gpus": gpus, "num_cpus": 1}
    cores = min(node["Resources"].get("CPU", 1) for node in nodes)
    return {"num_gpus": 0, "num_cpus": max(1, cores // -(-models // len(nodes)))}


class _Mailbox:
    """An actor on the driver's node that keeps the workers' events until the driver takes them."""

    def __init__(self) -> None:
        self._events: list[CellEvent] = []

    def put(self, event: CellEvent) -> None:
        self._events.append(event)

    def take(self) -> list[CellEvent]:
        events, self._events = self._events, []
        return events


def _evaluate_group(cells: Sequence[Cell], settings: Mapping[str, int | str], out: Path, mailbox: Any) -> None:
    """Run on a worker: evaluate the cells of one model and revision that have no result yet."""
    os.environ["TQDM_DISABLE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import ray
    import torch

    gpus, seen = cells[0].model.gpus or 0, torch.accelerator.device_count()
    if gpus > max(1, seen):
        raise UserError(f"gpus={gpus}: Ray set them aside, but PyTorch sees {seen} of them; it may lack CUDA")
    context: Any = ray.get_runtime_context()
    torch.set_num_threads(max(1, int(context.get_assigned_resources().get("CPU", 1))))

    sent = []

    def on_event(event: CellEvent) -> None:
        # Not waited for: Ray would meanwhile give this task's CPU to another.
        sent.append(mailbox.put.remote(event))

    try:
        evaluate_model(cells, settings, out, on_event)
    finally:
        # The driver takes a cell of a task that has ended for failed unless it was told of it before.
        ray.get(sent)


def _follow(ray: Any, tasks: dict[Any, Sequence[Cell]], mailbox: Any, on_event: OnEvent) -> None:
    """Pass on the events of the tasks until all have ended."""
    done: set[Cell] = set()
    failures: dict[Cell, CellEvent] = {}

    def pass_on() -> None:
        for event in ray.get(mailbox.take.remote()):
            if event.state == "failed":
                # Not the last word: if the worker is lost later on, the cell is tried once more.
                failures[event.cell] = event
                continue
            if event.state == "done":
                done.add(event.cell)
            on_event(event)

    while tasks:
        ready, _ = ray.wait(list(tasks), timeout=_POLL)
        pass_on()
        for task in ready:
            reason, details = _outcome(ray, task)
            for cell in tasks.pop(task):
                if cell in done:
                    continue
                if cell in failures:
                    on_event(failures[cell])
                elif reason:
                    on_event(CellEvent(cell, "failed", reason=reason, details=details, whole_model=True))
                else:
                    # Its result was written, and the worker was lost before it could say so.
                    on_event(CellEvent(cell, "done", accuracy="done"))


def _outcome(ray: Any, task: Any) -> tuple[str, str]:
    """Return why a task has failed for good and the details of that, nothing if it has not."""
    try:
        ray.get(task)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            return str(error.cause), ""
        return f"{type(error.cause).__name__}: {error.cause}", str(error)
    except ray.exceptions.RayError as error:
        line = str(error).strip().split("\n")[0]
        return f"its worker was lost {_RETRIES + 1} times ({line})", str(error)
    return "", ""
