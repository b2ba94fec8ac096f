"""The figure of notebook 00 and of the README's first page."""

from __future__ import annotations

from matplotlib.figure import Figure

from eqgat.coursework.running import running_example
from eqgat.viz.figures import figure
from eqgat.viz.scenes import neighbourhood_scene
from eqgat.viz.style import describe


@figure(name="first-look", notebook="00", data="embedded structure 5pti; EQGAT with untrained, seeded weights")
def first_look() -> Figure:
    """What the second layer of an untrained EQGAT does at one carbon atom of a real protein."""
    example = running_example()
    record = example.model.trace(example.graph)[1]
    scene = neighbourhood_scene(example.structure, record, example.centre, channel=0, vector_channel=0)
    where = f"{example.label(example.centre)} of BPTI (5PTI), layer 2 of an untrained model."
    return describe(scene.still(7.2, 5.0), f"{where} {scene.caption()}", scene.alt_text())
