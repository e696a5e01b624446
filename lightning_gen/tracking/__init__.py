"""Where a run's numbers and pictures go: ``metrics.csv`` always, Weights & Biases where it can be had; both count in images seen."""

from lightning_gen.tracking.axis import IMAGES
from lightning_gen.tracking.csv_file import METRICS_FILE, CSVTracker
from lightning_gen.tracking.trackers import build_trackers
from lightning_gen.tracking.wandb_mode import wandb_mode
from lightning_gen.tracking.wandb_run import SCORE_PREFIXES, Direction, WandbTracker

__all__ = ["IMAGES", "METRICS_FILE", "SCORE_PREFIXES", "CSVTracker", "Direction", "WandbTracker", "build_trackers", "wandb_mode"]
