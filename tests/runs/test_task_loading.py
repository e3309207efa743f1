"""Our own reading of the task names against lm-eval's index of the same folder, and tasks that are built once."""

import pytest
from lm_eval.tasks import TaskManager

from copy_eval.errors import UserError
from copy_eval.runs.task_loading import TASKS, describe_task, load_task, tasks_by_name


def test_the_names_are_those_of_lm_evals_index():
    index = TaskManager(include_path=TASKS, include_defaults=False)
    assert sorted(tasks_by_name()) == index.all_tasks


def test_a_group_stands_for_its_tasks_in_the_order_of_its_file():
    assert tasks_by_name()["phonebook_copy_long"] == (
        "phonebook_copy_320",
        "phonebook_copy_640",
        "phonebook_copy_1280",
    )
    assert tasks_by_name()["c4_copy_25"] == ("c4_copy_25",)


def test_a_group_of_groups_is_resolved():
    names = tasks_by_name()
    assert names["copy_eval"] == names["phonebook_copy"] + names["c4_copy"] + names["squad_by_length"]


def test_the_prompts_of_a_task_are_made_once_for_all_models(suite):
    assert load_task("phonebook_copy_10", suite.settings) is load_task("phonebook_copy_10", dict(suite.settings))


def test_the_names_of_a_users_folder_are_those_of_lm_evals_index(own_tasks):
    index = TaskManager(include_path=[TASKS, own_tasks], include_defaults=False)
    known = tasks_by_name(str(own_tasks))
    assert sorted(known) == index.all_tasks
    assert known["both"] == ("phonebook_copy_11", "phonebook_copy_10")
    assert known["mine"] == ("phonebook_copy_11",)


def test_a_users_task_is_loaded_with_its_own_description(own_tasks):
    task = load_task("phonebook_copy_11", {"num_samples": 1}, str(own_tasks))
    assert task.eval_docs[0]["entries"] == 11
    assert task.config.metadata["copy_eval"]["title"] == "phonebook_copy_dashed"
    assert describe_task("phonebook_copy_11", str(own_tasks)).title == "phonebook_copy_dashed"


def test_a_users_task_comes_before_ours_of_the_same_name(own_tasks):
    (own_tasks / "other.yaml").write_text(
        f"include: {TASKS}/phonebook/_phonebook_yaml\ntask: phonebook_copy_10\ndataset_kwargs: {{length: 12}}\n"
    )
    assert load_task("phonebook_copy_10", {"num_samples": 1}, str(own_tasks)).eval_docs[0]["entries"] == 12


@pytest.mark.parametrize(
    "group",
    [
        "group: odd\ntask: [{task: phonebook_copy_11, num_fewshot: 2}]",
        "group: odd\ntask: [phonebook_copy_11]\nnum_fewshot: 2",
        "group: odd\ntask: [phonebook_copy_11, arc_easy]",
        "group: odd\ntask: [odd]",
        "group: odd",
    ],
)
def test_a_group_that_does_more_than_list_tasks_stands_for_none(own_tasks, group):
    (own_tasks / "odd.yaml").write_text(group)
    assert tasks_by_name(str(own_tasks))["odd"] == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("task: [", "odd.yaml: not valid YAML: "),
        ("task: !other x", "odd.yaml: not valid YAML: "),
        ("include: odd.yaml\ntask: x", "odd.yaml includes itself"),
        ("include: nowhere\ntask: x", "nowhere: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(own_tasks, text, line):
    (own_tasks / "odd.yaml").write_text(text)
    with pytest.raises(UserError, match=line) as caught:
        tasks_by_name(str(own_tasks))
    assert "\n" not in str(caught.value)


FOREIGN = "dataset_path: ai2_arc\noutput_type: generate_until\nmetric_list: [{metric: exact_match}]\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (FOREIGN, "odd is no task as copy-eval's are "),
        ("class: !function somewhere.Task\nmetric_list: [{metric: acc}]", "odd is no task as copy-eval's are "),
        (f"include: {TASKS}/phonebook/_phonebook_yaml\nmetadata: 7", "odd is no task as copy-eval's are "),
        (f"include: {TASKS}/phonebook/_phonebook_yaml\ndataset_kwargs: {{}}", "odd is no task as copy-eval's are "),
        (
            f"include: {TASKS}/phonebook/_phonebook_yaml\nmetadata: {{copy_eval: {{units: entries}}}}",
            "odd: metadata.copy_eval.units is unknown",
        ),
        (
            f"include: {TASKS}/phonebook/_phonebook_yaml\nmetadata: {{copy_eval: {{settings: {{a: word}}}}}}",
            "odd: metadata.copy_eval.settings.a should be 'count', 'number', 'depths', 'file' or 'name', not 'word'",
        ),
        (
            f"include: {TASKS}/phonebook/_phonebook_yaml\nmetadata: {{copy_eval: [a]}}",
            "odd: metadata.copy_eval, its variants and each of them must be mappings",
        ),
    ],
)
def test_a_task_of_another_form_is_one_line(own_tasks, text, line):
    (own_tasks / "odd.yaml").write_text(f"task: odd\ndataset_kwargs: {{length: 5}}\n{text}\n")
    with pytest.raises(UserError, match=line):
        describe_task("odd", str(own_tasks))


def test_a_class_that_logs_no_prompts_is_one_line(own_tasks):
    (own_tasks / "plain.py").write_text(
        "import datasets\nfrom lm_eval.api.task import ConfigurableTask\n"
        "class Plain(ConfigurableTask):\n"
        "    def __init__(self, config):\n"
        "        super().__init__(config={key: config[key] for key in config if key != 'class'})\n"
        "    def download(self, *given, **others):\n"
        "        rows = [{'prompt': 'a', 'answer': 'b', 'index': 0}]\n"
        "        self.dataset = datasets.DatasetDict({'test': datasets.Dataset.from_list(rows)})\n"
    )
    (own_tasks / "odd.yaml").write_text(
        f"include: {TASKS}/phonebook/_phonebook_yaml\ntask: odd\nclass: !function plain.Plain\n"
        "dataset_kwargs: {length: 1}\n"
    )
    with pytest.raises(UserError, match=r"odd: its class is not copy_eval\.tasks\.copy_task\.CopyTask"):
        load_task("odd", {}, str(own_tasks))


def test_a_module_that_is_not_there_is_one_line(own_tasks):
    (own_tasks / "odd.yaml").write_text(
        f"include: {TASKS}/phonebook/_phonebook_yaml\ntask: odd\ncustom_dataset: !function nowhere.build\n"
        "dataset_kwargs: {length: 1}\n"
    )
    with pytest.raises(UserError, match=r"^odd: .*nowhere"):
        load_task("odd", {}, str(own_tasks))


def test_records_without_what_all_have_are_one_line(own_tasks):
    (own_tasks / "bare.py").write_text(
        "import datasets\ndef build(metadata, length):\n"
        "    return datasets.DatasetDict({'test': datasets.Dataset.from_list([{'prompt': 'a'}])})\n"
    )
    (own_tasks / "odd.yaml").write_text(
        f"include: {TASKS}/phonebook/_phonebook_yaml\ntask: odd\ncustom_dataset: !function bare.build\n"
        "dataset_kwargs: {length: 1}\n"
    )
    with pytest.raises(UserError, match="odd: its records have no answer and no index"):
        load_task("odd", {}, str(own_tasks))
