"""From lm-eval's result files to a tidy frame, statistics, tables and plots."""
