"""Training for several tasks on the same graphs: the model, its epochs, and what balances the tasks."""

from gragr_explain.training.multitask._fields import project_tasks
from gragr_explain.training.multitask._model import MultiTaskModel
from gragr_explain.training.multitask._train import METHODS, MultiTaskResult, train_multitask

__all__ = ["METHODS", "MultiTaskModel", "MultiTaskResult", "project_tasks", "train_multitask"]
