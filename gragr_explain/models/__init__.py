"""Models whose layers are the steps of a gradient flow, and which frequencies the layers of any model favour."""

from gragr_explain.models._energy import flow_energy
from gragr_explain.models._frequencies import FrequencyProfile, frequency_history, frequency_profile
from gragr_explain.models._graff import GRAFF
from gragr_explain.models._graff_conv import GRAFFConv
from gragr_explain.models._limit import Dominance, limit_dominance
from gragr_explain.models._mixing import MIXINGS, ChannelMixing
from gragr_explain.models._plots import plot_frequencies, plot_frequency_history

__all__ = [
    "GRAFF",
    "MIXINGS",
    "ChannelMixing",
    "Dominance",
    "FrequencyProfile",
    "GRAFFConv",
    "flow_energy",
    "frequency_history",
    "frequency_profile",
    "limit_dominance",
    "plot_frequencies",
    "plot_frequency_history",
]
