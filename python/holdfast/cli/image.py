"""`holdfast image`: image archives."""

from __future__ import annotations

import json

import click

from holdfast.cli.shared import Group, SharedOptions, done, output_option, plain


@click.group(cls=Group)
def image() -> None:
    """Image archives."""


@image.command("cntrsrv")
@output_option("cntrsrv.tar")
@click.option("--name", default="cntrsrv_image", show_default=True, help="The image's name.")
@click.option("--tag", default="latest", show_default=True, help="Its tag.")
@click.option("--platform", metavar="linux/amd64|linux/arm64", help="This machine's own if none is given.")
@click.pass_obj
def image_cntrsrv(given: SharedOptions, output: str, name: str, tag: str, platform: str | None) -> None:
    """Write the test container's archive."""
    from holdfast import Archive, cntrsrv

    cntrsrv.write_archive(output, name=name, tag=tag, platform=platform)
    written = Archive.open(output).images[0]
    done(given, f"{output}: {name}:{tag}, {written.platform}, {written.id}", path=output, id=written.id)


@image.command("plugin")
@output_option("plugin.tar")
@click.option("--platform", metavar="linux/amd64|linux/arm64", help="This machine's own if none is given.")
@click.pass_obj
def image_plugin(given: SharedOptions, output: str, platform: str | None) -> None:
    """Write the test plugin's archive, as Deploy takes it: its root file system."""
    from holdfast import plugin_archive

    plugin_archive.write_archive(output, platform=platform)
    done(given, output, path=output)


@image.command("show")
@click.argument("file", type=click.Path())
@click.pass_obj
def image_show(given: SharedOptions, file: str) -> None:
    """What is in an archive."""
    from holdfast import Archive

    archive = Archive.open(file)
    if given.as_json:
        click.echo(json.dumps(plain(archive), indent=2))
        return
    packed = "plain" if archive.compression == "none" else archive.compression
    click.echo(f"{archive.path}: {archive.layout} layout, {packed}, {archive.size} bytes")
    for note in archive.notes:
        click.echo(f"  note      {note}")
    for held in archive.images:
        click.echo(f"  names     {', '.join(held.names) or 'none'}")
        if held.not_names:
            click.echo(f"  no target {', '.join(held.not_names)}")
        click.echo(f"  id        {held.id}")
        click.echo(f"  platform  {held.platform or 'none'}")
        click.echo(f"  command   {' '.join(held.command) or 'none'}")
        for layer in held.layers:
            click.echo(f"  layer     {layer.digest}  {layer.size} bytes")
