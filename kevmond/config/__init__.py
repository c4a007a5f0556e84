"""Settings of the daemon: models, the TOML file they come from, and what is said of mistakes."""

from kevmond.config.loader import Loaded, load
from kevmond.config.settings import Settings

__all__ = ["Loaded", "Settings", "load"]
