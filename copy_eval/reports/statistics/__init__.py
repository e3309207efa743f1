"""What the frames say: intervals, differences, summaries of curves, accuracy by depth."""
