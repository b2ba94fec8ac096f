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
    "CLASSES": "tasks",
    "NUMBERS": "tasks",
    "RESIDUES": "tasks",
    "LabelTable": "labels",
    "OwnData": "data",
    "StructureOptions": "options",
    "TableOptions": "options",
    "all_residues": "structures",
    "load_residues": "load",
    "load_table": "load",
    "read_labels": "labels",
    "read_structures": "structures",
    "sequence_clusters": "splits",
    "split_structures": "splits",
    "stem": "structures",
    "structure_files": "structures",
}
__all__ = [*_HOME]
__getattr__ = lazily(__name__, _HOME)
