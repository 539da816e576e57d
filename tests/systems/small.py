"""Configurations small enough for tests."""

from dataclasses import replace

from castfield.config import Config


def small_config(field: str = "grid", **train) -> Config:
    """Few texels (8, 12 and 16), 24 px, many checkpoints; channels, levels and width are the default's, for which kernels are compiled."""
    config = Config(module=train.pop("module", "M"))
    grid = replace(
        config.train.grid, steps=20, steps_per_clip=5, frames=4, rays=64, person_rays=64, resolutions=(43, 64, 85), expression_planes=3,
        expression_resolution=43,
    )  # fmt: skip
    mlp = replace(config.train.mlp, steps=20, rays=48, coarse=8, fine=8, width=16, layers=4, colour_width=8, colour_layers=2)
    base = dict(field=field, size=24, threads=1, latent_dim=6, save_seconds=0.0, device="cpu", grid=grid, mlp=mlp)
    return replace(config, train=replace(config.train, **{**base, **train}), personalize=replace(config.personalize, seconds=0.4, steps=15))
