import ast
from pathlib import Path

import lm_eval.models
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.errors import UserError
from copy_eval.tasks.settings import read_whole_number, refuse_near_misses

KEYS = ("num_samples", "data_seed", "length_tokenizer", "c4_path", "squad_path")


def backend_arguments() -> set[str]:
    """Return the names of all arguments that the backends of lm-eval take, without importing one."""
    found = set()
    for source in Path(lm_eval.models.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                found |= {argument.arg for argument in node.args.args + node.args.kwonlyargs}
    return found


@pytest.mark.parametrize(
    ("misspelt", "right"),
    [
        ("num_sample", "num_samples"),
        ("numsamples", "num_samples"),
        ("num-samples", "num_samples"),
        ("n_samples", "num_samples"),
        ("Num_Samples", "num_samples"),
        ("data_sed", "data_seed"),
        ("dataseed", "data_seed"),
        ("data_seeds", "data_seed"),
        ("length_tokeniser", "length_tokenizer"),
        ("squadpath", "squad_path"),
    ],
)
def test_a_near_miss_of_a_setting_is_refused_with_the_right_name(misspelt: str, right: str) -> None:
    with pytest.raises(UserError, match=f"'{misspelt}'.*did you mean '{right}'"):
        refuse_near_misses({misspelt: 1}, KEYS)


def test_no_argument_of_a_backend_is_a_near_miss_of_a_setting() -> None:
    arguments = backend_arguments()
    assert {"pretrained", "tokenizer", "seed", "dtype", "max_length"} <= arguments
    assert not arguments & set(KEYS)
    refuse_near_misses(arguments, KEYS)


def test_the_settings_themselves_and_what_lm_eval_adds_are_accepted() -> None:
    refuse_near_misses([*KEYS, "version", "config_source", "prompts_sha256", "max_seq_lengths"], KEYS)


@given(st.integers(), st.booleans())
def test_a_whole_number_is_read_from_a_number_or_a_text(number: int, as_text: bool) -> None:
    assert read_whole_number({"data_seed": str(number) if as_text else number}, "data_seed") == number


@pytest.mark.parametrize("value", [None, "", "ten", "1.5", 1.5, 50.0, True, [3], 0, -1, "0"])
def test_what_is_no_whole_number_of_at_least_one_is_refused_in_one_line(value: object) -> None:
    with pytest.raises(UserError) as raised:
        read_whole_number({"num_samples": value}, "num_samples", minimum=1)
    assert str(raised.value) == f"num_samples must be a whole number of at least 1, not {value!r}"


def test_a_missing_setting_is_refused() -> None:
    with pytest.raises(UserError, match="data_seed must be a whole number, not None"):
        read_whole_number({}, "data_seed")
