"""How many rows share a batch follows from the free memory and from what a cache takes, before anything runs."""

import pytest
import torch
from transformers.modeling_outputs import CausalLMOutput

from copy_eval.model_adapters import memory
from copy_eval.model_adapters.attention import AttentionRun
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.memory import bytes_kept, free_memory
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.runs.architecture import describe
from tests.model_adapters.architectures import build_model
from tests.model_adapters.support import PROMPTS, answer


@pytest.mark.parametrize("name", ["llama", "bamba", "qwen3_next", "lfm2"])
def test_a_cache_is_as_large_as_the_config_says(name, tokenizer):
    network = build_model(name)
    counted = describe(network.config.to_dict(), state_spaces=False, source=name, dtype="float32")
    model = PythiaLM(pretrained=network, tokenizer=tokenizer)
    assert [model._cache_bytes(tokens) for tokens in (10, 1000)] == [counted.cache_bytes(n) for n in (10, 1000)]


def test_a_batch_also_takes_the_memory_of_what_lies_before_a_window(tokenizer):
    model = PythiaLM(pretrained=build_model("mistral", sliding_window=12), tokenizer=tokenizer)
    run, prompt = model._new_run(1), tokenizer.encode(PROMPTS[0])
    run.feed([prompt], [[]])
    held = sum(part.nbytes for layer in run._cached.cache.layers for part in (layer.keys, layer.values))
    assert len(prompt) > 12
    assert model._cache_bytes(len(prompt)) == held > bytes_kept(model._layer_caches, len(prompt))


def noted(model, prompts):
    """What the result file says after these prompts."""
    answer(model, prompts, max_gen_toks=1)
    return model.get_model_info()["copy_eval"]["memory_bytes"]


@pytest.mark.parametrize("name", ["llama", "bamba", "qwen3_next", "mistral"])
def test_the_result_says_how_much_the_model_keeps_of_a_prompt(name, tokenizer):
    network = build_model(name, sliding_window=12)
    layers = describe(network.config.to_dict(), state_spaces=False, source=name, dtype="float32")
    sizes = [layers.cache_bytes(len(tokenizer.encode(prompt))) for prompt in PROMPTS]
    found = noted(PythiaLM(pretrained=network, tokenizer=tokenizer), PROMPTS)
    assert found == {"some_task": pytest.approx(sum(sizes) / len(sizes))}


def test_a_mamba_keeps_as_much_of_every_prompt():
    model = MambaLM(pretrained="tiny-mamba", device="cpu", dtype="float32")
    of_layer = 4 * 384 * (16 + 3)  # bytes of 16 numbers of state and 3 inputs of the convolution, for each channel
    assert noted(model, ["A", "A much longer prompt than the first one."]) == {"some_task": 5 * of_layer}
    assert [model._cache_bytes(tokens) for tokens in (10, 1000)] == [5 * of_layer, 5 * of_layer]


def test_a_model_whose_memory_is_elsewhere_is_left_out(tokenizer, monkeypatch):
    network = build_model("llama")
    forward = network.forward

    def without_a_cache(*inputs, **options):
        return CausalLMOutput(logits=forward(*inputs, **options).logits)

    monkeypatch.setattr(network, "forward", without_a_cache)
    assert noted(PythiaLM(pretrained=network, tokenizer=tokenizer), PROMPTS[:1]) == {}


@pytest.mark.parametrize("name", ["llama", "bamba"])
def test_batches_have_the_rows_whose_caches_fit_half_of_the_free_memory(name, tokenizer, monkeypatch, caplog):
    model = PythiaLM(pretrained=build_model(name), tokenizer=tokenizer, batch_size=7)
    expected = answer(model, PROMPTS)
    longest = max(len(tokenizer.encode(prompt)) for prompt in PROMPTS) + 12
    monkeypatch.setattr(
        "copy_eval.model_adapters.adapter.free_memory", lambda _: 2 * 2 * model._cache_bytes(longest) + 1
    )
    sizes, decode = [], model._decode_greedily

    def note(prompts, limits, settings):
        sizes.append(len(prompts))
        return decode(prompts, limits, settings)

    monkeypatch.setattr(model, "_decode_greedily", note)

    assert answer(model, PROMPTS) == expected
    assert sizes[0] == 2
    assert sum(sizes) == len(PROMPTS)
    assert max(sizes) > 2, "shorter prompts have smaller caches"
    assert caplog.text.count(f"2 of 7 prompts at once: more caches of {longest} tokens might not fit") == 1


@pytest.mark.parametrize(("batch_size", "warned"), [(7, True), (1, False)])
def test_a_prompt_for_whose_cache_no_memory_seems_to_be_left_is_tried_alone(
    batch_size, warned, tokenizer, monkeypatch, caplog
):
    model = PythiaLM(pretrained=build_model("llama"), tokenizer=tokenizer, batch_size=batch_size)
    expected = answer(model, PROMPTS)
    monkeypatch.setattr("copy_eval.model_adapters.adapter.free_memory", lambda _: 0)
    assert answer(model, PROMPTS) == expected
    assert ("prompts at once" in caplog.text) is warned


def test_a_device_that_says_nothing_of_its_memory_sets_no_limit():
    assert free_memory(torch.device("meta")) is None
    assert free_memory(torch.device("cpu")) > 2**20


V1 = ("memory/", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("", "memory.max", "memory.current", "inactive_file")


@pytest.fixture
def limit(tmp_path, monkeypatch):
    """Return a function that writes what the kernel says of a control group; the machine has 8000 KiB free."""
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:  9999 kB\nMemAvailable:  8000 kB\nHugePages_Total: 0\n")

    def write(version, group, most, used, inactive):
        folder, limit_file, usage_file, entry = version
        path = tmp_path / "cgroup" / folder / group
        path.mkdir(parents=True, exist_ok=True)
        (path / limit_file).write_text(f"{most}\n")
        (path / usage_file).write_text(f"{used}\n")
        (path / "memory.stat").write_text(f"cache 5\n{entry} {inactive}\n")

    return write


@pytest.mark.parametrize(("version", "line"), [(V1, "4:cpu,memory:/job/part"), (V2, "0::/job/part")])
def test_a_container_has_no_more_memory_than_the_limits_on_it_leave(version, line, limit, tmp_path):
    cpu = torch.device("cpu")
    assert free_memory(cpu) == 8000 * 1024, "without control groups"
    (tmp_path / "proc" / "self" / "cgroup").write_text(f"7:pids:/other\n{line}\n")
    assert free_memory(cpu) == 8000 * 1024, "the groups are not seen"

    limit(version, "job/part", "max" if version is V2 else 2**63 - 4096, 700, 0)
    assert free_memory(cpu) == 8000 * 1024, "no limit"
    limit(version, "job", 5_000_000, 1_000_000, 300)
    assert free_memory(cpu) == 4_000_300, "that of the group above"
    limit(version, "job/part", 2_000_000, 500_000, 200)
    assert free_memory(cpu) == 1_500_200
    limit(version, "", 1_000_000, 400_000, 100)
    assert free_memory(cpu) == 600_100, "a container's own group is its root"
    limit(version, "job", 900_000, 900_010, 0)
    assert free_memory(cpu) == 0


def test_on_a_cpu_a_cache_larger_than_the_weights_is_not_copied_into_a_batch(tokenizer, monkeypatch):
    model = PythiaLM(pretrained=build_model("llama"), tokenizer=tokenizer, batch_size=4)
    weights = sum(parameter.nbytes for parameter in model.model.parameters())
    most = weights // model._cache_bytes(1)
    assert model._batch_pays(most)
    assert not model._batch_pays(most + 1)

    monkeypatch.setattr("copy_eval.model_adapters.adapter._TOKENS_OF_A_PASS", 0)
    prompts = [PROMPTS[0] + word for word in ("", " 1", " the", " Mary")]
    together = answer(model, prompts)
    rows, restart = [], AttentionRun.restart
    monkeypatch.setattr(AttentionRun, "restart", lambda run, count: rows.append(count) or restart(run, count))
    monkeypatch.setattr(model, "_batch_pays", lambda _: False)
    assert answer(model, prompts) == together
    assert rows == [1, 1, 1, 1]
