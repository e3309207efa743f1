"""The tasks: a folder each with its YAML files, generator, scores and README; what they share stands beside them."""
