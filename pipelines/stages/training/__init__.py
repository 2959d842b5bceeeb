"""The trainings of both stages."""
