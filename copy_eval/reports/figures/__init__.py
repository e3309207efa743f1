"""Figures for papers: PNG and SVG, drawn with matplotlib."""
