"""What an experiment trains: a YAML file, or one of the packaged ones.

::

    description: How many examples it takes to learn to copy strings.
    architectures: [rope, mamba]     # see ARCHITECTURES
    seeds: [0, 1, 2]
    sizes:
      cpu:                           # or paper: the size of the models, and how long they are trained
        lengths: [5, 20]             # of the training examples: the shortest and the longest
        examples: 100000
        batch: 50                    # examples a step
        context: 256                 # tokens of a row, into which examples are packed
        learning_rate: 0.001
        evaluation_points: [1000, 10000]   # training examples after which a checkpoint is written, besides the last
        tasks:                       # what is learned, and what a model that learned it is then evaluated on
          string_copy: [string_copy_10, string_copy_20]
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from copy_eval.errors import UserError, first_problem
from copy_eval.packaged import packaged_checkpoints
from copy_eval.runs.yaml_values import Place, Source, find_yaml, packaged_names, read_yaml, refuse_unknown

_PACKAGED = Path(__file__).resolve().parent / "experiments"

Size = Literal["cpu", "paper"]
SIZES: tuple[Size, ...] = get_args(Size)


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Scale(_Checked):
    """How long the models of one size are trained, on what, and where they are evaluated."""

    lengths: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]
    """Of the training examples, the shortest and the longest; in letters, or in pairs for ``mqar``."""

    examples: PositiveInt
    batch: PositiveInt
    """Examples a step."""

    context: PositiveInt
    """Tokens of a row, into which examples are packed."""

    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    evaluation_points: list[PositiveInt]
    """Training examples after which a checkpoint is written; one is written at the end in any case."""

    tasks: Annotated[dict[str, list[str]], Field(min_length=1)]
    """What is learned, each by models of its own, and the tasks of lm-eval that these are evaluated on."""


class Experiment(_Checked):
    """Architectures that learn the same from the same examples."""

    description: str
    architectures: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1)]
    sizes: Annotated[dict[str, Scale], Field(min_length=1)]


@dataclass(frozen=True)
class TrainingRun:
    """One model that is trained: the unit that is finished, resumed or still to do."""

    task: str
    architecture: str
    seed: int
    size: Size
    scale: Scale

    @property
    def name(self) -> str:
        """The folder of its checkpoints."""
        return f"{self.task}/{self.architecture}-seed{self.seed}"

    @property
    def points(self) -> list[int]:
        """Training examples after which a checkpoint is written, the last ones included."""
        return sorted({*self.scale.evaluation_points, self.scale.examples})


def packaged_experiments() -> list[str]:
    """Return the names of the experiments that the package carries."""
    return packaged_names(_PACKAGED)


def load_experiment(name: str, size: Size) -> tuple[str, Experiment]:
    """Read an experiment.

    Args:
        name: a YAML file or the name of a packaged experiment; the file comes first.
        size: one of ``SIZES``, which the experiment must have.

    Returns:
        Its name, which is that of the file, and what it says.

    Raises:
        UserError: if there is no such experiment or something in it is not usable; names the file and the line.
    """
    file = find_yaml(name, _PACKAGED, "experiment", packaged_checkpoints())
    content, source = read_yaml(file)
    experiment = _read(content, source)
    if size not in experiment.sizes:
        raise UserError(f"{file}: this experiment has no size {size!r}, only {', '.join(experiment.sizes)}")
    return file.stem, experiment


def runs_of(experiment: Experiment, size: Size) -> list[TrainingRun]:
    """Return what there is to train, one seed of all architectures after the other."""
    scale = experiment.sizes[size]
    return [
        TrainingRun(task, architecture, seed, size, scale)
        for seed in experiment.seeds
        for task in scale.tasks
        for architecture in experiment.architectures
    ]


def _read(content: object, source: Source) -> Experiment:
    with source.at():
        if not isinstance(content, dict):
            raise UserError(f"an experiment is a mapping with {', '.join(Experiment.model_fields)}")
    try:
        experiment = Experiment.model_validate(content)
    except ValidationError as error:
        # A misspelt key is also a missing one; the misspelling says more.
        problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        place: Place = problems[0]["loc"]
        with source.at(*place):
            if problems[0]["type"] == "extra_forbidden":
                keys, of = (Scale, " of a size") if len(place) > 1 else (Experiment, " of an experiment")
                refuse_unknown(place[-1], list(keys.model_fields), "key", of)
            raise UserError(first_problem(error)) from error
    for place, names, known, kind in _named(experiment):
        for key in names:
            with source.at(*place, key):
                refuse_unknown(names[key], known, kind)
    for size, scale in experiment.sizes.items():
        _check_scale(scale, source, ("sizes", size))
    for key in ("architectures", "seeds"):
        with source.at(key):
            if len(set(getattr(experiment, key))) < len(getattr(experiment, key)):
                raise UserError(f"{key} lists something twice")
    return experiment


def _named(experiment: Experiment) -> Iterator[tuple[Place, Mapping[Any, str], list[str], str]]:
    """Return the names in an experiment: where they stand, they by their keys, the known ones, and of what they are."""
    # torch and lm-eval take seconds to import: only who reads an experiment pays for them.
    from copy_eval.runs.task_loading import tasks_by_name
    from copy_eval.training.architectures import ARCHITECTURES
    from copy_eval.training.examples import TASKS

    yield ("architectures",), dict(enumerate(experiment.architectures)), list(ARCHITECTURES), "architecture"
    yield ("sizes",), {size: size for size in experiment.sizes}, list(SIZES), "size"
    for size, scale in experiment.sizes.items():
        place = ("sizes", size, "tasks")
        yield place, {task: task for task in scale.tasks}, list(TASKS), "task to learn"
        for task, evaluated in scale.tasks.items():
            yield (*place, task), dict(enumerate(evaluated)), list(tasks_by_name()), "task"


def _check_scale(scale: Scale, source: Source, place: Place) -> None:
    """Check what holds between several values.

    Raises:
        UserError: names the line of one of them.
    """
    from copy_eval.training.examples import TASKS, draw_examples

    shortest, longest = scale.lengths
    with source.at(*place, "lengths"):
        if shortest > longest:
            raise UserError(f"lengths must be the shortest and the longest, not {scale.lengths}")
        for task in scale.tasks:
            least, most = TASKS[task].shortest, TASKS[task].longest
            if shortest < least or (most is not None and longest > most):
                raise UserError(f"{task} has lengths from {least} to {most or 'any'}, not {scale.lengths}")
            [example] = draw_examples(task, (longest, longest), 0, 0, 1)
            if len(example.prompt + example.answer) > scale.context:
                tokens = len(example.prompt + example.answer)
                raise UserError(
                    f"an example of {task} with length {longest} has {tokens} tokens, which a context of "
                    f"{scale.context} does not hold"
                )
    with source.at(*place, "examples"):
        if scale.examples % scale.batch:
            raise UserError(f"examples must be a multiple of batch, {scale.batch}, not {scale.examples}")
    for index, point in enumerate(scale.evaluation_points):
        with source.at(*place, "evaluation_points", index):
            if point % scale.batch or point > scale.examples:
                raise UserError(
                    f"an evaluation point must be a multiple of batch, {scale.batch}, and at most examples, "
                    f"{scale.examples}, not {point}"
                )
