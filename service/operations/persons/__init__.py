"""Persons: what is kept about somebody, told to them or forgotten, by their e-mail address.

`who` finds it, `export` tells it, `erasure` forgets it. The one rule: every column that can hold
what a person wrote or is called by is known here; a test lists them all.
"""

from service.operations.persons.erasure import Erased, erase
from service.operations.persons.export import records
from service.operations.persons.who import Address, Person, address_of, find

__all__ = ["Address", "Erased", "Person", "address_of", "erase", "find", "records"]
