"""Our own reading of the task names against lm-eval's index of the same folder, and tasks that are built once."""

from lm_eval.tasks import TaskManager

from copy_eval.runs.task_loading import TASKS, load_task, tasks_by_name


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
