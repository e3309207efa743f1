"""Asks a model whether an answer could be its own, by passes over whole texts that go on from no earlier state.

Such a pass has no cache, no padding and no other rows, so that none of what it judges can mislead it. It gives the
logits after each token of an answer at once. A greedy answer is one whose tokens are the best choices there, up to
rounding; so all of a differing answer is judged and not its first difference alone, since after a tie two texts go on
differently, and an error may come later.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM

from copy_eval.verification.comparing import Answers, Comparison, Difference, Judgement, Request

_LIKELIEST = 8
"""Choices among which the token is looked for that a text may go on with, besides the tokenizer's own."""

_DRAWS = 4
"""How often an answer is rounded otherwise."""

_SAFETY, _SAFETY_OF_HALVES = 4.0, 2.0
"""Times the greatest shift that was measured. In half precision, products are summed in float32 and each result is
rounded once, as it is measured; in float32 the sums themselves are rounded too, differently with every order."""


@dataclass(frozen=True)
class _Path:
    """The tokens of an answer, the one that ended it included, and how far each is below the best choice [token]."""

    tokens: list[int]
    gaps: list[float]


class ModelJudge:
    """The judge that has the model; any of lm-eval's ``hf`` family."""

    def __init__(self, model: HFLM) -> None:
        """Take a model whose ``_model_call`` takes whole texts."""
        self._model = model
        preset: Any = getattr(getattr(model.model, "generation_config", None), "eos_token_id", None)
        self._ends = {model.eot_token_id, *(preset if isinstance(preset, list) else [preset])} - {None}

    def judge(self, request: Request, reference: str, other: str) -> Judgement:
        """Say whether the model could have answered ``other``, where it answered ``reference``."""
        path = self._follow(request, other)
        parted = (
            place
            for place in range(len(path.tokens))
            if not self._leads_to(path.tokens[: place + 1], reference, request)
        )
        _, gap, noise = self._decide(request, path)
        return Judgement(next(parted, len(path.tokens)), gap, noise)

    def check(self, requests: Sequence[Request], answers: Answers) -> Comparison:
        """Compare answers with what the model itself would choose at each of their tokens."""
        found = (self._check(request, text) for request, text in zip(requests, answers.texts, strict=True))
        differences = tuple(difference for difference in found if difference is not None)
        return Comparison(answers.way, len(requests), differences, answers.seconds)

    def _check(self, request: Request, text: str) -> Difference | None:
        path = self._follow(request, text)
        if not any(path.gaps):
            return None
        place, gap, noise = self._decide(request, path)
        logits = self._logits(self._encode(request) + path.tokens[:place])[-1]
        wanted, said = (self._model.tok_decode([token]) for token in (int(logits.argmax()), path.tokens[place]))
        return Difference.judged(request, wanted, said, Judgement(place, gap, noise))

    def _decide(self, request: Request, path: _Path) -> tuple[int, float, float]:
        """Return the place of the token that most likely is not the model's, with its gap and the noise there."""
        prompt = self._encode(request)
        noises = measure_noise(self._model, prompt, path.tokens)
        place = max(range(len(path.tokens)), key=lambda token: path.gaps[token] / noises[token])
        return place, path.gaps[place], noises[place]

    def _encode(self, request: Request) -> list[int]:
        return self._model.tok_encode(request.prompt) or [self._model.prefix_token_id]

    def _spell(self, text: str) -> list[int]:
        return list(self._model.tok_encode(text, add_special_tokens=False))

    def _logits(self, tokens: Sequence[int]) -> torch.Tensor:
        return whole_logits(self._model, tokens)

    def _follow(self, request: Request, text: str) -> _Path:
        """Find the most likely tokens that an answer of this text is made of.

        The tokenizer's are nearly always the model's, so that one pass is enough. Where the model would choose other
        tokens that spell the same text, these count, and another pass goes on from there.
        """
        prompt = self._encode(request)
        path = _Path([], [])
        while True:
            # An engine may have gone on for longer than the model's context.
            guess = self._spell_rest(path.tokens, text)[: request.most - len(path.tokens)]
            behind = self._logits([*prompt, *path.tokens, *guess])[len(prompt) + len(path.tokens) - 1 :]
            for logits, expected in zip(behind, [*guess, None], strict=True):
                if len(path.tokens) >= request.most:
                    if self._decode(path.tokens) != _whole(text):
                        path.gaps[-1] = math.inf  # the text goes on, where no answer may
                    return path
                token = self._choose(logits, path.tokens, expected, text, request)
                path.tokens.append(token)
                path.gaps.append(float(logits.max() - logits[token]))
                if self._has_ended(path.tokens, request.until):
                    if not self._leads_to(path.tokens, text, request):
                        path.gaps[-1] = math.inf  # the text goes on, as no answer does
                    return path
                if token != expected:
                    break

    def _choose(
        self, logits: torch.Tensor, before: Sequence[int], expected: int | None, text: str, request: Request
    ) -> int:
        """Return the most likely token that the text may go on with, or end with."""
        if expected is not None and float(logits[expected]) == float(logits.max()):
            return expected
        likeliest: list[int] = logits.topk(min(_LIKELIEST, len(logits))).indices.tolist()
        fitting = [token for token in likeliest if self._leads_to([*before, token], text, request)]
        ends = [*self._ends, *(tokens[0] for stop in request.until if (tokens := self._spell(stop)))]
        return max([*fitting, *(ends if expected is None else [expected])], key=lambda token: float(logits[token]))

    def _spell_rest(self, before: Sequence[int], text: str) -> list[int]:
        """Return the tokenizer's tokens for what of the text comes after some tokens."""
        said = len(self._decode(before))
        whole = self._spell(text)
        places = (place for place in range(len(whole) + 1) if len(self._decode(whole[:place])) == said)
        # Within one of its tokens: from the next character on.
        place = next(places, None)
        return self._spell(text[said:]) if place is None else whole[place:]

    def _decode(self, tokens: Sequence[int]) -> str:
        """Return the whole characters that tokens stand for."""
        return _whole(self._model.tok_decode(list(tokens)))

    def _has_ended(self, tokens: Sequence[int], until: Sequence[str]) -> bool:
        said = self._decode(tokens)
        return tokens[-1] in self._ends or any(stop in said for stop in until)

    def _leads_to(self, tokens: Sequence[int], text: str, request: Request) -> bool:
        """Tell whether an answer that begins with these tokens may have this text."""
        said = self._decode(tokens)
        if self._has_ended(tokens, request.until):
            ends = [said.find(stop) for stop in request.until if stop in said]
            return _whole(said[: min(ends, default=None)]) == _whole(text)
        begun = (text + stop[:size] for stop in request.until for size in range(1, len(stop)))
        if not text.startswith(said):
            return said in begun
        if self._model.tok_decode(list(tokens)) == said:
            return True
        # The bytes of a character that is not whole yet are those of no letter or digit of ASCII; the last token that
        # an answer may have can leave it so.
        rest = text[len(said) :]
        return not rest[0].isascii() if rest else len(tokens) == request.most


def _whole(text: str) -> str:
    """Return a text without the bytes at its end that are no whole character, which engines show in different ways."""
    return text.rstrip("\ufffd")


def whole_logits(model: HFLM, tokens: Sequence[int]) -> torch.Tensor:
    """Return the float32 logits after each token of a text [token, vocab], which goes in alone and as a whole."""
    logits: torch.Tensor = model._model_call(torch.tensor([list(tokens)], device=model.device))
    return logits[0].float()


def measure_noise(model: HFLM, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
    """Measure how far rounding alone may move the tokens of an answer and the best choices at their places apart.

    The output of each layer is multiplied by 1 + ru, where u is the unit roundoff of its dtype (2^-24 in float32, 2^-8
    in bfloat16) and r is drawn for each number, uniform from -1 to 1: each result is rounded otherwise, as another
    order of sums does (Monte Carlo arithmetic, Parker 1997). The distance of the two logits shifts; the greatest shift
    of several draws, times a factor of safety, is the noise. It is at least the distance of two steps in which logits
    of that size are told apart in the model's dtype.

    The same text at another length or in another batch would not do: on a CPU such passes often agree to the last bit,
    in half precision above all, while a cache does round otherwise. Nor would a cache do, whose errors would then pass
    for noise.

    Args:
        model: any of lm-eval's ``hf`` family.
        prompt: token ids, at least one.
        answer: token ids.

    Returns:
        The noise at each token of the answer, in logits.
    """
    text, start = [*prompt, *answer], len(prompt) - 1
    chosen = torch.tensor(answer, device=model.device)[:, None]

    def logits() -> torch.Tensor:
        return whole_logits(model, text)[start:-1]

    exact = logits()
    tokens = torch.cat([exact.argmax(dim=-1, keepdim=True), chosen], dim=1)
    pairs = exact.gather(1, tokens)
    shift = torch.zeros(len(answer), device=model.device)
    for draw in range(_DRAWS):
        with _rounded_otherwise(model.model, model.device, draw):
            moved = (logits().gather(1, tokens) - pairs).diff(dim=1)[:, 0]
        shift = torch.maximum(shift, moved.abs())
    dtype = next(weight.dtype for weight in model.model.parameters() if weight.is_floating_point())
    safety = _SAFETY_OF_HALVES if dtype in (torch.float16, torch.bfloat16) else _SAFETY
    steps = 2 * torch.finfo(dtype).eps * pairs.abs().amax(dim=1)
    noise: list[float] = torch.maximum(safety * shift, steps).tolist()
    return noise


@contextmanager
def _rounded_otherwise(model: torch.nn.Module, device: torch.device, seed: int) -> Iterator[None]:
    """Let every layer round its output otherwise."""
    source = torch.Generator(device).manual_seed(seed)

    def round_otherwise(module: torch.nn.Module, inputs: Any, output: Any) -> Any:  # noqa: ARG001 - torch calls it so
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            return output
        shift = (2 * torch.rand(output.shape, generator=source, device=device) - 1) * torch.finfo(output.dtype).eps / 2
        return (output.double() * (1 + shift.double())).to(output.dtype)

    leaves = [module for module in model.modules() if next(module.children(), None) is None]
    hooks = [leaf.register_forward_hook(round_otherwise) for leaf in leaves]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
