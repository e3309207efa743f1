"""A task for which the data hold no prompt, such as an empty bucket of SQuAD, does not stop its group."""

import functools
import logging
from typing import Any

from copy_eval.errors import UserError

_log = logging.getLogger(__name__)


class NoPromptsError(UserError):
    """The data hold no prompt of a task: it cannot run by itself, and its group runs without it."""


def let_groups_run_without(factory: Any) -> None:
    """Let lm-eval's ``TaskFactory`` leave a member without prompts out of its group, with a warning that says why.

    lm-eval builds all tasks before the first one runs, and knows no task without prompts. A group whose members have
    none has none itself.

    Args:
        factory: the class ``lm_eval.tasks._factory.TaskFactory``.
    """
    original = factory._build_group_members

    @functools.wraps(original)
    def build_group_members(
        self: Any, member_list: list[Any], group_name: str, overrides: Any, registry: dict[str, Any]
    ) -> list[Any]:
        members: list[Any] = []
        reason = None
        for member in member_list:
            try:
                members += original(self, [member], group_name, overrides, registry)
            except NoPromptsError as error:
                reason = error
                _log.warning("%s runs without %s: %s", group_name, member, error)
        if reason is not None and not members:
            raise NoPromptsError(f"{group_name} has no task with prompts; the last reason: {reason}") from reason
        return members

    factory._build_group_members = build_group_members
