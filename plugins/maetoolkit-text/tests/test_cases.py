from maetoolkit.testing import check_plugin


def test_every_law_holds_for_everything_the_plugin_offers() -> None:
    tried = check_plugin("text")
    assert {label for label, _ in tried} == {"text", "hdf5"}
    broken = [str(verdict) for _, verdicts in tried for verdict in verdicts if not verdict.fine]
    assert not broken
    assert not [str(v) for _, verdicts in tried for v in verdicts if v.law == "case"]
