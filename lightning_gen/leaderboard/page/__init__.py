"""The leaderboard as one self-contained HTML page."""
