"""What surrounds mamba-ssm's kernels, on a model that keeps their contract without them.

The tests in with_mamba_ssm do the same and more with its own classes, where these are at hand.
"""

import dataclasses
import sys
from types import SimpleNamespace

import pytest
import torch

from copy_eval.errors import UserError
from copy_eval.model_adapters import mamba_kernels
from copy_eval.model_adapters.decoding import StopRule, decode_greedily
from copy_eval.model_adapters.drafting import Trust
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.mamba_forward import empty_states, logits_of, take_in
from copy_eval.model_adapters.mamba_kernels import KernelRun, Step, StepGraphs, why_no_kernels
from copy_eval.model_adapters.mamba_run import MambaRun
from copy_eval.model_adapters.state_spaces_layout import (
    build_transformers_model,
    translate_config,
)
from tests.model_adapters import graph_on_cpu
from tests.model_adapters.support import MAMBA2, PROMPTS, answer

CPU = torch.device("cpu")


@dataclasses.dataclass
class InferenceParams:
    """The fields of mamba-ssm's own that a Mamba layer reads."""

    max_seqlen: int
    max_batch_size: int
    seqlen_offset: int = 0
    key_value_memory_dict: dict = dataclasses.field(default_factory=dict)


class KernelContract(torch.nn.Module):
    """As mamba-ssm's model: at offset 0 it begins anew, above it takes a single token and changes states in place."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        layers = [self._layer(number) for number in range(len(model.backbone.layers))]
        self.backbone = SimpleNamespace(layers=layers)

    def tie_weights(self):
        """Nothing to do; the weights were tied when they were loaded."""

    def _layer(self, number):
        def allocate(rows, _):
            return empty_states(self.model, rows)[number]

        return SimpleNamespace(mixer=SimpleNamespace(step=None), allocate_inference_cache=allocate)

    def forward(self, tokens, inference_params=None, num_last_tokens=0):
        if inference_params is None:
            inference_params = InferenceParams(tokens.shape[1], 1, 0, dict(enumerate(empty_states(self.model, 1))))
        states = inference_params.key_value_memory_dict
        assert inference_params.seqlen_offset == 0 or tokens.shape[1] == 1
        before = [states[layer] for layer in range(len(states))]
        hidden, after = take_in(self.model, tokens, before)
        for mine, new in zip(before, after, strict=True):
            for part, new_part in zip(mine, new, strict=True):
                part.copy_(new_part)
        return SimpleNamespace(logits=logits_of(self.model, hidden[:, -num_last_tokens:]))


@pytest.fixture(autouse=True)
def mamba_ssm(monkeypatch):
    monkeypatch.setitem(sys.modules, "mamba_ssm.utils.generation", SimpleNamespace(InferenceParams=InferenceParams))


@pytest.fixture(scope="module")
def loaded(mamba_folder):
    return MambaLM(pretrained=str(mamba_folder), device="cpu")


@pytest.fixture(scope="module")
def network(loaded):
    return KernelContract(loaded.model)


def decode(loaded, run, trust=None, prompts=PROMPTS):
    rule = StopRule(loaded.tokenizer, ["t", "5", "a"], [loaded.eot_token_id])
    answers = decode_greedily(run, [loaded.tok_encode(text) for text in prompts], [24] * len(prompts), rule, trust)
    return [answer.tokens for answer in answers]


@pytest.fixture(scope="module")
def expected(loaded):
    tokens = decode(loaded, MambaRun(loaded.model, CPU))
    assert len(set(map(len, tokens))) > 3, "rows that all end at once would not shrink the batch"
    return tokens


@pytest.mark.parametrize("drafts", [False, True])
@pytest.mark.parametrize("with_graphs", [False, True])
def test_rows_that_come_and_go_answer_as_in_our_own_run(with_graphs, drafts, loaded, network, expected):
    graphs = StepGraphs(network, CPU) if with_graphs else None
    for prompts, wanted in ((PROMPTS, expected), (PROMPTS[:3], expected[:3]), (PROMPTS[::-1], expected[::-1])):
        run = KernelRun(network, CPU, 24, graphs)
        assert decode(loaded, run, Trust() if drafts else None, prompts) == wanted
    if graphs is not None:
        assert graphs._steps.keys() <= {1, 2, 4, 8}


def test_where_no_graph_can_be_captured_each_step_runs_by_itself(loaded, network, expected, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Step, "capture", fail)
    graphs = StepGraphs(network, CPU)
    graphs._captures = True

    assert decode(loaded, KernelRun(network, CPU, 24, graphs)) == expected
    assert caplog.text.count("no CUDA graph could be captured (operation not permitted") == 1


def test_a_batch_too_large_for_its_graph_is_left_to_those_who_halve_it(loaded, network, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Step, "capture", fail)
    graphs = StepGraphs(network, CPU)
    graphs._captures = True

    with pytest.raises(torch.OutOfMemoryError):
        decode(loaded, KernelRun(network, CPU, 24, graphs))


def said(caplog):
    """Return our own warnings."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("copy_eval")]


@pytest.fixture
def kernels_on_the_cpu(monkeypatch):
    """Stand in for a machine with a GPU and mamba-ssm; return the models that are built there."""
    built = []

    def build(config, tensors, device, dtype, source):
        model = build_transformers_model(translate_config(config, source), tensors, dtype, source)
        built.append(KernelContract(model.to(device)))
        return built[-1]

    monkeypatch.setattr(mamba_kernels, "DEVICE_TYPE", "cpu")
    graph_on_cpu.install(monkeypatch)
    monkeypatch.setattr(mamba_kernels, "why_no_kernels", lambda **_: None)
    monkeypatch.setattr(mamba_kernels, "build_kernel_model", build)
    return built


def test_a_checkpoint_in_either_layout_answers_through_mamba_ssms_model(
    loaded, mamba_folder, tmp_path, kernels_on_the_cpu, caplog
):
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    expected = answer(loaded)

    for folder in (mamba_folder, tmp_path):
        model = MambaLM(pretrained=str(folder), device="cpu", batch_size=4)
        assert model.model is kernels_on_the_cpu[-1]
        assert answer(model) == expected
        assert model._step_graphs._steps
        with pytest.raises(UserError, match="use_kernels=False"):
            answer(model, do_sample=True)
    assert not said(caplog)


def test_kernels_that_answer_otherwise_are_left_alone(loaded, mamba_folder, kernels_on_the_cpu, monkeypatch, caplog):
    take_step = KernelContract.forward

    def lose_the_convolution(self, tokens, inference_params=None, num_last_tokens=0):
        for conv, _ in inference_params.key_value_memory_dict.values() if inference_params else ():
            conv.zero_()
        return take_step(self, tokens, inference_params, num_last_tokens)

    monkeypatch.setattr(KernelContract, "forward", lose_the_convolution)
    model = MambaLM(pretrained=str(mamba_folder), device="cpu")

    assert kernels_on_the_cpu, "they were tried"
    (line,) = said(caplog)
    assert line.startswith("transformers' Mamba runs instead of mamba-ssm's kernels")
    assert "a prefill with steps is off by" in line
    assert answer(model) == answer(loaded)
    assert model.get_model_info()["copy_eval"]["kernels"] is None


@pytest.mark.usefixtures("kernels_on_the_cpu")
def test_kernels_that_refuse_a_shape_are_left_alone(loaded, mamba_folder, monkeypatch, caplog):
    def refuse(*_, **__):
        raise RuntimeError("causal_conv1d only supports width between 2 and 4\nException raised from ...")

    monkeypatch.setattr(KernelContract, "forward", refuse)
    model = MambaLM(pretrained=str(mamba_folder), device="cpu")

    (line,) = said(caplog)
    assert line.endswith("slower: causal_conv1d only supports width between 2 and 4")
    assert answer(model) == answer(loaded)


@pytest.mark.usefixtures("kernels_on_the_cpu")
def test_memory_that_runs_out_is_no_reason_to_go_on_without_kernels(mamba_folder, monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(KernelContract, "forward", fail)
    with pytest.raises(torch.OutOfMemoryError):
        MambaLM(pretrained=str(mamba_folder), device="cpu")


def test_what_the_kernels_cannot_express_runs_without_them(state_spaces_folder, kernels_on_the_cpu, caplog):
    limited = MAMBA2 | {"ssm_cfg": MAMBA2["ssm_cfg"] | {"dt_limit": [0.01, 0.1]}}
    MambaLM(pretrained=str(state_spaces_folder(limited)), device="cpu")
    MambaLM(pretrained=str(state_spaces_folder(MAMBA2)), device="cpu", mixed_precision_dtype="bfloat16")

    assert not kernels_on_the_cpu
    of_limit, of_precision = said(caplog)
    assert "range of step sizes" in of_limit
    assert "mixed_precision_dtype=bfloat16" in of_precision


@pytest.mark.skipif(why_no_kernels() is None, reason="mamba-ssm is installed")
def test_without_mamba_ssm_one_line_says_so(mamba_folder, monkeypatch, caplog):
    monkeypatch.setattr(mamba_kernels, "DEVICE_TYPE", "cpu")
    model = MambaLM(pretrained=str(mamba_folder), device="cpu")

    (line,) = said(caplog)
    assert line.endswith("is not installed; pip install --no-build-isolation causal-conv1d mamba-ssm")
    assert answer(model)


def test_a_package_that_cannot_be_imported_is_named_with_the_reason(monkeypatch, tmp_path):
    (tmp_path / "causal_conv1d.py").write_text("raise ImportError('undefined symbol: _ZN3c10\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "causal_conv1d", raising=False)

    assert why_no_kernels() == "causal-conv1d cannot be imported (undefined symbol: _ZN3c10)"


def test_a_hybrid_without_kernels_is_refused_with_the_reason(state_spaces_folder, monkeypatch):
    monkeypatch.setattr(mamba_kernels, "DEVICE_TYPE", "cpu")
    monkeypatch.setattr(mamba_kernels, "why_no_kernels", lambda attention: f"no flash-attn for {attention}")
    folder = state_spaces_folder(MAMBA2 | {"attn_layer_idx": [1]})
    with pytest.raises(UserError, match="run in mamba-ssm's kernels only: no flash-attn for True"):
        MambaLM(pretrained=str(folder), device="cpu")
