"""Refuses orders above a limit, before they are decided."""

from dataclasses import dataclass

from tidemill import Checked, FieldError, Rules, config

rules = Rules()


@dataclass
class Place:
    """What it looks at in a command's data; data of another shape are refused by themselves."""

    total_cents: int


@rules.on(Place)
def limit(place: Place, command: Checked):
    """Sees the command and its configuration, nothing else. What it says is told to who sent the command."""
    most = config.integer("cents_max", 1_000_000)
    if place.total_cents > most:
        return [FieldError("/total_cents", "too-large", f"at most {most} cents")]
    return []


Validator = rules.exports()
