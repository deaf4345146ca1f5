"""Maps that were made elsewhere: which network of a config they explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpex_bench.config.resolve import ConfigError, unknown
from gpex_bench.config.schema import Network
from gpex_bench.types import Explainer


def elsewhere(explainer: Explainer, network: Network) -> str | None:
    """Return why stored maps do not explain a network, or None if they may; also of other methods.

    What the explainer does not name may be any.
    """
    if not explainer.is_stored:
        return None
    for kind in ("dataset", "model"):
        named, own = getattr(explainer, kind), getattr(network, kind)
        if named not in (None, own):
            return f"has maps of the {kind} {named} alone"
    return None


def check_names(
    run_id: str, explainer: Explainer, known: Mapping[str, Mapping[str, object]]
) -> None:
    """Check that the network of stored maps is among the entries, by kind and run id."""
    for kind in ("dataset", "model"):
        named = getattr(explainer, kind)
        if named is not None and named not in known[kind]:
            raise unknown(f"methods.{run_id}.{kind}", f"run id of a {kind}", named, known[kind])


def check_one_network(
    run_id: str,
    explainer: Explainer,
    networks: Sequence[Network],
    seeds: Mapping[str, Sequence[int]],
) -> None:
    """Check that stored maps explain exactly one network: they would be wrong for any other.

    Args:
        run_id: of the method.
        explainer: gives the maps.
        networks: of the config.
        seeds: the training seeds of each network, by run id of its model.

    Raises:
        ConfigError: names the method and what to write.
    """
    own = [network for network in networks if elsewhere(explainer, network) is None]
    places = ", ".join(f"{network.model} on {network.dataset}" for network in own)
    if len(own) != 1:
        raise ConfigError(
            f"methods.{run_id}: maps that were made elsewhere explain one network, and this run "
            f"has {len(own)} that they may belong to ({places or 'none'}); name it with "
            "`dataset: RUN ID` and `model: RUN ID`."
        )

    trained = seeds[own[0].model]
    if len(trained) > 1 and not explainer.has_each_seed:
        raise ConfigError(
            f"methods.{run_id}: its maps explain one network, and {places} is trained with "
            f"{len(trained)} seeds {list(trained)}; give a file for each seed and write {{seed}} "
            "in its name, or run a single seed."
        )
