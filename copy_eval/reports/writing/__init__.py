"""Tables as texts, tests as JUnit XML, and files that are written whole or not at all."""
