"""What the frames say: accuracies with their intervals, differences, summaries."""
