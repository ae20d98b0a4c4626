"""The commands that make pictures without a study of their own: `edit` and `interval`."""

import argparse

from rich.console import Console

from orchestrator.cli.reporting import study_folder
from orchestrator.ledger.study import CACHE_FOLDER
from orchestrator.views.live import say
from trainables.h_space.cli import editing, interval


def edit_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Edit pictures with trained editors: a strip for each, and its single pictures in a folder beside it."""
    from trainables.h_space.cli.strips import save_animation, save_strip

    folder_of_study = study_folder(options.study, options.results) if options.study else None
    job = editing.open_edit(options, folder_of_study, lambda line: say(console, line))
    for note in job.notes:
        say(console, note)
    for name, source in zip(editing.folder_names(job.sources), job.sources, strict=True):
        strip = job.session.strip(source, has_frames=options.animate)
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        for tile in (tile for group in strip.groups for tile in group):
            (folder / tile.file_name).write_bytes(tile.png)
        picture = options.out / f"{name}.png"
        groups = [[(tile.label, tile.png) for tile in group] for group in strip.groups]
        save_strip(groups, f"{name}: {job.session.title}", picture)
        say(console, f"{picture}")
        if strip.frames:
            animation = options.out / f"{name}.gif"
            names = " | ".join(tile.label for tile in strip.frames[0].tiles)
            save_animation(
                [(f"t = {frame.t}: {names}", [tile.png for tile in frame.tiles]) for frame in strip.frames],
                animation,
            )
            say(console, f"{animation}")
    return 0


def interval_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Print and draw the timestep from which up a domain's images are edited."""
    if options.like is not None:
        interval.show_as_noisy(options.domain, options.like, console)
        return 0
    cache_dir = options.results.absolute() / CACHE_FOLDER
    found = interval.view(
        options.domain,
        options.attributes,
        cache_dir,
        options.images,
        options.steps,
        lambda line: say(console, line),
    )
    interval.show(found, console)
    if options.out is not None:
        from analysis.style import save_figure
        from trainables.h_space.cli.interval_figure import draw_interval

        stem = options.out.with_suffix("") if options.out.suffix in (".png", ".svg") else options.out
        stem.parent.mkdir(parents=True, exist_ok=True)
        for path in save_figure(draw_interval(*interval.for_figure(found)), stem):
            say(console, f"{path}")
    return 0
