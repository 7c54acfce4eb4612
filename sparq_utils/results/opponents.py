"""Spiking rows beside their opponents: who needs less modelled energy, up to which spike rate."""

from collections.abc import Mapping, Sequence

import pandas as pd

from sparq_utils.results.files import NotRecordedError, recorded
from sparq_utils.results.rows import Row, row
from sparq_utils.traces.energy_models import ENERGY_MODELS, EnergyModel
from sparq_utils.traces.rivals import break_even
from sparq_utils.traces.trace import TraceError

EVEN = 1.005
"""Below this factor two modelled energies are called even."""


def beside_opponent(
    spiking: Row, opponent: Row, models: Mapping[str, EnergyModel] = ENERGY_MODELS
) -> pd.DataFrame:
    """A spiking row beside its opponent under each energy model, indexed by the model's name.

    Columns: `spiking_j` and `opponent_j`, mean modelled joules per image; `ratio`, the first over
    the second; `rate`, spikes per neuron and timestep; `break_even`, the rate under which the
    spiking network needs less (0: not even in silence, above 1: at any rate); `winner`, "spiking"
    or "opponent". A model that asks for a count which the traces lack is left out.
    """
    ours, theirs = spiking.left, opponent.left
    records = {}
    for name, model in models.items():
        try:
            found = break_even(model, ours, theirs)
        except TraceError:
            continue
        records[name] = {
            "spiking_j": found.spiking_j,
            "opponent_j": found.opponent_j,
            "ratio": found.ratio,
            "rate": found.rate,
            "break_even": found.break_even,
            "winner": "spiking" if found.spike_wins else "opponent",
        }
    return pd.DataFrame.from_dict(records, orient="index").rename_axis("model")


def opponents_table(
    spiking: str = "qdsnn-0.6-0.7",
    opponent: str = "qdann-0.6-0.7",
    experiments: Sequence[str] | None = None,
    models: Mapping[str, EnergyModel] = ENERGY_MODELS,
) -> pd.DataFrame:
    """:func:`beside_opponent` for all recorded experiments, indexed by network and model.

    It also says `spiking_accuracy` and `opponent_accuracy`, fractions, and `spiking_ops` and
    `opponent_ops`, MACs and ACs per image, means over seeds. An experiment of which one of the two
    rows is not recorded is left out.
    """
    found = {}
    for experiment in recorded() if experiments is None else experiments:
        try:
            ours, theirs = row(experiment, spiking), row(experiment, opponent)
        except NotRecordedError:
            continue
        table = beside_opponent(ours, theirs, models)
        about = {"spiking": ours, "opponent": theirs}.items()
        said = {f"{side}_accuracy": float(one.accuracy.mean()) for side, one in about}
        said |= {f"{side}_ops": one.synaptic_ops() for side, one in about}
        found[experiment] = table.assign(**said)[[*said, *table]]
    if not found:
        raise NotRecordedError(f"neither experiment has both '{spiking}' and '{opponent}' recorded")
    return pd.concat(found, names=["experiment"])


def winners(table: pd.DataFrame) -> pd.DataFrame:
    """A table of :func:`opponents_table` as models by networks: who wins, and by how much.

    A cell reads "spiking 1.33x" where the opponent needs 1.33 times as much, or the other way
    round, and "even" where that factor is less than :data:`EVEN`. It is empty where the model
    cannot price the network's traces.
    """
    factor = table["ratio"].where(table["ratio"] >= 1, 1 / table["ratio"])
    cells = (table["winner"] + factor.map(" {:.2f}x".format)).where(factor >= EVEN, "even")
    order = table.index.get_level_values("model").unique()
    return cells.unstack("experiment", fill_value="").loc[order]
