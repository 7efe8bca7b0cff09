"""Small networks exported for Ascend, each once for all test files."""

import pytest


@pytest.fixture(scope="session")
def exported_network(tmp_path_factory):
    """Returns `test_graph.make_network` by a network's name: its MindIR, mixtures, and what it computes of them."""
    from test_graph import make_network

    made = {}

    def export(name):
        if name not in made:
            made[name] = make_network(name, tmp_path_factory.mktemp("network"))
        return made[name]

    return export
