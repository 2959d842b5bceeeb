"""What stands in the street, in metres and materials: nothing knows pixels."""
