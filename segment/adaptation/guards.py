"""What a training's log says about its health, in words a person can act on.

A method has the guards that its kind of learning needs; the loop shows them what it logs, and nothing more is asked of
the device. What holds in one batch may be chance, so a guard speaks after several findings in a row.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

PSEUDO_SHARE = "pseudo_share/"
"""How the log's names of the classes' shares among the pseudo-labels begin."""
PSEUDO_WEIGHT = "pseudo_weight"
"""The log's name of the pseudo-labels' mean weight."""
TARGET_SHARE = "target_share/"
"""How the log's names of the classes' shares in target frames, as the learning network sees them, begin."""


class Collapsed(Exception):
    """Training has gone where more steps lead nowhere; the message says what to change."""


class Guard(ABC):
    """Checks the logged values each time that there are new ones, and speaks once."""

    patience: int = 10
    """How often in a row what it waits for must hold."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Be as one that has seen nothing yet."""
        self._in_a_row, self._spoke = 0, False

    def check(self, logged: Mapping[str, float]) -> str | None:
        """A line about what the values show, the first time that they have shown it for long; else None.

        Raises:
            Collapsed: It is of no use to go on.
        """
        found = self.finding(logged)
        self._in_a_row = 0 if found is None else self._in_a_row + 1
        if found is None or self._spoke or self._in_a_row < self.patience:
            return None
        self._spoke = True
        return found

    @abstractmethod
    def finding(self, logged: Mapping[str, float]) -> str | None:
        """What to say if this goes on; None if all is well or there is nothing to see."""


class Collapse(Guard):
    """One of all classes is left, which ends the training: a network that says nothing else never comes back."""

    largest_share = 0.98

    def check(self, logged: Mapping[str, float]) -> str | None:
        found = super().check(logged)
        if found is not None:
            raise Collapsed(found)
        return None


class PseudoLabelCollapse(Collapse):
    """Pseudo-labels that are all but one class."""

    def finding(self, logged: Mapping[str, float]) -> str | None:
        name, share = largest_of(logged, PSEUDO_SHARE)
        if share < self.largest_share:
            return None
        return (
            f'the pseudo-labels have collapsed: {share:.1%} of them are "{name}"; '
            "raise start_step or lower healthy_loss so that the teacher knows the source first, or lower the learning "
            "rate"
        )


class CertaintyCollapse(Collapse):
    """Target frames that are all but one class to a network that saw more in them before: so it is surest.

    A network that has not learnt anything yet may see one class too; that is no sign.

    Args:
        setting: The weight of what makes the network sure.
    """

    healthy_share = 0.9

    def __init__(self, setting: str) -> None:
        super().__init__()
        self.setting = setting

    def forget(self) -> None:
        super().forget()
        self._saw_more = False

    def finding(self, logged: Mapping[str, float]) -> str | None:
        name, share = largest_of(logged, TARGET_SHARE)
        self._saw_more |= 0 < share < self.healthy_share
        if not self._saw_more or share < self.largest_share:
            return None
        return (
            f'what the network sees in target frames has collapsed: {share:.1%} of it is "{name}"; lower '
            f'{self.setting}, or start from a network that knows the source (segmenter.initial = "source_only")'
        )


def largest_of(logged: Mapping[str, float], prefix: str) -> tuple[str, float]:
    """The class with the largest of the shares that the log has under a prefix; "" and 0 where it has none."""
    shares = {name.removeprefix(prefix): share for name, share in logged.items() if name.startswith(prefix)}
    return max(shares.items(), key=lambda named: named[1], default=("", 0.0))


class UnsureTeacher(Guard):
    """Pseudo-labels that hardly count, because the teacher is hardly ever sure."""

    patience = 30
    least_weight = 0.01

    def finding(self, logged: Mapping[str, float]) -> str | None:
        weight = logged.get(PSEUDO_WEIGHT)
        if weight is None or weight >= self.least_weight:
            return None
        return (
            f"the teacher is sure of {weight:.1%} of the target's pixels, so its pseudo-labels teach next to nothing; "
            'lower threshold, or set thresholds = "per_class"'
        )


class DiscriminatorBalance(Guard):
    """A discriminator that has won, or that cannot tell the domains apart: neither tells the network anything.

    Args:
        name: Of its loss in the log.
        chance: That loss where it says "as likely this as that" of everything.
    """

    patience = 30

    def __init__(self, name: str, chance: float) -> None:
        super().__init__()
        self.name, self.chance = name, chance

    def finding(self, logged: Mapping[str, float]) -> str | None:
        loss = logged.get(self.name)
        if loss is None:
            return None
        if loss < 0.02 * self.chance:
            return (
                f"{self.name} is {loss:.4f} for long: the discriminator has won and the network gives it no more to "
                "learn from; raise the adversarial weight, or lower the discriminator's learning rate"
            )
        if abs(loss - self.chance) < 0.01 * self.chance:
            return (
                f"{self.name} is {loss:.3f} for long, which is what guessing costs: the discriminator cannot tell "
                "the domains apart; raise its learning rate"
            )
        return None
