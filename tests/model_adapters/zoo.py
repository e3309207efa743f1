"""A tiny random checkpoint of each causal language model type that transformers has: written, answered and compared.

``make zoo`` runs all of it, and writes a table of what was found. It fails where answers differ or a model crashes.

The sizes follow from the names of a config's entries, which most types share; what a type needs besides stands in
``_OF_TYPE``. Windows, chunks and sparse attention are far shorter than the longest prompts, so that they matter.
"""

import copy
import logging
import math
import multiprocessing
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from copy_eval.errors import UserError
from copy_eval.model_adapters import decoding
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.over_context import is_over_context
from copy_eval.packaged import PACKAGED
from tests.model_adapters.support import TIE, answer

TOKENIZER = PACKAGED / "tiny-pythia"

WIDTH, HEADS, HEAD_WIDTH, LAYERS, WINDOW, CONTEXT = 32, 4, 8, 2, 24, 512

GAIN = 1.5

_SIZES: dict[str, Any] = {
    **dict.fromkeys(
        (
            "hidden_size", "n_embd", "d_model", "emb_dim", "embedding_dim", "embedding_size", "word_embed_proj_dim",
            "attention_hidden_size", "lru_width", "backbone_hidden_size", "input_embedding_size",
            "output_embedding_size", "router_hidden_size", "hidden_dim",
        ),
        WIDTH,
    ),
    **dict.fromkeys(
        (
            "num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers", "num_blocks",
            "num_decoder_layers", "num_encoder_layers", "depth", "num_layers_per_stack",
        ),
        LAYERS,
    ),
    **dict.fromkeys(
        (
            "num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "decoder_attention_heads",
            "encoder_attention_heads", "num_decoder_attention_heads", "num_encoder_attention_heads",
            "linear_num_heads", "swa_num_attention_heads", "index_n_heads", "linear_num_value_heads",
        ),
        HEADS,
    ),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "linear_num_key_heads", "swa_num_key_value_heads"), 2),
    **dict.fromkeys(
        (
            "head_dim", "qk_nope_head_dim", "v_head_dim", "qk_rope_head_dim", "swa_head_dim", "dim_head", "d_head",
            "linear_head_dim", "linear_key_head_dim", "linear_value_head_dim", "attention_head_size", "kv_channels",
            "attention_head_dim", "index_head_dim", "rotary_dim", "query_pre_attn_scalar", "mamba_d_head",
            "mamba_head_dim", "mamba_headdim",
        ),
        HEAD_WIDTH,
    ),
    **dict.fromkeys(
        (
            "intermediate_size", "moe_intermediate_size", "ffn_dim", "dim_ff", "dff", "d_inner", "ffn_hidden_size",
            "decoder_ffn_dim", "encoder_ffn_dim", "shared_expert_intermediate_size", "shared_intermediate_size",
            "shared_experts_intermediate_size", "moe_shared_expert_intermediate_size", "expert_ffn_hidden_size",
            "dense_intermediate_size", "intermediate_size_mlp", "feed_forward_size", "block_ffn_dim", "n_inner",
        ),
        48,
    ),
    **dict.fromkeys(
        ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts", "zero_expert_num"), 4
    ),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk", "num_experts_per_token"), 2),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group", "n_shared_experts", "num_shared_experts"), 1),
    **dict.fromkeys(("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"), 1),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "o_lora_rank", "d_rel", "gated_norm_rank", "hc_lowrank"), 16),
    **dict.fromkeys(
        ("sliding_window", "window_size", "attention_chunk_size", "attention_window_size", "sliding_window_size",
         "local_attention", "rel_extent", "index_topk"),
        WINDOW,
    ),
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length", "model_max_length"),
        CONTEXT,
    ),
    **dict.fromkeys(("state_size", "mamba_d_state", "ssm_state_size"), 8),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"), 8),
    **dict.fromkeys(("mamba_n_groups", "n_groups", "mamba_ngroups"), 2),
    **dict.fromkeys(("mamba_dt_rank", "time_step_rank"), 4),
    **dict.fromkeys(("mamba_chunk_size", "chunk_size", "block_size"), 16),
    **dict.fromkeys(("tie_word_embeddings",), False),
}  # fmt: skip
"""Entries of configs by name; a type has those that its default config has."""

_MIXED = {"layer_types": ["linear_attention", "full_attention"]}
_DECODER = {"is_decoder": True}
_ZAMBA = {"attention_hidden_size": 2 * WIDTH, "attention_head_dim": 2 * HEAD_WIDTH}
_DBRX_FFN = {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": WIDTH}

_OF_TYPE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        (
            "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert",
            "rembert", "roberta", "roberta-prelayernorm", "roformer", "xlm-roberta", "xlm-roberta-xl",
        ),
        _DECODER,
    ),
    "bamba": {"attn_layer_indices": [1]},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "dots3_note_text": {
        "num_key_value_heads": HEADS, "swa_num_attention_heads": HEADS, "swa_num_key_value_heads": HEADS,
        "swa_kv_lora_rank": 16, "swa_q_lora_rank": 16, "swa_head_dim": 16, "swa_qk_nope_head_dim": 8,
        "swa_qk_rope_head_dim": 8, "swa_v_head_dim": 8,
    },
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0}, "ffn_config": _DBRX_FFN},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": {"num_kv_shared_layers": 0, "activation_sparsity_pattern": [0.5, 0.0]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": _MIXED,
    "hrm_text": {"num_hidden_layers": 1, "num_layers_per_stack": None, "H_cycles": 1, "L_cycles": 1},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8},
    "qwen4_exp_text": {
        "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 32,
        "indexer_compress_ratio": 4, "ngram_vocab_size_base": 500,
    },
    # Its window is its context, as in the published checkpoint: its masks know of none, but its cache does.
    "moshi": {"sliding_window": CONTEXT},
    "reformer": {
        "is_decoder": True, "axial_pos_shape": [16, 32], "axial_pos_embds_dim": [16, 16],
        "local_attn_chunk_length": 16, "lsh_attn_chunk_length": 16, "attn_layers": ["local", "lsh"],
    },
    "roc_bert": {**_DECODER, "pronunciation_embed_dim": 8, "pronunciation_vocab_size": 20, "shape_embed_dim": 8,
                 "shape_vocab_size": 20},
    "xlstm": {"hidden_size": 64, "embedding_dim": 64, "qk_dim_factor": 1.0},
    "xmod": {**_DECODER, "default_language": "en_XX"},
    "zamba": _ZAMBA,
    "zamba2": _ZAMBA,
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip
"""What the sizes above do not settle, by model type."""

_PARTS = "a part of a larger model, which feeds it"
CLOSED = {
    "gemma3n": "its vision tower needs timm, which is not installed",
    "gemma4_assistant": f"{_PARTS}: drafts from the states of another Gemma",
    "gemma4_unified_assistant": f"{_PARTS}: drafts from the states of another Gemma",
    "dots3_note": "its vision and audio towers come in one size; dots3_note_text is its language model",
    "musicgen": "answers in audio codes",
    "musicgen_melody": "answers in audio codes",
}
"""Model types without a checkpoint here, and why."""


NOT_YET: dict[str, str] = {}
"""Kinds that are still answered wrongly, and why."""


@dataclass(frozen=True)
class Kind:
    """A kind of checkpoint: a model type of transformers, and entries of its config."""

    name: str
    model_type: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the adapter."""


_LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 128,
    "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.5, 2.0, 3.0, 4.0],
}  # fmt: skip

_VARIANTS = [
    Kind("phi3 with longrope", "phi3", {"rope_parameters": _LONGROPE, "original_max_position_embeddings": 128}),
    Kind("llama with longrope", "llama", {"rope_parameters": _LONGROPE}),
    Kind(
        "llama with dynamic rope", "llama",
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
         "max_position_embeddings": 128},
        {"max_length": CONTEXT},
    ),
    Kind(
        "llama with yarn", "llama",
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                             "original_max_position_embeddings": 128}},
    ),
    Kind(
        "qwen2 with windows", "qwen2",
        {"use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    Kind("falcon with alibi", "falcon", {"alibi": True}),
    Kind("big_bird in full attention", "big_bird", {"attention_type": "original_full"}),
    Kind("mpt without alibi", "mpt", {"attn_config": {"alibi": False}}),
    Kind("gpt2 in eager attention", "gpt2", {"attn_implementation": "eager", "scale_attn_by_inverse_layer_idx": True}),
    Kind("bloom near its end", "bloom", {"seq_length": 256}),
    Kind("llama4 beyond a step of its temperature", "llama4_text",
         {"floor_scale": 128, "attn_scale": 1.0, "no_rope_layers": [1, 0]}),
    Kind("minimax_m3 with sparse attention", "minimax_m3_vl_text",
         {"layer_types": ["full_attention", "minimax_m3_sparse"], "index_block_size": 8, "index_topk_blocks": 2}),
    Kind("doge beyond what it keeps", "doge", {"keep_window_size": WINDOW}),
    Kind("nemotron_h with attention last", "nemotron_h", {"layers_block_type": ["linear_attention", "full_attention"]}),
]  # fmt: skip


def list_kinds() -> list[Kind]:
    """Return every kind of checkpoint of the zoo."""
    types = [name for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if name not in CLOSED]
    return [*(Kind(name, name) for name in types), *_VARIANTS]


def _shrink(default: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that make a config tiny, of those that its default has."""
    tiny = {name: size for name, size in _SIZES.items() if name in default}
    if "kv_lora_rank" in default:
        tiny["num_key_value_heads"] = HEADS
    special = 2000
    for name, value in default.items():
        if name.endswith(("vocab_size", "vocab_size_per_layer_input")):
            tiny[name] = 2048
        elif name in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"):
            tiny[name] = 0
        elif name.endswith(("_token_id", "_token_index")) and isinstance(value, int):
            special += 1
            tiny[name] = special
        elif isinstance(value, dict) and "model_type" in value:
            tiny[name] = _shrink(value, _OF_TYPE.get(value["model_type"], {})) | {"model_type": value["model_type"]}
    lists = {
        name: list(dict.fromkeys(value))
        for name, value in default.items()
        if isinstance(value, list) and value and all(isinstance(entry, str) for entry in value) and "type" in name
    }
    layers = max([LAYERS, *map(len, lists.values())])
    for name in ("num_hidden_layers", "num_layers", "n_layer"):
        if name in tiny:
            tiny[name] = layers
    for name, kinds in lists.items():
        tiny[name] = [kinds[layer % len(kinds)] for layer in range(layers)]
    return tiny | changes


def make_config(kind: Kind) -> Any:
    """Return the tiny config of a kind."""
    default = CONFIG_MAPPING[kind.model_type]()
    changes = {**_OF_TYPE.get(kind.model_type, {}), **kind.changes}
    tiny = _shrink(default.to_dict(), changes)
    return AutoConfig.for_model(kind.model_type, **tiny)


def write_checkpoint(kind: Kind, folder: Path) -> None:
    """Write the random checkpoint of a kind, always the same, with a tokenizer."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(make_config(kind), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    spoken = sorted({0} | {token for prompt in make_prompts() for token in tokenizer.encode(prompt)})
    _draw_weights(model, spoken)
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=0, pad_token_id=0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@torch.no_grad()
def _draw_weights(model: torch.nn.Module, spoken: Sequence[int]) -> None:
    """Draw matrices so large that the whole context moves the next choice, which is one of the tokens ``spoken``.

    These are those of the prompts and the end of text, so that answers are of different lengths.
    """
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 and not name.endswith("A_log"):
            embedding = "emb" in name or "wte" in name or "wpe" in name
            weight.normal_(std=1.0 if embedding else GAIN / math.sqrt(weight[0].numel()))
    head = model.get_output_embeddings()
    if head is not None and head.weight is not model.get_input_embeddings().weight:
        silent = torch.ones(len(head.weight), dtype=torch.bool)
        silent[list(spoken)] = False
        head.weight[silent] = 0.0
        head.weight[0] *= 1.25


def make_prompts(count: int = 24) -> list[str]:
    """Return phonebooks like those of the tasks, from 14 to 222 tokens."""
    rng = random.Random(7)
    names = ["James Smith", "Mary Lopez", "John Brown", "Anna Weber", "Paul Young", "Linda Hill", "Mark Reed"]
    prompts = []
    for index in range(count):
        entries = 1 + index * 13 // max(1, count - 1)
        book = [f"{rng.choice(names)}: {rng.randrange(10**9, 10**10)}" for _ in range(entries)]
        asked = rng.choice(book).split(":")[0] + ":" if index else ""
        prompts.append("\n".join(book) + "\n\n" + asked)
    return prompts


@dataclass(frozen=True)
class Reference:
    """A greedy answer of transformers' ``generate``: its tokens, and the gap of the best two logits at each."""

    tokens: list[int]
    gaps: list[float]


def answer_alone(folder: Path, prompts: Sequence[str], most: int, trust: bool = False) -> list[Reference]:
    """Return the answer of transformers' own ``generate`` to each prompt alone, in float32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=trust).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    references = []
    for prompt in prompts:
        tokens = torch.tensor([tokenizer.encode(prompt)])
        # A dynamic rope keeps the frequencies of the longest text so far, so each prompt has a model of its own.
        output = copy.deepcopy(model).generate(
            tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=most,
            output_scores=True, return_dict_in_generate=True,
        )  # fmt: skip
        gaps = [(best - second).item() for best, second in (scores[0].topk(2).values for scores in output.scores)]
        references.append(Reference(output.sequences[0, tokens.shape[1] :].tolist(), gaps))
    return references


@dataclass(frozen=True)
class Finding:
    """How the adapter's answers compare with those of each prompt alone.

    Attributes:
        outcome: ``equal``, ``refused`` (in one line), ``different`` or ``crash``.
        equal: the answers that are equal, or part at a tie of the best two logits; the fewer with its own drafts and
            with drafts that are often right.
        ties: of these, those that part at a tie.
        varied: distinct tokens of the answers; few of them compare little.
        passes: of the model an answer, with its own drafts.
        passes_drafted: the same with drafts that are often right.
        note: the refusal, the error, or the first difference.
    """

    outcome: str
    equal: int = 0
    ties: int = 0
    varied: int = 0
    passes: float = 0.0
    passes_drafted: float = 0.0
    note: str = ""


def examine(folder: Path, prompts: Sequence[str], most: int, **options: Any) -> Finding:
    """Answer prompts through the adapter, in batches of 8 and with drafts, and compare with each prompt alone."""
    passes: list[int] = []
    try:
        model = PythiaLM(pretrained=str(folder), device="cpu", batch_size=8, **options)
        model.model.register_forward_hook(lambda *_: passes.append(1))
        texts = answer(model, prompts, until=[], max_gen_toks=most)
        first = len(passes)
        references = answer_alone(folder, prompts, most, bool(options.get("trust_remote_code")))
        known = {tuple(model.tok_encode(prompt)): ref.tokens for prompt, ref in zip(prompts, references, strict=True)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decoding, "Drafter", partial(OftenRightDrafter, known=known))
            drafted_texts = answer(model, prompts, until=[], max_gen_toks=most)
    except UserError as error:
        note = str(error)
        return Finding("refused" if "\n" not in note else "crash", note=note)
    except Exception as error:  # noqa: BLE001
        return Finding("crash", note=f"{type(error).__name__}: {' '.join(str(error).split())[:160]}")
    compared = [_compare(model, prompts, answers, references) for answers in (texts, drafted_texts)]
    equal, ties, note = min(compared)
    if all(is_over_context(text) for text in texts):
        note = texts[0]
    return Finding(
        outcome="equal" if equal == len(prompts) else "different",
        equal=equal,
        ties=ties,
        varied=len({token for reference in references for token in reference.tokens}),
        passes=first / len(prompts),
        passes_drafted=(len(passes) - first) / len(prompts),
        note=note,
    )


class OftenRightDrafter:
    """Stands in for ``Drafter``, which a random model gives nothing to look up: knows the answer, and often strays."""

    def __init__(self, prompt: Sequence[int], trust: Any, known: Mapping[tuple[int, ...], Sequence[int]]) -> None:  # noqa: ARG002
        self._rest, self._count = list(known[tuple(prompt)]), len(prompt)

    def draft(self, most: int) -> list[int]:
        """Return some of the tokens to come: none, right ones, wrong ones, or wrong from the middle."""
        self._count += 1
        draft = self._rest[: min(most, self._count * 5 % 13)]
        strays = self._count * 3 % 14
        return draft[:strays] + [token + 1 for token in draft[strays:]]

    def learn(self, draft: Sequence[int], accepted: int, tokens: Sequence[int]) -> None:  # noqa: ARG002
        """Take note of the answer's new tokens."""
        del self._rest[: len(tokens)]


def _compare(
    model: PythiaLM, prompts: Sequence[str], texts: Sequence[str], references: Sequence[Reference]
) -> tuple[int, int, str]:
    """Return how many answers are equal or part at a tie, how many of them tie, and the first difference.

    An answer that does not fit the context is equal to its refusal.
    """
    equal, ties, note = 0, 0, ""
    for prompt, text, reference in zip(prompts, texts, references, strict=True):
        size, context = len(model.tok_encode(prompt)), model.context_length
        if is_over_context(text) and context is not None and size + len(reference.tokens) > context:
            equal += 1
            continue
        place = find_difference(model.tokenizer, text, reference.tokens)
        tie = place is not None and min(reference.gaps[max(0, place - 2) : place + 1]) < TIE
        equal += place is None or tie
        ties += tie
        if place is not None and not tie and not note:
            note = f"{text[:80]!r} at token {place} after {size} tokens"
    return equal, ties, note


def find_difference(tokenizer: Any, text: str, tokens: Sequence[int]) -> int | None:
    """Return the token at which an answer's text leaves those of the reference, None where it is the same text."""
    if text == tokenizer.decode(tokens, skip_special_tokens=True):
        return None
    # A character that is not whole yet is shown as a replacement character.
    for place in range(len(tokens)):
        start = tokenizer.decode(tokens[: place + 1], skip_special_tokens=True).rstrip("\ufffd")
        if not text.startswith(start):
            return place
    return len(tokens) - 1


def examine_kind(kind: Kind) -> Finding:
    """Write the checkpoint of a kind and examine it with all prompts and answers of up to 40 tokens."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(kind, Path(folder))
        finding = examine(Path(folder), make_prompts(), most=40, **kind.options)
        return replace(finding, note=finding.note.replace(folder, "FOLDER"))


def main(table: Path) -> int:
    """Examine every kind, write the table, and return the exit status."""
    kinds = list_kinds()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        findings = dict(zip((kind.name for kind in kinds), pool.map(examine_kind, kinds), strict=True))
    lines = ["| kind | outcome | equal | ties | passes an answer | with right drafts | note |", f"|{'---|' * 7}"]
    for name, found in findings.items():
        note = found.note.replace("|", "\\|")
        passes = f"{found.passes:.1f} | {found.passes_drafted:.1f}"
        lines.append(f"| {name} | {found.outcome} | {found.equal} | {found.ties} | {passes} | {note} |")
    lines += [f"| {name} | not examined | | | | | {reason} |" for name, reason in CLOSED.items()]
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    wrong = {name for name, found in findings.items() if found.outcome in ("different", "crash")}
    print(f"{len(kinds)} kinds: {dict(Counter(found.outcome for found in findings.values()))}; the table is in {table}")
    for name in sorted(wrong - NOT_YET.keys()):
        print(f"{name}: {findings[name].outcome}: {findings[name].note}")
    for name in sorted(NOT_YET.keys() - wrong):
        print(f"{name}: right by now; take it off the list NOT_YET")
    return int(wrong != NOT_YET.keys())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
