"""Suites: what a good file means, and what a bad one is told."""

import copy
import pickle
import random

import pytest
import yaml

from copy_eval.errors import UserError
from copy_eval.runs.results_folder import folder_of
from copy_eval.runs.suite import dump_suite, known_settings, load_suite, packaged_suites, suite_of_options
from copy_eval.runs.task_loading import TASKS, describe_task, read_definition, tasks_by_name
from tests.runs.conftest import make_checkpoints

GOOD = """\
models:
  - adapter: pythia
    pretrained: EleutherAI/pythia-410m
    revision: [step1000, main]
    dtype: bfloat16
    batch_size: 16
tasks: [phonebook_copy_10, c4_copy_25]
settings:
  num_samples: 8
"""


def test_a_cell_is_a_model_at_a_revision_on_a_task(write):
    cells = load_suite(write(GOOD), {}).cells()
    assert [(cell.label, cell.task) for cell in cells] == [
        ("pythia-410m@step1000", "phonebook_copy_10"),
        ("pythia-410m@step1000", "c4_copy_25"),
        ("pythia-410m@main", "phonebook_copy_10"),
        ("pythia-410m@main", "c4_copy_25"),
    ]
    assert cells[0].model.arguments("step1000") == {
        "pretrained": "EleutherAI/pythia-410m",
        "revision": "step1000",
        "dtype": "bfloat16",
    }


def test_what_is_left_out_is_left_to_lm_eval(write):
    suite = load_suite(write("models: [{adapter: hf, pretrained: gpt2}]\ntasks: phonebook_copy_10"), {})
    model = suite.models[0]
    assert (suite.name, model.name, model.batch_size) == ("suite", "gpt2", 1)
    assert model.arguments(None) == {"pretrained": "gpt2"}


def test_a_task_that_is_asked_for_twice_is_evaluated_once(write):
    suite = load_suite(write(GOOD.replace("[phonebook_copy_10", "[phonebook_copy_40, phonebook_copy")), {})
    assert suite.tasks[:3] == ("phonebook_copy_40", "phonebook_copy_10", "phonebook_copy_20")
    assert len(suite.tasks) == len(set(suite.tasks)) == 7


def test_cells_can_be_sent_to_another_process(write):
    cells = load_suite(write(GOOD), {}).cells()
    assert pickle.loads(pickle.dumps(cells)) == cells
    assert len({*cells, *pickle.loads(pickle.dumps(cells))}) == 4


def test_relative_paths_start_from_the_suites_own_folder(write, tmp_path):
    make_checkpoints(tmp_path, "mine")
    for name in ("text.jsonl", "tokenizer.json"):
        (tmp_path / name).touch()
    suite = load_suite(
        write(
            "models: [{adapter: pythia, pretrained: mine}]\ntasks: c4_copy\n"
            "settings: {c4_path: text.jsonl, length_tokenizer: tokenizer.json}"
        ),
        {},
    )
    assert suite.models[0].pretrained == str(tmp_path / "mine")
    assert suite.settings == {
        "c4_path": str(tmp_path / "text.jsonl"),
        "length_tokenizer": str(tmp_path / "tokenizer.json"),
    }


def test_settings_of_the_command_line_come_before_the_files(write):
    suite = load_suite(write(GOOD), {"num_samples": "3", "length_tokenizer": "tiny-pythia"})
    assert suite.settings == {"num_samples": 3, "length_tokenizer": "tiny-pythia"}


@pytest.mark.parametrize("settings", ["num_samples=5", "num_samples=5,num_books=2"])
def test_a_setting_that_none_of_the_tasks_has_is_refused(settings):
    given = dict(pair.split("=") for pair in settings.split(","))
    with pytest.raises(UserError) as caught:
        suite_of_options({"adapter": "hf", "pretrained": "gpt2"}, ["phonebook_tokens_1k"], given)
    theirs = "data_seed, depths, length_tokenizer, num_books"
    assert str(caught.value) == f"num_samples is no setting of these tasks; theirs are {theirs}"


def test_a_setting_that_one_of_the_tasks_has_is_taken():
    tasks = ["phonebook_tokens_1k", "phonebook_copy_10"]
    suite = suite_of_options({"adapter": "hf", "pretrained": "gpt2"}, tasks, {"num_samples": "5"})
    assert suite.settings == {"num_samples": 5}


@pytest.mark.parametrize(("given", "settled"), [("[0, 0.5, 1]", "[0, 0.5, 1]"), ("5", 5), ("'[0.5]'", "[0.5]")])
def test_depths_are_a_count_or_a_list_which_a_written_suite_keeps(write, tmp_path, given, settled):
    text = f"models: [{{adapter: hf, pretrained: gpt2}}]\ntasks: phonebook_tokens_1k\nsettings: {{depths: {given}}}\n"
    suite = load_suite(write(text), {})
    assert suite.settings == {"depths": settled}
    again = tmp_path / "again.yaml"
    again.write_text(dump_suite(suite))
    assert load_suite(str(again), {}) == suite
    assert load_suite(str(again), {"depths": "[0, 1]"}).settings == {"depths": "[0, 1]"}


def test_the_settings_are_those_of_the_tasks():
    assert known_settings() == {
        "num_samples": "count",
        "data_seed": "number",
        "num_books": "count",
        "depths": "depths",
        "length_tokenizer": "name",
        "c4_path": "file",
        "squad_path": "file",
    }
    for name, members in tasks_by_name().items():
        if members == (name,):
            # Each setting has its default beside the description.
            assert describe_task(name).settings.keys() <= read_definition(name)["metadata"].keys()


def test_a_suite_that_was_written_out_reads_the_same(write, tmp_path):
    make_checkpoints(tmp_path, "runs/step1", "runs/step2")
    text = GOOD + "  data_seed: 7\n"
    text = text.replace(
        "tasks:", "  - {adapter: hf, pretrained: runs/*, gpus: 0.5, model_args: {parallelize: true}}\ntasks:"
    )
    suite = load_suite(write(text), {})
    assert load_suite(write(dump_suite(suite)), {}) == suite


@pytest.mark.parametrize("name", ["mamba-family", "paper", "pythia-training", "tiny"])
def test_the_packaged_suites_are_whole(name):
    assert name in packaged_suites()
    assert load_suite(name, {}).cells()


def test_the_command_line_describes_a_suite_of_one_model():
    suite = suite_of_options(
        {"adapter": "pythia", "pretrained": "tiny-pythia", "batch_size": "4"},
        ["phonebook_copy_10"],
        {"num_samples": "2"},
    )
    assert [cell.label for cell in suite.cells()] == ["tiny-pythia"]
    assert (suite.models[0].batch_size, suite.settings) == (4, {"num_samples": 2})


BAD = [
    ("adapter: pythia", "adaptor: pythia", "2: unknown key 'adaptor' of a model; did you mean 'adapter'?"),
    ("revision:", "revisio:", "4: unknown key 'revisio' of a model; did you mean 'revision'?"),
    ("settings:", "settinks:", "8: unknown key 'settinks' of a suite; did you mean 'settings'?"),
    ("num_samples", "num_sample", "9: unknown setting 'num_sample'; did you mean 'num_samples'?"),
    ("c4_copy_25", "c4_copy_26", "7: unknown task 'c4_copy_26'; did you mean 'c4_copy_25'?"),
    ("adapter: pythia", "adapter: pythai", "2: unknown adapter 'pythai'; did you mean 'pythia'?"),
    ("adapter: pythia", "name: x", "2: adapter must be a name or a path, not None"),
    ("bfloat16", "bf16", "5: unknown dtype 'bf16'; did you mean 'bfloat16'?"),
    ("batch_size: 16", "batch_size: 0", "6: batch_size must be a whole number of at least 1, not 0"),
    ("batch_size: 16", "gpus: -1", "6: gpus must be a share of one GPU or a whole number of at least 0, not -1"),
    ("batch_size: 16", "gpus: 1.5", "6: gpus must be a share of one GPU or a whole number of at least 0, not 1.5"),
    ("batch_size: 16", "gpus: .inf", "6: gpus must be a share of one GPU or a whole number of at least 0, not inf"),
    ("adapter: pythia", "gpus: 2\n    adapter: gguf", "2: gpus=2: gguf loads a model on one GPU; hf, "),
    ("batch_size: 16", "model_args: {dtype: float32}", "6: dtype stands beside model_args, not in it"),
    ("batch_size: 16", "dtype: float32", "6: the key 'dtype' stands here a second time"),
    ("[step1000, main]", "[step1000, step1000]", "4: revision must list at least one revision, and none twice"),
    ("[step1000, main]", "3000", "4: revision must be text or a list of texts; put 3000 in quotes"),
    ("EleutherAI/pythia-410m", "runs/step*", "3: pretrained=runs/step*: no folder matches"),
    ("EleutherAI/pythia-410m", "./nowhere", "3: pretrained=./nowhere: no such folder"),
    ("EleutherAI/pythia-410m", "tiny-pythai", "3: pretrained=tiny-pythai: no such checkpoint; did you mean tiny-"),
    ("num_samples: 8", "num_samples: many", "9: num_samples must be a whole number of at least 1, not 'many'"),
    ("num_samples: 8", "c4_path: nowhere.jsonl", "9: c4_path=nowhere.jsonl: no such file"),
    ("num_samples: 8", "num_books: 0", "9: num_books must be a whole number of at least 1, not 0"),
    ("num_samples: 8", "depths: [1, 0]", "9: depths must be in ascending order and each once, not [1, 0]"),
    ("num_samples: 8", "depths: [0, 2]", "9: depths must lie between 0 (the beginning) and 1 (the end), not [0, 2]"),
    ("num_samples: 8", "depths: {a: 1}", "9: depths must be a whole number from 2 to 1000 or a list such as [0, 0.5"),
    ("[phonebook_copy_10, c4_copy_25]", "[]", "7: tasks must list at least one task or group"),
    ("[phonebook_copy_10, c4_copy_25]", "[phonebook_copy_10", "8: not valid YAML: "),
    (GOOD, "", "1: a suite has the keys name, models, tasks, include_path, settings"),
    (GOOD, "models: &m [*m]", " not valid YAML"),
    (GOOD[GOOD.index("  - ") : GOOD.index("tasks")], "", "1: models must list at least one model"),
    ("tasks:", "  - {adapter: hf, pretrained: other/Pythia-410M}\ntasks:", "7: two models are called 'Pythia-410M'"),
    ("models:", "models:\n  - {adapter: hf, pretrained: x@y}\n  - {adapter: hf, pretrained: x_y}", "3: two models are"),
    ("EleutherAI/pythia-410m", "{{ckpt}}", "3: a key must be text, not a list or a mapping; fill in what stands in {{"),
    ("EleutherAI/pythia-410m", "'{{ckpt}}'", "3: pretrained={{ckpt}}: a template that was not filled in"),
    ("EleutherAI/pythia-410m", "{ckpt: 1}", "3: pretrained must be a name or a path, not {'ckpt': 1}"),
    ("EleutherAI/pythia-410m", "[a, b]", "3: pretrained must be a name or a path, not ['a', 'b']"),
    ("EleutherAI/pythia-410m", "2024-01-01", "3: pretrained must be a name or a path, not datetime.date(2024, 1, 1)"),
    ("EleutherAI/pythia-410m", '"a\\nb"', "3: pretrained must be one line without control characters, not 'a\\nb'"),
    ("EleutherAI/pythia-410m", "a" * 300, "3: pretrained=aaa"),
    ("EleutherAI/pythia-410m", "/", "3: pretrained=/: this folder has no config.json"),
    ("[phonebook_copy_10, c4_copy_25]", "[{phonebook_copy: }]", "7: a task must be text, not {'phonebook_copy': None}"),
    ("[phonebook_copy_10, c4_copy_25]", "[[phonebook_copy]]", "7: a task must be text, not ['phonebook_copy']"),
    ("adapter: pythia", "adapter: [pythia]", "2: adapter must be a name or a path, not ['pythia']"),
    ("dtype: bfloat16", "dtype: {bfloat16: }", "5: dtype must be a name or a path, not {'bfloat16': None}"),
    ("models:", "name: [a]\nmodels:", "1: name must be a name or a path, not ['a']"),
    ("models:", "name: 2024\nmodels:", "1: name must be a name or a path, not 2024"),
    ("num_samples: 8", "length_tokenizer: {a: b}", "9: length_tokenizer must be a name or a path, not {'a': 'b'}"),
    ("num_samples: 8", "1: x", "9: a setting must be text, not 1"),
    ("num_samples: 8", "? [a, b]\n  : c", "9: a key must be text, not a list or a mapping"),
    ("settings:", "yes: 1\nsettings:", "8: a key of a suite must be text, not True"),
    ("\n  num_samples: 8", " false", "8: settings must be a mapping"),
    ("batch_size: 16", "model_args: []", "6: model_args must be a mapping"),
    ("batch_size: 16", "model_args: {peft: [a]}", "6: peft must be a name or a path, not ['a']"),
    ("batch_size: 16", "model_args: {since: 2024-01-01}", "6: model_args must be text, numbers, lists and mappings ("),
    ("batch_size: 16", "name: ..", "2: no folder of results can be called '..': give the model another name"),
    ("8", "!!int many", " not valid YAML: "),
    ("8", "!!timestamp now", " not valid YAML: "),
    ("8", "\x01", " not valid YAML: "),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line"), BAD)
def test_a_mistake_is_one_line_with_its_place(write, old, new, line):
    assert old in GOOD
    file = write(GOOD.replace(old, new))
    with pytest.raises(UserError) as caught:
        load_suite(file, {})
    assert str(caught.value).startswith(f"{file}:{line}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [("tinny", "unknown suite 'tinny'; did you mean 'tiny'?"), ("a/b.yaml", "no such suite file: a/b.yaml")],
)
def test_a_suite_that_does_not_exist_is_named(name, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        load_suite(name, {})


WHOLE = """\
name: all keys
models:
  - name: first
    adapter: hf
    pretrained: EleutherAI/pythia-410m
    revision: [step1000, main]
    dtype: bfloat16
    batch_size: 16
    gpus: 0.5
    model_args: {tokenizer: EleutherAI/gpt-neox-20b, max_length: 2048}
  - {adapter: mamba_ssm, pretrained: tiny-mamba}
tasks: [phonebook_copy, c4_copy_25]
settings: {num_samples: 8, data_seed: 7, length_tokenizer: tiny-pythia}
"""
ODD = [
    "{{ckpt}}", "'{{ckpt}}'", "{a: }", "{a: {b: c}}", "[]", "{}", "[a, [b]]", "[{a: }]", "? [a, b]\n: c", "{1: x}",
    "0", "-7", "1.5", ".nan", ".inf", "1e400", "99999999999999999999", "true", "no", "~", "''", "' '", "2024-01-01",
    "2024-01-01 10:00:00", "!!binary aGVsbG8=", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!int x",
    "!!timestamp x", "!!bool x", "!!float ''", "!!int ''", "!!seq a", "!mine a", "=", "{<<: {a: b}}", "{<<: 5}",
    '"a\\nb"', '"\\0"', '"\\u2028"', '"\\ud800"', "$", "$NOWHERE", "${NOWHERE}", "~nobody/x", "/", ".", "..", "./x",
    "'*'", "'['", "'a:b?c'", "'%41'", "'<b>'", "tiny-mamba", "phonebook_copy", "pythia", "x" * 300,
    "'/" + "y/" * 3000 + "'",
]  # fmt: skip
"""What may stand in a YAML file where something else belongs."""


def mutate(node: yaml.Node, draw: random.Random) -> None:
    """Replace, delete or double one thing somewhere below ``node``."""
    places = [(node, index) for node in branches(node) for index in range(len(node.value))]
    parent, index = draw.choice(places)
    kind = draw.choice(["replace", "replace", "replace", "replace", "key", "delete", "double"])
    if kind == "delete":
        del parent.value[index]
    elif kind == "double":
        parent.value.insert(index, copy.deepcopy(parent.value[index]))
    else:
        odd = yaml.compose(draw.choice(ODD))
        if isinstance(parent, yaml.SequenceNode):
            parent.value[index] = odd
        else:
            key, value = parent.value[index]
            parent.value[index] = (odd, value) if kind == "key" else (key, odd)


def branches(node: yaml.Node) -> list[yaml.CollectionNode]:
    if not isinstance(node, yaml.CollectionNode):
        return []
    pairs = isinstance(node, yaml.MappingNode)
    below = [value for _, value in node.value] if pairs else node.value
    return [node, *(branch for value in below for branch in branches(value))]


@pytest.mark.parametrize("seed", range(20))
def test_a_mutated_suite_is_a_suite_or_one_line(seed, write, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    draw = random.Random(seed)
    for _ in range(20):
        document = yaml.compose(WHOLE)
        for _ in range(draw.choice([1, 1, 1, 2])):
            mutate(document, draw)
        file = write(yaml.serialize(document))
        try:
            suite = load_suite(file, {})
        except UserError as error:
            line = str(error)
            assert line.startswith(f"{file}:"), line
            assert len(line.splitlines()) == 1, line
        else:
            assert dump_suite(load_suite(write(dump_suite(suite)), {})) == dump_suite(suite)
            assert all(folder_of(tmp_path, cell).parent == tmp_path for cell in suite.cells())


def test_variables_and_the_home_are_filled_in(write, tmp_path, monkeypatch):
    make_checkpoints(tmp_path, "runs/step1", "runs/step2", "neox")
    (tmp_path / "text.jsonl").touch()
    monkeypatch.setenv("CKPT", str(tmp_path / "runs"))
    monkeypatch.setenv("HOME", str(tmp_path))
    suite = load_suite(
        write(
            "models:\n"
            "  - {name: one, adapter: pythia, pretrained: $CKPT/step1, model_args: "
            "{tokenizer: ~/neox, peft: '${CKPT}'}}\n"
            "  - {adapter: pythia, pretrained: '${CKPT}/step*'}\n"
            "tasks: [c4_copy, squad_by_length]\n"
            "settings: {c4_path: ~/text.jsonl, squad_path: $CKPT/../text.jsonl, length_tokenizer: ~/neox}"
        ),
        {},
    )
    assert [model.pretrained for model in suite.models] == [
        str(tmp_path / "runs" / name) for name in ("step1", "step1", "step2")
    ]
    assert suite.models[0].model_args == {"tokenizer": str(tmp_path / "neox"), "peft": str(tmp_path / "runs")}
    text = str(tmp_path / "text.jsonl")
    assert suite.settings == {"c4_path": text, "squad_path": text, "length_tokenizer": str(tmp_path / "neox")}


@pytest.mark.parametrize(
    ("model", "settings", "line"),
    [
        ("pretrained: $CKPT", "", "1: pretrained=$CKPT: the variable CKPT is not set"),
        ("pretrained: '${CKPT}/step*'", "", "1: pretrained=${CKPT}/step*: the variable CKPT is not set"),
        ("pretrained: $EMPTY/a", "", "1: pretrained=$EMPTY/a: the variable EMPTY is empty"),
        ("pretrained: a, model_args: {tokenizer: $CKPT}", "", "1: tokenizer=$CKPT: the variable CKPT is not set"),
        ("pretrained: a, revision: $CKPT", "", "1: revision=$CKPT: the variable CKPT is not set"),
        ("pretrained: a, revision: [b, $CKPT]", "", "1: revision=$CKPT: the variable CKPT is not set"),
        ("pretrained: a", "c4_path: $CKPT", "3: c4_path=$CKPT: the variable CKPT is not set"),
        ("pretrained: a", "squad_path: $CKPT", "3: squad_path=$CKPT: the variable CKPT is not set"),
        ("pretrained: a", "length_tokenizer: $CKPT", "3: length_tokenizer=$CKPT: the variable CKPT is not set"),
    ],
)
def test_a_variable_that_is_not_set_is_named(model, settings, line, write, monkeypatch):
    monkeypatch.delenv("CKPT", raising=False)
    monkeypatch.setenv("EMPTY", "")
    file = write(f"models: [{{adapter: hf, {model}}}]\ntasks: phonebook_copy\nsettings: {{{settings}}}")
    with pytest.raises(UserError) as caught:
        load_suite(file, {})
    assert str(caught.value) == f"{file}:{line}"


@pytest.mark.parametrize("length", ["abc", "[1]", "{a: 1}", "0", "2.5"])
def test_a_context_that_is_no_length_is_named(length, write):
    file = write(
        f"models: [{{adapter: hf, pretrained: a, model_args: {{max_length: {length}}}}}]\ntasks: phonebook_copy"
    )
    with pytest.raises(UserError, match=f"{file}:1: max_length must be a whole number of at least 1"):
        load_suite(file, {})


def test_a_suite_names_a_folder_of_ones_own_tasks_beside_it(write, own_tasks):
    text = "models: [{adapter: hf, pretrained: gpt2}]\ntasks: [both]\ninclude_path: own\n"
    suite = load_suite(write(text), {})
    assert suite.include_path == str(own_tasks)
    assert [(cell.task, cell.include_path) for cell in suite.cells()] == [
        ("phonebook_copy_11", str(own_tasks)),
        ("phonebook_copy_10", str(own_tasks)),
    ]
    assert load_suite(write(dump_suite(suite)), {}) == suite


def test_a_folder_on_the_command_line_comes_before_the_suites_and_starts_from_here(write, own_tasks, monkeypatch):
    monkeypatch.chdir(own_tasks)
    text = "models: [{adapter: hf, pretrained: gpt2}]\ntasks: phonebook_copy_11\ninclude_path: nowhere\n"
    assert load_suite(write(text), {}, "deep").include_path == str(own_tasks / "deep")
    given = suite_of_options({"adapter": "hf", "pretrained": "gpt2"}, ["mine"], {}, "deep")
    assert given.tasks == ("phonebook_copy_11",)


def test_our_own_folder_is_no_folder_of_ones_own():
    suite = suite_of_options({"adapter": "hf", "pretrained": "gpt2"}, ["phonebook_copy"], {}, str(TASKS))
    assert suite.include_path is None


def test_the_settings_of_a_users_task_are_known_where_its_folder_is(write, own_tasks):
    (own_tasks / "words.yaml").write_text(
        f"include: {TASKS}/phonebook/_phonebook_yaml\ntask: words\ndataset_kwargs: {{length: 5}}\n"
        "metadata: {version: 1, copy_eval: {settings: {words: file}}}\n"
    )
    text = "models: [{adapter: hf, pretrained: gpt2}]\ntasks: words\ninclude_path: own\nsettings: {words: SETTING}\n"
    suite = load_suite(write(text.replace("SETTING", "own/words.yaml")), {})
    assert suite.settings == {"words": str(own_tasks / "words.yaml")}
    with pytest.raises(UserError, match="4: words=nowhere: no such file"):
        load_suite(write(text.replace("SETTING", "nowhere")), {})
    with pytest.raises(UserError, match="3: unknown setting 'words'"):
        load_suite(write(text.replace("include_path: own\n", "").replace("tasks: words", "tasks: c4_copy")), {})


@pytest.mark.parametrize(
    ("file", "tasks", "include_path", "line"),
    [
        ("", "phonebook_copy", "nowhere", "3: include_path=nowhere: no such folder"),
        ("", "phonebook_copy", "own/odd.yaml", "3: include_path=OWN/odd.yaml: no such folder"),
        ("", "phonebook_copy", "$NOWHERE/x", "3: include_path=$NOWHERE/x: the variable NOWHERE is not set"),
        ("", "phonebook_copy", "[a]", "3: include_path must be a name or a path, not ['a']"),
        ("task: [", "phonebook_copy", "own", "3: OWN/odd.yaml: not valid YAML: "),
        ("task: odd", "odd", "own", "2: odd is no task as copy-eval's are ("),
        ("group: odd\ntask: [arc_easy]", "odd", "own", "2: odd is no group that lists known tasks by name"),
        ("", "phonebook_copy_12", "own", "2: unknown task 'phonebook_copy_12'; did you mean 'phonebook_copy_1"),
    ],
)
def test_a_mistake_in_a_users_folder_is_one_line(write, own_tasks, file, tasks, include_path, line):
    (own_tasks / "odd.yaml").write_text(file)
    suite = write(f"models: [{{adapter: hf, pretrained: gpt2}}]\ntasks: {tasks}\ninclude_path: {include_path}\n")
    with pytest.raises(UserError) as caught:
        load_suite(suite, {})
    assert str(caught.value).startswith(f"{suite}:{line.replace('OWN', str(own_tasks))}")
    assert "\n" not in str(caught.value)
