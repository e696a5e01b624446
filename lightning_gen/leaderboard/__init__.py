"""Result records on disk, and the leaderboard as a pure view over them; nothing here imports torch or NumPy."""
