"""How accurate a model can be at most whose memory holds so many bits: counting states, whatever was learned.

The memory is what the model carries from the prompt to the question: the state of a recurrent model, the cache of a
Transformer. What a task asks to be kept in it stands in the task's description (``material_bits``, ``asked_bits``).
Both bounds hold for the average over all prompts that the task could draw, and both are loose: they count every bit of
the memory as usable, whereas a trained model stores far less.
"""

import math

_STEPS = 60
"""Bisections, which leave less of the interval from 0 to 1 than a float resolves."""


def copying_accuracy_bound(memory_bits: float, material_bits: float) -> float:
    """Return the highest exact match where the whole material is asked for, as in copying.

    Theorem 2.7 of Jelassi et al. 2024 (arXiv 2402.01032): a model with a state space S errs on more than
    1 - |S| / D^L of the uniform strings of L letters out of D, because each state leads to one answer.

    Args:
        memory_bits: log2 |S|.
        material_bits: L log2 D.
    """
    return 2.0 ** min(0.0, memory_bits - material_bits)


def memory_for_half(material_bits: float) -> float:
    """Return the bits of memory with fewer than which the error in copying is at least one half.

    Corollary 2.8 of Jelassi et al. 2024: L log2 D - 1.

    Args:
        material_bits: L log2 D.
    """
    return material_bits - 1


def lookup_accuracy_bound(memory_bits: float, material_bits: float, asked_bits: float) -> float:
    """Return the highest exact match where one of many equal parts of the material is asked for, as in a phonebook.

    Theorem 2.7 does not hold there: who keeps half of a book answers half of the questions. A memory of m bits tells at
    most m bits of all parts together, which is m times ``asked_bits / material_bits`` of a part on average, and by
    Fano's inequality an answer that is right with probability a tells at least ``asked_bits - h(a) - (1 - a)
    log2(2^asked_bits - 1)``, where h is the binary entropy (Cover and Thomas 2006, theorem 2.10.1).

    Args:
        memory_bits: of the model.
        material_bits: of all parts, which are independent and uniform.
        asked_bits: of one part.
    """
    known = memory_bits * asked_bits / material_bits
    low, high = 2.0**-asked_bits, 1.0  # guessing, which needs no memory; from there on more accuracy needs more
    if known >= asked_bits:
        return 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _fano(middle, asked_bits) <= known else (low, middle)
    return low


def _fano(accuracy: float, bits: float) -> float:
    """Return the bits that an answer tells at least which is right with this probability, between 0 and 1."""
    error = 1 - accuracy
    entropy = -accuracy * math.log2(accuracy) - (error * math.log2(error) if error else 0.0)
    # log2(2^bits - 1), which no power of a long string overflows.
    others = bits + math.log1p(-(2.0**-bits)) / math.log(2)
    return bits - entropy - error * others
