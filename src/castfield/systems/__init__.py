"""The systems of the papers: what each is made of, how it is trained, and the models it leaves behind."""

from castfield.systems.learn import train
from castfield.systems.model import Model, load_model, save_model
from castfield.systems.personal import personalize

__all__ = ["Model", "load_model", "personalize", "save_model", "train"]
