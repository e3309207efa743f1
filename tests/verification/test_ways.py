"""Every way of the packaged checkpoints, and faults of serving software that are planted into them."""

import pytest
import torch
from lm_eval.models.huggingface import HFLM
from tokenizers.processors import TemplateProcessing

from copy_eval.errors import UserError
from copy_eval.model_adapters import decoding, mamba_run
from copy_eval.model_adapters.attention import AttentionRun
from copy_eval.model_adapters.forward import CachedModel
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.mamba_run import MambaRun
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.verification.ways import Bench, verify_model

WAYS = ["batch", "drafts", "shared prefixes"]


def by_way(comparisons):
    return {comparison.way: comparison for comparison in comparisons}


@pytest.fixture(params=["pythia", "mamba"])
def bench(request):
    return request.getfixturevalue(request.param)


def test_every_way_of_a_sound_model_answers_as_the_reference(bench, requests):
    compared = [bench.check_reference(), *bench.compare_parts(), bench.compare_all_together(), bench.compare_hf()]
    assert [each.way for each in compared] == ["reference", *WAYS, "all together", "lm-eval's hf"]
    for each in compared:
        assert not each.unused
        assert (each.equal, each.total) == (len(requests), len(requests)), each.differences


def test_a_sound_model_leaves_nothing_in_the_log(pythia, caplog):
    pythia.compare_hf()
    assert not caplog.records


def test_half_precision_is_compared_with_a_reference_of_its_own_and_absent_kernels_are_told(requests):
    loaded = []

    def load(**others):
        loaded.append(others)
        return MambaLM(pretrained="tiny-mamba", device="cpu", **others)

    told = []
    verification = verify_model("tiny-mamba", load, requests[:2] + requests[-2:], 2, told.append)
    compared = by_way(verification.comparisons)
    assert list(compared)[-3:] == ["without kernels", "reference, bfloat16", "all together, bfloat16"]
    assert compared["without kernels"].unused == "not on this machine: the kernels of mamba-ssm run on CUDA only"
    assert loaded == [{}, {"dtype": "bfloat16"}]
    assert verification.subject == "tiny-mamba: float32 on cpu, 4 prompts, 2 in a batch"
    assert verification.exit_code == 0
    assert [way for way in compared if not compared[way].unused] == [way for way in told if "loading" not in way]


def test_a_means_that_the_model_does_not_take_is_not_used_and_the_reason_is_told(requests):
    model = PythiaLM(pretrained="tiny-pythia", device="cpu", draft=False)
    compared = by_way(Bench(model, requests[:2], 2, str).compare_parts())
    assert compared["drafts"].unused
    assert not compared["batch"].unused


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_model_in_half_precision_is_not_rounded_again(requests, dtype):
    verification = verify_model(
        "m", lambda: PythiaLM(pretrained="tiny-pythia", device="cpu", dtype=dtype), requests[-1:], 2, str
    )
    *ways, half = verification.comparisons
    assert (half.way, half.unused) == ("bfloat16", f"all ways above are in {dtype}")
    assert not [way.way for way in ways if way.unused]


def test_a_failure_of_hf_is_told_and_the_others_are_compared_but_no_memory_left_ends_all(pythia, monkeypatch):
    def fail_with(error):
        def fail(*_, **__):
            raise error

        monkeypatch.setattr(HFLM, "generate_until", fail)

    fail_with(NotImplementedError("no cache of this kind\nfor this model"))
    assert pythia.compare_hf().unused == ("it fails with this model (NotImplementedError: no cache of this kind)")
    fail_with(torch.OutOfMemoryError("no memory left"))
    with pytest.raises(torch.OutOfMemoryError):
        pythia.compare_hf()


def test_hf_is_asked_with_the_same_tokens(requests):
    model = PythiaLM(pretrained="tiny-pythia", device="cpu", add_bos_token=False)
    # As the tokenizer of a Llama does, unless told otherwise.
    model.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", model.eot_token_id)]
    )
    assert not Bench(model, requests, 8, str).compare_hf().differences


def test_requests_over_the_context_are_left_out_and_named(requests):
    def load(**others):
        return PythiaLM(pretrained="tiny-pythia", device="cpu", **{"max_length": 200, **others})

    verification = verify_model("tiny-pythia", load, requests[:2], 2, str)
    assert verification.notes == ("not asked, as they exceed the context of 200 tokens: shared prefix 1",)
    with pytest.raises(UserError, match="no prompt of the verification fits a context of 200 tokens"):
        verify_model("tiny-pythia", load, requests[1:2], 2, str)


def test_padding_that_runs_through_a_state_is_caught(mamba, monkeypatch):
    sound = mamba_run.take_in
    monkeypatch.setattr(mamba_run, "take_in", lambda *arguments: sound(*arguments[:3]))
    assert mamba.compare_all_together().diverged


def test_states_of_the_prompt_before_are_caught(mamba, monkeypatch):
    def restart(run, rows):
        run._again = [[] for _ in range(rows)]

    monkeypatch.setattr(MambaRun, "restart", restart)
    compared = by_way(mamba.compare_parts())
    assert compared["shared prefixes"].diverged
    assert not compared["drafts"].diverged


def test_rejected_drafts_that_stay_in_the_cache_are_caught(pythia, monkeypatch):
    def keep(run, rows, accepted):  # noqa: ARG001
        run._kept = rows

    monkeypatch.setattr(AttentionRun, "keep", keep)
    compared = by_way(pythia.compare_parts())
    assert compared["drafts"].diverged
    assert not compared["batch"].differences


def test_a_draft_that_is_accepted_unseen_is_caught(pythia, monkeypatch):
    sound = decoding._Row.take
    monkeypatch.setattr(
        decoding._Row, "take", lambda row, choices: sound(row, [*row.draft[: len(choices) - 1], choices[-1]])
    )
    compared = by_way(pythia.compare_parts())
    assert compared["drafts"].diverged
    assert not compared["batch"].differences


def test_positions_that_begin_anew_behind_a_cache_are_caught_in_the_reference_itself(requests, monkeypatch):
    sound = CachedModel.__call__
    model = PythiaLM(pretrained="tiny-pythia", device="cpu")

    def begin_anew(model, ids, mask, positions, cache, columns):
        behind = mask.shape[1] > ids.shape[1]
        return sound(model, ids, mask, positions - positions[:, :1] if behind else positions, cache, columns)

    monkeypatch.setattr(CachedModel, "__call__", begin_anew)
    bench = Bench(model, requests, 8, str)
    assert bench.check_reference().diverged


def test_prompts_that_lose_their_beginning_are_caught(pythia, monkeypatch):
    model = pythia._model
    monkeypatch.setattr(model, "_encode", lambda prompt: model.tok_encode(prompt)[-40:])
    assert pythia.compare_all_together().diverged
