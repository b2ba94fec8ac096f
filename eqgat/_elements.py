"""Chemical elements: the periodic table, and the vocabulary of the models. Nothing is imported here."""

# Indices of elements as the models know them; see ``element_index``.
ELEMENTS = {"H": 0, "C": 1, "N": 2, "O": 3, "F": 4, "S": 5, "Cl": 6, "P": 7}
OTHER_ELEMENT = 8  # every other chemical element: metals, Se, Br, I, ...

_PERIODIC_TABLE = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc
Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi
Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
# The place in the list is the atomic number; 0 stands for what is no element.
SYMBOLS = ["", *_PERIODIC_TABLE.split()]
