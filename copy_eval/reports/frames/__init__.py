"""Reading: from lm-eval's result files and samples to tidy frames."""
