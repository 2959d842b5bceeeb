"""The ways that frames are translated, by name.

Free of torch: settings and options name them too, and are read without waiting for it.
"""

from typing import Literal

Direction = Literal["source_to_target", "target_to_source"]
