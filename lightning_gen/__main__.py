"""``python -m lightning_gen`` is ``lightning-gen``."""

from lightning_gen.cli import main

if __name__ == "__main__":
    main()
