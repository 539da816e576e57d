"""python stages/train.py: one field for the whole cast -> data/models/generic, metrics/train.json, metrics/curves/train.csv"""

from castfield.config import Config
from castfield.images import load_all_images
from castfield.layout import Layout
from castfield.rigs import load_rig
from castfield.scratch import write_json
from castfield.stage import fresh, run_stage
from castfield.systems import train
from castfield.systems.learn import write_curve
from castfield.training.distributed import leads
from castfield.training.launch import together


def main(config: Config, layout: Layout) -> None:
    images = load_all_images(layout, config.train.size)
    _, report = train(config, images, fresh(layout.generic) if leads() else None, rig=load_rig(layout.rig))
    if leads():
        write_curve(layout.metrics / "curves/train.csv", report.pop("curve"))
        write_json(layout.metrics / "train.json", report)


if __name__ == "__main__":
    run_stage(together(main))
