"""Plugs the tasks and adapters into lm-eval, whose releases up to 0.4.13 look for neither in other packages.

``copy_eval_autoload.pth`` runs ``connect`` whenever Python starts. All it does then is put a finder on
``sys.meta_path`` that waits for seven modules of lm-eval; once such a module has loaded, its hook below runs.

Every Python start of the environment pays for this file, so it imports nothing at the top but what Python has loaded by
then, and nothing in it may raise: a hook that fails is noted in ``errors``, and lm-eval runs on without us.
"""

import sys

TYPE_CHECKING = False  # `typing` itself is not loaded yet when Python starts
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

connected: "set[str]" = set()
"""The modules whose hook has run."""

errors: "list[str]" = []
"""A line for each hook that failed; ``copy-eval doctor`` shows them."""


def connect() -> None:
    """Run the hooks of the modules that are loaded, and wait for the others."""
    for name in HOOKS:
        module = sys.modules.get(name)
        if module is not None:
            _run_hook(module)
    waiting = any(isinstance(finder, _Finder) for finder in sys.meta_path)
    if not waiting and len(connected) < len(HOOKS):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds no module itself: lets a hook run after the module that the other finders found has loaded."""

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name not in HOOKS or name in connected:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find else None
            if spec is not None:
                _attempt(name, _run_hook_after_loading, spec)
                return spec
        return None


def _run_hook_after_loading(spec: "ModuleSpec") -> None:
    loader: Any = spec.loader
    load = loader.exec_module

    def exec_module(module: "ModuleType") -> None:
        load(module)
        _run_hook(module)

    loader.exec_module = exec_module


def _run_hook(module: "ModuleType") -> None:
    name = module.__name__
    if name not in HOOKS or name in connected:
        return
    connected.add(name)
    _attempt(name, HOOKS[name], module)
    if len(connected) == len(HOOKS):
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]


def _attempt(name: str, step: "Callable[[Any], None]", argument: "Any") -> None:
    """Take a step towards the hook of module ``name``; a step that fails is noted, and lm-eval goes on."""
    try:
        step(argument)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong with us, lm-eval must run
        errors.append(f"{name}: {type(error).__name__}: {error}")
        # lm-eval is loading, so logging is too. Silence would let lm-eval's own `mamba_ssm` pass for ours.
        import logging

        logging.getLogger(__name__).warning("could not plug into %s; `copy-eval doctor` says why", name)


def _register_models(registry: "Any") -> None:
    """Register our adapters before lm-eval's own backends, which take only the names that are free."""
    from copy_eval.adapter_names import MODELS

    models = registry.model_registry
    for name, target in MODELS.items():
        if name in models:
            # lm-eval's backends came first, as when `register()` is called late; it has no call to take one back.
            del models._objs[name]
        models.register(name, target=target)
    # lm-eval loads its own backends when a model is asked for and the registry is still empty, which it no longer is.
    import lm_eval.models  # noqa: F401


def _scan_our_tasks(manager: "Any") -> None:
    """Let ``TaskManager`` index our tasks after lm-eval's own and before the user's ``include_path``, which wins."""
    import functools
    import inspect
    from pathlib import Path

    ours = Path(__file__).parent / "tasks"
    original = manager.TaskManager.__init__
    signature = inspect.signature(original)
    if not {"include_path", "include_defaults"} <= signature.parameters.keys():
        raise TypeError(f"TaskManager has other arguments than we know: {signature}")

    @functools.wraps(original)
    def init(*args: "Any", **kwargs: "Any") -> None:
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        given = call.arguments["include_path"] or []
        paths = list(given) if isinstance(given, (list, tuple)) else [given]
        # Whoever leaves out the installed tasks leaves out ours, and `--include_path tasks` in a checkout names them.
        if call.arguments["include_defaults"] and not any(Path(path).resolve() == ours.resolve() for path in paths):
            call.arguments["include_path"] = [ours, *paths]
        original(*call.args, **call.kwargs)

    manager.TaskManager.__init__ = init


def _hand_over_model(evaluator: "Any") -> None:
    """Let ``evaluate`` tell our tasks which model will be asked, so that they can see if the prompts fit.

    lm-eval shows a task the answers alone, and no result says that a backend cut prompts that are too long.
    """
    import functools
    import inspect

    original = evaluator.evaluate
    signature = inspect.signature(original)
    if not {"lm", "task_dict"} <= signature.parameters.keys():
        raise TypeError(f"evaluate has other arguments than we know: {signature}")

    @functools.wraps(original)
    def evaluate(*args: "Any", **kwargs: "Any") -> "Any":
        call = signature.bind(*args, **kwargs)
        given = call.arguments["task_dict"]
        for task in given.get("tasks", given).values():
            if hasattr(task, "meet_model"):
                task.meet_model(call.arguments["lm"])
        return original(*call.args, **call.kwargs)

    evaluator.evaluate = evaluate


def _report_user_errors(harness: "Any") -> None:
    """Let the ``lm_eval`` command print a ``UserError`` as its one line and exit with code 2, without a traceback."""
    import functools

    from copy_eval.errors import UserError

    original = harness.HarnessCLI.execute

    @functools.wraps(original)
    def execute(self: "Any", args: "Namespace") -> None:
        try:
            original(self, args)
        except UserError as error:
            print(f"copy-eval: {error}", file=sys.stderr)
            sys.exit(2)

    harness.HarnessCLI.execute = execute


def _let_groups_run_without_empty_tasks(factory: "Any") -> None:
    from copy_eval.tasks.no_prompts import let_groups_run_without

    let_groups_run_without(factory.TaskFactory)


def _let_clusters_have_their_errors(utils: "Any") -> None:
    """Let an aggregation of clustered scores give their standard error; lm-eval's is that of independent ones."""
    import functools
    import inspect

    original = utils.stderr_for_metric
    signature = inspect.signature(original)
    if "metric" not in signature.parameters:
        raise TypeError(f"stderr_for_metric has other arguments than we know: {signature}")

    @functools.wraps(original)
    def stderr_for_metric(*args: "Any", **kwargs: "Any") -> "Any":
        metric = signature.bind(*args, **kwargs).arguments["metric"]
        return metric.standard_error if getattr(metric, "is_clustered", False) else original(*args, **kwargs)

    utils.stderr_for_metric = stderr_for_metric


def _register_architectures(_: "Any") -> None:
    import copy_eval.architectures  # noqa: F401 - registers them


HOOKS: "dict[str, Callable[[Any], None]]" = {
    "lm_eval.api.registry": _register_models,
    "lm_eval.tasks._factory": _let_groups_run_without_empty_tasks,
    "lm_eval.tasks.manager": _scan_our_tasks,
    "lm_eval.evaluator_utils": _let_clusters_have_their_errors,
    "lm_eval.evaluator": _hand_over_model,
    "lm_eval._cli.harness": _report_user_errors,
    "lm_eval.models.huggingface": _register_architectures,
}
