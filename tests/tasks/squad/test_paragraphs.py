import hashlib
import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from copy_eval.errors import UserError
from copy_eval.tasks.squad.paragraphs import SQUAD, Paragraph, Question, read_paragraphs, render_prompt

NORMANS = "The Normans gave their name to Normandy, a region in France."
WHERE = {"question": "Where is Normandy?", "id": "1", "answers": [{"text": "France", "answer_start": 53}] * 3}
WHO = {"question": "Who named it?", "id": "2", "answers": [{"text": "The Normans"}, {"text": "Normans"}]}
VOID = {"question": "Which mark ends it?", "id": "4", "answers": [{"text": "."}, {"text": "the"}]}
NEVER = {"question": "When?", "id": "3", "answers": [], "is_impossible": True, "plausible_answers": [{"text": "a"}]}


def write(file: Path, paragraphs: list[tuple[str, list[dict[str, Any]]]]) -> str:
    """Write paragraphs in the official layout, two articles of them."""
    articles = [
        {"title": "T", "paragraphs": [{"context": text, "qas": qas} for text, qas in part]}
        for part in (paragraphs[:1], paragraphs[1:])
    ]
    file.write_text(json.dumps({"version": "v2.0", "data": articles}), encoding="utf-8")
    return str(file)


def test_the_prompt_is_the_paragraph_a_solved_question_and_an_open_one() -> None:
    solved, asked = Question("Where is Normandy?", ("France",)), Question("Who named it?", ("The Normans", "Normans"))
    assert render_prompt(Paragraph("Normans", NORMANS, solved, asked)) == (
        "The Normans gave their name to Normandy, a region in France.\n\n"
        "Question: Where is Normandy?\nAnswer: France\n\n"
        "Question: Who named it?\nAnswer:"
    )


def test_the_first_two_questions_with_an_answer_are_taken_in_their_order(tmp_path: Path) -> None:
    path = write(tmp_path / "squad.json", [(NORMANS, [NEVER, WHERE, NEVER, WHO]), ("Other.", [WHO, NEVER])])
    collection = read_paragraphs(path)
    solved, asked = Question("Where is Normandy?", ("France",)), Question("Who named it?", ("The Normans", "Normans"))
    assert collection.paragraphs == (Paragraph("T", NORMANS, solved, asked),)
    assert collection.source == path
    assert len(collection.sha256) == 64


def test_a_gold_answer_that_normalises_to_nothing_is_none(tmp_path: Path) -> None:
    half_void = {"question": "Who?", "answers": [{"text": "."}, {"text": "Normans"}, {"text": "The"}]}
    path = write(tmp_path / "squad.json", [(NORMANS, [VOID, WHERE, half_void]), ("Other.", [VOID, WHO])])
    [paragraph] = read_paragraphs(path).paragraphs
    assert paragraph.solved.text == "Where is Normandy?"
    assert paragraph.asked.answers == ("Normans",)


def test_a_paragraph_knows_its_article_and_articles_without_a_title_are_numbered(tmp_path: Path) -> None:
    def article(text: str, **title: str) -> dict[str, Any]:
        return {**title, "paragraphs": [{"context": text, "qas": [WHERE, WHO]}]}

    file = tmp_path / "squad.json"
    articles = [article("One."), article("Two.", title="Normandy"), article("Three.", title="")]
    file.write_text(json.dumps({"data": articles}))
    titles = [paragraph.article for paragraph in read_paragraphs(str(file)).paragraphs]
    assert titles == ["article 1", "Normandy", "article 3"]


def test_the_hash_of_the_paragraphs_is_of_what_is_asked_and_not_of_the_titles(tmp_path: Path) -> None:
    path = write(tmp_path / "squad.json", [(NORMANS, [WHERE, WHO])])
    solved, asked = ["Where is Normandy?", ["France"]], ["Who named it?", ["The Normans", "Normans"]]
    expected = hashlib.sha256(json.dumps([[NORMANS, solved, asked]]).encode()).hexdigest()
    assert read_paragraphs(path).sha256 == expected


def test_the_layout_of_version_1_without_impossible_questions_is_read_too(tmp_path: Path) -> None:
    path = write(tmp_path / "squad.json", [("One.", [WHO, WHERE]), ("Two.", [WHERE, WHO])])
    assert [paragraph.asked.text for paragraph in read_paragraphs(path).paragraphs] == [
        "Where is Normandy?",
        "Who named it?",
    ]


def test_the_hubs_rows_give_the_same_paragraphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [NEVER, VOID, WHERE, WHO]
    rows = [
        {
            "title": "T",
            "context": NORMANS,
            "question": question["question"],
            "answers": {"text": [answer["text"] for answer in question["answers"]], "answer_start": []},
        }
        for question in questions
    ]
    asked: list[dict[str, Any]] = []

    def load(**arguments: Any) -> datasets.Dataset:
        asked.append(arguments)
        return datasets.Dataset.from_list(rows)

    monkeypatch.setattr(datasets, "load_dataset", load)
    local = read_paragraphs(write(tmp_path / "squad.json", [(NORMANS, questions)]))
    from_hub = read_paragraphs(None)
    assert from_hub.paragraphs == local.paragraphs
    assert [paragraph.article for paragraph in from_hub.paragraphs] == ["T"]
    assert from_hub.sha256 == local.sha256
    assert asked == [SQUAD]
    assert from_hub.source == f"rajpurkar/squad_v2 validation @ {SQUAD['revision']}"


def test_without_a_network_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise ConnectionError("Couldn't reach 'rajpurkar/squad_v2' on the Hub (OfflineModeIsEnabled)")

    monkeypatch.setattr(datasets, "load_dataset", fail)  # the real one retries for twenty seconds
    with pytest.raises(UserError, match="give the official JSON file with --metadata squad_path=FILE"):
        read_paragraphs(None)


def test_a_file_whose_questions_are_all_impossible_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "squad.json", [(NORMANS, [NEVER, NEVER]), ("Other.", [NEVER])])
    with pytest.raises(UserError, match="no paragraph has two questions with an answer"):
        read_paragraphs(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no JSON file"),
        ('{"data": [', "no JSON file"),
        ("[]", "not in SQuAD's official layout"),
        ('{"data": ["title"]}', "not in SQuAD's official layout"),
        ('{"rows": []}', "not in SQuAD's official layout"),
        ('{"data": [{"context": "c", "question": "q"}]}', "not in SQuAD's official layout"),
        (
            '{"data": [{"paragraphs": [{"context": "c", "qas": [{"question": "q"}]}]}]}',
            "not in SQuAD's official layout",
        ),
        ('{"data": []}', "no paragraph has two questions"),
    ],
)
def test_a_file_of_another_shape_is_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "squad.json"
    file.write_text(content)
    with pytest.raises(UserError, match=message) as raised:
        read_paragraphs(str(file))
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_paragraphs(str(tmp_path / "nowhere.json"))
