from copy_eval.tasks.phonebook.names import count_full_names, draw_full_name
from copy_eval.tasks.sampling import example_rng


def test_names_follow_their_census_frequency() -> None:
    rng = example_rng(0, 0, 0)
    last_names = [draw_full_name(rng).split(" ")[1] for _ in range(20_000)]
    # The 1990 census: Smith 1.006 %, Johnson 0.810 %, of the 90.483 % that the list covers.
    for name, percent in (("Smith", 1.006), ("Johnson", 0.810)):
        expected = len(last_names) * percent / 90.483
        assert abs(last_names.count(name) - expected) < 5 * expected**0.5


def test_a_full_name_is_two_capitalised_ascii_words() -> None:
    rng = example_rng(0, 0, 1)
    for _ in range(2000):
        first, last = draw_full_name(rng).split(" ")
        assert (first, last) == (first.capitalize(), last.capitalize())
        assert f"{first}{last}".isascii()


def test_the_lists_form_the_census_number_of_full_names() -> None:
    # The census has 88,799 last names, and 1,219 male and 4,275 female first names of which 331 are in both lists.
    assert count_full_names() == 88_799 * (1219 + 4275 - 331)
