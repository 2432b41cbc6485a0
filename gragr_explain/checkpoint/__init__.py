"""Trained models: the paper's backbones by name, and what was trained of them as a folder."""

from gragr_explain.checkpoint._backbone import build_model
from gragr_explain.checkpoint._folder import Checkpoint, load_checkpoint, save_checkpoint
from gragr_explain.checkpoint._makeup import makeup

__all__ = ["Checkpoint", "build_model", "load_checkpoint", "makeup", "save_checkpoint"]
