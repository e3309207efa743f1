"""What the page says, for its template."""

from itertools import chain
from typing import Any

from copy_eval.reports.page.depths import heat_maps
from copy_eval.reports.page.leaderboard import leaderboard_table
from copy_eval.reports.page.models import models_of
from copy_eval.reports.page.provenance import files_table, prompts_table
from copy_eval.reports.page.sections import section_titles, sections_of
from copy_eval.reports.page.training import trainings
from copy_eval.reports.page.wrong_answers import wrong_answers_tables
from copy_eval.reports.report import Report
from copy_eval.reports.statistics.summaries import RANK_RULE


def page_content(report: Report) -> dict[str, Any]:
    """Return the variables of the template that depend on the report."""
    models = models_of(report)
    titles = section_titles(report.accuracy)
    sections = sections_of(report.accuracy, models)
    training = trainings(report.accuracy, titles, models)
    return {
        "summary": _summary(len(models), len(titles)),
        "models": models,
        "rank_rule": RANK_RULE,
        "leaderboard": leaderboard_table(report.leaderboard, titles, models),
        "sections": sections,
        "training": training,
        "charts": {f"chart-{section.anchor}": section.chart for section in sections}
        | {f"chart-{part.anchor}": part.chart for part in chain.from_iterable(training.values())},
        "wrong_answers": wrong_answers_tables(report.wrong_answers, titles, models),
        "depths": heat_maps(report.depths, titles, models),
        "prompts": prompts_table(report.accuracy),
        "files": files_table(report.accuracy, models),
    }


def _summary(models: int, tasks: int) -> str:
    compared = f"{models} language model{'s' * (models != 1)} on {tasks} task{'s' * (tasks != 1)}"
    return f"How often the answer is exactly right when it stands in the prompt, as the prompt grows: {compared}."
