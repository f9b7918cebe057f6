"""What a component says that it was made with."""

SDK = ("sdk", "tidemill-python 0.1.0")
