"""Real footage spoiled on purpose with ffmpeg, one fault a video, and the findings that each must give."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from castfield.media import ffmpeg_exe

CODE = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "16", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k")
MONO = "aformat=channel_layouts=mono"
WALK = "pad=1080:288:360:0:0x20a0c0,crop=360:288:x='360+300*clip((t-{start})/0.4,0,1)':y=0"
"""Out of the picture to the left, within .4 s from `start` on."""
HALF = "between(t,1,2)"


@dataclass(frozen=True)
class Spoiled:
    """How a video is made, and what is wrong with it."""

    make: Callable[[Path, Path], None]
    """Writes the video: (folder of the real footage, target)."""
    verdict: str
    findings: frozenset[str]
    """Names of the criteria that say more than a note."""
    suffix: str = ".mp4"


def ffmpeg(*arguments: str | Path) -> None:
    """Run it; raises CalledProcessError where it fails."""
    subprocess.run([ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True)


def filtered(video: str = "null", sound: str = "anull", clip: str = "grid/bbaf2n.mpg", output: tuple[str, ...] = ()):
    """A clip through a filter of its picture and one of its sound."""
    return lambda media, target: ffmpeg("-i", media / clip, "-vf", video, "-af", sound, *CODE, *output, target)


def graph(parts: str, *clips: str, output: tuple[str, ...] = ()):
    """Several clips through a filter graph that ends in [v]; the sound is the first one's."""
    return lambda media, target: ffmpeg(
        *(a for clip in clips for a in ("-i", media / clip)), "-filter_complex", parts, "-map", "[v]", "-map", "0:a", *CODE, *output, target
    )


def joined(seconds: float, *clips: str):
    """The first seconds of several clips, one after the other."""
    count = len(clips)
    trimmed = "".join(
        f"[{k}:v]trim=0:{seconds},setpts=PTS-STARTPTS,setsar=1[v{k}];[{k}:a]atrim=0:{seconds},asetpts=PTS-STARTPTS[a{k}];"
        for k in range(count)
    )
    pads = "".join(f"[v{k}][a{k}]" for k in range(count))
    return lambda media, target: ffmpeg(
        *(a for clip in clips for a in ("-i", media / clip)),
        *("-filter_complex", f"{trimmed}{pads}concat=n={count}:v=1:a=1[v][a]", "-map", "[v]", "-map", "[a]", *CODE, target),
    )


def truncated(media: Path, target: Path) -> None:
    """A clip whose file ends in its middle; its header still promises all of it."""
    whole = target.with_suffix(".whole.mp4")
    ffmpeg("-i", media / "hd/aoc.mp4", *CODE, "-movflags", "+faststart", "-g", "25", whole)
    target.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()


def damaged(media: Path, target: Path) -> None:
    """A clip with some of its bytes overwritten."""
    data = bytearray((media / "grid/bbaf2n.mpg").read_bytes())
    for start in range(100_000, 300_000, 40_000):
        data[start : start + 400] = bytes(400)
    target.write_bytes(data)


def phone(media: Path, target: Path) -> None:
    """A picture stored on its side with the note that players turn it, as phones do."""
    lying = target.with_suffix(".lying.mp4")
    ffmpeg("-i", media / "grid/bbaf2n.mpg", "-vf", "transpose=1", *CODE, lying)
    ffmpeg("-display_rotation", "90", "-i", lying, "-c", "copy", target)
    lying.unlink()


def still_picture(media: Path, target: Path) -> None:
    """One frame of a clip for three seconds, with the clip's sound."""
    source = media / "grid/bbaf2n.mpg"
    ffmpeg("-i", source, "-vf", "loop=-1:1:0,setpts=N/25/TB", "-t", "2.9", *CODE, target)


GOOD, USABLE, UNUSABLE = "good", "usable with remarks", "not usable"


def spoiled(make, verdict: str, *findings: str, suffix: str = ".mp4") -> Spoiled:
    """A shorter way to write one."""
    return Spoiled(make, verdict, frozenset(findings), suffix)


CASES = {
    "unchanged": spoiled(filtered(), GOOD),
    "mirrored": spoiled(filtered("hflip"), GOOD),
    "sixty_hertz": spoiled(filtered("fps=60"), GOOD),
    "letterboxed": spoiled(filtered("pad=480:480:60:96"), GOOD),
    "cut_to_another_person": spoiled(joined(1.5, "grid/bbaf2n.mpg", "grid/lwbsza.mpg"), UNUSABLE, "cuts", "people"),
    "cut_to_the_same_person": spoiled(joined(1.5, "grid/pwij3p.mpg", "grid/swwp2s.mpg"), USABLE, "cuts"),
    "three_shots": spoiled(joined(1.2, "grid/brbk7n.mpg", "grid/lbax4n.mpg", "grid/sbia1a.mpg"), UNUSABLE, "cuts", "people"),
    "two_people": spoiled(graph("[0:v][1:v]hstack[v]", "grid/bbaf2n.mpg", "grid/lwbsza.mpg"), USABLE, "people"),
    "blurred": spoiled(filtered("gblur=sigma=3.5:steps=6"), USABLE, "sharpness"),
    "blurred_for_a_while": spoiled(filtered(f"gblur=sigma=5:steps=6:enable='{HALF}'"), USABLE, "sharpness"),
    "dark": spoiled(filtered("lutyuv=y='16+(val-16)*0.15'"), USABLE, "exposure"),
    "overexposed": spoiled(filtered("lutrgb=r='min(255,val*2.4)':g='min(255,val*2.4)':b='min(255,val*2.4)'"), USABLE, "exposure"),
    "light_switched": spoiled(filtered(f"eq=brightness=-0.25:enable='{HALF}'"), USABLE, "lighting"),
    "no_sound": spoiled(filtered(output=("-an",)), USABLE, "sound"),
    "silent": spoiled(filtered(sound="volume=0"), USABLE, "sound"),
    "clipped_sound": spoiled(filtered(sound="volume=30dB"), USABLE, "clipping"),
    "quiet_speech": spoiled(filtered(sound="volume=-40dB"), USABLE, "speech_level"),
    "noisy_sound": spoiled(filtered(sound=f"{MONO},volume=-12dB,aeval=val(0)+0.15*(random(0)-0.5),{MONO}"), USABLE, "noise"),
    "stutters": spoiled(filtered("select='lt(mod(n,25),15)'", output=("-fps_mode", "vfr")), USABLE, "steady_rate"),
    "ten_hertz": spoiled(filtered("fps=10"), USABLE, "frame_rate"),
    "tiny_face": spoiled(filtered("scale=iw/4:-2,pad=360:288:130:100:gray"), USABLE, "face_size"),
    "title_card": spoiled(filtered("drawbox=c=gray:t=fill:enable='between(t,2.4,3)'"), USABLE, "face_share", "cuts", "frozen"),
    "leaves_for_a_while": spoiled(filtered(WALK.format(start=2.1)), USABLE, "face_share"),
    "cut_by_the_edge": spoiled(filtered("crop=190:288:150:0"), USABLE, "framing"),
    "phone": spoiled(phone, GOOD),
    "music": spoiled(filtered(sound=f"aeval='0.1*(sin(1382*t)+sin(1742*t)+sin(2070*t))',{MONO}"), USABLE, "noise"),
    "leaves_for_long": spoiled(filtered(WALK.format(start=1.2)), UNUSABLE, "refused", "face_share"),
    "mouth_covered": spoiled(filtered("drawbox=x=125:y=180:w=90:h=50:c=0x3050a0:t=fill"), USABLE, "occlusion", "expression"),
    "mouth_covered_for_a_while": spoiled(filtered(f"drawbox=x=125:y=180:w=90:h=50:c=0x808080:t=fill:enable='{HALF}'"), USABLE, "occlusion"),
    "on_its_side": spoiled(filtered("transpose=1"), USABLE, "upright"),
    "upside_down": spoiled(filtered("vflip,hflip"), UNUSABLE, "refused", "upright"),
    "upside_down_and_found": spoiled(filtered("vflip,hflip", clip="grid/lbbc2a.mpg"), UNUSABLE, "upright", "expression"),
    "no_face": spoiled(filtered("crop=120:100:0:0"), UNUSABLE, "refused"),
    "truncated": spoiled(truncated, UNUSABLE, "refused", "decoding"),
    "damaged": spoiled(damaged, USABLE, "decoding", suffix=".mpg"),
    "not_a_video": spoiled(lambda media, target: target.write_bytes(b"this is no film\n" * 100) and None, UNUSABLE, "refused"),
    "empty": spoiled(lambda media, target: target.write_bytes(b"") and None, UNUSABLE, "refused"),
    "sound_alone": spoiled(
        lambda media, target: ffmpeg("-i", media / "grid/bbaf2n.mpg", "-vn", target), UNUSABLE, "refused", suffix=".m4a"
    ),
    "too_short": spoiled(filtered(output=("-t", "0.6")), UNUSABLE, "refused"),
    "still_picture": spoiled(still_picture, UNUSABLE, "movement"),
    "freezes": spoiled(filtered("loop=25:1:37,setpts=N/25/TB"), USABLE, "frozen"),
    "few_bits": spoiled(filtered(output=("-crf", "44")), USABLE, "bits"),
}
