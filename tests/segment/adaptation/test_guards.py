"""Guards speak when a sign holds for long, once, and in words; a collapse ends the training."""

import pytest

from segment.adaptation.guards import (
    CertaintyCollapse,
    Collapsed,
    DiscriminatorBalance,
    Guard,
    PseudoLabelCollapse,
    UnsureTeacher,
)


class Above(Guard):
    patience = 3

    def finding(self, logged):
        return f"{logged['x']} is much" if logged["x"] > 1 else None


def test_a_guard_speaks_once_after_several_looks_in_a_row():
    guard = Above()
    heard = [guard.check({"x": value}) for value in (2, 2, 0, 2, 2, 3, 3, 3)]
    assert heard == [None] * 5 + ["3 is much", None, None]


def looked(guard, **logged):
    return [guard.check(logged) for _ in range(guard.patience)]


def test_all_labels_alike_is_a_collapse_and_almost_all_is_not():
    healthy = {"pseudo_share/road": 0.97, "pseudo_share/car": 0.03}
    assert not any(looked(PseudoLabelCollapse(), **healthy))
    with pytest.raises(Collapsed, match=r'98.5% of them are "road"; raise start_step'):
        looked(PseudoLabelCollapse(), **{"pseudo_share/road": 0.985, "pseudo_share/car": 0.015})


def test_a_network_that_saw_more_than_one_class_before_has_collapsed_and_one_that_never_did_has_not():
    guard = CertaintyCollapse("entropy_weight")
    one_class = {"target_share/road": 0.99, "target_share/car": 0.01}
    assert not any(looked(guard, **one_class) * 3), "nothing is learnt yet"
    assert not any(looked(guard, **{"target_share/road": 0.6, "target_share/car": 0.4}))
    with pytest.raises(Collapsed, match=r'collapsed: 99.0% of it is "road"; lower entropy_weight, or start from a net'):
        looked(guard, **one_class)


def test_a_guard_that_forgets_waits_anew():
    guard = Above()
    assert [guard.check({"x": 2}) for _ in range(3)] == [None, None, "2 is much"]
    guard.forget()
    assert [guard.check({"x": 2}) for _ in range(3)] == [None, None, "2 is much"]
    fell = CertaintyCollapse("entropy_weight")
    looked(fell, **{"target_share/road": 0.6, "target_share/car": 0.4})
    fell.forget()
    assert not any(looked(fell, **{"target_share/road": 0.99})), "no better days are remembered"


def test_nothing_to_see_is_no_sign():
    teacher, adversary = UnsureTeacher(), DiscriminatorBalance("discriminator_main", 0.69)
    for guard in (PseudoLabelCollapse(), CertaintyCollapse("entropy_weight"), teacher, adversary):
        assert not any(looked(guard, main=1.0))


def test_a_teacher_that_is_never_sure_is_told_of_and_one_that_is_at_times_is_not():
    assert "sure of 0.5% of the target's pixels" in looked(UnsureTeacher(), pseudo_weight=0.005)[-1]
    assert not any(looked(UnsureTeacher(), pseudo_weight=0.02))


@pytest.mark.parametrize(
    ("loss", "said"),
    [(0.01, "the discriminator has won"), (0.693, "cannot tell the domains apart"), (0.3, None), (0.6, None)],
)
def test_a_discriminator_that_has_won_or_guesses(loss, said):
    heard = looked(DiscriminatorBalance("discriminator_main", 0.6931), discriminator_main=loss)[-1]
    assert heard is None if said is None else said in heard
