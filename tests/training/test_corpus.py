from copy_eval.training.corpus import read_corpus


def test_the_corpus_is_english_without_repeats_and_the_same_each_time():
    corpus = read_corpus()
    assert sum(map(len, corpus)) > 1_000_000
    assert len(set(corpus)) == len(corpus)
    assert all(len(text) >= 200 and "\n" not in text for text in corpus)
    assert read_corpus() == corpus
