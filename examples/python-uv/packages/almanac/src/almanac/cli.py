"""The command `almanac`."""

import click
from almanac_core import days
from rich import print


@click.command()
@click.argument("year", type=click.IntRange(1970, 9999))
def main(year: int) -> None:
    """Print the days of YEAR that have a name."""
    for day, name in days(year).items():
        print(f"{day.isoformat()}  {name}")
