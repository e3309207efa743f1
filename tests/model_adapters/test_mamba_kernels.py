"""What surrounds mamba-ssm's kernels, on a model that keeps their contract without them; no CUDA graph is captured."""

import dataclasses
import sys
from types import SimpleNamespace

import pytest
import torch

from copy_eval.errors import UserError
from copy_eval.model_adapters.decoding import StopRule, decode_greedily
from copy_eval.model_adapters.drafting import Trust
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.mamba_forward import empty_states, logits_of, take_in
from copy_eval.model_adapters.mamba_kernels import KernelRun, Step, StepGraphs
from copy_eval.model_adapters.mamba_run import MambaRun
from copy_eval.model_adapters.state_spaces_layout import (
    build_transformers_model,
    translate_config,
)
from tests.model_adapters.support import PROMPTS, answer

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

    def forward(self, tokens, inference_params, num_last_tokens):
        states = inference_params.key_value_memory_dict
        if inference_params.seqlen_offset == 0:
            before = empty_states(self.model, len(tokens))
            states.update(enumerate(before))
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


def test_a_checkpoint_in_transformers_layout_answers_through_mamba_ssms_model(loaded, tmp_path, monkeypatch):
    def build(config, tensors, device, dtype, source):
        assert device == CPU
        return KernelContract(build_transformers_model(translate_config(config, source), tensors, dtype, source))

    monkeypatch.setattr("copy_eval.model_adapters.mamba.build_kernel_model", build)
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    model = MambaLM(pretrained=str(tmp_path), device="cpu", batch_size=4)
    expected = answer(model)

    model._kernels = model._move_into_kernels("x")  # as where a GPU and the package are at hand
    model._step_graphs = StepGraphs(model.model, CPU)

    assert isinstance(model.model, KernelContract)
    assert answer(model) == expected
    assert model._step_graphs._steps
    with pytest.raises(UserError, match="use_kernels=False"):
        answer(model, do_sample=True)


def test_mixed_precision_is_refused_before_a_step_would_fail(mamba_folder, monkeypatch):
    read_config = MambaLM._get_config

    def on_a_gpu(self, *names, **options):
        read_config(self, *names, **options)
        self._kernels = True

    monkeypatch.setattr(MambaLM, "_get_config", on_a_gpu)
    with pytest.raises(UserError, match=r"mixed_precision_dtype=bfloat16: .* add use_kernels=False"):
        MambaLM(pretrained=str(mamba_folder), device="cpu", mixed_precision_dtype="bfloat16")
