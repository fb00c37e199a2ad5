"""Arrays by name, as files hold a network's weights: whether they are those that it has."""

from collections.abc import Mapping

from annealtrain.runtime.array_types import Array

MOST_NAMED = 3  # differences that a message tells


def require_same(needed: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Array]) -> None:
    """Raise ValueError that names what arrays lack of the needed names and shapes, and what they have beside them."""
    shapes = {name: (arrays[name].shape, shape) for name, shape in needed.items() if name in arrays}
    wrong = [f"has {name} {held}, the model {shape}" for name, (held, shape) in shapes.items() if held != shape]
    wrong += [f"lacks {name}" for name in needed if name not in arrays]
    wrong += [f"has {name}, the model has not" for name in arrays if name not in needed]
    if wrong:
        more = f", and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
        raise ValueError(f"{', '.join(wrong[:MOST_NAMED])}{more}")
