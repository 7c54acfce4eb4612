"""Spiking rows beside their opponents: who needs less modelled energy, up to which spike rate."""

from collections.abc import Mapping, Sequence

import pandas as pd

from sparq_utils.prose import engineering, percent
from sparq_utils.results.files import TITLES, NotRecordedError, recorded
from sparq_utils.results.rows import Row, row
from sparq_utils.traces.energy_models import ENERGY_MODELS, EnergyModel
from sparq_utils.traces.rivals import break_even
from sparq_utils.traces.trace import TraceError

EVEN = 1.005
"""Below this factor two modelled energies are called even."""

MATCHES = {
    "at 0.6/0.7": ("qdsnn-0.6-0.7", "qdann-0.6-0.7"),
    "in company": ("qdsnn-company-best", "qdann-company-best"),
    "sparse, at 0.6/0.7": ("qdsnn-sparse-0.6-0.7", "qdann-0.6-0.7"),
    "sparse, in company": ("qdsnn-sparse-company-best", "qdann-company-best"),
}
"""Fair pairs of rows by what both have: the same exits, thresholds and tuning; spiking ones first.
The sparse ones were fine-tuned once more, with a penalty on their spikes."""

COMPARED = {
    "paper-step-by-step": "paper, step-by-step",
    "paper-layer-by-layer": "paper, layer-by-layer",
    "paper-event-driven": "paper, event-driven",
    "horowitz-step-by-step-exact": "Horowitz, step-by-step",
    "horowitz-layer-by-layer-exact": "Horowitz, layer-by-layer",
    "sram-dram-step-by-step": "SRAM and DRAM, step-by-step",
    "sram-dram-layer-by-layer": "SRAM and DRAM, layer-by-layer",
    "lemaire": "Lemaire et al., event-driven",
    "yan": "Yan et al., spikes routed on a chip",
}
"""The energy models that the book sets side by side, and what its tables call them."""

SIDES = {"spiking": "spikes", "opponent": "levels"}
"""What tables call the winner: the two say the same, one in spikes, one in levels."""


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


def matches(experiments: Sequence[str]) -> dict[str, pd.DataFrame]:
    """:func:`opponents_table` of each of :data:`MATCHES` of which something is recorded.

    Networks and the models of :data:`COMPARED` go by their titles.
    """
    found, models = {}, {name: ENERGY_MODELS[name] for name in COMPARED}
    for match, pair in MATCHES.items():
        try:
            table = opponents_table(*pair, experiments, models)
        except NotRecordedError:
            continue
        found[match] = table.rename(TITLES, level="experiment").rename(COMPARED, level="model")
    return found


def needs(table: pd.DataFrame) -> pd.DataFrame:
    """One network of :func:`opponents_table` as text: who needs what, the cheaper side bold.

    The last column is the spike rate below which spikes win: "never" where they would lose in
    silence, "at any rate" where they always win.
    """
    winner, cells = table["winner"].map(SIDES), {}
    for side, name in SIDES.items():
        cost = table[f"{side}_j"].map(lambda joules: engineering(joules, "J"))
        cells[name] = cost.where(winner != name, "**" + cost + "**")
    even = table["break_even"].map(lambda rate: percent(rate, 1))
    even = even.mask(table["break_even"] == 0, "never")
    cells["spikes win below"] = even.mask(table["break_even"] > 1, "at any rate")
    return pd.DataFrame(cells)


def winners(table: pd.DataFrame) -> pd.DataFrame:
    """A table of :func:`opponents_table` as models by networks: who wins, and by how much.

    A cell reads "spikes 1.33 times" where the opponent needs so many times as much, "levels ..."
    the other way round, and "even" where that factor is less than :data:`EVEN`. It is empty where
    the model cannot price the network's traces.
    """
    factor = table["ratio"].where(table["ratio"] >= 1, 1 / table["ratio"])
    said = factor.map("{:.2f} times".format)
    cells = (table["winner"].map(SIDES) + " " + said).where(factor >= EVEN, "even")
    networks, models = (table.index.unique(level) for level in table.index.names)
    return cells.unstack("experiment", fill_value="").loc[models, networks]
