"""Own data: a folder of structure files, and a table of labels or none.

A table is a CSV (comma, semicolon or tab; in UTF-8, or in UTF-16 with a byte order mark) with a column ``structure``,
the file's name with or without its endings, and a column with the labels. With a column ``residue`` (number, as in the
file; an insertion code may follow it) the labels are of residues; a column ``chain`` tells them apart where a structure
has several chains. All labels of a structure are in one part of the split, unless the table itself says otherwise in a
column.

Nothing is lost in silence: what a table and a folder do not share, and columns that are not used, are counted in
``OwnData.told``.
"""

from eqgat.registry import lazily

_HOME = {
    "tasks": "CLASSES NUMBERS RESIDUES",
    "labels": "LabelTable read_labels",
    "data": "OwnData",
    "options": "StructureOptions TableOptions",
    "structures": "all_residues read_structures stem structure_files",
    "load": "load_residues load_table",
    "splits": "sequence_clusters split_structures",
}
__all__, __getattr__ = lazily(__name__, _HOME)
