"""What a trained model has learned: its latent space, its posterior, its representation."""
