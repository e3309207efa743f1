import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS

from copy_eval.clusters import clustered_variance


def test_the_clustered_variance_is_that_of_a_regression_on_a_constant():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(20), rng.integers(1, 15, 20))
    scores = (rng.random(len(clusters)) < rng.beta(3, 2, 20)[clusters]).astype(float)
    fit = OLS(scores, np.ones_like(scores)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    assert clustered_variance(scores, clusters.tolist()) == pytest.approx(fit.bse[0] ** 2, rel=1e-9)


def test_with_a_score_to_each_cluster_it_is_the_variance_of_a_mean():
    scores = np.array([0.0, 1.0, 1.0, 0.25])
    assert clustered_variance(scores, ["a", "b", "c", "d"]) == pytest.approx(scores.var(ddof=1) / 4)
