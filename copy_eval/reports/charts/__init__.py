"""The charts of a report, each defined once in Altair: drawn into files, and by the page in a browser."""
