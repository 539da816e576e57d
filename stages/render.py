"""python stages/render.py: reconstruction, transfer, novel views, personal models -> data/renders"""

from castfield.config import Config
from castfield.layout import Layout
from castfield.stage import run_stage
from castfield.tasks.render import render_all


def main(config: Config, layout: Layout) -> None:
    render_all(config, layout)


if __name__ == "__main__":
    run_stage(main)
