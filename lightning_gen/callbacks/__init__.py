"""What happens around training steps: checkpoints, averages, evaluation, pictures, progress. Each names the capability that it needs."""
