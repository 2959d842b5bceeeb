"""Training methods of stage two by the name under which an experiment asks for them.

A new method is one file that subclasses `Method`, one line here, and a test that subclasses `MethodTester`.
"""

from segment.methods.method import Method
from segment.methods.supervised import Supervised

METHODS: dict[str, type[Method]] = {
    "supervised": Supervised,
}
