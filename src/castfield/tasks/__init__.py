"""What a trained model is asked to show: the render stage's tasks, and the videos made of them for people."""
