"""The days of the almanac, from a file of the package."""

from datetime import date
from importlib.resources import files

import yaml
from dateutil.easter import easter


def days(year: int) -> dict[date, str]:
    """The days of a year that have a name."""
    fixed = yaml.safe_load(files(__package__).joinpath("days.yaml").read_text(encoding="utf-8"))
    named = {date(year, day["month"], day["day"]): day["name"] for day in fixed}
    named[easter(year)] = "Easter"
    return dict(sorted(named.items()))
