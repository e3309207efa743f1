import pytest
import torch

from copy_eval.training import loop
from copy_eval.training.loop import train
from copy_eval.training.models import build_pythia


def new_model(tokenizer):
    torch.manual_seed(0)
    return build_pythia(len(tokenizer))


def test_a_killed_run_goes_on_to_the_same_weights(tokenizer, new_sampler, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "_STEPS_BETWEEN_CHECKPOINTS", 1)
    monkeypatch.setattr(loop, "_PROBES", (("phonebook", 3), ("copy", 4)))
    whole, killed, resumed = (new_model(tokenizer) for _ in range(3))
    train(whole, new_sampler(0), new_sampler(1), tokens=4000, checkpoint=tmp_path / "whole.pt")

    sampler, draw = new_sampler(0), type(new_sampler()).draw
    drawn = []

    def draw_until_killed(*arguments):
        drawn.append(arguments)
        if len(drawn) > 3:
            raise KeyboardInterrupt
        return draw(sampler, *arguments)

    monkeypatch.setattr(sampler, "draw", draw_until_killed)
    with pytest.raises(KeyboardInterrupt):
        train(killed, sampler, new_sampler(1), tokens=4000, checkpoint=tmp_path / "killed.pt")
    train(resumed, new_sampler(0), new_sampler(1), tokens=4000, checkpoint=tmp_path / "killed.pt")

    assert "finished after" in capsys.readouterr().out
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor)


def test_a_step_lowers_the_loss_on_its_batch(tokenizer, new_sampler):
    model = new_model(tokenizer)
    batch = new_sampler().draw("copy", 600, 0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        loss = loop._loss(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5


def test_padding_has_no_part_in_the_loss(tokenizer, new_sampler):
    model = new_model(tokenizer).eval()
    batch = new_sampler().draw("copy", 200, 0.0)
    longer = torch.nn.functional.pad(batch.tokens, (0, 5), value=7)
    padded = type(batch)(batch.kind, longer, torch.nn.functional.pad(batch.weights, (0, 5)))
    torch.testing.assert_close(loop._loss(model, padded), loop._loss(model, batch), rtol=1e-2, atol=1e-2)
