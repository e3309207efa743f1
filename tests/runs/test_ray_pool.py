"""A local Ray of two workers: the same files as without Ray, even when a worker is killed."""

import json
import os
import signal
import socket
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from copy_eval.cli import main
from copy_eval.errors import UserError
from copy_eval.runs import ray_pool
from copy_eval.runs.evaluator import run_suite
from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.progress import Progress
from copy_eval.runs.ray_pool import check_ray, evaluate_with_ray
from copy_eval.runs.suite import Suite

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402

MODELS = (
    ModelEntry("tiny-pythia", "pythia", "tiny-pythia", batch_size=4),
    ModelEntry("tiny-mamba", "mamba_ssm", "tiny-mamba", batch_size=4),
)
SUITE = Suite("small", MODELS, ("phonebook_copy_10", "phonebook_copy_40", "phonebook_reversed_10"), {"num_samples": 4})
VARYING = {"date", "total_evaluation_time_seconds", "git_hash", "pretty_env_info"}
"""Of a report: when and where it was made; the commit and the clock of the processor may change between two runs."""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    # They are set for the whole process, which is the tests' own here.
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "RAY_task_oom_retries"):
        monkeypatch.setenv(name, os.environ.get(name, "0" if name == "RAY_USAGE_STATS_ENABLED" else "1"))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)  # so many workers there will be


@pytest.fixture
def local_ray():
    with ray_pool._connected("local") as connected:
        yield connected


def content(out: Path) -> dict[tuple[str, str], tuple[dict, str]]:
    """Return each cell's report and samples; a cell that stands there twice is an error."""
    cells = {}
    for file in out.glob("*/results_*.json"):
        report = json.loads(file.read_text())
        (task,) = report["results"]
        assert (file.parent.name, task) not in cells
        (samples,) = file.parent.glob(f"samples_{task}_*.jsonl")
        kept = {key: value for key, value in report.items() if key not in VARYING}
        cells[file.parent.name, task] = kept, samples.read_text()
    return cells


def test_a_killed_worker_is_replaced_and_every_cell_is_there_once_as_without_ray(tmp_path):
    killed, done, at_work = [], [], []
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text('{"model_type": "gpt_neox"}')
    broken = ModelEntry("broken", "pythia", str(tmp_path / "broken"))

    def evaluate_and_kill(groups, settings, out, on_event):
        def pass_on(event):
            if event.state == "done":
                done.append((event.cell.label, event.cell.task))
                workers = [child for child in psutil.Process().children(recursive=True) if is_at_work(child)]
                at_work.append(len(workers))
                if workers and not killed:
                    workers[0].send_signal(signal.SIGKILL)
                    killed.append(workers[0])
            on_event(event)

        evaluate_with_ray(groups, settings, out, pass_on)

    failures = run_suite(replace(SUITE, models=(*MODELS, broken)), tmp_path / "ray", Progress(), evaluate_and_kill)
    assert len(killed) == 1
    assert max(at_work) == 2
    assert [(failure.cell.model, failure.reason[:11]) for failure in failures] == [(broken, "pretrained=")] * 3
    assert sorted(done) == sorted((cell.label, cell.task) for cell in SUITE.cells())
    assert run_suite(SUITE, tmp_path / "plain", Progress()) == []
    assert content(tmp_path / "ray") == content(tmp_path / "plain")
    assert not list((tmp_path / "ray").glob(f"{ray_pool._PROBE}*"))


def test_a_users_own_task_is_found_on_the_workers_and_a_folder_that_they_miss_is_one_line(tmp_path, own_tasks):
    suite = Suite("own", MODELS[:1], ("phonebook_copy_11",), {"num_samples": 2}, str(own_tasks))
    assert run_suite(suite, tmp_path / "ray", Progress(), evaluate_with_ray) == []
    assert list(content(tmp_path / "ray")) == [("tiny-pythia", "phonebook_copy_11")]
    elsewhere = [replace(cell, include_path=str(tmp_path / "elsewhere")) for cell in suite.cells()]
    events = []
    evaluate_with_ray([elsewhere], suite.settings, tmp_path / "ray", events.append)
    assert [(event.state, event.reason) for event in events] == [
        ("failed", f"include_path={tmp_path}/elsewhere: no such folder")
    ]


def is_at_work(process: psutil.Process) -> bool:
    try:
        return any("_evaluate_group" in part for part in process.cmdline())
    except psutil.NoSuchProcess:  # it ended after it was listed; a zombie counts as that
        return False


def test_bad_surroundings_are_one_line_each(local_ray, tmp_path):
    (node,) = local_ray.nodes()
    host = node["NodeManagerHostname"]
    ray_pool._check_nodes(local_ray, [node], tmp_path)
    unseen = local_ray.remote(ray_pool._examine_node).remote(tmp_path / "not here")
    with pytest.raises(UserError, match=f"{host} does not see {tmp_path}: --out must be in a folder that all nodes"):
        ray_pool._check_node(local_ray, unseen, host, tmp_path)
    with pytest.raises(UserError, match=f"{host} has copy-eval 0.0.0, this is "):
        ray_pool._check_node(local_ray, local_ray.put((True, "0.0.0")), host, tmp_path)
    greedy = ModelEntry("large", "pythia", "tiny-pythia", gpus=64)
    with pytest.raises(UserError, match="large asks for 64 GPUs, and no Ray node has more than "):
        ray_pool._resources(greedy, [node], 1)


@pytest.mark.parametrize(
    ("gpus", "device", "there", "given"),
    [
        (None, None, 2, {"num_gpus": 1, "num_cpus": 1}),
        (None, None, 0, {"num_gpus": 0, "num_cpus": 4}),
        (None, "cpu", 2, {"num_gpus": 0, "num_cpus": 4}),
        (0.5, None, 2, {"num_gpus": 0.5, "num_cpus": 1}),
        (0, None, 2, {"num_gpus": 0, "num_cpus": 4}),
    ],
)
def test_a_model_gets_a_gpu_where_there_is_one_or_its_share_of_the_cores(gpus, device, there, given):
    nodes = [{"Resources": {"CPU": 8.0, "GPU": float(there)}}, {"Resources": {"CPU": 16.0, "GPU": float(there)}}]
    entry = ModelEntry("a", "pythia", "a", gpus=gpus, model_args={"device": device} if device else {})
    assert ray_pool._resources(entry, nodes, models=4) == given


@pytest.mark.skipif(torch.accelerator.device_count() > 1, reason="has the GPUs that Ray only pretends to have here")
def test_gpus_that_pytorch_does_not_see_are_a_failure_and_the_other_models_go_on(tmp_path):
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 2, "include_dashboard": False})
    large = replace(MODELS[0], name="large", gpus=2)
    suite = replace(SUITE, models=(large, replace(MODELS[0], gpus=0)), tasks=("phonebook_copy_10",))
    try:
        evaluate = partial(evaluate_with_ray, address=cluster.address)
        [failure] = run_suite(suite, tmp_path / "out", Progress(), evaluate)
    finally:
        cluster.shutdown()
    assert failure.cell.model.name == "large"
    assert failure.reason == "gpus=2: Ray set them aside, but PyTorch sees 0 of them; it may lack CUDA"
    assert [label for label, _ in content(tmp_path / "out")] == ["tiny-pythia"]


def test_what_was_done_before_a_full_disk_is_reported_as_done(local_ray, tmp_path):
    class SlowMailbox:
        """Takes its time with each event; as soon as a cell is done, nothing can be written any more."""

        def __init__(self):
            self.events = []

        def put(self, event):
            if event.state == "done":
                (tmp_path / "tiny-pythia").rename(tmp_path / "elsewhere")
                (tmp_path / "tiny-pythia").touch()
            time.sleep(5)
            self.events.append(event)

        def take(self):
            events, self.events = self.events, []
            return events

    cells = replace(SUITE, models=MODELS[:1], tasks=("phonebook_copy_10", "phonebook_copy_160")).cells()
    mailbox = local_ray.remote(SlowMailbox).options(num_cpus=0, max_concurrency=9).remote()
    task = local_ray.remote(ray_pool._evaluate_group).remote(cells, SUITE.settings, tmp_path, mailbox)
    events = []
    ray_pool._follow(local_ray, {task: cells}, mailbox, events.append)
    ends = {event.cell.task: (event.state, event.reason) for event in events if event.state in ("done", "failed")}
    reason = f"cannot write to {tmp_path / 'tiny-pythia'}: File exists"
    assert ends == {"phonebook_copy_10": ("done", ""), "phonebook_copy_160": ("failed", reason)}


def test_a_mistaken_address_is_one_line_and_nothing_is_written(tmp_path, capsys):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
        assert main(["run", "tiny", "--out", str(tmp_path / "out"), "--ray", address]) == 2
    assert capsys.readouterr().err.startswith(f"copy-eval: --ray {address}: nothing answers there (")
    assert main(["run", "--out", str(tmp_path / "out"), "--ray", "tiny", "--model", "pythia"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_without_ray_the_line_that_installs_it_is_printed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match='pip install "copy-eval\\[ray\\]"'):
        check_ray("local")
