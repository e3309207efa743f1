"""Loading, states, steps, graphs and batches of the kernels, on mamba-ssm's own classes."""

import json
import sys

import pytest
import torch
from lm_eval.api.instance import Instance

from copy_eval.errors import UserError
from copy_eval.model_adapters import mamba_kernels
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.mamba_forward import empty_states, logits_of, take_in
from copy_eval.model_adapters.mamba_kernels import KernelRun, StepGraphs, new_parameters
from tests.model_adapters.support import MAMBA1, MAMBA2, PROMPTS, answer, assert_same_answers

LOGITS = {"atol": 2e-4, "rtol": 1e-3}
"""Two ways of computing in float32."""


def with_kernels(folder, device, **options):
    model = MambaLM(pretrained=str(folder), device=device, **options)
    assert type(model.model).__module__ == "mamba_ssm.models.mixer_seq_simple", "kernels were left alone"
    return model


def said(caplog):
    """Return our own warnings."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("copy_eval")]


@pytest.fixture
def ours(mamba_folder, device):
    """The same checkpoint in transformers' Mamba."""
    return MambaLM(pretrained=str(mamba_folder), device=device, batch_size=8, use_kernels=False)


@pytest.fixture
def kernels(mamba_folder, device):
    return with_kernels(mamba_folder, device)


def tokens_of(model, prompt, device):
    return torch.tensor([model.tok_encode(prompt)], device=device)


@pytest.mark.parametrize("prompt", PROMPTS)
@torch.no_grad()
def test_a_prompt_and_its_steps_lead_to_the_logits_and_states_of_transformers_mamba(prompt, ours, kernels, device):
    tokens = tokens_of(ours, prompt + " and so on", device)
    hidden, expected = take_in(ours.model, tokens, empty_states(ours.model, 1))
    logits = logits_of(ours.model, hidden)
    half = tokens.shape[1] // 2

    params = new_parameters(kernels.model, tokens.shape[1])
    found = kernels.model(tokens[:, :half], inference_params=params, num_last_tokens=half).logits
    torch.testing.assert_close(found, logits[:, :half], **LOGITS)
    for place in range(half, tokens.shape[1]):
        params.seqlen_offset = place
        found = kernels.model(tokens[:, place : place + 1], inference_params=params, num_last_tokens=1).logits
        torch.testing.assert_close(found[:, 0], logits[:, place], **LOGITS)

    for layer, (conv, state) in enumerate(expected):
        own_conv, own_state = params.key_value_memory_dict[layer]
        # mamba-ssm keeps one input more than the next token needs.
        torch.testing.assert_close(own_conv[:, :, 1:].transpose(1, 2), conv, **LOGITS)
        torch.testing.assert_close(own_state, state, **LOGITS)


@torch.no_grad()
def test_a_step_changes_its_states_where_they_are(kernels, device):
    params = new_parameters(kernels.model, 9)
    kernels.model(torch.tensor([[1, 2, 3]], device=device), inference_params=params)
    before = {
        layer: [(part.data_ptr(), part.clone()) for part in state]
        for layer, state in params.key_value_memory_dict.items()
    }
    params.seqlen_offset = 3
    kernels.model(torch.tensor([[4]], device=device), inference_params=params)
    for layer, state in params.key_value_memory_dict.items():
        for part, (address, old) in zip(state, before[layer], strict=True):
            assert part.data_ptr() == address
            assert not torch.equal(part, old)


@pytest.mark.parametrize("draft", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("layout", ["state-spaces", "transformers"])
def test_answers_are_those_of_transformers_mamba(
    layout, batch_size, draft, mamba_folder, ours, device, tmp_path, caplog, graphs
):
    if layout == "transformers":
        ours.model.save_pretrained(tmp_path)
        ours.tokenizer.save_pretrained(tmp_path)
        mamba_folder = tmp_path
    model = with_kernels(mamba_folder, device, batch_size=batch_size, draft=draft)

    for prompts in (PROMPTS, PROMPTS[::-1]):
        found, expected = (answer(lm, prompts, until=["t", "5"], max_gen_toks=24) for lm in (model, ours))
        assert len(set(map(len, expected))) > 3, "rows that all end at once would not shrink the batch"
        assert_same_answers(ours, prompts, found, expected)
    steps = model._step_graphs._steps.values()
    assert all(step._graph is not None for step in steps)
    assert {1, 1 << (batch_size - 1).bit_length()} <= model._step_graphs._steps.keys()
    assert graphs is None or len(graphs) == len(steps)
    assert said(caplog) == []


def test_loglikelihood_is_that_of_transformers_mamba(ours, mamba_folder, device):
    requests = [
        Instance("loglikelihood", {}, (prompt, continuation), index)
        for index, (prompt, continuation) in enumerate((prompt, end) for prompt in PROMPTS for end in (" mat", " 7"))
    ]
    for batch_size in (1, 4):
        found = with_kernels(mamba_folder, device, batch_size=batch_size).loglikelihood(requests, disable_tqdm=True)
        expected = ours.loglikelihood(requests, disable_tqdm=True)
        assert [is_greedy for _, is_greedy in found] == [is_greedy for _, is_greedy in expected]
        assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=2e-3)


@torch.no_grad()
def test_the_rows_that_stay_go_on_from_their_own_states(kernels, device):
    model, prompts = kernels.model, [kernels.tok_encode(text) for text in PROMPTS]

    def go_on(rows):
        """Return the states of rows after a first step, the leaving of the others, and a second step."""
        run = KernelRun(model, torch.device(device), 9, kernels._step_graphs)
        run.feed(prompts, [[] for _ in prompts])
        run.feed([[20 + row] for row in range(len(prompts))], [[] for _ in prompts])
        run.keep(rows, [0 for _ in rows])
        run.feed([[50 + row] for row in rows], [[] for _ in rows])
        return run._step.states(len(rows))

    rows = [5, 2, 0]
    for place, row in enumerate(rows):
        params = new_parameters(model, 99)
        model(torch.tensor([prompts[row]], device=device), inference_params=params)
        for token in (20 + row, 50 + row):
            params.seqlen_offset = 1
            model(torch.tensor([[token]], device=device), inference_params=params)
        for layer, state in go_on(rows).items():
            for found, expected in zip(state, params.key_value_memory_dict[layer], strict=True):
                torch.testing.assert_close(found[place : place + 1], expected, **LOGITS)


@torch.no_grad()
def test_after_a_wrong_draft_a_row_is_where_it_would_be_without(kernels, device):
    prompt, draft = kernels.tok_encode(PROMPTS[0]), [30, 31, 32, 33]
    for accepted in range(4):
        run, plain = (KernelRun(kernels.model, torch.device(device), 9, kernels._step_graphs) for _ in range(2))
        run.feed([prompt, prompt], [draft, []])
        run.keep([0, 1], [accepted, 0])
        plain.feed([[*prompt, *draft[:accepted]], prompt], [[], []])
        for layer, state in plain._states.items():
            for found, expected in zip(run._states[layer], state, strict=True):
                torch.testing.assert_close(found, expected, **LOGITS)


@torch.no_grad()
def test_a_captured_step_reads_the_tokens_and_states_that_it_is_given_last(kernels, device):
    model, step_graphs = kernels.model, StepGraphs(kernels.model, torch.device(device))

    def states_after(prompt):
        params = new_parameters(model, 99)
        model(torch.tensor([prompt], device=device), inference_params=params)
        params.seqlen_offset = 1
        return params

    for prompt, tokens in (([3, 4, 5], [60, 61]), ([9, 8, 7, 6], [7, 70]), ([1], [60, 2])):
        params = states_after(prompt)
        step = step_graphs.begin(params.key_value_memory_dict)
        assert step._graph is not None
        for token in tokens:
            chosen = step.run([[token]])
            logits = model(torch.tensor([[token]], device=device), inference_params=params, num_last_tokens=1).logits
            assert chosen == logits.argmax(dim=-1).tolist()
            for layer, state in step.states(1).items():
                for found, expected in zip(state, params.key_value_memory_dict[layer], strict=True):
                    torch.testing.assert_close(found, expected, **LOGITS)


def test_in_half_precision_the_recurrence_stays_float32(mamba_folder, device, caplog):
    model = with_kernels(mamba_folder, device, dtype="bfloat16", batch_size=3)
    answer(model)
    # rows of steps that were captured
    states = [state for step in model._step_graphs._steps.values() for state in step._states.values()]
    assert {(conv.dtype, state.dtype) for conv, state in states} == {(torch.bfloat16, torch.float32)}
    kept = {name.split(".")[-1] for name, part in model.model.named_parameters() if part.dtype == torch.float32}
    assert {"A_log", "D"} <= kept <= {"A_log", "D", "dt_bias"}
    assert model.get_model_info()["model_dtype"] == torch.bfloat16
    assert said(caplog) == []


@torch.no_grad()
def test_in_half_precision_steps_are_as_near_to_float32_as_those_of_transformers_mamba(mamba_folder, ours, device):
    tokens = tokens_of(ours, PROMPTS[5] * 3, device)
    exact = ours._model_call(tokens)
    half = MambaLM(pretrained=str(mamba_folder), device=device, dtype="bfloat16", use_kernels=False)
    model = with_kernels(mamba_folder, device, dtype="bfloat16").model
    params, logits = new_parameters(model, tokens.shape[1]), []
    for place in range(tokens.shape[1]):
        params.seqlen_offset = place
        logits.append(model(tokens[:, place : place + 1], inference_params=params, num_last_tokens=1).logits)

    theirs = (torch.cat(logits, dim=1).float() - exact).abs().mean()
    assert theirs < 1.5 * (half._model_call(tokens) - exact).abs().mean()


def test_the_result_file_names_the_kernels_that_ran_and_the_dtype(kernels, ours):
    info = kernels.get_model_info()
    assert info["copy_eval"]["kernels"].startswith("mamba-ssm 2.")
    assert info["model_dtype"] == torch.float32
    assert info["model_num_parameters"] == ours.get_model_info()["model_num_parameters"]
    assert ours.get_model_info()["copy_eval"]["kernels"] is None


@pytest.mark.parametrize(
    "config",
    [
        MAMBA1 | {"some_key_of_a_fork": 3, "d_intermediate": None, "attn_layer_idx": None, "attn_cfg": None},
        MAMBA1 | {"ssm_cfg": {"layer": "Mamba1", "d_state": 8, "A_init_range": [1, 16], "use_mem_eff_path": True}},
        MAMBA2 | {"ssm_cfg": MAMBA2["ssm_cfg"] | {"dt_scale": 1.0, "use_fast_path": True}},
        MAMBA1 | {"tie_embeddings": False},
    ],
)
def test_what_loads_without_kernels_loads_with_them(config, state_spaces_folder, device, caplog):
    folder = state_spaces_folder(config)
    ours = MambaLM(pretrained=str(folder), device=device, use_kernels=False)
    assert_same_answers(ours, PROMPTS, answer(with_kernels(folder, device)), answer(ours))
    assert said(caplog) == []


@pytest.mark.parametrize("head", ["absent", "different"])
def test_a_tied_head_is_the_embedding_whatever_the_file_says_of_it(head, state_spaces_folder, device):
    folder = state_spaces_folder(MAMBA2)
    expected = answer(with_kernels(folder, device))
    weights = torch.load(folder / "pytorch_model.bin")
    del weights["lm_head.weight"]
    if head == "different":
        weights["lm_head.weight"] = torch.randn_like(weights["backbone.embedding.weight"])
    torch.save(weights, folder / "pytorch_model.bin")

    assert answer(with_kernels(folder, device)) == expected


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (MAMBA2 | {"ssm_cfg": MAMBA2["ssm_cfg"] | {"headdim": 32, "ngroups": 1}}, "multiples of 8"),
        (MAMBA1 | {"ssm_cfg": {"d_state": 8, "d_conv": 5}}, "width between 2 and 4"),
        (MAMBA2 | {"ssm_cfg": MAMBA2["ssm_cfg"] | {"dt_limit": [0.05, 0.2]}}, "range of step sizes"),
    ],
)
def test_shapes_and_settings_without_a_kernel_run_without_kernels_in_one_line(
    config, reason, state_spaces_folder, device, caplog
):
    folder = state_spaces_folder(config)
    model = MambaLM(pretrained=str(folder), device=device, batch_size=4)

    (line,) = said(caplog)
    assert line.startswith("transformers' Mamba runs instead of mamba-ssm's kernels")
    assert reason in line
    ours = MambaLM(pretrained=str(folder), device=device, batch_size=4, use_kernels=False)
    assert answer(model) == answer(ours)


def test_a_mamba2_runs_on_the_cpu_where_mamba_ssm_is_installed(state_spaces_folder, monkeypatch):
    from mamba_ssm.ops.triton import ssd_combined
    from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

    class NotOnACPUError(Exception):
        pass

    def fail(*_, **__):
        raise NotOnACPUError

    monkeypatch.setattr(ssd_combined, "_mamba_chunk_scan_combined_fwd", fail)
    one = torch.zeros(1, 1, 1, 1)
    with pytest.raises(NotOnACPUError):  # transformers puts it there
        mamba2_chunk_scan(one, one[0], one[0, 0, 0], one, one, chunk_size=16)

    model = MambaLM(pretrained=str(state_spaces_folder(MAMBA2)), device="cpu", use_kernels=False)
    assert answer(model)


HYBRID = MAMBA2 | {
    "attn_layer_idx": [1],
    "attn_cfg": {"causal": True, "d_conv": 4, "head_dim": 8, "num_heads": 4, "num_heads_kv": 2, "rotary_emb_dim": 0,
                 "qkv_proj_bias": False, "out_proj_bias": False},
}  # fmt: skip
"""As the config.json of state-spaces/mamba2attn-2.7b, but for the sizes and the rotary positions."""


@pytest.fixture
def hybrid_folder(state_spaces_folder, tmp_path):
    """A hybrid whose weights are large enough for its attention to matter."""
    from mamba_ssm.models.config_mamba import MambaConfig
    from mamba_ssm.models.mixer_seq_simple import MambaLMHeadModel

    torch.manual_seed(0)
    weights = MambaLMHeadModel(MambaConfig(**HYBRID)).state_dict()
    mamba = torch.load(state_spaces_folder(MAMBA2) / "pytorch_model.bin")
    for name, tensor in weights.items():
        weights[name] = mamba.get(name, tensor) if ".layers.1.mixer." not in name else torch.randn_like(tensor) * 0.5
    weights["backbone.embedding.weight"].normal_()
    del weights["lm_head.weight"]  # which is the embedding, whether it is in the file or not
    (tmp_path / "config.json").write_text(json.dumps(HYBRID))
    torch.save(weights, tmp_path / "pytorch_model.bin")
    for file in state_spaces_folder(MAMBA1).glob("tokenizer*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_each_token_of_a_hybrids_answer_is_that_of_a_whole_pass(hybrid_folder, device):
    pytest.importorskip("flash_attn")
    model = with_kernels(hybrid_folder, device, batch_size=4)
    for prompt, text in zip(PROMPTS, answer(model, until=[], max_gen_toks=8), strict=True):
        tokens = model.tok_encode(prompt)
        size = len(tokens)
        for _ in range(8):
            tokens.append(int(model._model_call(torch.tensor([tokens], device=device))[0, -1].argmax()))
            if tokens[-1] == model.eot_token_id:
                break
        assert text == model.tok_decode(tokens[size:])


def test_a_hybrid_that_answers_wrongly_is_refused_in_one_line(hybrid_folder, device, monkeypatch):
    pytest.importorskip("flash_attn")
    monkeypatch.setattr(mamba_kernels, "_keep_what_was_convolved", lambda *_: None)  # as mamba-ssm is without the hook
    with pytest.raises(UserError, match=r"answers wrongly here \(.* a prefill with steps is off by"):
        MambaLM(pretrained=str(hybrid_folder), device=device)


def test_a_hybrid_is_refused_without_flash_attn(hybrid_folder, device, monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(UserError, match="in mamba-ssm's kernels only: flash-attn"):
        MambaLM(pretrained=str(hybrid_folder), device=device)
