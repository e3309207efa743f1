import pytest
import torch

from copy_eval.training.architectures import ARCHITECTURES
from copy_eval.training.examples import draw_examples, pack
from copy_eval.training.experiment import SIZES
from copy_eval.training.trainer import measure
from tests.training.test_scan import compiles


def count_parameters(name, size):
    with torch.device("meta"):
        model = ARCHITECTURES[name].build(size)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("size", "about"), [("cpu", 0.8e6), ("paper", 160e6)])
def test_all_architectures_of_a_size_have_as_many_parameters_within_a_tenth(size, about):
    counts = {name: count_parameters(name, size) for name in ARCHITECTURES}
    assert max(counts.values()) < 1.1 * min(counts.values()), counts
    assert all(abs(count - about) < 0.1 * about for count in counts.values()), counts
    assert set(SIZES) == {"cpu", "paper"}


each_architecture = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[compiles] if name in ("mamba", "mamba-mimetic") else []) for name in ARCHITECTURES],
)


@each_architecture
def test_each_learns_a_batch_by_heart(name):
    torch.manual_seed(0)
    model = ARCHITECTURES[name].build("cpu")
    batch = pack(draw_examples("string_copy", (3, 6), seed=0, start=0, count=12), context=64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(5):
        loss, accuracy = measure(model, batch, torch.device("cpu"), half=False)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert 0 <= accuracy <= 1
    assert losses[-1] < losses[0] - 0.3


@each_architecture
def test_a_step_in_bfloat16_is_close_to_one_in_float32(name):
    torch.manual_seed(0)
    model = ARCHITECTURES[name].build("cpu")
    batch = pack(draw_examples("string_copy", (3, 9), seed=0, start=0, count=12), context=64)
    gradients = []
    for half in (False, True):
        loss, _ = measure(model, batch, torch.device("cpu"), half=half)
        gradients.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, [*model.parameters()])]))
        gradients.append(loss)
    exact, loss, rounded, rounded_loss = gradients
    assert rounded_loss.item() == pytest.approx(loss.item(), rel=0.02)
    assert torch.cosine_similarity(exact, rounded, dim=0) > 0.97


# The others are the same with other numbers: a rotation, another bias.
@pytest.mark.parametrize("name", ["nope", "hard-alibi"])
def test_what_is_compiled_computes_the_same_for_batches_of_any_shape(name):
    torch.manual_seed(0)
    model = ARCHITECTURES[name].build("cpu")
    batches = [
        pack(draw_examples("string_copy", (3, 9), seed=0, start=start, count=count), context=64)
        for start, count in ((0, 4), (10, 12), (30, 7))
    ]
    expected = [measure(model, batch, torch.device("cpu"), half=True)[0] for batch in batches]
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    model.base_model.compile(backend="aot_eager")
    for batch, wanted in zip(batches, expected, strict=True):
        loss, _ = measure(model, batch, torch.device("cpu"), half=True)
        loss.backward()
        torch.testing.assert_close(loss, wanted)
    # Shapes that differ are no reason to compile anew for each.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


def test_a_mimetic_mamba_is_one_with_other_first_weights():
    torch.manual_seed(0)
    plain = ARCHITECTURES["mamba"].build("cpu")
    torch.manual_seed(0)
    mimetic = ARCHITECTURES["mamba-mimetic"].build("cpu")
    differing = {
        name.rsplit("mixer.", 1)[-1]
        for (name, ours), theirs in zip(mimetic.named_parameters(), plain.parameters(), strict=True)
        if not torch.equal(ours, theirs)
    }
    assert differing == {"A_log", "dt_proj.weight", "dt_proj.bias", "x_proj.weight", "conv1d.weight"}
    mixer = mimetic.backbone.layers[0].mixer
    steps = torch.nn.functional.softplus(mixer.dt_proj(torch.randn(5, mixer.time_step_rank)))
    torch.testing.assert_close(steps, torch.ones_like(steps))
    assert (-mixer.A_log.exp()).exp().min() > 0.999  # of the state that a step leaves
    _, keys, queries = mixer.x_proj.weight.split([mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size])
    alike = torch.nn.functional.cosine_similarity(keys.flatten(), queries.flatten(), dim=0)
    assert 0.6 < alike < 0.8  # of two random projections, the mean has this with each: 1 / sqrt(2)
    inputs = torch.randn(1, mixer.intermediate_size, 7)
    torch.testing.assert_close(mixer.conv1d(inputs)[:, :, :7], inputs)
