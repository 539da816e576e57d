"""python stages/personalize.py: the model adapted to a seen and an unseen person -> data/models/personal, metrics/personalize.json"""

from castfield.config import Config
from castfield.images import load_all_images
from castfield.layout import Layout
from castfield.manifest import load_manifest
from castfield.rigs import load_rig
from castfield.scratch import write_json
from castfield.stage import fresh, run_stage
from castfield.systems import load_model
from castfield.systems.personal import personalize_cast
from castfield.training.distributed import leads
from castfield.training.launch import together


def main(config: Config, layout: Layout) -> None:
    manifest = load_manifest(layout.manifest(config.dataset))
    images = load_all_images(layout, config.train.size)
    out = fresh(layout.personal) if leads() else None
    report = personalize_cast(config, manifest, load_model(layout.generic), images, out, load_rig(layout.rig))
    if leads():
        write_json(layout.metrics / "personalize.json", report)


if __name__ == "__main__":
    run_stage(together(main))
