"""The fixed requests of a verification."""

from transformers import AutoTokenizer

from copy_eval.model_adapters.prefixes import find_families
from copy_eval.packaged import PACKAGED
from copy_eval.verification.prompts import make_requests, select_fitting


def test_the_requests_are_always_the_same_and_each_has_a_name_of_its_kind():
    requests = make_requests()
    assert requests == make_requests()
    names = [request.name for request in requests]
    assert len(set(names)) == len(names)
    assert {name.rsplit(" ", 1)[0] for name in names} == {
        "phonebook", "shared prefix", "recall", "string", "length", "copy", "slip", "loop", "empty", "one token",
    }  # fmt: skip
    assert all(request.prompt and request.prompt == request.prompt.rstrip() for request in requests)


def test_what_eight_prompts_share_is_worth_a_pass_of_its_own():
    tokenizer = AutoTokenizer.from_pretrained(PACKAGED / "tiny-pythia")
    prompts = [tokenizer.encode(each.prompt) for each in make_requests() if each.name.startswith("shared prefix")]
    (family,) = find_families(prompts, lambda members, shared: (members - 1) * shared - 256)
    assert len(family.members) == 8
    assert family.shared > 256


def test_only_requests_that_fit_with_their_answers_are_asked():
    requests = make_requests()
    assert select_fitting(requests, None, list) == (requests, ())
    fitting, left_out = select_fitting(requests, 200, list)
    assert set(fitting) | set(left_out) == set(requests)
    assert all(len(request.prompt) + request.most <= 200 for request in fitting)
    assert all(len(request.prompt) + request.most > 200 for request in left_out)
    assert fitting
    assert left_out
