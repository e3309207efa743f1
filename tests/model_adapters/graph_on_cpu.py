"""A CUDA graph on a CPU: what is captured is replayed on the very tensors that it was captured with.

As on a GPU, Python does not run in a replay, so a value that it computed is frozen, and an operation that would wait
for the device cannot be captured.
"""

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

FORBIDDEN = (
    "aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.equal", "aten.is_nonzero",
    "aten.lift_fresh",
)  # fmt: skip
"""Operations that bring a value to the host, and the one with which a new tensor comes from there."""


def tensors_in(values):
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


class Graph(TorchDispatchMode):
    """Stands in for ``torch.cuda.CUDAGraph``; the operations that run under it are recorded."""

    def __init__(self):
        super().__init__()
        self._operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if str(function).startswith(FORBIDDEN):
            raise RuntimeError(f"operation not permitted when stream is capturing: {function}")
        results = function(*args, **(kwargs or {}))
        mutates = function._schema.is_mutable
        here = {tensor.untyped_storage().data_ptr() for tensor in tensors_in((args, kwargs))}
        is_view = all(tensor.untyped_storage().data_ptr() in here for tensor in tensors_in(results))
        if mutates or not is_view:  # a view looks on what the others change
            self._operations.append((function, args, kwargs or {}, [] if mutates else tensors_in(results)))
        return results

    def replay(self):
        for function, args, kwargs, results in self._operations:
            again = function(*args, **kwargs)
            for old, new in zip(results, tensors_in(again) if results else [], strict=True):
                old.copy_(new)

    def pool(self):
        return None


class Stream:
    """Stands in for ``torch.cuda.Stream``: on a CPU one thing is done after the other."""

    def wait_stream(self, other):
        """Nothing to wait for."""


@contextlib.contextmanager
def capture(graph, pool):
    del pool  # of memory, which is no matter here
    with graph:
        yield


def install(monkeypatch):
    """Let steps on a CPU be captured; return the list that gets the graph of each."""
    graphs = []

    def new_graph():
        graphs.append(Graph())
        return graphs[-1]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", new_graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    for name in ("Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, Stream)
    for name in ("device", "stream"):
        monkeypatch.setattr(torch.cuda, name, contextlib.nullcontext)
    return graphs
